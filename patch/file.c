/* Files, and the cache of their hashes: a save looks at thousands of headers, of which one has changed. */
#include "patch/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "patch/memory.h"

static int read_all(int fd, char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = read(fd, bytes + done, size - done);
        if (count == 0) {
            return -EIO;
        }
        if (count < 0 && errno != EINTR) {
            return -errno;
        }
        done += count > 0 ? count : 0;
    }
    return 0;
}

struct molt_error *file_read(const char *path, char **ret_bytes, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0) {
        struct molt_error *error = molt_error_errno(errno, "%s", path);
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    char *bytes = must_calloc(status.st_size + 1, 1);
    int result = S_ISREG(status.st_mode) ? read_all(fd, bytes, status.st_size) : -EINVAL;
    close(fd);
    if (result < 0) {
        free(bytes);
        return molt_error_errno(result, "%s", path);
    }
    *ret_bytes = bytes;
    *ret_size = status.st_size;
    return NULL;
}

struct molt_error *file_write(const char *path, const void *bytes, size_t size)
{
    char *temporary = must_printf("%s.%ld.tmp", path, (long)getpid());
    FILE *file = fopen(temporary, "we");
    struct molt_error *error = NULL;

    if (!file) {
        error = molt_error_errno(errno, "%s", temporary);
    } else {
        bool good = fwrite(bytes, 1, size, file) == size;
        good = fclose(file) == 0 && good;
        if (!good || rename(temporary, path) < 0) {
            error = molt_error_errno(errno, "%s", path);
            unlink(temporary);
        }
    }
    free(temporary);
    return error;
}

struct molt_error *file_make_directory(const char *directory)
{
    char *path = must_strdup(directory);
    struct molt_error *error = NULL;

    for (char *slash = path + 1; !error; slash++) {
        slash = strchrnul(slash, '/');
        char kept = *slash;
        *slash = '\0';
        if (mkdir(path, 0777) < 0 && errno != EEXIST) {
            error = molt_error_errno(errno, "%s", path);
        }
        *slash = kept;
        if (!kept) {
            break;
        }
    }
    free(path);
    return error;
}

struct known {
    char *path;
    struct timespec modified;
    off_t size;
    ino_t inode;
    unsigned generation; /* of the cache, when the file was last looked at */
    char hex[HASH_HEX];
};

struct file_hashes {
    struct table files;
    unsigned generation;
};

void file_hashes_refresh(struct file_hashes *hashes)
{
    hashes->generation++;
}

unsigned file_hashes_generation(const struct file_hashes *hashes)
{
    return hashes->generation;
}

struct file_hashes *file_hashes_create(void)
{
    struct file_hashes *hashes = must_calloc(1, sizeof(*hashes));

    hashes->generation = 1; /* 0: never looked at */
    return hashes;
}

void file_hashes_destroy(struct file_hashes *hashes)
{
    for (size_t i = 0; hashes && i < hashes->files.capacity; i++) {
        struct known *known = hashes->files.slots[i].value;
        if (known) {
            free(known->path);
            free(known);
        }
    }
    if (hashes) {
        table_deinit(&hashes->files);
    }
    free(hashes);
}

/* A file changed twice within the clock's grain would keep its time: young files are hashed again. */
static bool is_current(const struct known *known, const struct stat *status)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return known->modified.tv_sec == status->st_mtim.tv_sec &&
           known->modified.tv_nsec == status->st_mtim.tv_nsec && known->size == status->st_size &&
           known->inode == status->st_ino && now.tv_sec - status->st_mtim.tv_sec > 1;
}

const char *file_hash(struct file_hashes *hashes, const char *path)
{
    struct known *known = table_get(&hashes->files, path);
    struct stat status;

    if (known && known->generation == hashes->generation) {
        return known->hex;
    }
    if (!known) {
        known = must_calloc(1, sizeof(*known));
        known->path = must_strdup(path);
        table_put(&hashes->files, known->path, known);
    }
    known->generation = hashes->generation;
    if (stat(path, &status) < 0) {
        known->hex[0] = '\0';
        return known->hex;
    }
    if (known->hex[0] && is_current(known, &status)) {
        return known->hex;
    }
    known->hex[0] = '\0';
    char *bytes;
    size_t size;
    struct molt_error *error = file_read(path, &bytes, &size);
    if (error) {
        molt_error_destroy(error);
        return known->hex;
    }
    struct hash hash;
    hash_init(&hash);
    hash_add(&hash, bytes, size);
    hash_end(&hash, known->hex);
    free(bytes);
    known->modified = status.st_mtim;
    known->size = status.st_size;
    known->inode = status.st_ino;
    return known->hex;
}
