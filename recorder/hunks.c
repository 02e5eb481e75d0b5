/* Composing edits: each new one is merged with the hunks that it touches and shifts those behind it. */
#include "recorder/hunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/search.h"

void hunks_deinit(struct hunks *hunks)
{
    free(hunks->items);
    *hunks = (struct hunks){ 0 };
}

static bool hunks_reserve(struct hunks *hunks)
{
    if (hunks->count < hunks->capacity) {
        return true;
    }
    uint32_t capacity = hunks->capacity ? hunks->capacity * 2 : 8;
    struct hunk *items = realloc(hunks->items, capacity * sizeof(*items));
    if (!items) {
        return false;
    }
    hunks->items = items;
    hunks->capacity = capacity;
    return true;
}

/* Index of the first hunk that ends at or behind NEW, an offset in the new text. */
static uint32_t find_new(const struct hunks *hunks, uint32_t new_offset)
{
    return COUNT_BEFORE(i, hunks->count, hunks->items[i].new_end < new_offset);
}

uint32_t hunks_find(const struct hunks *hunks, uint32_t old)
{
    return COUNT_BEFORE(i, hunks->count, hunks->items[i].old_end < old);
}

struct molt_error *hunks_edit(struct hunks *hunks, uint32_t start, uint32_t end, uint32_t length)
{
    if (!hunks_reserve(hunks)) {
        return molt_error_nomem();
    }
    uint32_t first = find_new(hunks, start), last = first;
    while (last < hunks->count && hunks->items[last].new_start <= end) {
        last++;
    }
    struct hunk *items = hunks->items, merged;
    uint32_t shift = length - (end - start); /* modulo 2^32 */
    if (first == last) {
        uint32_t delta = first ? items[first - 1].new_end - items[first - 1].old_end : 0;
        merged = (struct hunk){ start - delta, end - delta, start, start + length };
    } else {
        struct hunk left = items[first], right = items[last - 1];
        uint32_t before = left.new_start > start ? left.new_start - start : 0;
        uint32_t behind = end > right.new_end ? end - right.new_end : 0;
        merged = (struct hunk){ left.old_start - before, right.old_end + behind, left.new_start - before,
                                right.new_end + behind + shift };
    }
    memmove(items + first + 1, items + last, (hunks->count - last) * sizeof(*items));
    items[first] = merged;
    hunks->count = hunks->count - (last - first) + 1;
    for (uint32_t i = first + 1; i < hunks->count; i++) {
        items[i].new_start += shift;
        items[i].new_end += shift;
    }
    return NULL;
}

uint32_t hunks_map_start(const struct hunks *hunks, uint32_t old)
{
    uint32_t index = hunks_find(hunks, old);

    if (index < hunks->count && hunks->items[index].old_start <= old) {
        return hunks->items[index].new_start;
    }
    return index ? old + (hunks->items[index - 1].new_end - hunks->items[index - 1].old_end) : old;
}

uint32_t hunks_map_end(const struct hunks *hunks, uint32_t old)
{
    uint32_t index = hunks_find(hunks, old);

    if (index < hunks->count && hunks->items[index].old_start <= old) {
        return hunks->items[index].new_end;
    }
    return index ? old + (hunks->items[index - 1].new_end - hunks->items[index - 1].old_end) : old;
}

uint32_t hunks_lost(const struct hunks *hunks, uint32_t start, uint32_t end)
{
    uint32_t lost = 0;

    for (uint32_t i = hunks_find(hunks, start); i < hunks->count && hunks->items[i].old_start < end; i++) {
        uint32_t from = hunks->items[i].old_start > start ? hunks->items[i].old_start : start;
        uint32_t to = hunks->items[i].old_end < end ? hunks->items[i].old_end : end;
        lost += to > from ? to - from : 0;
    }
    return lost;
}
