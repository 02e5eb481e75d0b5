/*
 * Files as wholes. Everything under .molt/ is written through files_write, so that an editor killed at any
 * moment leaves the old or the new state of a file, never half of one.
 */
#include "lsp-server/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <dirent.h>

#include "base/text.h"

int files_read(const char *path, char **ret_bytes, size_t *ret_length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct text text = { 0 };
    char buffer[16384];
    ssize_t count;

    if (fd < 0)
        return -errno;
    text_puts(&text, "");
    while ((count = read(fd, buffer, sizeof buffer)) > 0)
        text_append(&text, buffer, (size_t)count);
    if (count < 0) {
        int error = -errno;

        close(fd);
        text_deinit(&text);
        return error;
    }
    close(fd);
    if (text_failed(&text)) {
        text_deinit(&text);
        return -ENOMEM;
    }
    *ret_length = text.length;
    *ret_bytes = text_steal(&text);
    return 0;
}

int files_make_directory(const char *path)
{
    char *copy;
    int error = 0;

    if (!mkdir(path, 0777) || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return -errno;
    copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    for (char *at = strchr(copy + 1, '/'); at && !error; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(copy, 0777) && errno != EEXIST)
            error = -errno;
        *at = '/';
    }
    free(copy);
    if (!error && mkdir(path, 0777) && errno != EEXIST)
        error = -errno;
    return error;
}

static int make_parent(const char *path)
{
    char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;
    int error = copy ? 0 : -ENOMEM;

    if (slash && slash != copy) {
        *slash = '\0';
        error = files_make_directory(copy);
    }
    free(copy);
    return error;
}

static int write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t count = write(fd, bytes, length);

        if (count < 0)
            return -errno;
        bytes += count;
        length -= (size_t)count;
    }
    return 0;
}

int files_write(const char *path, const void *bytes, size_t length)
{
    struct text temporary = { 0 };
    int fd, error = make_parent(path);

    if (error)
        return error;
    text_printf(&temporary, "%s.%d.tmp", path, (int)getpid());
    if (text_failed(&temporary)) {
        text_deinit(&temporary);
        return -ENOMEM;
    }
    fd = open(temporary.bytes, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        error = -errno;
    } else {
        error = write_all(fd, bytes, length);
        if (close(fd) && !error)
            error = -errno;
        if (!error && rename(temporary.bytes, path))
            error = -errno;
        if (error)
            unlink(temporary.bytes);
    }
    text_deinit(&temporary);
    return error;
}

int files_copy(const char *from, const char *to)
{
    char *bytes;
    size_t length;
    int error = files_read(from, &bytes, &length);

    if (error)
        return error;
    error = files_write(to, bytes, length);
    free(bytes);
    return error;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *position)
{
    return remove(path) && errno != ENOENT ? -errno : 0;
}

int files_remove_tree(const char *path)
{
    int error = nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);

    if (error == -1)
        return errno == ENOENT ? 0 : -errno;
    return error;
}

struct walk {
    const char *directory;
    int (*visit)(void *context, const char *relative);
    void *context;
};

static int walk_directory(const struct walk *walk, const char *relative)
{
    char *path = path_join(walk->directory, relative);
    DIR *directory = path ? opendir(path) : NULL;
    struct dirent *entry;
    int result = 0;

    free(path);
    if (!directory)
        return path ? -errno : -ENOMEM;
    while (!result && (entry = readdir(directory))) {
        char *name;
        struct stat st;

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        name = *relative ? path_join(relative, entry->d_name) : strdup(entry->d_name);
        if (!name)
            result = -ENOMEM;
        else if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
            result = errno == ENOENT ? 0 : -errno;
        else if (S_ISDIR(st.st_mode))
            result = walk_directory(walk, name);
        else if (S_ISREG(st.st_mode))
            result = walk->visit(walk->context, name);
        free(name);
    }
    closedir(directory);
    return result;
}

int files_walk_tree(const char *directory, int (*visit)(void *context, const char *relative), void *context)
{
    struct walk walk = { directory, visit, context };

    return walk_directory(&walk, "");
}

bool files_same(const char *a, const char *b)
{
    struct stat sa, sb;
    char *bytes_a = NULL, *bytes_b = NULL;
    size_t length_a, length_b;
    bool same;

    if (stat(a, &sa) || stat(b, &sb) || sa.st_size != sb.st_size)
        return false;
    same = !files_read(a, &bytes_a, &length_a) && !files_read(b, &bytes_b, &length_b) &&
           length_a == length_b && !memcmp(bytes_a, bytes_b, length_a);
    free(bytes_a);
    free(bytes_b);
    return same;
}
