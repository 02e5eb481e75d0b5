/* Many blocks, in a stopped world: page after page of the shadow. */
#include <string.h>
#include <sys/mman.h>

#include "engine/heap/blocks.h"
#include "engine/mapping.h"

#define PARTS_EACH ((size_t)1024) /* of a region: 128 kB of memory each */
#define PART_PAGES (SHADOW_PAGES / PARTS_EACH)

/* Few sites, each eight times over, to be compared with eight entries at once: quicker than asking for each
 * entry. */
#define FEW_SITES 8
struct few {
    size_t count; /* SIZE_MAX: they are not few */
    __m128i sites[FEW_SITES];
};

struct walk {
    const bool *wanted; /* NULL: all are */
    struct few few;
    heap_filter *concerns; /* NULL: all memory does */
    heap_visitor_of_many *visitor;
    void *context;
    size_t extent;  /* the first that ends behind what was looked at last */
    uintptr_t end;  /* of the last block: what starts before it was freed behind our back */
    uintptr_t part; /* where the part begins of which no block has been met yet; 0: none is awaited */
    size_t count;   /* of those that the visitor has not been told of */
    struct heap_block blocks[HEAP_VISITED_MAX];
};

static bool tell(struct walk *walk)
{
    size_t count = walk->count;

    walk->count = 0;
    return !count || walk->visitor(walk->context, walk->blocks, count);
}

/* A block that begins before the part may reach into it. It is not looked for before there is a block to be
 * told: the way to it may be long. */
static __attribute__((noinline)) void enter_part(struct walk *walk)
{
    const struct extent *before = extents_find(walk->part);
    struct heap_block block;
    const uint16_t *entry;

    if (before && block_search(before, walk->part, &block, &entry)) {
        walk->end = block.start == walk->part ? 0 : block.start + block.usable;
    }
    walk->part = 0;
}

static inline bool visit_block(struct walk *walk, uintptr_t start, const uint16_t *entry)
{
    struct heap_block *block = &walk->blocks[walk->count];

    if (__builtin_expect(walk->part != 0, 0)) {
        enter_part(walk);
    }
    while (walk->extent < extents.count && extents.items[walk->extent].end <= start) {
        walk->extent++;
    }
    if (start < walk->end || walk->extent == extents.count ||
        !look_at(&extents.items[walk->extent], start, entry, block)) {
        return true;
    }
    walk->end = start + block->usable;
    return ++walk->count < HEAP_VISITED_MAX || tell(walk);
}

static struct few few_of(const bool *wanted)
{
    struct few few = { .count = wanted ? 0 : SIZE_MAX };

    for (unsigned id = 1; id <= heap_site_count() && few.count < SIZE_MAX; id++) {
        if (wanted[id] && few.count == FEW_SITES) {
            few.count = SIZE_MAX;
        } else if (wanted[id]) {
            few.sites[few.count++] = _mm_set1_epi16((short)id);
        }
    }
    return few;
}

/* Which of the 16 entries at ENTRIES are of one of those sites, if they are starts of blocks, as bits. */
static inline unsigned of_few(const struct few *few, const uint16_t *entries)
{
    const __m128i mask = _mm_set1_epi16((short)SHADOW_SITE_MASK);
    __m128i first = _mm_and_si128(_mm_loadu_si128((const __m128i *)entries), mask);
    __m128i second = _mm_and_si128(_mm_loadu_si128((const __m128i *)(entries + 8)), mask);
    __m128i any = _mm_setzero_si128();

    for (size_t i = 0; i < few->count; i++) {
        any = _mm_or_si128(any, _mm_packs_epi16(_mm_cmpeq_epi16(first, few->sites[i]),
                                                _mm_cmpeq_epi16(second, few->sites[i])));
    }
    return (unsigned)_mm_movemask_epi8(any);
}

static bool visit_page(struct walk *walk, const uint16_t *entries, uintptr_t memory)
{
    const struct few *few = &walk->few;
    const bool *wanted = few->count == SIZE_MAX ? walk->wanted : NULL;

    for (size_t i = 0; i < ENTRIES_PER_PAGE; i += 16) {
        unsigned asked = few->count == SIZE_MAX ? ~0u : of_few(few, entries + i);
        for (unsigned starts = asked ? asked & starts_among(entries + i) : 0; starts; starts &= starts - 1) {
            size_t k = i + (size_t)__builtin_ctz(starts);
            if ((!wanted || wanted[entries[k] & SHADOW_SITE_MASK]) &&
                !visit_block(walk, start_of(memory + k * GRANULE, entries[k]), entries + k)) {
                return false;
            }
        }
    }
    return true;
}

/* Where what the program asked for ends in all blocks that may begin in the page of ENTRIES, for MEMORY:
 * those that were freed behind our back are among them. */
static uintptr_t end_of_page(const uint16_t *entries, uintptr_t memory)
{
    uintptr_t end = memory + ((uintptr_t)1 << SHADOW_PAGE_SHIFT), furthest = end;

    for (size_t i = 0; i < ENTRIES_PER_PAGE; i += 16) {
        for (unsigned starts = starts_among(entries + i); starts; starts &= starts - 1) {
            size_t k = i + (size_t)__builtin_ctz(starts);
            uintptr_t start = start_of(memory + k * GRANULE, entries[k]);
            bool is_long = entries[k + 1] >= (SHADOW_SIZE | SHADOW_LONG);
            if (is_long || start + SHADOW_SHORT_LIMIT > end) {
                uintptr_t reach = start + shadow_size_at_most(entries + k);
                furthest = reach > furthest ? reach : furthest;
            }
        }
    }
    return furthest;
}

static bool is_concerned(struct walk *walk, const uint16_t *entries, uintptr_t memory)
{
    const struct extent *extent = walk->concerns ? extents_find(memory) : NULL;
    uintptr_t end = extent ? end_of_page(entries, memory) : 0;

    if (!extent || end > extent->end || walk->concerns(walk->context, memory, end)) {
        return true;
    }
    walk->part = memory + ((uintptr_t)1 << SHADOW_PAGE_SHIFT); /* the last one may reach into what follows */
    return false;
}

static bool visit_region(struct walk *walk, size_t index, size_t first, size_t end)
{
    const struct shadow_region *region = shadow_regions[index];

    for (size_t page = first; region && page < end; page++) {
        uintptr_t memory = (uintptr_t)index << SHADOW_REGION_SHIFT | (uintptr_t)page << SHADOW_PAGE_SHIFT;
        const uint16_t *entries = region->entries + page * ENTRIES_PER_PAGE;
        if (region->touched[page] && is_concerned(walk, entries, memory) &&
            !visit_page(walk, entries, memory)) {
            return false;
        }
    }
    return true;
}

struct each {
    heap_visitor *visit;
    void *context;
};

static bool visit_each(void *context, const struct heap_block *blocks, size_t count)
{
    const struct each *each = context;

    for (size_t i = 0; i < count; i++) {
        if (!each->visit(each->context, &blocks[i])) {
            return false;
        }
    }
    return true;
}

void heap_walk(const bool *wanted, heap_visitor *visit, void *context)
{
    struct each each = { visit, context };
    struct walk walk = { .wanted = wanted, .few = few_of(wanted), .visitor = visit_each, .context = &each };
    size_t next_region = 0;

    for (size_t i = 0; i < extents.count; i++) {
        size_t region = extents.items[i].start >> SHADOW_REGION_SHIFT;
        size_t last = (extents.items[i].end - 1) >> SHADOW_REGION_SHIFT;
        for (region = region < next_region ? next_region : region; region <= last && region < SHADOW_REGIONS;
             region++) {
            if (!visit_region(&walk, region, 0, SHADOW_PAGES)) {
                return;
            }
            next_region = region + 1;
        }
    }
    tell(&walk);
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
    for (size_t i = 0; i < extents.count; i++) {
        size_t region = extents.items[i].start >> SHADOW_REGION_SHIFT;
        size_t last = (extents.items[i].end - 1) >> SHADOW_REGION_SHIFT;
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

/* The longest ones, in which large blocks lie, are mostly at either end: tables that a program makes at
 * first, and what is mapped. */
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

void heap_walk_part(size_t number, const bool *wanted, heap_filter *concerns, heap_visitor_of_many *visit,
                    void *context)
{
    size_t region = parts.items[number] / PARTS_EACH, first = parts.items[number] % PARTS_EACH * PART_PAGES;
    uintptr_t start = (uintptr_t)region << SHADOW_REGION_SHIFT | (uintptr_t)first << SHADOW_PAGE_SHIFT;
    struct walk walk = { .wanted = wanted,
                         .few = few_of(wanted),
                         .concerns = concerns,
                         .visitor = visit,
                         .context = context,
                         .part = start,
                         .extent = extents_from(start) };

    if (visit_region(&walk, region, first, first + PART_PAGES)) {
        tell(&walk);
    }
}
