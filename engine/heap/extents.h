/*
 * What memory can be read at this stop. A block that was freed behind our back (by a library that is bound to
 * another allocator) still has an entry in the shadow, and its memory may be gone.
 */
#ifndef MOLT_ENGINE_HEAP_EXTENTS_H
#define MOLT_ENGINE_HEAP_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
    uintptr_t start, end;
};

/* Readable and writable memory, ascending, adjoining mappings in one: as heap_refresh found it. */
struct extents {
    struct extent *items;
    size_t count, capacity;
    size_t recent; /* that was asked for last */
};

#pragma GCC visibility push(hidden) /* no way round by the GOT */
extern struct extents extents;
#pragma GCC visibility pop

static inline bool extent_holds(const struct extent *extent, uintptr_t start, uintptr_t end)
{
    return start >= extent->start && end <= extent->end && start <= end;
}

/* The first extent that ends behind ADDRESS; extents.count if there is none. */
size_t extents_from(uintptr_t address);

/* The extent that ADDRESS lies in, or NULL. */
const struct extent *extents_find(uintptr_t address);

#endif
