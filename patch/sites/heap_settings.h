/*
 * What a project's molt.toml says about its memory:
 *
 *     [heap]
 *     wrappers = ["pool_get"]                     functions that hand on memory, where Molt does not see it
 *     allocators = [{ allocate = "zmalloc", release = "zfree", header = 8 }]
 *     types = { "src/conn.c:123" = "struct conn" }    what the allocation call on that line makes
 *     plain = ["pool_get"]                        functions of which each call makes a block of its own, of
 *                                                 one type for good, though their source looks otherwise
 *     views = ["struct packet"]                   types that only pointers are cast to, without own instances
 *     numbers = ["struct vector.size"]            members and variables that may keep a size, or the place of
 * a member, as it was before the type changed
 */
#ifndef MOLT_PATCH_HEAP_SETTINGS_H
#define MOLT_PATCH_HEAP_SETTINGS_H

#include <stdint.h>

#include "base/error.h"
#include "patch/memory.h"

struct heap_allocator {
    const char *allocate, *release;
    uint32_t header; /* bytes in front of what it returns */
};

struct heap_type {
    const char *place; /* "file.c:123", the file with as much of its path as is needed */
    const char *type;
};

typedef LIST(const char *) name_list;

struct heap_settings {
    name_list wrappers;
    LIST(struct heap_allocator) allocators;
    LIST(struct heap_type) types;
    name_list views, plain, numbers;
    char *text; /* the file; NULL if there is none */
    void *json; /* owns the strings */
};

/* Reads FOLDER/molt.toml; without one, *RET is empty. USAGE: something is wrong in its [heap]; file and
 * line as far as they are known. *RET must be given to heap_settings_deinit unless there was an error. */
struct molt_error *heap_settings_read(const char *folder, struct heap_settings *ret);
void heap_settings_deinit(struct heap_settings *settings);

#endif
