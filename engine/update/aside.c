/*
 * New instances made aside, while the whole program is old: of policies that may do anything, and of what
 * moves. What the program's functions write meanwhile is logged page by page (page_log.h). Then places and
 * what lies aside are exchanged.
 *
 *     item | new instance | guard bytes        a custom policy's, in place
 *     block of the program's allocator         what moves; a custom policy's by way of state->aside
 */
#include <errno.h>
#include <string.h>

#include "engine/update/migrate_private.h"

#define GUARD_BYTE 0xa5
#define MANY 1000 /* instances */

/* ---- making ---------------------------------------------------------------------------------------- */

static int allocate(struct state *state, struct conversion *conversion, struct item *item)
{
    const struct meaning *meaning = sites_meaning(&state->sites, item->site);
    size_t size = item_new_size(conversion, item);

    migrate_now(state, conversion, item, item_place(item), NULL, STATE_ALLOCATE);
    if (meaning->allocator.allocate) {
        conversion->from_program = true;
        item_target(item)->target = (uintptr_t)meaning->allocator.allocate(size);
    } else {
        item_target(item)->target = (uintptr_t)heap_allocate_aligned(
            conversion->to->record->alignment, size, item_site_after(state, conversion, item));
    }
    return item_target(item)->target ? 0 : state_exhausted(state, "the program", size);
}

static bool is_intact(const uint8_t *guard)
{
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (guard[i] != GUARD_BYTE) {
            return false;
        }
    }
    return true;
}

/* A variable that gets a new place has its new initial value there: what policies do not mention begins with
 * that. */
static bool is_initialised(const struct item *item)
{
    return item->kind == PLACE_ROOT && item->moved;
}

/* A custom policy writes to AT, which has guard bytes behind it. */
static int make_guarded(struct state *state, const struct conversion *conversion, const struct item *item,
                        uint8_t *at)
{
    size_t size = item_new_size(conversion, item);

    if (is_initialised(item)) {
        memcpy(at, (const void *)item_target(item)->target, size);
    } else {
        memset(at, 0, size);
    }
    memset(at + size, GUARD_BYTE, GUARD_BYTES);
    migrate_now(state, conversion, item, item_place(item), at, STATE_MIGRATE);
    conversion_run(conversion, item->kind, item_place(item), item->size, at, &state->current_index);
    return is_intact(at + size) ? 0 : state_fail(state, "it wrote beyond the end of the new instance");
}

static int make_moved(struct state *state, const struct conversion *conversion, struct item *item)
{
    size_t size = item_new_size(conversion, item);
    void *target = (void *)item_target(item)->target;

    if (conversion->custom) {
        uint8_t *aside = staging_push(&state->aside, size + GUARD_BYTES);
        int status =
            aside ? make_guarded(state, conversion, item, aside) : state_exhausted(state, "the engine", size);
        if (status < 0) {
            return status;
        }
        memcpy(target, aside, size);
        staging_pop(&state->aside, size + GUARD_BYTES);
        return 0;
    }
    if (!is_initialised(item)) {
        memset(target, 0, size);
    }
    migrate_now(state, conversion, item, item_place(item), target, STATE_MIGRATE);
    conversion_run(conversion, item->kind, item_place(item), item->size, target, &state->current_index);
    return 0;
}

/* Of many instances, ROOM is what the allocator has made ready for those that come. */
static int make_in_new_block(struct state *state, struct conversion *conversion, struct item *item,
                             size_t *room)
{
    size_t size = item_new_size(conversion, item);

    if (conversion->count >= MANY && size > *room) {
        heap_make_room();
        *room = HEAP_ROOM;
    }
    *room -= size < *room ? size : *room;
    int status = item_target(item)->target ? 0 : allocate(state, conversion, item);
    return status < 0 ? status : make_moved(state, conversion, item);
}

static int make_items(struct state *state, struct conversion *conversion)
{
    struct staging_position position = { 0 };
    struct item *item;
    size_t room = 0;
    int status = 0;

    while (status == 0 && (item = item_next(conversion, &position))) {
        status = item->passed  ? 0
                 : item->moved ? make_in_new_block(state, conversion, item, &room)
                               : make_guarded(state, conversion, item, item_saved(item));
    }
    return status;
}

void make_aside(void *context)
{
    struct state *state = context;

    for (size_t i = 0; i < state->conversion_count && state->status == 0; i++) {
        state->status = make_items(state, &state->conversions[i]);
    }
}

/* ---- exchanging ------------------------------------------------------------------------------------ */

/* The new instance lies in the item, SIZE bytes of it, and belongs to its place; what was there is kept
 * instead. */
static void exchange(struct item *item, size_t size)
{
    uint8_t *place = item_place(item), *aside = item_saved(item), block[256];
    size_t all = item->size + item->slack;

    for (size_t at = 0; at < size; at += sizeof(block)) {
        size_t some = size - at < sizeof(block) ? size - at : sizeof(block);
        memcpy(block, place + at, some);
        memcpy(place + at, aside + at, some);
        memcpy(aside + at, block, some);
    }
    if (all > size) {
        memcpy(aside + size, place + size, all - size);
    }
    item->done = 1;
}

void settle(struct state *state, struct conversion *conversion)
{
    struct staging_position position = { 0 };
    struct item *item;

    while (conversion->custom && (item = item_next(conversion, &position))) {
        if (!item->moved && !item->done) {
            size_t size = item_new_size(conversion, item);
            struct heap_block block;
            bool found = item->kind != PLACE_ROOT && heap_find(item->place, &block);
            exchange(item, size);
            item_retag(state, conversion, item, size, found ? &block : NULL);
        }
    }
}

void tag_moved(struct state *state, struct conversion *conversion)
{
    struct staging_position position = { 0 };
    struct heap_block block;
    struct item *item;

    while ((item = item_next(conversion, &position))) {
        if (item->moved && item->kind != PLACE_ROOT &&
            sites_meaning(&state->sites, item->site)->allocator.allocate &&
            heap_find(item_target(item)->target, &block)) {
            heap_retag(block.start, item_site_after(state, conversion, item), block.size);
        }
    }
}
