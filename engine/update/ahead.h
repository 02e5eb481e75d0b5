/*
 * Blocks for instances that are going to move, asked of the program's allocator before the world is stopped:
 * the allocator's own work, and the page faults of new memory, are most of what moving costs. What an update
 * has not used it gives back.
 *
 * The heap does not know of a block (engine/heap/heap.h) until all words have been forwarded, so nobody takes
 * it for an old instance.
 */
#ifndef MOLT_ENGINE_UPDATE_AHEAD_H
#define MOLT_ENGINE_UPDATE_AHEAD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define AHEAD_BATCH 256 /* blocks that a worker takes at once, at most */

struct ahead {
    uint64_t *blocks;    /* those in use have the lowest bit set, and their site above the address */
    size_t count, batch; /* that are taken at once */
    atomic_size_t next;  /* the first that nobody has taken */
};

/* What one worker has taken. */
struct ahead_batch {
    size_t next, end;
};

/* Asks for blocks of SIZE bytes for COUNT instances, and some more, since there may be more of them by then
 * and workers take several at once. Without memory for all of them there are none. World running. */
void ahead_reserve(struct ahead *ahead, size_t count, size_t size);

/* A block, which is to be of SITE; 0: there is none left. Usable by several workers at once, each with a
 * BATCH of its own, at first all zero. */
uintptr_t ahead_take(struct ahead *ahead, struct ahead_batch *batch, unsigned site);

/* Those of the COUNT blocks from the FIRST on that are in use: how many, their addresses in RET. There are
 * ahead->count in all. */
size_t ahead_used(const struct ahead *ahead, size_t first, size_t count, uintptr_t *ret);

/* Asks the processor for what stands OFFSET bytes behind the starts of blocks that will be looked at soon. */
void ahead_fetch(const struct ahead *ahead, size_t first, size_t count, size_t offset);

/* From now on the heap knows those, as blocks of SIZE bytes. */
void ahead_show(const struct ahead *ahead, size_t first, size_t count, size_t size);

/* The blocks that were taken are free for use again, and unknown to the heap. World stopped. */
void ahead_return(struct ahead *ahead);

/* Gives back those that are not in use. World running. */
void ahead_release(struct ahead *ahead);

#endif
