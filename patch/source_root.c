/*
 * Which directory is the source root: the one that trees of sources stand for. What is outside of it is taken
 * to be the same in every tree, so it should hold the project's headers, too; but who names a tree that holds
 * the C files alone means the directory of these.
 */
#include "patch/source_root.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/compile/compile_db.h"

/* The deepest directory that holds A and B; owned by the caller. */
static char *deepest(const char *a, const char *b)
{
    char *common = must_strdup(a);

    while (*common && !path_below(common, b)) {
        *strrchr(common, '/') = '\0';
    }
    return common;
}

/* The deepest directory that holds all files of the database; "" is the file system's root. */
static char *directory_of_files(const struct compile_db *db)
{
    char *common = must_strdup(db->entries.items[0]->file);

    *strrchr(common, '/') = '\0';
    for (size_t i = 1; i < db->entries.count; i++) {
        char *wider = deepest(common, db->entries.items[i]->file);
        free(common);
        common = wider;
    }
    return common;
}

/* How far up the sources of which DIRECTORY holds the C files may reach: the working tree of the version
 * control that holds it, else a directory beside it at most. "" if there is no bound below the file
 * system's root. */
static char *project_bound(const char *directory)
{
    static const char *const marks[] = { ".git", ".hg", ".svn" };
    char *at = must_strdup(directory);

    for (; *at; *strrchr(at, '/') = '\0') {
        for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
            char *mark = must_printf("%s/%s", at, marks[i]);
            bool is_there = access(mark, F_OK) == 0;
            free(mark);
            if (is_there) {
                return at;
            }
        }
    }
    free(at);
    at = must_strdup(directory);
    *strrchr(at, '/') = '\0';
    return at;
}

/* Widens *ROOT over the project's own include directories that ENTRY names. */
static void widen_over_includes(const struct compile_db *db, const struct compile_entry *entry,
                                const char *bound, char **root)
{
    static const char *const options[] = { "-I", "-iquote" };

    for (size_t i = 1; i < entry->argument_count; i++) {
        for (size_t k = 0; k < sizeof(options) / sizeof(*options); k++) {
            size_t length = strlen(options[k]);
            const char *argument = entry->arguments[i];
            if (strncmp(argument, options[k], length) != 0 ||
                (!argument[length] && i + 1 == entry->argument_count)) {
                continue;
            }
            const char *value = argument[length] ? argument + length : entry->arguments[i + 1];
            char *path = must_have(path_normalise(entry->directory, value));
            if (path_below(bound, path) && !path_below(db->build, path) && access(path, F_OK) == 0) {
                char *wider = deepest(*root, path);
                free(*root);
                *root = wider;
            }
            free(path);
        }
    }
}

/* The directory of the whole project, as far as the database tells: its own, if it lies above all C files;
 * else the deepest that holds FILES and the project's own directories in which they look for headers. */
static char *directory_of_project(const struct compile_db *db, const char *files)
{
    if (path_below(db->build, files) && strcmp(db->build, "/") != 0) {
        return must_strdup(db->build);
    }
    char *root = must_strdup(files), *bound = project_bound(files);
    for (size_t i = 0; *bound && i < db->entries.count; i++) {
        widen_over_includes(db, db->entries.items[i], bound, &root);
    }
    free(bound);
    return root;
}

/* How many C files of the database TREE holds, if it stands for ROOT. */
static size_t count_in_tree(const struct compile_db *db, const char *tree, const char *root)
{
    size_t count = 0;

    for (size_t i = 0; i < db->entries.count; i++) {
        const char *below = path_below(root, db->entries.items[i]->file);
        char *path = below ? must_printf("%s/%s", tree, below) : NULL;
        count += path && access(path, F_OK) == 0;
        free(path);
    }
    return count;
}

struct molt_error *source_root_find(const struct compile_db *db, const char *tree, char **ret)
{
    char *files = directory_of_files(db);
    char *project = *files ? directory_of_project(db, files) : must_strdup(files);
    size_t as_files = tree ? count_in_tree(db, tree, files) : 0;
    size_t as_project = tree ? count_in_tree(db, tree, project) : 1;
    bool is_project = as_project > as_files;
    struct molt_error *error = NULL;

    if (!as_files && !as_project) {
        error = molt_error_new(MOLT_ERROR_REFUSED,
                               "%s holds none of the C files that %s names: it has to be a copy of %s, the "
                               "source root (see --root)",
                               tree, db->path, *project ? project : "/");
    } else {
        const char *root = is_project ? project : files;
        *ret = must_strdup(*root ? root : "/");
    }
    free(files);
    free(project);
    return error;
}
