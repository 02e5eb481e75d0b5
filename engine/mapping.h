/*
 * The engine's own mappings. All of them are made here, so that they can be told from the program's: by the
 * list, which `molt status --memory` shows, and by name in /proc/PID/maps where the kernel has names for
 * anonymous memory.
 */
#ifndef MOLT_ENGINE_MAPPING_H
#define MOLT_ENGINE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping {
    uintptr_t start;
    size_t size;
    const char *what; /* a word or two, static: "heap", "code" */
};

/* As mmap of private anonymous memory with PROTECTION and more FLAGS, at ADDRESS if that is not NULL.
 * Returns NULL with errno set. WHAT is a static string. */
void *mapping_create(void *address, size_t size, int protection, int flags, const char *what);

/* SIZE writable bytes, a multiple of the page size, at a multiple of ALIGNMENT, a power of two. NULL
 * without memory. */
void *mapping_create_aligned(size_t size, size_t alignment, const char *what);

/* SIZE bytes at START, mapped without the functions above, are the engine's. False without memory for the
 * list. */
bool mapping_adopt(void *start, size_t size, const char *what);

/* Gives back a mapping, whole. NULL is fine. Returns whether there was one at START. */
bool mapping_destroy(void *start);

/* The stack of the calling thread, SIZE bytes that pthread_create made, is the engine's. There is one such
 * thread. */
void mapping_adopt_stack(size_t size);

/* Mapping INDEX, from 0; false past the end. The list may change between two calls, on other threads. */
bool mapping_get(size_t index, struct mapping *ret);

/* Around fork, in the forking thread, innermost of all. */
void mapping_fork_prepare(void);
void mapping_fork_parent(void);
void mapping_fork_child(void);

#endif
