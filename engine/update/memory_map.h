/* The process's memory without the engine's own, read in the stopped world: nothing is allocated but by mmap.
 */
#ifndef MOLT_ENGINE_UPDATE_MEMORY_MAP_H
#define MOLT_ENGINE_UPDATE_MEMORY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum region_kind {
    REGION_ANONYMOUS,
    REGION_MODULE,    /* of an executable or shared library, and the .bss that follows it */
    REGION_ALLOCATOR, /* the same of the C library or of the library that has the allocator */
    REGION_FILE,      /* of another file */
    REGION_HEAP,      /* what brk gave */
    REGION_STACK,     /* the first thread's */
    REGION_PATCHES,   /* variables that patches brought */
    REGION_SHADOW,    /* the engine's notes about the heap: they go with what they are about */
    REGION_KERNEL,    /* [vdso] and the like */
};

struct region {
    uintptr_t start, end;
    enum region_kind kind;
    bool readable, writable, executable, shared;
};

struct memory_map {
    struct region *items; /* ascending */
    size_t count, capacity;
};

/* Reads /proc/self/maps, and leaves out what is the engine's: its mappings (engine/mapping.h) and its
 * library. Memory for patches stays: the program's new variables lie in it. 0 or negative errno. */
int memory_map_read(struct memory_map *map);
void memory_map_deinit(struct memory_map *map);

/* The mapping that ADDRESS lies in, NULL if none. */
const struct region *memory_map_find(const struct memory_map *map, uintptr_t address);

#endif
