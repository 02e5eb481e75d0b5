/*
 * Descriptors that the engine and its libraries open are moved out of the program's way: programs count on
 * getting the lowest free number, and close ranges of them. Led here by --wrap, as the functions of wrap.c
 * are.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include "link/listener.h"

int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_pipe2(int ends[2], int flags);
int __real_eventfd(unsigned value, int flags);
int __real_pipe2(int ends[2], int flags);

static int open_high(const char *path, int flags, mode_t mode)
{
    return link_descriptor_raise(openat(AT_FDCWD, path, flags | O_CLOEXEC, mode));
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_high(path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_high(path, flags, mode);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return link_descriptor_raise(__real_eventfd(value, flags | EFD_CLOEXEC));
}

int __wrap_pipe2(int ends[2], int flags)
{
    int result = __real_pipe2(ends, flags | O_CLOEXEC);

    if (!result) {
        ends[0] = link_descriptor_raise(ends[0]);
        ends[1] = link_descriptor_raise(ends[1]);
    }
    return result;
}
