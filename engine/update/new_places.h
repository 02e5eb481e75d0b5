/*
 * From the place where an instance was to where it is now, in one look: a word for each 32 bytes in which a
 * block can begin, no two of which begin in the same. For instances of one object that moved on their own;
 * the others are in the item index.
 *
 *     63                48 47           3   2     1        0
 *     1 + the conversion  | new address  |   | half  | array |     half: the block begins 16 bytes later
 *
 * A byte for each page of such words says whether anything has moved from there: most addresses that lead
 * elsewhere are told by it.
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
#define NEW_PLACES_PAGE_SHIFT 14 /* memory whose words fill a page */
#define NEW_PLACES_PAGES ((size_t)1 << (NEW_PLACES_REGION_SHIFT - NEW_PLACES_PAGE_SHIFT))
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

/* The bytes that say from where anything in the region of ADDRESS has moved; NULL: nowhere. They stand behind
 * its words. */
static inline uint8_t *new_places_pages(const struct new_places *places, uintptr_t address)
{
    uint64_t *region = places->regions[address >> NEW_PLACES_REGION_SHIFT];

    return region ? (uint8_t *)(region + NEW_PLACES_EACH) : NULL;
}

/* Whether ADDRESS may lie in, or at the end of, what has moved. */
static inline bool new_places_near(const struct new_places *places, uintptr_t address)
{
    const uint8_t *pages = places->regions ? new_places_pages(places, address) : NULL;
    size_t page = address >> NEW_PLACES_PAGE_SHIFT;

    return address % (1ul << NEW_PLACES_PAGE_SHIFT) == 0 || (pages && pages[page % NEW_PLACES_PAGES]);
}

/* What moved from exactly START, whatever that is; 0: nothing did. */
static inline uint64_t new_places_from(const struct new_places *places, uintptr_t start)
{
    const uint64_t *slot =
        new_places_near(places, start) && places->regions ? new_places_slot(places, start) : NULL;
    uint64_t place = slot ? *slot : 0;

    return (start & 31) == (place & 2) << 3 ? place : 0;
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

/* Of an instance at START: to TARGET, by that CONVERSION. */
static inline uint64_t new_place_make(uintptr_t start, uintptr_t target, size_t conversion, bool array)
{
    return (uint64_t)target | (uint64_t)(conversion + 1) << 48 | (start >> 3 & 2) | array;
}

/* Notes that the SIZE bytes at START have moved as PLACE says. Usable by several workers at once, of
 * different instances. */
static inline void new_places_put(const struct new_places *places, uintptr_t start, size_t size,
                                  uint64_t place)
{
    *new_places_slot(places, start) = place;
    for (uintptr_t page = start >> NEW_PLACES_PAGE_SHIFT, last = (start + size - 1) >> NEW_PLACES_PAGE_SHIFT;
         page <= last; page++) {
        uint8_t *pages = new_places_pages(places, page << NEW_PLACES_PAGE_SHIFT);
        __atomic_store_n(&pages[page % NEW_PLACES_PAGES], 1, __ATOMIC_RELAXED);
    }
}

#endif
