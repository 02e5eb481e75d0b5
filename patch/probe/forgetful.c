/* Functions of libraries that are often given sizes, and keep none: they use them up before they return. */
#include <string.h>

#include "patch/probe/probe.h"
#include "patch/sites/allocators.h"

bool probe_forgets(const char *function)
{
    static const char *const names[] = {
        "abort",       "accept",    "accept4",        "bcmp",       "bcopy",
        "bind",        "bsearch",   "bzero",          "close",      "connect",
        "dprintf",     "exit",      "explicit_bzero", "fclose",     "fcntl",
        "fgets",       "fprintf",   "fputc",          "fputs",      "fread",
        "free",        "fseek",     "fseeko",         "ftruncate",  "fwrite",
        "getpeername", "getrandom", "getsockname",    "getsockopt", "ioctl",
        "lfind",       "lsearch",   "lseek",          "madvise",    "malloc_usable_size",
        "memccpy",     "memchr",    "memcmp",         "memcpy",     "memmem",
        "memmove",     "mempcpy",   "memrchr",        "memset",     "mlock",
        "mmap",        "mmap64",    "mprotect",       "msync",      "munlock",
        "munmap",      "perror",    "pread",          "pread64",    "printf",
        "puts",        "pwrite",    "pwrite64",       "qsort",      "qsort_r",
        "read",        "readv",     "recv",           "recvfrom",   "recvmsg",
        "send",        "sendmsg",   "sendto",         "setsockopt", "snprintf",
        "socketpair",  "sprintf",   "stpncpy",        "strcasecmp", "strcat",
        "strchr",      "strcmp",    "strcpy",         "strftime",   "strlcat",
        "strlcpy",     "strlen",    "strncasecmp",    "strncat",    "strncmp",
        "strncpy",     "strnlen",   "strrchr",        "strstr",     "strxfrm",
        "sysconf",     "syslog",    "vsnprintf",      "vsyslog",    "wcsncpy",
        "wmemcpy",     "wmemset",   "write",          "writev"
    };

    if (strncmp(function, "__builtin_", 10) == 0 || strncmp(function, "__sync_", 7) == 0 ||
        strncmp(function, "__atomic_", 9) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], function) == 0) {
            return true;
        }
    }
    return allocator_find(function) != NULL;
}
