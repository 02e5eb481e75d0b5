/*
 * What --wrap leads here: the functions of the C library that hand out memory, over the private heap. One
 * that is wrapped (see meson.build) and not here fails to link, so no library can bring in a new one
 * unnoticed. And mmap, so that all that the engine maps is on its list, and localeconv, whose result is the
 * program's.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <locale.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/mapping.h"
#include "engine/private_heap.h"
#include "engine/watched.h"

/* the linker's names for what the callers call malloc and so on */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void __wrap_free(void *pointer);
size_t __wrap_malloc_usable_size(void *pointer);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t limit);
int __wrap_vasprintf(char **ret, const char *format, va_list arguments);
int __wrap_asprintf(char **ret, const char *format, ...);
int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list arguments);
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getifaddrs(struct ifaddrs **ret);
struct lconv *__wrap_localeconv(void);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *start, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *start, size_t size);

void *__wrap_malloc(size_t size)
{
    return private_heap_allocate(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    void *pointer = private_heap_allocate(total);
    return pointer ? memset(pointer, 0, total) : NULL;
}

void *__wrap_realloc(void *pointer, size_t size)
{
    return private_heap_resize(pointer, size);
}

void __wrap_free(void *pointer)
{
    private_heap_free(pointer);
}

size_t __wrap_malloc_usable_size(void *pointer)
{
    WATCHED_OPEN(pointer, private_heap_usable(pointer)); /* who asks may use all of it */
    return private_heap_usable(pointer);
}

static char *copy_string(const char *string, size_t length)
{
    char *copy = private_heap_allocate(length + 1);

    if (copy) {
        memcpy(copy, string, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *string)
{
    return copy_string(string, strlen(string));
}

char *__wrap_strndup(const char *string, size_t limit)
{
    return copy_string(string, strnlen(string, limit));
}

int __wrap_vasprintf(char **ret, const char *format, va_list arguments)
{
    va_list again;

    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *string = length < 0 ? NULL : private_heap_allocate((size_t)length + 1);
    if (!string) {
        return -1;
    }
    *ret = string;
    return vsnprintf(string, (size_t)length + 1, format, arguments);
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __wrap_vasprintf(ret, format, arguments);
    va_end(arguments);
    return length;
}

int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list arguments)
{
    return __wrap_vasprintf(ret, format, arguments);
}

int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __wrap_vasprintf(ret, format, arguments);
    va_end(arguments);
    return length;
}

/* libunwind maps memory for its caches. Only what is mapped from nowhere is kept on the list: files are
 * told by their name. */
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (!(flags & MAP_ANONYMOUS) || (flags & MAP_SHARED)) {
        return __real_mmap(address, size, protection, flags, file, offset);
    }
    size = (size + 4095) & ~(size_t)4095;
    void *start = mapping_create(address, size, protection, flags, "libraries");
    return start ? start : MAP_FAILED;
}

int __wrap_munmap(void *start, size_t size)
{
    return mapping_destroy(start) ? 0 : __real_munmap(start, size);
}

/* libwebsockets could look for names and interfaces of the network. The engine has no business there. */

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    return EAI_FAIL;
}

int __wrap_getifaddrs(struct ifaddrs **ret)
{
    errno = ENOSYS;
    return -1;
}

/* jansson asks for the decimal point. libc would write its answer into memory that the program's own
 * localeconv gave out; the engine's thread runs in the C locale, whose answer is known. */
struct lconv *__wrap_localeconv(void)
{
    static char point[] = ".", none[] = "";
    static struct lconv convention = { .decimal_point = point, .thousands_sep = none, .grouping = none };

    return &convention;
}
