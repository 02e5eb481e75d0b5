/*
 * Where the sockets are. The directory must be ours alone: a directory that somebody else owns or may enter
 * is no place for a socket through which code gets into programs.
 */
#ifndef MOLT_LINK_DIRECTORY_H
#define MOLT_LINK_DIRECTORY_H

#include <stddef.h>
#include <sys/types.h>

/* Room for a socket's path, its NUL included (sockaddr_un.sun_path). */
#define LINK_PATH_MAX 108

/* The INDEX-th place for the directory, best first. 0, -ENAMETOOLONG (skip it), or -ENOENT past the last. */
int link_directory_candidate(unsigned index, char *ret_path, size_t size);

/* Whether PATH is a directory, owned by the effective user and closed to everybody else. 0, or -ENOENT,
 * -ENOTDIR, -EPERM. */
int link_directory_check(const char *path);

/* Makes the first place that can be had, and says which. 0, or the negative errno of the last one tried. */
int link_directory_make(char *ret_path, size_t size);

/* "DIRECTORY/PID.sock". 0, or -ENAMETOOLONG. */
int link_socket_path(const char *directory, pid_t pid, char *ret_path, size_t size);

/* The pid in a socket's file name, or 0. */
pid_t link_socket_pid(const char *name);

#endif
