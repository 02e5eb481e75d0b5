/*
 * Revisions by libgit2: a checkout into a directory of its own leaves the user's working tree and index
 * alone.
 *
 * The library is loaded when it is needed: it brings twenty others with it, whose loading would take longer
 * than all of `molt apply`.
 */
#include "cli/revisions.h"

#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <git2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define GIT_FUNCTIONS(X)                                                                                     \
    X(git_libgit2_init)                                                                                      \
    X(git_libgit2_shutdown)                                                                                  \
    X(git_error_last)                                                                                        \
    X(git_repository_open_ext)                                                                               \
    X(git_repository_workdir)                                                                                \
    X(git_repository_free)                                                                                   \
    X(git_revparse_single)                                                                                   \
    X(git_object_peel)                                                                                       \
    X(git_object_dup)                                                                                        \
    X(git_object_free)                                                                                       \
    X(git_tree_entry_bypath)                                                                                 \
    X(git_tree_entry_to_object)                                                                              \
    X(git_tree_entry_free)                                                                                   \
    X(git_checkout_tree)

static struct {
#define X(name) __typeof__(&name) name;
    GIT_FUNCTIONS(X)
#undef X
} git;

static struct molt_error *load_libgit2(void)
{
    void *library = dlopen("libgit2.so." LIBGIT2_SOVERSION, RTLD_NOW | RTLD_LOCAL);
    bool complete = library != NULL;

#define X(name)                                                                                              \
    git.name = complete ? (__typeof__(&name))dlsym(library, #name) : NULL;                                   \
    complete = complete && git.name;
    GIT_FUNCTIONS(X)
#undef X
    return complete ? NULL
                    : molt_error_new(
                          MOLT_ERROR_INTERNAL,
                          "revisions need libgit2, which cannot be loaded (%s): install it, or check the "
                          "revisions out and name them with --from and --to",
                          dlerror());
}

struct molt_error *revisions_make_directory(char **ret_path)
{
    const char *base = getenv("TMPDIR");
    char *path = path_join(base && *base ? base : "/tmp", "molt-XXXXXX");

    if (!path) {
        return molt_error_nomem();
    }
    if (!mkdtemp(path)) {
        struct molt_error *error = molt_error_errno(errno, "cannot make a directory %s", path);
        free(path);
        return error;
    }
    *ret_path = path;
    return NULL;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    remove(path); /* what cannot be removed stays in the directory for temporary files */
    return 0;
}

void revisions_remove(char *path)
{
    if (path) {
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(path);
    }
}

static struct molt_error *repository_error(enum molt_error_code code, const char *what)
{
    const git_error *error = git.git_error_last();
    return molt_error_new(code, "%s: %s", what, error ? error->message : "unknown error of git");
}

/* The subtree of TREE that corresponds to ROOT, which lies below the repository's working directory. */
static struct molt_error *subtree(git_repository *repository, git_tree *tree, const char *root,
                                  git_object **ret)
{
    char *real = realpath(root, NULL);
    const char *workdir = git.git_repository_workdir(repository);
    const char *below = real && workdir ? path_below(workdir, real) : NULL;
    struct molt_error *error = NULL;
    git_tree_entry *entry = NULL;

    if (!below || !*below) {
        git.git_object_dup(ret, (git_object *)tree);
    } else if (git.git_tree_entry_bypath(&entry, tree, below) != 0 ||
               git.git_tree_entry_to_object(ret, repository, entry) != 0) {
        error = repository_error(MOLT_ERROR_USAGE, below);
    }
    git.git_tree_entry_free(entry);
    free(real);
    return error;
}

static struct molt_error *check_out(git_repository *repository, const char *root, const char *revision,
                                    const char *directory)
{
    git_checkout_options options = GIT_CHECKOUT_OPTIONS_INIT;
    git_object *named = NULL, *tree = NULL, *part = NULL;
    struct molt_error *error = NULL;

    if (git.git_revparse_single(&named, repository, revision) != 0 ||
        git.git_object_peel(&tree, named, GIT_OBJECT_TREE) != 0) {
        error = repository_error(MOLT_ERROR_USAGE, revision);
    }
    error = error ? error : subtree(repository, (git_tree *)tree, root, &part);
    if (!error) {
        options.checkout_strategy = GIT_CHECKOUT_FORCE | GIT_CHECKOUT_DONT_UPDATE_INDEX;
        options.target_directory = directory;
        if (git.git_checkout_tree(repository, part, &options) != 0) {
            error = repository_error(MOLT_ERROR_INTERNAL, "cannot check out");
        }
    }
    git.git_object_free(named);
    git.git_object_free(tree);
    git.git_object_free(part);
    return error;
}

struct molt_error *revisions_check_out(const char *root, const char *revision, const char *directory)
{
    git_repository *repository = NULL;
    struct molt_error *error = load_libgit2();

    if (error) {
        return error;
    }
    git.git_libgit2_init();
    if (git.git_repository_open_ext(&repository, root, 0, NULL) != 0) {
        error = repository_error(MOLT_ERROR_USAGE, root);
    } else {
        error = check_out(repository, root, revision, directory);
    }
    git.git_repository_free(repository);
    git.git_libgit2_shutdown();
    return error;
}
