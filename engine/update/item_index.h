/*
 * From an address to the item whose block begins there, or is the last one that begins before it: forwarding
 * asks that of every word that may lead elsewhere.
 */
#ifndef MOLT_ENGINE_UPDATE_ITEM_INDEX_H
#define MOLT_ENGINE_UPDATE_ITEM_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/update/convert.h"

#define ITEM_INDEX_GRANULE_SHIFT 5 /* no two blocks begin in the same 32 bytes */
#define ITEM_INDEX_REGION_SHIFT 27
#define ITEM_INDEX_ADDRESS_SHIFT 47
#define ITEM_INDEX_WORDS ((size_t)1 << (ITEM_INDEX_REGION_SHIFT - ITEM_INDEX_GRANULE_SHIFT - 6))

struct indexed_item {
    uintptr_t start; /* of its block */
    const struct conversion *conversion;
    const struct item *item;
};

struct item_index_region {
    uint64_t starts[ITEM_INDEX_WORDS]; /* a bit for each granule */
    uint32_t before[ITEM_INDEX_WORDS]; /* items that begin before the granules of a word */
    uintptr_t base;
    struct item_index_region *next; /* ascending */
};

struct item_index {
    struct item_index_region **regions; /* by address; NULL: nothing is in the index */
    struct item_index_region *first;
    struct staging memory;
    struct indexed_item *items; /* in it, ascending */
    size_t count;
};

/* Takes memory for COUNT items more ahead. 0 or -ENOMEM. World running. */
int item_index_reserve(struct item_index *index, size_t count);

/* Adds COUNT items at most: MAKE_ROOM first, then each, then LAY_OUT. Usable in a stopped world; 0 or
 * -ENOMEM. */
int item_index_make_room(struct item_index *index, size_t count);
int item_index_add(struct item_index *index, struct indexed_item item);
void item_index_lay_out(struct item_index *index);
void item_index_deinit(struct item_index *index);

/* The last item that begins at ADDRESS or before it; NULL if none does. */
const struct indexed_item *item_index_find(const struct item_index *index, uintptr_t address);

/* Whether an item's block begins in the granule of START, where some block begins. */
static inline bool item_index_has(const struct item_index *index, uintptr_t start)
{
    const struct item_index_region *region = index->count && !(start >> ITEM_INDEX_ADDRESS_SHIFT)
                                                 ? index->regions[start >> ITEM_INDEX_REGION_SHIFT]
                                                 : NULL;
    size_t granule = start >> ITEM_INDEX_GRANULE_SHIFT;

    return region && region->starts[granule / 64 % ITEM_INDEX_WORDS] >> granule % 64 & 1;
}

#endif
