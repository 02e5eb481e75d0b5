/* The recorder, given two directories instead of an editor: files are matched by their place. */
#include "cli/changes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "recorder/change_set.h"

struct comparison {
    const char *from, *to;
    const struct timespec *built; /* what TO alone has and is not younger was there before; may be NULL */
    json_t *changes;
};

static bool is_source(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (strcmp(dot, ".c") == 0 || strcmp(dot, ".h") == 0);
}

/* Contents of DIRECTORY/PATH; *ret stays NULL if there is no such file. */
static struct molt_error *read_source(const char *directory, const char *path, char **ret, size_t *ret_size)
{
    char *full = path_join(directory, path);
    int file = full ? open(full, O_RDONLY | O_CLOEXEC) : -1;
    int reason = errno;
    struct text contents = { 0 };
    char buffer[65536];
    ssize_t size = 0;

    free(full);
    if (file < 0) {
        return !full || reason == ENOENT || reason == ENOTDIR
                   ? NULL
                   : molt_error_errno(reason, "cannot read %s", path);
    }
    while ((size = read(file, buffer, sizeof(buffer))) > 0) {
        text_append(&contents, buffer, (size_t)size);
    }
    reason = errno;
    close(file);
    *ret_size = contents.length;
    *ret = text_steal(&contents);
    return size < 0 ? molt_error_errno(reason, "cannot read %s", path) : *ret ? NULL : molt_error_nomem();
}

static struct molt_error *compare_file(struct comparison *comparison, const char *path)
{
    char *old_text = NULL, *new_text = NULL;
    size_t old_size = 0, new_size = 0;
    struct molt_error *error = read_source(comparison->from, path, &old_text, &old_size);

    error = error ? error : read_source(comparison->to, path, &new_text, &new_size);
    if (!error &&
        (!old_text || !new_text || old_size != new_size || memcmp(old_text, new_text, old_size) != 0)) {
        struct change_set *set = NULL;
        error = change_set_between(path, old_text, old_size, new_text, new_size, &set);
        if (!error) {
            json_t *array = change_set_to_json(set);
            json_array_extend(comparison->changes, array);
            json_decref(array);
            change_set_destroy(set);
        }
    }
    free(old_text);
    free(new_text);
    return error;
}

static bool is_after(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec > other->tv_sec || (one->tv_sec == other->tv_sec && one->tv_nsec > other->tv_nsec);
}

/* Whether a source of SIDE, of which INFO tells, is to be compared: OTHER is where FROM would have it. */
static bool is_wanted(const struct comparison *comparison, const char *side, const char *other,
                      const struct stat *info)
{
    return side == comparison->from ||
           (access(other, F_OK) != 0 && (!comparison->built || is_after(&info->st_mtim, comparison->built)));
}

/* Walks BELOW of SIDE. Files that the other side has too are compared when FROM is walked. */
static struct molt_error *walk(struct comparison *comparison, const char *side, const char *below)
{
    char *path = path_join(side, below);
    DIR *directory = path ? opendir(path) : NULL;
    struct molt_error *error = NULL;
    struct dirent *entry;

    free(path);
    while (!error && directory && (entry = readdir(directory))) {
        char *name = *below ? path_join(below, entry->d_name) : strdup(entry->d_name);
        char *other = name ? path_join(comparison->from, name) : NULL;
        struct stat info;
        if (!name || !other) {
            error = molt_error_nomem();
        } else if (entry->d_name[0] == '.' ||
                   fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
            ; /* hidden, or gone meanwhile */
        } else if (S_ISDIR(info.st_mode)) {
            error = walk(comparison, side, name);
        } else if (S_ISREG(info.st_mode) && is_source(name) && is_wanted(comparison, side, other, &info)) {
            error = compare_file(comparison, name);
        }
        free(name);
        free(other);
    }
    if (directory) {
        closedir(directory);
    }
    return error;
}

struct molt_error *changes_between(const char *from, const char *to, const struct timespec *built,
                                   json_t **ret)
{
    struct comparison comparison = { from, to, built, json_array() };
    struct molt_error *error = comparison.changes ? walk(&comparison, from, "") : molt_error_nomem();

    error = error ? error : walk(&comparison, to, "");
    if (error) {
        json_decref(comparison.changes);
        return error;
    }
    *ret = comparison.changes;
    return NULL;
}

/* When the last of the session's binaries was written. */
static struct timespec built_at(const struct patch_session *session)
{
    struct timespec latest = { 0 };
    json_t *modules = patch_session_modules(session), *module;
    size_t i;

    json_array_foreach(modules, i, module)
    {
        const char *path = json_string_value(json_object_get(module, "path"));
        struct stat info;
        if (path && stat(path, &info) == 0 && is_after(&info.st_mtim, &latest)) {
            latest = info.st_mtim;
        }
    }
    json_decref(modules);
    return latest;
}

struct molt_error *changes_of(const struct patch_session *session, const char *from, const char *to,
                              json_t **ret)
{
    struct timespec built = built_at(session);

    return changes_between(from, to ? to : patch_session_root(session), to ? NULL : &built, ret);
}
