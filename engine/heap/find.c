/* Single blocks, in a stopped world: the one that an address lies in, and what the heap is told of one. */
#include <string.h>

#include "engine/heap/blocks.h"

#define LARGE_BLOCKS 1024 /* that are remembered */

/* The last entry of a block in the page of entries that is for GRANULE, up to GRANULE's own; *ret_start is
 * where the block starts, not behind ADDRESS. NULL if there is none. */
static const uint16_t *find_in_page(const struct shadow_region *region, uintptr_t granule, uintptr_t address,
                                    uintptr_t *ret_start)
{
    uintptr_t memory = granule & ~(((uintptr_t)1 << SHADOW_PAGE_SHIFT) - 1);
    const uint16_t *entries = shadow_entry((struct shadow_region *)region, memory);
    size_t last = (granule - memory) / GRANULE;
    unsigned asked = (2u << last % 16) - 1; /* of the last 16 */

    for (size_t i = last / 16 * 16 + 16; i > 0; asked = 0xffff) {
        i -= 16;
        for (unsigned starts = starts_among(entries + i) & asked; starts;) {
            unsigned highest = 31 - (unsigned)__builtin_clz(starts);
            const uint16_t *entry = entries + i + highest;
            *ret_start = start_of(memory + (i + highest) * GRANULE, *entry);
            if (*ret_start <= address) {
                return entry;
            }
            starts &= ~(1u << highest);
        }
    }
    return NULL;
}

/* As find_in_page, for all of the region that GRANULE is in. */
static const uint16_t *find_in_region(const struct shadow_region *region, uintptr_t granule,
                                      uintptr_t address, uintptr_t *ret_start)
{
    uintptr_t base = granule >> SHADOW_REGION_SHIFT << SHADOW_REGION_SHIFT;
    size_t pages = (granule >> SHADOW_PAGE_SHIFT) % SHADOW_PAGES + 1;

    while (pages) {
        const uint8_t *touched = memrchr(region->touched, 1, pages);
        if (!touched) {
            break;
        }
        size_t page = (size_t)(touched - region->touched);
        uintptr_t end = base + ((uintptr_t)(page + 1) << SHADOW_PAGE_SHIFT) - GRANULE;
        const uint16_t *entry = find_in_page(region, end < granule ? end : granule, address, ret_start);
        if (entry) {
            return entry;
        }
        pages = page;
    }
    return NULL;
}

/* As heap_find. Backwards to the next entry: no block reaches across memory that is not mapped, so neither
 * does the search. */
bool block_search(const struct extent *extent, uintptr_t address, struct heap_block *ret,
                  const uint16_t **ret_entry)
{
    uintptr_t granule = address & ~(GRANULE - 1);

    while (granule + GRANULE > extent->start) {
        const struct shadow_region *region = shadow_region_of(granule);
        uintptr_t start;
        const uint16_t *entry = region ? find_in_region(region, granule, address, &start) : NULL;
        if (entry) {
            *ret_entry = entry;
            return look_at(extent, start, entry, ret) && address - start < ret->usable;
        }
        granule = (granule >> SHADOW_REGION_SHIFT << SHADOW_REGION_SHIFT) - GRANULE;
    }
    return false;
}

/* From within a large block the way back is long, and one that is asked for is asked for again: a slab, a
 * table. So the last one that was found in each 64 kB is looked at first. */
static uintptr_t large[LARGE_BLOCKS]; /* the granule that it starts in; in which half may have changed since,
                                         and its entry says */

bool heap_find(uintptr_t address, struct heap_block *ret)
{
    const struct extent *extent = extents_find(address);
    size_t slot = (address >> SHADOW_PAGE_SHIFT) % LARGE_BLOCKS;
    uintptr_t granule = large[slot]; /* others may be asking, too */
    const uint16_t *entry = granule ? shadow_entry(shadow_region_of(granule), granule) : NULL;
    struct heap_block block;

    if (!extent) {
        return false;
    }
    if (entry && is_start(*entry)) {
        uintptr_t start = start_of(granule, *entry);
        if (start <= address && look_at(extent, start, entry, &block) && address - start < block.usable) {
            *ret = block;
            return true;
        }
    }
    if (!block_search(extent, address, &block, &entry)) {
        return false;
    }
    if (address - block.start > (uintptr_t)1 << SHADOW_PAGE_SHIFT) {
        large[slot] = block.start & ~(GRANULE - 1);
    }
    *ret = block;
    return true;
}

/* The last entry of a block that starts in front of ADDRESS, whatever of that can be read: in its region or
 * the one before. */
static const uint16_t *find_before(uintptr_t address, uintptr_t *ret_start)
{
    uintptr_t granule = address & ~(GRANULE - 1);
    const uint16_t *entry = NULL;

    for (unsigned i = 0; i < 2 && !entry; i++) {
        const struct shadow_region *region = shadow_region_of(granule);
        entry = region ? find_in_region(region, granule, address, ret_start) : NULL;
        granule = (granule >> SHADOW_REGION_SHIFT << SHADOW_REGION_SHIFT) - GRANULE;
    }
    return entry;
}

bool heap_find_guarded(uintptr_t address, struct heap_block *ret)
{
    uintptr_t start;

    if (heap_find(address, ret)) {
        return true;
    }
    const uint16_t *entry = find_before(address, &start);
    bool glibc = next_is_glibc();
    if (!entry || (glibc && !extents_find(start - sizeof(size_t)))) {
        return false;
    }
    size_t usable =
        glibc ? next_usable(start) : shadow_size_at_most(entry); /* others may look into the block */
    *ret = (struct heap_block){ start, usable, usable, *entry & SHADOW_SITE_MASK };
    return address - start < usable;
}

/* The first start of a live block in [FROM, END), which one page of entries is for. */
static bool first_in_page(const struct shadow_region *region, uintptr_t from, uintptr_t end,
                          struct heap_block *ret)
{
    for (uintptr_t granule = from & ~(GRANULE - 1); granule < end; granule += GRANULE) {
        const uint16_t *entry = &region->entries[(granule >> SHADOW_GRANULE_SHIFT) % SHADOW_ENTRIES];
        uintptr_t start = start_of(granule, *entry);
        const struct extent *extent = is_start(*entry) && start >= from ? extents_find(start) : NULL;
        if (extent && start < end && look_at(extent, start, entry, ret)) {
            return true;
        }
    }
    return false;
}

bool heap_first(uintptr_t from, uintptr_t end, struct heap_block *ret)
{
    const uintptr_t page = (uintptr_t)1 << SHADOW_PAGE_SHIFT;

    if (heap_find(from, ret)) {
        return true;
    }
    for (uintptr_t at = from; at < end; at = (at & ~(page - 1)) + page) {
        const struct shadow_region *region = shadow_region_of(at);
        uintptr_t stop = (at & ~(page - 1)) + page;
        if (region && region->touched[(at >> SHADOW_PAGE_SHIFT) % SHADOW_PAGES] &&
            first_in_page(region, at, stop < end ? stop : end, ret)) {
            return true;
        }
    }
    return false;
}

bool heap_has_headers(void)
{
    return next_is_glibc();
}

void heap_retag(uintptr_t start, unsigned site, size_t size)
{
    size_t usable = next_usable(start);

    if (shadow_get(start).size == size) {
        shadow_change_site(start, site);
        return;
    }
    shadow_take(start);
    shadow_set(start, size, usable < size ? size : usable, site);
}

void heap_hide(uintptr_t start)
{
    shadow_clear((const void *)start);
}

void heap_show(uintptr_t start, size_t size, unsigned site)
{
    if (!shadow_tag_quickly((void *)start, size, site)) {
        shadow_tag((void *)start, size, site);
    }
}

size_t heap_usable(uintptr_t start)
{
    return next_usable(start);
}

bool heap_touched(uintptr_t address)
{
    const struct shadow_region *region = shadow_region_of(address);

    return region && region->touched[(address >> SHADOW_PAGE_SHIFT) % SHADOW_PAGES];
}

static inline unsigned site_at(uintptr_t address)
{
    const struct shadow_region *region = shadow_region_of(address);

    if (!region) {
        return 0;
    }
    uint16_t entry = *shadow_entry((struct shadow_region *)region, address);
    return is_start(entry) && start_of(address & ~(GRANULE - 1), entry) == address ? entry & SHADOW_SITE_MASK
                                                                                   : 0;
}

unsigned heap_site_at(uintptr_t address)
{
    return site_at(address);
}

void heap_words_lead(const uintptr_t *objects, size_t offset, size_t count, const uint32_t *meanings,
                     uint32_t wanted, bool *ret)
{
    for (size_t i = 0; i < count; i++) {
        uintptr_t value;
        memcpy(&value, (const void *)(objects[i] + offset), sizeof(value));
        ret[i] &= !value | (meanings[site_at(value)] == wanted);
    }
}
