/*
 * Making instances in the one pass, up to HEAP_VISITED_MAX of one kind at a time.
 *
 *     in place:  all are copied | item, made in its place | and back, aside: the same?  -> nothing saved
 *                                                                       no              -> the copy is
 *     moved:     item, made in the block ahead
 *
 * All are copied before the first is made, since what was just written in wide words is waited for if it is
 * read in others. What is under way is known by how many items there are: each is finished by being counted.
 */
#include <emmintrin.h>
#include <string.h>

#include "engine/update/one_pass_private.h"

#define TRIES 64 /* ways back that are tried before it is given up, or relied upon */

/* ---- bytes ----------------------------------------------------------------------------------------- */

/* Short ones, and always as many: quicker than a call. */
static inline void copy(uint8_t *to, const uint8_t *from, size_t size)
{
    size_t at = 0;

    for (; at + 16 <= size; at += 16) {
        _mm_storeu_si128((__m128i *)(to + at), _mm_loadu_si128((const __m128i *)(from + at)));
    }
    for (; at + 4 <= size; at += 4) {
        memcpy(to + at, from + at, 4);
    }
    for (; at < size; at++) {
        to[at] = from[at];
    }
}

static inline void clear(uint8_t *to, size_t size)
{
    size_t at = 0;

    for (; at + 16 <= size; at += 16) {
        _mm_storeu_si128((__m128i *)(to + at), _mm_setzero_si128());
    }
    for (; at < size; at++) {
        to[at] = 0;
    }
}

/* ---- the way back ---------------------------------------------------------------------------------- */

/* The old instance that was made the new one at PLACE. OLD is zeroed. */
static inline void lead_back(const struct conversion *conversion, const void *place, void *old)
{
    if (conversion->exact) {
        conversion_reverse(conversion, place, old);
    } else {
        conversion->back(place, old);
    }
}

static bool is_restored(const struct conversion *conversion, const uint8_t *place, const uint8_t *old)
{
    _Alignas(16) uint8_t again[SIZE_MAX_IN_PASSING];
    size_t size = conversion->from->size, at = 0;
    uint64_t differ = 0;

    clear(again, size);
    lead_back(conversion, place, again);
    for (; at + 8 <= size; at += 8) { /* as most members were written: wider words would be waited for */
        uint64_t one, other;
        memcpy(&one, again + at, 8);
        memcpy(&other, old + at, 8);
        differ |= one ^ other;
    }
    for (; at < size; at++) {
        differ |= again[at] ^ old[at];
    }
    return !differ;
}

/* All bytes of an instance can be had back, as the last ones could: CONVERSION writes each byte, and it need
 * not be tried any more. */
static inline bool is_sure(const struct conversion *conversion, const struct one_pass_items *items)
{
    return conversion->exact && !items->saved && items->count >= TRIES;
}

/* Whether the bytes that were there can be had back. */
static bool is_led_back(const struct conversion *conversion, const struct one_pass_items *items,
                        const uint8_t *place, const uint8_t *old)
{
    bool tries =
        (conversion->exact || conversion->back) && (items->saved < TRIES || items->saved < items->count / 2);

    return tries && is_restored(conversion, place, old);
}

void one_pass_undo(const struct conversion *conversion, const struct item *item)
{
    _Alignas(16) uint8_t old[SIZE_MAX_IN_PASSING];

    clear(old, item->size);
    lead_back(conversion, item_place(item), old);
    copy(item_place(item), old, item->size);
}

/* ---- what is under way ----------------------------------------------------------------------------- */

static struct one_pass_items *items_of(const struct worker *worker, const struct conversion *conversion)
{
    return &worker->items[conversion - worker->state->conversions];
}

/* COUNT of the instances in MAKING are begun, for each of which there are RESERVED bytes of items. */
static void begin(struct making *making, const struct one_pass_items *items, size_t count, size_t reserved)
{
    making->before = items->count;
    making->reserved = reserved;
    atomic_signal_fence(memory_order_seq_cst);
    making->count = count;
    atomic_signal_fence(memory_order_seq_cst);
}

/* The instance before is finished. */
static inline void finish(struct one_pass_items *items)
{
    atomic_signal_fence(memory_order_seq_cst);
    items->count++;
    atomic_signal_fence(memory_order_seq_cst);
}

static struct item item_in_passing(const struct making *making, uintptr_t place)
{
    struct item item =
        item_make(place, making->conversion->from->size, making->kind, making->site, making->moves, 0);

    item.done = item.passed = 1;
    return item;
}

bool making_interrupted(struct worker *worker, struct item *ret, uintptr_t *ret_target)
{
    struct making *making = &worker->making;
    size_t count = making->count;

    if (!count) {
        return false;
    }
    struct one_pass_items *items = items_of(worker, making->conversion);
    size_t index = items->count - making->before, size = making->conversion->from->size;
    making->count = 0;
    if (making->reserved && index < count) {
        staging_pop(&items->items, (count - index) * making->reserved);
    }
    if (index >= count) {
        return false;
    }
    if (!making->moves) {
        copy((uint8_t *)making->places[index], making->copies + index * size, size);
    }
    *ret = item_in_passing(making, making->places[index]);
    *ret_target = making->targets[index];
    return true;
}

/* ---- in place -------------------------------------------------------------------------------------- */

/* One that may have to be saved, OLD a copy of it. */
static bool try_here(struct making *making, struct one_pass_items *items, uintptr_t place, const uint8_t *old)
{
    const struct conversion *conversion = making->conversion;
    size_t size = conversion->from->size;
    struct item item = item_in_passing(making, place);

    clear(item_place(&item), size);
    conversion->migrate(old, item_place(&item));
    item.derived = is_led_back(conversion, items, item_place(&item), old);
    struct item *pushed = staging_push(&items->items, sizeof(item) + (item.derived ? 0 : size));
    if (!pushed) {
        return false;
    }
    *pushed = item;
    if (!item.derived) {
        copy(item_saved(pushed), old, size);
        items->saved++;
    }
    finish(items);
    return true;
}

/* COUNT of which nothing is saved, OLD the copies. */
static bool make_here(struct making *making, struct one_pass_items *items, size_t count)
{
    const struct conversion *conversion = making->conversion;
    struct item *pushed = staging_push(&items->items, count * sizeof(*pushed)),
                like = item_in_passing(making, 0);
    const uint8_t *old = making->copies;

    if (!pushed) {
        return false;
    }
    begin(making, items, count, sizeof(*pushed));
    like.derived = 1;
    for (size_t i = 0; i < count; i++, old += conversion->from->size) {
        conversion->migrate(old, (void *)making->places[i]);
        pushed[i] = like;
        pushed[i].place = making->places[i];
        finish(items);
    }
    return true;
}

static bool make_in_place(struct making *making, struct one_pass_items *items, size_t count)
{
    size_t size = making->conversion->from->size;
    bool fine = true;

    for (size_t i = 0; i < count; i++) {
        copy(making->copies + i * size, (const uint8_t *)making->places[i], size);
    }
    if (is_sure(making->conversion, items)) {
        return make_here(making, items, count);
    }
    begin(making, items, count, 0);
    for (size_t i = 0; i < count && fine; i++) {
        fine = try_here(making, items, making->places[i], making->copies + i * size);
    }
    return fine;
}

/* ---- moved ----------------------------------------------------------------------------------------- */

static bool make_moved(struct worker *worker, struct making *making, struct one_pass_items *items,
                       size_t count)
{
    struct moved_item {
        struct item item;
        struct item_target target;
    } *pushed = staging_push(&items->items, count * sizeof(*pushed));
    struct state *state = worker->state;
    const struct conversion *conversion = making->conversion;
    size_t number = (size_t)(conversion - state->conversions);

    if (!pushed) {
        return false;
    }
    begin(making, items, count, sizeof(*pushed));
    for (size_t i = 0; i < count; i++) {
        uintptr_t place = making->places[i], target = making->targets[i];
        clear((uint8_t *)target, conversion->to->size);
        conversion->migrate((const void *)place, (void *)target);
        pushed[i] = (struct moved_item){ item_in_passing(making, place), { .target = target } };
        new_places_put(&state->places, place, conversion->from->size,
                       new_place_make(place, target, number, making->kind == PLACE_ARRAY));
        items->moved++;
        finish(items);
    }
    return true;
}

/* ---- all ------------------------------------------------------------------------------------------- */

bool making_run(struct worker *worker, size_t count)
{
    struct making *making = &worker->making;
    struct one_pass_items *items = items_of(worker, making->conversion);
    size_t size = making->conversion->from->size;

    if (!count) {
        return true;
    }
    uintptr_t low = making->places[0], high = making->places[count - 1] + size;
    items->low = low < items->low ? low : items->low;
    items->high = high > items->high ? high : items->high;
    items->spreads |= conversion_spreads(making->conversion, making->kind);
    bool fine =
        making->moves ? make_moved(worker, making, items, count) : make_in_place(making, items, count);
    if (fine) {
        making->count = 0;
    } else {
        worker->state->status = state_exhausted(worker->state, "the engine", size);
    }
    return fine;
}
