/* Allocators by name: the C library's, which every chain of wrappers ends in, and those of libraries that
 * come without debug information. */
#include "patch/sites/allocators.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct allocator allocators[] = {
    { .name = "malloc", .size = 1 },
    { .name = "calloc", .count = 1, .size = 2 },
    { .name = "realloc", .pointer = 1, .size = 2 },
    { .name = "reallocarray", .pointer = 1, .count = 2, .size = 3 },
    { .name = "aligned_alloc", .size = 2 },
    { .name = "memalign", .size = 2 },
    { .name = "posix_memalign", .out = 1, .size = 3 },
    { .name = "valloc", .size = 1 },
    { .name = "pvalloc", .size = 1 },
    { .name = "strdup", .text = true },
    { .name = "__strdup", .text = true },
    { .name = "strndup", .text = true },
    { .name = "__strndup", .text = true },
    { .name = "wcsdup", .text = true },
    { .name = "asprintf", .out = 1, .text = true },
    { .name = "vasprintf", .out = 1, .text = true },
    { .name = "__asprintf_chk", .out = 1, .text = true },
    { .name = "__vasprintf_chk", .out = 1, .text = true },
    { .name = "getline", .out = 1, .text = true },
    { .name = "getdelim", .out = 1, .text = true },
    { .name = "__getdelim", .out = 1, .text = true },
    { .name = "realpath", .text = true },
    { .name = "getcwd", .text = true },
    { .name = "g_malloc", .size = 1 },
    { .name = "g_malloc0", .size = 1 },
    { .name = "g_try_malloc", .size = 1 },
    { .name = "g_try_malloc0", .size = 1 },
    { .name = "g_realloc", .pointer = 1, .size = 2 },
    { .name = "g_try_realloc", .pointer = 1, .size = 2 },
    { .name = "g_malloc_n", .count = 1, .size = 2 },
    { .name = "g_malloc0_n", .count = 1, .size = 2 },
    { .name = "g_realloc_n", .pointer = 1, .count = 2, .size = 3 },
    { .name = "g_slice_alloc", .size = 1 },
    { .name = "g_slice_alloc0", .size = 1 },
    { .name = "g_memdup", .size = 2 },
    { .name = "g_memdup2", .size = 2 },
    { .name = "g_strdup", .text = true },
    { .name = "g_strndup", .text = true },
    { .name = "g_strdup_printf", .text = true },
    { .name = "g_strconcat", .text = true },
};

const struct allocator *allocator_find(const char *name)
{
    for (size_t i = 0; i < sizeof(allocators) / sizeof(*allocators); i++) {
        if (strcmp(allocators[i].name, name) == 0) {
            return &allocators[i];
        }
    }
    return NULL;
}

/* Words for allocating at the end of a name, and those for releasing that go with them. */
static const struct {
    const char *allocate;
    const char *release[3];
} pairs[] = {
    { "malloc", { "free" } },
    { "calloc", { "free" } },
    { "malloc0", { "free" } },
    { "alloc", { "free", "release", "dealloc" } },
    { "Alloc", { "Free", "Release", "Dealloc" } },
    { "Malloc", { "Free" } },
    { "ALLOC", { "FREE" } },
    { "allocate", { "free", "release", "deallocate" } },
    { "_new", { "_free", "_delete", "_destroy" } },
    { "_create", { "_destroy", "_free" } },
};

bool allocator_release_name(const char *name, unsigned attempt, char *ret, unsigned size)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        size_t tail = strlen(pairs[i].allocate);
        if (length < tail || strcmp(name + length - tail, pairs[i].allocate) != 0) {
            continue;
        }
        for (unsigned k = 0; k < 3 && pairs[i].release[k]; k++) {
            if (attempt-- == 0) {
                snprintf(ret, size, "%.*s%s", (int)(length - tail), name, pairs[i].release[k]);
                return true;
            }
        }
    }
    return false;
}
