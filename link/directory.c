/* The socket directory: candidates in order of preference, made with mode 0700 and checked before each use.
 */
#include "link/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int link_directory_candidate(unsigned index, char *ret_path, size_t size)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    int length;

    switch (index) {
    case 0:
        if (!runtime || runtime[0] != '/') {
            return -ENAMETOOLONG;
        }
        length = snprintf(ret_path, size, "%s/molt", runtime);
        break;
    case 1:
        length = snprintf(ret_path, size, "/run/user/%u/molt", (unsigned)geteuid());
        break;
    case 2:
        length = snprintf(ret_path, size, "/tmp/molt-%u", (unsigned)geteuid());
        break;
    default:
        return -ENOENT;
    }
    return length > 0 && (size_t)length < size ? 0 : -ENAMETOOLONG;
}

int link_directory_check(const char *path)
{
    struct stat status;

    if (lstat(path, &status)) {
        return -errno;
    }
    if (!S_ISDIR(status.st_mode)) {
        return -ENOTDIR;
    }
    return status.st_uid == geteuid() && !(status.st_mode & 077) ? 0 : -EPERM;
}

/* A directory just made by us may lack bits that the program's umask took away. */
static int make_one(const char *path)
{
    int error = 0;

    if (!mkdir(path, 0700)) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        error = fd < 0 || fchmod(fd, 0700) ? -errno : 0;
        if (fd >= 0) {
            close(fd);
        }
    } else if (errno != EEXIST) {
        error = -errno;
    }
    return error ? error : link_directory_check(path);
}

int link_directory_make(char *ret_path, size_t size)
{
    int result = -ENOENT;

    for (unsigned index = 0;; index++) {
        char path[LINK_PATH_MAX];
        int error = link_directory_candidate(index, path, sizeof(path));

        if (error == -ENOENT) {
            return result;
        }
        if (!error) {
            error = make_one(path);
        }
        if (!error && strlen(path) >= size) {
            error = -ENAMETOOLONG;
        }
        if (!error) {
            strcpy(ret_path, path);
            return 0;
        }
        result = error;
    }
}

int link_socket_path(const char *directory, pid_t pid, char *ret_path, size_t size)
{
    int length = snprintf(ret_path, size, "%s/%d.sock", directory, (int)pid);

    return length > 0 && (size_t)length < size ? 0 : -ENAMETOOLONG;
}

pid_t link_socket_pid(const char *name)
{
    char *end;

    if (name[0] < '1' || name[0] > '9') {
        return 0;
    }
    errno = 0;
    long pid = strtol(name, &end, 10);
    return !errno && pid > 0 && pid <= 0x7fffffff && !strcmp(end, ".sock") ? (pid_t)pid : 0;
}
