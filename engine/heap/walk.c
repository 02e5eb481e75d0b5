/*
 * Looking at blocks, in a stopped world. The shadow tells where they start and how big they are. A block that was freed
 * behind our back (by a library that is bound to another allocator) still has an entry, and its memory may be gone: so
 * nothing is read of a block unless the memory map of this stop says that it can be, and with glibc underneath, whose
 * blocks say how big they are, too, both have to agree.
 */
#include <emmintrin.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/search.h"
#include "engine/heap/heap.h"
#include "engine/heap/next.h"
#include "engine/heap/shadow.h"
#include "engine/mapping.h"
#include "engine/proc.h"

#define GRANULE ((uintptr_t)1 << SHADOW_GRANULE_SHIFT)
#define LARGE_BLOCKS 1024        /* that are remembered */
#define PARTS_EACH ((size_t)256) /* of a region: 512 kB of memory each */
#define PART_PAGES (SHADOW_PAGES / PARTS_EACH)
#define ENTRIES_PER_PAGE ((size_t)1 << (SHADOW_PAGE_SHIFT - SHADOW_GRANULE_SHIFT))

struct extent {
    uintptr_t start, end;
};

static struct {
    struct extent *extents; /* readable and writable, ascending, adjoining ones in one */
    size_t count, capacity;
    size_t recent; /* that was asked for last */
} map;

/* ---- the memory map ---------------------------------------------------------------------------------- */

static bool grow(void)
{
    size_t capacity = map.capacity ? 2 * map.capacity : 4096;
    struct extent *grown =
        mapping_create(NULL, capacity * sizeof(*grown), PROT_READ | PROT_WRITE, 0, "memory map");

    if (!grown) {
        return false;
    }
    if (map.count) {
        memcpy(grown, map.extents, map.count * sizeof(*grown));
    }
    mapping_destroy(map.extents);
    map.extents = grown;
    map.capacity = capacity;
    return true;
}

static bool add_extent(uintptr_t start, uintptr_t end)
{
    if (map.count && map.extents[map.count - 1].end == start) {
        map.extents[map.count - 1].end = end;
        return true;
    }
    if (map.count == map.capacity && !grow()) {
        return false;
    }
    map.extents[map.count++] = (struct extent){ start, end };
    return true;
}

static int take_mapping(void *context, const struct proc_mapping *mapping)
{
    (void)context;
    return !mapping->readable || !mapping->writable || add_extent(mapping->start, mapping->end) ? 0 : -ENOMEM;
}

int heap_refresh(void)
{
    map.count = map.recent = 0;
    int status = proc_mappings(take_mapping, NULL);
    if (status < 0) {
        map.count = 0;
    }
    return status;
}

static bool is_in(const struct extent *extent, uintptr_t start, uintptr_t end)
{
    return start >= extent->start && end <= extent->end && start <= end;
}

/* The first extent that ends behind ADDRESS; map.count if there is none. */
static size_t find_extent_from(uintptr_t address)
{
    return COUNT_BEFORE(i, map.count, map.extents[i].end <= address);
}

/* The extent that ADDRESS lies in, or NULL. */
static const struct extent *find_extent(uintptr_t address)
{
    size_t recent = map.recent; /* others may be asking, too */
    if (recent < map.count && is_in(&map.extents[recent], address, address + 1)) {
        return &map.extents[recent];
    }
    size_t low = find_extent_from(address);
    if (low == map.count || map.extents[low].start > address) {
        return NULL;
    }
    map.recent = low;
    return &map.extents[low];
}

/* ---- blocks ------------------------------------------------------------------------------------------ */

static bool is_start(uint16_t entry)
{
    return entry && entry < SHADOW_SIZE;
}

static uintptr_t start_of(uintptr_t granule, uint16_t entry)
{
    unsigned form = entry >> SHADOW_SITE_BITS;

    return granule + (form == 1 || form == 3 ? GRANULE / 2 : 0);
}

/* The block at START, which has ENTRY and lies in EXTENT. False if it is not there any more: then what the allocator says that it can
 * hold cannot be true. */
static inline __attribute__((always_inline)) bool look_at(const struct extent *extent, uintptr_t start,
                                                          const uint16_t *entry, struct heap_block *ret)
{
    bool glibc = next_is_glibc();
    size_t read_to = 1;

    shadow_reads_block(*entry, &read_to);
    if (!is_in(extent, start - (glibc ? 8 : 0), start + read_to)) {
        return false;
    }
    struct shadow_note note = shadow_read(entry, start);
    if (!is_in(extent, start, start + note.size)) {
        return false;
    }
    size_t usable = next_usable(start);
    if (usable < note.size || !is_in(extent, start, start + usable)) {
        if (glibc) {
            return false;
        }
        usable = note.size;
    }
    *ret = (struct heap_block){ start, note.size, usable, note.site };
    return usable > 0;
}

/* Which of the 16 entries at ENTRIES are starts of blocks, as bits: neither 0 nor sizes, which are the highest 16384 numbers. */
static inline unsigned starts_among(const uint16_t *entries)
{
    const __m128i zero = _mm_setzero_si128(), below_sizes = _mm_set1_epi16((short)(SHADOW_SIZE - 1));
    __m128i none[2];

    for (size_t i = 0; i < 2; i++) {
        __m128i eight = _mm_loadu_si128((const __m128i *)(entries + 8 * i));
        __m128i size = _mm_and_si128(_mm_cmpgt_epi16(eight, below_sizes), _mm_cmplt_epi16(eight, zero));
        none[i] = _mm_or_si128(size, _mm_cmpeq_epi16(eight, zero));
    }
    return ~(unsigned)_mm_movemask_epi8(_mm_packs_epi16(none[0], none[1])) & 0xffff;
}

/* The last entry of a block in the page of entries that is for GRANULE, up to GRANULE's own; *ret_start is where the block
 * starts, not behind ADDRESS. NULL if there is none. */
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

/* As heap_find. Backwards to the next entry: no block reaches across memory that is not mapped, so neither does the search. */
static bool search(const struct extent *extent, uintptr_t address, struct heap_block *ret,
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

/* From within a large block the way back is long, and one that is asked for is asked for again: a slab, a table. So the last one
 * that was found in each 64 kB is looked at first. */
static uintptr_t large
    [LARGE_BLOCKS]; /* the granule that it starts in; in which half may have changed since, and its entry says */

bool heap_find(uintptr_t address, struct heap_block *ret)
{
    const struct extent *extent = find_extent(address);
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
    if (!search(extent, address, &block, &entry)) {
        return false;
    }
    if (address - block.start > (uintptr_t)1 << SHADOW_PAGE_SHIFT) {
        large[slot] = block.start & ~(GRANULE - 1);
    }
    *ret = block;
    return true;
}

struct visit {
    const bool *wanted;
    heap_visitor *visitor;
    void *context;
    size_t extent;  /* the first that ends behind what was looked at last */
    uintptr_t end;  /* of the last block: what starts before it was freed behind our back */
    uintptr_t part; /* where the part begins of which no block has been met yet; 0: none is awaited */
};

/* A block that begins before the part may reach into it. It is not looked for before there is a block to be told: the way to it may be long. */
static __attribute__((noinline)) void enter_part(struct visit *visit)
{
    const struct extent *before = find_extent(visit->part);
    struct heap_block block;
    const uint16_t *entry;

    if (before && search(before, visit->part, &block, &entry)) {
        visit->end = block.start == visit->part ? 0 : block.start + block.usable;
    }
    visit->part = 0;
}

static inline bool visit_block(struct visit *visit, uintptr_t start, const uint16_t *entry)
{
    struct heap_block block;

    if (__builtin_expect(visit->part != 0, 0)) {
        enter_part(visit);
    }
    while (visit->extent < map.count && map.extents[visit->extent].end <= start) {
        visit->extent++;
    }
    if (start < visit->end || visit->extent == map.count ||
        !look_at(&map.extents[visit->extent], start, entry, &block)) {
        return true;
    }
    visit->end = start + block.usable;
    return visit->visitor(visit->context, &block);
}

static bool visit_page(struct visit *visit, const uint16_t *entries, uintptr_t memory)
{
    const bool *wanted = visit->wanted;

    for (size_t i = 0; i < ENTRIES_PER_PAGE; i += 16) {
        for (unsigned starts = starts_among(entries + i); starts; starts &= starts - 1) {
            size_t k = i + (size_t)__builtin_ctz(starts);
            if ((!wanted || wanted[entries[k] & SHADOW_SITE_MASK]) &&
                !visit_block(visit, start_of(memory + k * GRANULE, entries[k]), entries + k)) {
                return false;
            }
        }
    }
    return true;
}

static bool visit_region(struct visit *visit, size_t index, size_t first, size_t end)
{
    const struct shadow_region *region = shadow_regions[index];

    for (size_t page = first; region && page < end; page++) {
        uintptr_t memory = (uintptr_t)index << SHADOW_REGION_SHIFT | (uintptr_t)page << SHADOW_PAGE_SHIFT;
        if (region->touched[page] && !visit_page(visit, region->entries + page * ENTRIES_PER_PAGE, memory)) {
            return false;
        }
    }
    return true;
}

void heap_walk(const bool *wanted, heap_visitor *visit_one, void *context)
{
    struct visit visit = { .wanted = wanted, .visitor = visit_one, .context = context };
    size_t next_region = 0;

    for (size_t i = 0; i < map.count; i++) {
        size_t region = map.extents[i].start >> SHADOW_REGION_SHIFT;
        size_t last = (map.extents[i].end - 1) >> SHADOW_REGION_SHIFT;
        for (region = region < next_region ? next_region : region; region <= last && region < SHADOW_REGIONS;
             region++) {
            if (!visit_region(&visit, region, 0, SHADOW_PAGES)) {
                return;
            }
            next_region = region + 1;
        }
    }
}

/* Parts of regions in which there may be blocks, as region * PARTS_EACH + part. */
static struct {
    size_t *items;
    size_t count, capacity;
} parts;

static bool add_part(size_t part)
{
    if (parts.count == parts.capacity) {
        size_t capacity = parts.capacity ? 2 * parts.capacity : 4096;
        size_t *grown =
            mapping_create(NULL, capacity * sizeof(*grown), PROT_READ | PROT_WRITE, 0, "memory map");
        if (!grown) {
            return false;
        }
        if (parts.count) {
            memcpy(grown, parts.items, parts.count * sizeof(*grown));
        }
        mapping_destroy(parts.items);
        parts.items = grown;
        parts.capacity = capacity;
    }
    parts.items[parts.count++] = part;
    return true;
}

static bool add_region(size_t region)
{
    for (size_t i = 0; i < PARTS_EACH && shadow_regions[region]; i++) {
        bool touched = memchr(shadow_regions[region]->touched + i * PART_PAGES, 1, PART_PAGES);
        if (touched && !add_part(region * PARTS_EACH + i)) {
            return false;
        }
    }
    return true;
}

size_t heap_parts(void)
{
    size_t next_region = 0;

    parts.count = 0;
    for (size_t i = 0; i < map.count; i++) {
        size_t region = map.extents[i].start >> SHADOW_REGION_SHIFT;
        size_t last = (map.extents[i].end - 1) >> SHADOW_REGION_SHIFT;
        for (region = region < next_region ? next_region : region; region <= last && region < SHADOW_REGIONS;
             region++) {
            if (!add_region(region)) {
                return 0;
            }
            next_region = region + 1;
        }
    }
    return parts.count;
}

/* The longest ones, in which large blocks lie, are mostly at either end: tables that a program makes at first, and what is mapped. */
size_t heap_part_turn(size_t turn, size_t count)
{
    return turn % 2 ? count - 1 - turn / 2 : turn / 2;
}

void heap_part(size_t number, uintptr_t *ret_start, uintptr_t *ret_end)
{
    size_t region = parts.items[number] / PARTS_EACH, first = parts.items[number] % PARTS_EACH * PART_PAGES;

    *ret_start = (uintptr_t)region << SHADOW_REGION_SHIFT | (uintptr_t)first << SHADOW_PAGE_SHIFT;
    *ret_end = *ret_start + ((uintptr_t)PART_PAGES << SHADOW_PAGE_SHIFT);
}

void heap_walk_part(size_t number, const bool *wanted, heap_visitor *visit_one, void *context)
{
    struct visit visit = { .wanted = wanted, .visitor = visit_one, .context = context };
    size_t region = parts.items[number] / PARTS_EACH, first = parts.items[number] % PARTS_EACH * PART_PAGES;
    uintptr_t start = (uintptr_t)region << SHADOW_REGION_SHIFT | (uintptr_t)first << SHADOW_PAGE_SHIFT;

    visit.part = start;
    visit.extent = find_extent_from(start);
    visit_region(&visit, region, first, first + PART_PAGES);
}

/* The first start of a live block in [FROM, END), which one page of entries is for. */
static bool first_in_page(const struct shadow_region *region, uintptr_t from, uintptr_t end,
                          struct heap_block *ret)
{
    for (uintptr_t granule = from & ~(GRANULE - 1); granule < end; granule += GRANULE) {
        const uint16_t *entry = &region->entries[(granule >> SHADOW_GRANULE_SHIFT) % SHADOW_ENTRIES];
        uintptr_t start = start_of(granule, *entry);
        const struct extent *extent = is_start(*entry) && start >= from ? find_extent(start) : NULL;
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
    const struct shadow_region *region = address >> SHADOW_ADDRESS_SHIFT ? NULL : shadow_region_of(address);

    return region && region->touched[(address >> SHADOW_PAGE_SHIFT) % SHADOW_PAGES];
}

unsigned heap_site_at(uintptr_t address)
{
    const struct shadow_region *region = address >> SHADOW_ADDRESS_SHIFT ? NULL : shadow_region_of(address);
    uintptr_t granule = address & ~(GRANULE - 1);

    if (!region) {
        return 0;
    }
    uint16_t entry = *shadow_entry((struct shadow_region *)region, address);
    return is_start(entry) && start_of(granule, entry) == address ? entry & SHADOW_SITE_MASK : 0;
}
