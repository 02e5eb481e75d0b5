/* The allocator underneath: what the program would be calling if the engine did not stand in front of it. */
#ifndef MOLT_ENGINE_HEAP_NEXT_H
#define MOLT_ENGINE_HEAP_NEXT_H

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* name, what it returns, its parameters. The first ones every allocator has. */
#define NEXT_FUNCTIONS(X)                                                                                    \
    X(malloc, void *, (size_t))                                                                              \
    X(calloc, void *, (size_t, size_t))                                                                      \
    X(realloc, void *, (void *, size_t))                                                                     \
    X(free, void, (void *))                                                                                  \
    X(memalign, void *, (size_t, size_t))                                                                    \
    X(aligned_alloc, void *, (size_t, size_t))                                                               \
    X(posix_memalign, int, (void **, size_t, size_t))                                                        \
    X(valloc, void *, (size_t))                                                                              \
    X(pvalloc, void *, (size_t))                                                                             \
    X(malloc_usable_size, size_t, (void *))                                                                  \
    X(malloc_trim, int, (size_t))                                                                            \
    X(mallopt, int, (int, int))                                                                              \
    X(mallinfo, struct mallinfo, (void))                                                                     \
    X(mallinfo2, struct mallinfo2, (void))                                                                   \
    X(malloc_stats, void, (void))                                                                            \
    X(malloc_info, int, (int, FILE *))                                                                       \
    X(dlclose, int, (void *))

struct next {
#define X(name, type, parameters) type(*name) parameters;
    NEXT_FUNCTIONS(X)
#undef X
};

/*
 * Empty until next_find was called: whoever finds its function NULL calls it. If the allocator is not
 * glibc's, requests are rounded up on their way, so that blocks are 32 bytes apart at least and have rooms as
 * the shadow wants them: 32 or 48 bytes for what is smaller. Requests of no byte are left alone, as what they
 * mean differs.
 */
extern struct next next __attribute__((visibility("hidden")));
extern bool next_glibc __attribute__((visibility("hidden")));

/* Finds the allocator. False if that is just being done: then next_early serves. Keeps errno. */
bool next_find(void);

/* Memory for whoever allocates while the allocator is looked for: zeroed, never given back. NULL if it is
 * used up. */
void *next_early(size_t size);

/* Whether POINTER is a block of next_early; its size. */
#define NEXT_EARLY_SIZE 16384
extern char next_early_bytes[NEXT_EARLY_SIZE] __attribute__((visibility("hidden")));
static inline bool next_is_early(const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)next_early_bytes < NEXT_EARLY_SIZE;
}
size_t next_early_size(const void *pointer);

/* How many bytes a block of glibc's can hold: that stands in front of it. */
static inline size_t next_usable_by_header(uintptr_t block)
{
    size_t size = ((const size_t *)block)[-1];

    return (size & ~(size_t)7) - (size & 2 ? 16 : 8);
}

/* How many bytes the block at POINTER can hold, of the allocator that is found. */
static inline size_t next_usable(uintptr_t block)
{
    return next_glibc                ? next_usable_by_header(block)
           : next.malloc_usable_size ? next.malloc_usable_size((void *)block)
                                     : 0;
}

/* The file name of the library that it is in; NULL if it is a sanitizer's, which is left alone. */
const char *next_library(void);

/* Whether that is glibc's, whose blocks have their size in front of them. */
static inline bool next_is_glibc(void)
{
    return next_glibc;
}

#endif
