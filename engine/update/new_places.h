/*
 * From the place where an instance was to where it is now, in one look: a word for each 32 bytes in which a
 * block can begin, no two of which begin in the same. For instances of one object that moved on their own;
 * the others are in the item index.
 *
 *     63                48 47           3   2     1      0
 *     1 + the conversion  | new address  |   | array |
 */
#ifndef MOLT_ENGINE_UPDATE_NEW_PLACES_H
#define MOLT_ENGINE_UPDATE_NEW_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/heap/heap.h"

#define NEW_PLACES_GRANULE_SHIFT 5
#define NEW_PLACES_REGION_SHIFT 27
#define NEW_PLACES_ADDRESS_SHIFT 47
#define NEW_PLACES_EACH ((size_t)1 << (NEW_PLACES_REGION_SHIFT - NEW_PLACES_GRANULE_SHIFT))
#define NEW_PLACES_CONVERSIONS_MAX 65534
#define NEW_PLACES_REGIONS_MAX 4096 /* half a terabyte */

struct new_places {
    uint64_t **regions; /* by address; NULL: nothing has moved so */
    uint64_t *made[NEW_PLACES_REGIONS_MAX];
    size_t count;                  /* of them */
    bool sites[HEAP_SITE_MAX + 1]; /* of blocks that may have: others are not looked up */
};

/* Makes room for blocks of the WANTED sites, as they are now, and touches it. What is missing later is only
 * slower. World running. */
void new_places_reserve(struct new_places *places, const bool *wanted);

/* Makes room for blocks in any part of the heap (heap_parts has been called), untouched. False without
 * memory. World stopped. */
bool new_places_make_room(struct new_places *places, size_t parts);
void new_places_deinit(struct new_places *places);

static inline uint64_t *new_places_slot(const struct new_places *places, uintptr_t start)
{
    uint64_t *region = places->regions[start >> NEW_PLACES_REGION_SHIFT];

    return region ? &region[(start >> NEW_PLACES_GRANULE_SHIFT) % NEW_PLACES_EACH] : NULL;
}

/* What moved from START, where a block of SITE begins; 0: nothing did. */
static inline uint64_t new_places_get(const struct new_places *places, uintptr_t start, unsigned site)
{
    const uint64_t *slot = places->sites[site] ? new_places_slot(places, start) : NULL;

    return slot ? *slot : 0;
}

static inline uintptr_t new_place_target(uint64_t place)
{
    return place & (((uint64_t)1 << 48) - 8);
}

static inline size_t new_place_conversion(uint64_t place)
{
    return (place >> 48) - 1;
}

static inline bool new_place_is_array(uint64_t place)
{
    return place & 1;
}

static inline uint64_t new_place_make(uintptr_t target, size_t conversion, bool array)
{
    return (uint64_t)target | (uint64_t)(conversion + 1) << 48 | array;
}

#endif
