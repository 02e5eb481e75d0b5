/*
 * A bit for each place where a block can begin, and the items in the order of their addresses. The number of
 * bits before an address is the number of its item: they are counted word by word when the index is laid out.
 * So what is asked about neighbours lies side by side, as they do, and a pointer to something near costs no
 * memory that the caches do not hold.
 */
#include "engine/update/item_index.h"

#include <errno.h>

#include "base/search.h"
#include "engine/sort.h"
#include "engine/update/state_private.h"

int item_index_reserve(struct item_index *index, size_t count)
{
    return staging_reserve(&index->memory, count * sizeof(struct indexed_item));
}

static struct item_index_region *add_region(struct item_index *index, uintptr_t address)
{
    struct item_index_region *region = state_map(1, sizeof(*region)), **link = &index->first;

    if (!region) {
        return NULL;
    }
    region->base = address >> ITEM_INDEX_REGION_SHIFT << ITEM_INDEX_REGION_SHIFT;
    while (*link && (*link)->base < region->base) {
        link = &(*link)->next;
    }
    region->next = *link;
    *link = region;
    return index->regions[address >> ITEM_INDEX_REGION_SHIFT] = region;
}

int item_index_make_room(struct item_index *index, size_t count)
{
    index->count = 0;
    index->regions = state_map((size_t)1 << (ITEM_INDEX_ADDRESS_SHIFT - ITEM_INDEX_REGION_SHIFT),
                               sizeof(struct item_index_region *));
    index->items = staging_push(&index->memory, count * sizeof(*index->items));
    return index->regions && index->items ? 0 : -ENOMEM;
}

int item_index_add(struct item_index *index, struct indexed_item item)
{
    struct item_index_region *region = index->regions[item.start >> ITEM_INDEX_REGION_SHIFT];
    size_t granule = item.start >> ITEM_INDEX_GRANULE_SHIFT;

    if (!region && !(region = add_region(index, item.start))) {
        return -ENOMEM;
    }
    region->starts[granule / 64 % ITEM_INDEX_WORDS] |= (uint64_t)1 << granule % 64;
    index->items[index->count++] = item;
    return 0;
}

/* Items of one type come in the order of their addresses. */
static bool is_sorted(const struct item_index *index)
{
    for (size_t i = 1; i < index->count; i++) {
        if (index->items[i].start < index->items[i - 1].start) {
            return false;
        }
    }
    return true;
}

void item_index_lay_out(struct item_index *index)
{
    size_t count = 0;

    for (struct item_index_region *region = index->first; region; region = region->next) {
        for (size_t i = 0; i < ITEM_INDEX_WORDS; i++) {
            region->before[i] = (uint32_t)count;
            count += region->starts[i] ? (size_t)__builtin_popcountll(region->starts[i]) : 0;
        }
    }
    if (!is_sorted(index)) {
        SORT_BY(index->items, index->count, struct indexed_item, start);
    }
}

/* How many items begin in the granule of ADDRESS, which lies in REGION, or before it. */
static size_t count_to(const struct item_index_region *region, uintptr_t address)
{
    size_t granule = address >> ITEM_INDEX_GRANULE_SHIFT, word = granule / 64 % ITEM_INDEX_WORDS;

    return region->before[word] + (size_t)__builtin_popcountll(region->starts[word] << (63 - granule % 64));
}

/* As count_to, where no item begins in the same region: a block may reach into it. */
static size_t count_by_search(const struct item_index *index, uintptr_t address)
{
    return COUNT_BEFORE(i, index->count, index->items[i].start <= address);
}

const struct indexed_item *item_index_find(const struct item_index *index, uintptr_t address)
{
    if (!index->count || address >> ITEM_INDEX_ADDRESS_SHIFT) {
        return NULL;
    }
    const struct item_index_region *region = index->regions[address >> ITEM_INDEX_REGION_SHIFT];
    size_t count = region ? count_to(region, address) : count_by_search(index, address);
    if (count && index->items[count - 1].start > address) {
        count--; /* it begins in the same granule, but later */
    }
    return count ? &index->items[count - 1] : NULL;
}

void item_index_deinit(struct item_index *index)
{
    struct item_index_region *next;

    for (struct item_index_region *region = index->first; region; region = next) {
        next = region->next;
        state_unmap(region);
    }
    state_unmap(index->regions);
    staging_deinit(&index->memory);
    *index = (struct item_index){ 0 };
}
