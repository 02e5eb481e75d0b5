/*
 * They lie in the cache, by their ids: what is lost there costs no more than having to name a patch. The
 * oldest go first, and no more stay than a program could have in force and in its past.
 */
#include "cli/made.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/file.h"

#define KEPT 64

static char *directory_of(const char *root)
{
    return path_join(root, ".molt/cache/patches");
}

static char *path_of(const char *directory, const char *id)
{
    struct text text = { 0 };

    text_printf(&text, "%s/%s.molt", directory, id);
    return strchr(id, '/') ? NULL : text_steal(&text);
}

/* The file of DIRECTORY that was written first, if there are more than KEPT: owned by the caller, or NULL. */
static char *find_superfluous(const char *directory)
{
    DIR *stream = opendir(directory);
    struct timespec oldest = { 0 };
    struct dirent *entry;
    char *found = NULL;
    size_t count = 0;

    while (stream && (entry = readdir(stream))) {
        struct stat info;
        if (fstatat(dirfd(stream), entry->d_name, &info, 0) < 0 || !S_ISREG(info.st_mode)) {
            continue;
        }
        if (!count++ || info.st_mtim.tv_sec < oldest.tv_sec ||
            (info.st_mtim.tv_sec == oldest.tv_sec && info.st_mtim.tv_nsec < oldest.tv_nsec)) {
            oldest = info.st_mtim;
            free(found);
            found = path_join(directory, entry->d_name);
        }
    }
    if (stream) {
        closedir(stream);
    }
    if (count <= KEPT) {
        free(found);
        found = NULL;
    }
    return found;
}

void made_keep(const char *root, const char *id, const void *bytes, size_t size)
{
    char *directory = directory_of(root), *path = directory ? path_of(directory, id) : NULL, *old;
    struct molt_error *error = path ? file_make_directory(directory) : NULL;

    if (path && !error) {
        error = file_write(path, bytes, size);
    }
    while (path && (old = find_superfluous(directory))) {
        int status = unlink(old);
        free(old);
        if (status < 0) {
            break;
        }
    }
    molt_error_destroy(error);
    free(path);
    free(directory);
}

char *made_find(const char *root, const char *id)
{
    char *directory = directory_of(root), *path = directory ? path_of(directory, id) : NULL;

    free(directory);
    if (path && access(path, R_OK) == 0) {
        return path;
    }
    free(path);
    return NULL;
}
