/* The states of the sources that molt diff is asked about: revisions are checked out into directories of
 * their own. */
#include "cli/trees.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/revisions.h"

/* Appends STRING (taken) to the NULL-terminated *LIST. */
static struct molt_error *append(char ***list, char *string)
{
    size_t count = 0;

    while (*list && (*list)[count]) {
        count++;
    }
    char **longer = string ? realloc(*list, (count + 2) * sizeof(*longer)) : NULL;
    if (!longer) {
        free(string);
        return molt_error_nomem();
    }
    longer[count] = string;
    longer[count + 1] = NULL;
    *list = longer;
    return NULL;
}

static struct molt_error *check_out(const char *revision, const char *root, struct trees *trees, char **ret)
{
    char *directory = NULL;
    struct molt_error *error = revisions_make_directory(&directory);

    error = error ? error : append(&trees->checkouts, directory);
    error = error ? error : revisions_check_out(root, revision, directory);
    *ret = error ? NULL : strdup(directory);
    return error || *ret ? error : molt_error_nomem();
}

static struct molt_error *check_out_range(const char *range, const char *root, struct trees *trees)
{
    const char *dots = strstr(range, "..");
    char *from = strndup(range, (size_t)(dots - range));
    struct molt_error *error =
        from ? check_out(*from ? from : "HEAD", root, trees, &trees->from) : molt_error_nomem();

    if (!error && dots[2]) { /* "FROM.." leads to the working tree */
        error = check_out(dots + 2, root, trees, &trees->to);
    }
    free(from);
    return error;
}

/* Whether ROOT or a directory above it is a repository of git. */
static bool is_in_repository(const char *root)
{
    char *directory = strdup(root), *slash;
    bool found = false;

    while (directory && *directory && !found) {
        char *git = path_join(directory, ".git");
        found = git && access(git, F_OK) == 0;
        free(git);
        slash = strrchr(directory, '/');
        *(slash ? slash : directory) = '\0';
    }
    free(directory);
    return found;
}

static struct molt_error *use_baseline(const char *root, struct trees *trees)
{
    trees->from = path_join(root, ".molt/baseline");
    if (!trees->from) {
        return molt_error_nomem();
    }
    return access(trees->from, R_OK) == 0
               ? NULL
               : molt_error_new(
                     MOLT_ERROR_REFUSED,
                     "there is no record of the sources that the program was built from (%s); name them: %s. "
                     "Or "
                     "open the project in an editor with Molt before you change it, which keeps them",
                     trees->from,
                     is_in_repository(root)
                         ? "HEAD.. if it was built from the last commit, REVISION.. or --from DIR"
                         : "--from DIR, a copy of the sources as they were built");
}

static struct molt_error *absolute(const char *path, char **ret)
{
    *ret = realpath(path, NULL);
    return *ret ? NULL : molt_error_new(MOLT_ERROR_USAGE, "cannot read %s: %s", path, strerror(errno));
}

/* The states in between: revisions if the others are. */
static struct molt_error *find_via(const struct cli_arguments *arguments, const char *root, bool revisions,
                                   struct trees *trees)
{
    size_t count;
    const char *const *names = cli_values(arguments, "via", &count);
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && i < count; i++) {
        char *directory = NULL;
        error = revisions ? check_out(names[i], root, trees, &directory) : absolute(names[i], &directory);
        error = error ? error : append(&trees->via, directory);
    }
    return error;
}

struct molt_error *trees_find(const struct cli_arguments *arguments, const char *root, struct trees *ret)
{
    const char *from = cli_value(arguments, "from"), *to = cli_value(arguments, "to");
    const char *range = arguments->operands[0];
    struct molt_error *error;

    if (range && (from || to)) {
        return molt_error_new(MOLT_ERROR_USAGE, "FROM..TO and --from or --to exclude each other");
    }
    if (range && !strstr(range, "..")) {
        return molt_error_new(MOLT_ERROR_USAGE, "'%s' is no range of revisions: FROM..TO", range);
    }
    if (range) {
        error = check_out_range(range, root, ret);
    } else {
        error = from ? absolute(from, &ret->from) : use_baseline(root, ret);
        error = error || !to ? error : absolute(to, &ret->to);
    }
    return error ? error : find_via(arguments, root, range != NULL, ret);
}

void trees_deinit(struct trees *trees)
{
    for (size_t i = 0; trees->checkouts && trees->checkouts[i]; i++) {
        revisions_remove(trees->checkouts[i]);
    }
    for (size_t i = 0; trees->via && trees->via[i]; i++) {
        free(trees->via[i]);
    }
    free(trees->checkouts);
    free(trees->via);
    free(trees->from);
    free(trees->to);
    *trees = (struct trees){ 0 };
}
