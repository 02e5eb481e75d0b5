/*
 * Memory for what an update sets aside: old instances, the way back of every word it writes. Mapped in
 * chunks, filled one entry after another, read in the same order or backwards. It can be reserved ahead and
 * grows in a stopped world.
 */
#ifndef MOLT_ENGINE_UPDATE_STAGING_H
#define MOLT_ENGINE_UPDATE_STAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct staging_chunk {
    struct staging_chunk *next;
    size_t mapped, used; /* bytes, this header included */
    bool part;           /* of a larger mapping, which has its header elsewhere */
};

struct staging {
    struct staging_chunk *first, *last; /* in the order of mapping; `last` is being filled */
    struct staging *pool; /* of several threads: where parts are taken from when there are none left here */
};

/* Bytes that the system could give now without taking them from others. */
size_t staging_available(void);

/* Makes room for SIZE bytes ahead and touches all of it, so that no page fault is taken later. 0 or -ENOMEM.
 */
int staging_reserve(struct staging *staging, size_t size);

/* The same in parts, to be the pool of as many as run at once (engine/parallel.h), each of which may leave a
 * part unfilled. */
int staging_reserve_parts(struct staging *staging, size_t size);

/* What is in FROM is behind what is in TO from now on, which may be its pool. */
void staging_join(struct staging *to, struct staging *from);

/* As staging_push, of the next chunk. */
void *staging_push_chunk(struct staging *staging, size_t size);

/* SIZE bytes, 16-byte aligned, adjacent to those before if the chunk goes on. NULL without memory. */
static inline void *staging_push(struct staging *staging, size_t size)
{
    struct staging_chunk *chunk = staging->last;

    size = (size + 15) & ~15ul;
    if (!chunk || size > chunk->mapped - chunk->used) {
        return staging_push_chunk(staging, size);
    }
    chunk->used += size;
    return (uint8_t *)chunk + chunk->used - size;
}

/* Gives back the last SIZE bytes, which staging_push just gave. */
void staging_pop(struct staging *staging, size_t size);

/* The entries in order: starts with POSITION all zero. Returns NULL at the end. The caller says by
 * staging_advance how long the entry is. */
struct staging_position {
    struct staging_chunk *chunk;
    size_t offset;
};
void *staging_next(const struct staging *staging, struct staging_position *position);
void staging_advance(struct staging_position *position, size_t size);

void staging_deinit(struct staging *staging);

#endif
