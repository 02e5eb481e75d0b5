/*
 * Items: one for each instance that is migrated, one after the other in memory that is set aside (staging.h),
 * each followed by what belongs to it.
 *
 *     item | where it moves to                          moved
 *     item | what was there, the end of its block too   in place; a custom policy's new instance at first,
 *                                                       with guard bytes behind it
 *     item                                              in place, and what was there follows from what is
 */
#include "engine/update/migrate_private.h"

static size_t room_of(const struct conversion *conversion, const struct item *item)
{
    return item->moved     ? sizeof(struct item_target)
           : item->derived ? 0
                           : item->size + item->slack + (conversion->custom ? GUARD_BYTES : 0);
}

struct item *item_next(const struct conversion *conversion, struct staging_position *position)
{
    struct item *item = staging_next(&conversion->items, position);

    if (item) {
        staging_advance(position, sizeof(*item) + room_of(conversion, item));
    }
    return item;
}

/* Pointers to what moves, and to what lies elsewhere in its instance, will have to follow; and those to
 * elements, or to the end, of an array whose elements change their size, if it has one alone, too. */
static inline void note_address(struct conversion *conversion, struct item item)
{
    if (item.moved || conversion->shifts || conversion_spreads(conversion, item.kind)) {
        uintptr_t end = item.place + item.size;
        conversion->low = item.place < conversion->low ? item.place : conversion->low;
        conversion->high = end > conversion->high ? end : conversion->high;
        conversion->special += item.moved || conversion->from->conversion_count > 1;
    }
}

unsigned item_site_after(struct state *state, struct conversion *conversion, const struct item *item)
{
    const struct meaning *meaning = sites_meaning(&state->sites, item->site);

    return !item->moved && state_keeps_site(state, conversion, meaning)
               ? item->site
               : state_site_of_moved(state, conversion, meaning, item->kind);
}

unsigned state_site_of_moved(struct state *state, struct conversion *conversion,
                             const struct meaning *meaning, enum place_kind place_kind)
{
    enum molt_site_kind kind = place_kind == PLACE_OBJECT ? MOLT_SITE_OBJECT : MOLT_SITE_ARRAY;

    if (!conversion->synthetic || conversion->synthetic_of != meaning || conversion->synthetic_kind != kind) {
        conversion->synthetic_of = meaning;
        conversion->synthetic_kind = kind;
        conversion->synthetic = sites_synthetic(&state->sites, kind, conversion->record->new_layout, meaning);
    }
    return conversion->synthetic;
}

struct item *item_push(struct conversion *conversion, struct item item)
{
    struct item *pushed = staging_push(&conversion->items, sizeof(item) + room_of(conversion, &item));

    if (pushed) {
        *pushed = item;
        if (item.moved) {
            *item_target(pushed) = (struct item_target){ 0 };
        }
        conversion->count++;
        note_address(conversion, item);
    }
    return pushed;
}

void *item_new(const struct item *item)
{
    return item->moved ? (void *)item_target(item)->target : item_place(item);
}

const void *item_old(const struct item *item)
{
    return item->moved ? item_place(item) : item_saved(item);
}

void item_retag(struct state *state, struct conversion *conversion, struct item *item, size_t size,
                const struct heap_block *block)
{
    unsigned site = block ? item_site_after(state, conversion, item) : item->site;

    if (block && (size != item->size || site != item->site)) {
        heap_retag(block->start, site, block->size - item->size + size);
        item->retagged = site != item->site;
        conversion->special += item->retagged;
    }
}
