/*
 * Who calls jemalloc or mimalloc by their own interfaces. Such calls pass by interpose.c: their blocks have
 * no site, and blocks that are given back that way keep theirs. Standing in front of them, too, would take
 * symbols that programs look for to learn which allocator they have, and that libmimalloc calls itself. So it
 * is only found out, by what modules import.
 */
#include <string.h>

#include "engine/code/lookup.h"
#include "engine/heap/heap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_one_of(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_of_jemalloc(const char *name)
{
    static const char *const names[] = { "mallocx", "rallocx", "xallocx", "dallocx", "sdallocx" };

    return is_one_of(name, names, COUNT(names));
}

/* There are about eighty, each in a few variants. */
static bool is_of_mimalloc(const char *name)
{
    static const char *const words[] = { "alloc",  "free",     "align",  "dup",
                                         "mi_new", "realpath", "expand", "heap_destroy" };
    static const char *const harmless[] = { "mi_malloc_size", "mi_malloc_usable_size", "mi_malloc_good_size",
                                            "mi_register_deferred_free" };
    bool any = false;

    if (strncmp(name, "mi_", 3) != 0 || is_one_of(name, harmless, COUNT(harmless))) {
        return false;
    }
    for (size_t i = 0; i < COUNT(words); i++) {
        any = any || strstr(name, words[i]);
    }
    return any;
}

bool heap_is_bypassed(struct lookup_import *ret)
{
    const char *allocator = heap_allocator();

    if (allocator && strncmp(allocator, "libjemalloc", strlen("libjemalloc")) == 0) {
        return lookup_import(is_of_jemalloc, ret);
    }
    return allocator && strncmp(allocator, "libmimalloc", strlen("libmimalloc")) == 0 &&
           lookup_import(is_of_mimalloc, ret);
}
