/*
 * A list of addresses, with bits that say which are in use, and for what. Workers take them in batches, in
 * order: what an allocator gives one after the other mostly lies so.
 *
 *     63   61 60  48 47       4         0
 *     |      | site | address  |   | in use |
 */
#include "engine/update/ahead.h"

#include <string.h>

#include "engine/heap/heap.h"
#include "engine/parallel.h"
#include "engine/update/staging.h"
#include "engine/update/state_private.h"

#define IN_USE 1ul
#define SITE_SHIFT 48
#define ADDRESS (((uint64_t)1 << SITE_SHIFT) - 16)
#define OVERHEAD 16 /* bytes of an allocator for each block, as a guess */
#define PAGE 4096ul
#define MANY 1000 /* blocks: the allocator is to make room for them */

/* Small blocks have been touched by the allocator's noting them. */
static void touch(uint8_t *block, size_t size)
{
    for (size_t at = PAGE; at < size; at += PAGE) {
        ((volatile uint8_t *)block)[at] = 0;
    }
}

/* Few large blocks are too dear to have some to spare. */
static size_t with_spare(const struct ahead *ahead, size_t count, size_t size)
{
    return size > PAGE ? count : count + count / 64 + ahead->batch * PARALLEL_MAX;
}

void ahead_reserve(struct ahead *ahead, size_t instances, size_t size)
{
    ahead->batch = instances / 256 + 1 < AHEAD_BATCH ? instances / 256 + 1 : AHEAD_BATCH;
    size_t count = with_spare(ahead, instances, size);
    size_t room = count < MANY ? SIZE_MAX : 0, each = size + OVERHEAD + sizeof(*ahead->blocks);

    /* more than half of what there is might be missed by others before it is given back */
    ahead->blocks = count <= staging_available() / 2 / each ? state_map(count, sizeof(*ahead->blocks)) : NULL;
    if (!ahead->blocks) {
        return;
    }
    while (ahead->count < count) {
        if (size > room) {
            heap_make_room();
            room = HEAP_ROOM;
        }
        room -= size < room ? size : room;
        uint8_t *block = heap_allocate(size, HEAP_SITE_OTHERS);
        if (!block) {
            ahead_release(ahead);
            return;
        }
        touch(block, size);
        heap_hide((uintptr_t)block);
        ahead->blocks[ahead->count++] = (uintptr_t)block;
    }
}

uintptr_t ahead_take(struct ahead *ahead, struct ahead_batch *batch, unsigned site)
{
    if (batch->next == batch->end) {
        size_t first = ahead->count ? atomic_fetch_add(&ahead->next, ahead->batch) : 0;
        batch->next = first < ahead->count ? first : ahead->count;
        batch->end = first + ahead->batch < ahead->count ? first + ahead->batch : ahead->count;
        if (batch->next == batch->end) {
            return 0;
        }
    }
    uintptr_t block = ahead->blocks[batch->next];
    ahead->blocks[batch->next++] = block | (uint64_t)site << SITE_SHIFT | IN_USE;
    return block;
}

static size_t end_of(const struct ahead *ahead, size_t first, size_t count)
{
    return first + count < ahead->count ? first + count : ahead->count;
}

size_t ahead_used(const struct ahead *ahead, size_t first, size_t count, uintptr_t *ret)
{
    size_t used = 0;

    for (size_t i = first, end = end_of(ahead, first, count); i < end; i++) {
        ret[used] = ahead->blocks[i] & ADDRESS;
        used += ahead->blocks[i] & IN_USE;
    }
    return used;
}

void ahead_fetch(const struct ahead *ahead, size_t first, size_t count, size_t offset)
{
    for (size_t i = first, end = end_of(ahead, first, count); i < end; i++) {
        __builtin_prefetch((const void *)((ahead->blocks[i] & ADDRESS) + offset), 1);
    }
}

void ahead_show(const struct ahead *ahead, size_t first, size_t count, size_t size)
{
    for (size_t i = first, end = end_of(ahead, first, count); i < end; i++) {
        if (ahead->blocks[i] & IN_USE) {
            heap_show(ahead->blocks[i] & ADDRESS, size, (unsigned)(ahead->blocks[i] >> SITE_SHIFT));
        }
    }
}

void ahead_return(struct ahead *ahead)
{
    for (size_t i = 0; i < ahead->count; i++) {
        if (ahead->blocks[i] & IN_USE) {
            ahead->blocks[i] &= ADDRESS;
            heap_hide(ahead->blocks[i]);
        }
    }
    atomic_store(&ahead->next, 0);
}

void ahead_release(struct ahead *ahead)
{
    for (size_t i = 0; i < ahead->count; i++) {
        if (!(ahead->blocks[i] & IN_USE)) {
            heap_release((void *)ahead->blocks[i]);
        }
    }
    state_unmap(ahead->blocks);
    ahead->blocks = NULL;
    ahead->count = 0;
    atomic_store(&ahead->next, 0);
}
