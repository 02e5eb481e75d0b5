/* Regions of 128 MiB of the program's memory have a mapping of 32 MiB each, of which the pages that are used
 * are there. */
#include "engine/update/new_places.h"

#include <sys/mman.h>

#include "engine/mapping.h"
#include "engine/update/state_private.h"

#define LARGE_PAGE ((size_t)2 << 20)
#define PAGE 4096ul
#define REGION_SIZE (NEW_PLACES_EACH * sizeof(uint64_t) + NEW_PLACES_PAGES)

static uint64_t *region_of(struct new_places *places, uintptr_t address)
{
    uint64_t **region = &places->regions[address >> NEW_PLACES_REGION_SHIFT];

    if (!*region && places->count < NEW_PLACES_REGIONS_MAX) {
        *region = mapping_create_aligned(REGION_SIZE, LARGE_PAGE, "update");
        places->made[places->count] = *region;
        places->count += *region != NULL;
    }
    return *region;
}

static bool make_regions(struct new_places *places)
{
    if (!places->regions) {
        places->regions =
            mapping_create(NULL, sizeof(uint64_t *) << (NEW_PLACES_ADDRESS_SHIFT - NEW_PLACES_REGION_SHIFT),
                           PROT_READ | PROT_WRITE, MAP_NORESERVE, "update");
    }
    return places->regions;
}

static void reserve_page(void *context, uintptr_t start, size_t size)
{
    struct new_places *places = context;
    uint64_t *region = region_of(places, start);

    if (region) {
        volatile uint8_t *slots = (volatile uint8_t *)new_places_slot(places, start);
        for (size_t at = 0; at < (size >> NEW_PLACES_GRANULE_SHIFT) * sizeof(uint64_t); at += PAGE) {
            slots[at] = 0;
        }
    }
}

void new_places_reserve(struct new_places *places, const bool *wanted)
{
    if (make_regions(places)) {
        heap_pages(wanted, reserve_page, places);
    }
}

bool new_places_make_room(struct new_places *places, size_t parts)
{
    bool made = make_regions(places);

    for (size_t i = 0; i < parts && made; i++) {
        uintptr_t start, end;
        heap_part(i, &start, &end);
        for (uintptr_t at = start; at < end && made;
             at = ((at >> NEW_PLACES_REGION_SHIFT) + 1) << NEW_PLACES_REGION_SHIFT) {
            made = region_of(places, at);
        }
    }
    return made;
}

void new_places_deinit(struct new_places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        mapping_destroy(places->made[i]);
    }
    mapping_destroy(places->regions);
    *places = (struct new_places){ 0 };
}
