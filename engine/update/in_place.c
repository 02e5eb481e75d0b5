/*
 * Generated policies where nothing moves: each instance is saved and made anew in one go, while it is in the
 * processor's cache. What the one pass (one_pass.c) has left.
 */
#include <string.h>

#include "engine/update/migrate_private.h"
#include "engine/update/one_pass.h"

const struct item *convert_here(struct state *state, struct conversion *conversion, struct item what,
                                size_t size_after, const struct heap_block *block)
{
    struct item *item = item_push(conversion, what);
    void *place = (void *)(uintptr_t)what.place;

    if (!item) {
        return NULL;
    }
    uint8_t *saved = item_saved(item);
    memcpy(saved, place, what.size + what.slack);
    item->done = 1;
    migrate_now(state, conversion, item, saved, place, STATE_MIGRATE);
    memset(place, 0, size_after);
    conversion_run(conversion, what.kind, saved, what.size, place, &state->current_index);
    item_retag(state, conversion, item, size_after, block);
    return item;
}

static bool visit_conversion(void *context, const struct heap_block *block)
{
    struct state *state = context;
    struct place place;

    if (!state_place(state, block, &place) || !state->layouts.items[place.layout].changed) {
        return true;
    }
    const struct layout *layout = &state->layouts.items[place.layout];
    struct conversion *conversion = &state->conversions[layout->first_conversion];
    size_t size_after = conversion_size(conversion, place.kind, place.size);
    if (conversion->custom || place_is_left(&place, conversion, size_after) ||
        (state->in_passing && one_pass_takes(state, conversion, &place))) {
        return true;
    }
    bool tagged = size_after != place.size ||
                  !state_keeps_site(state, conversion, place.meaning); /* which may write behind it */
    struct item item = item_make(place.start, place.size, place.kind, block->site, false,
                                 tagged ? place.usable - place.size : 0);
    if (!is_whole(layout, place.kind, place.size)) {
        state->status = refuse_part(state, layout, place);
    } else {
        state->status = convert_here(state, conversion, item, size_after, tagged ? block : NULL)
                            ? 0
                            : state_exhausted(state, "the engine", place.size);
    }
    return state->status == 0;
}

static void convert_blocks(void *context)
{
    struct state *state = context;

    state_want(state, is_changed);
    heap_walk(state->wanted, visit_conversion, state);
}

void convert_rest(void *context)
{
    struct state *state = context;

    state->status = collect_roots(state, true);
    if (state->status == 0 && !state->collected && (state->left || state->guesses.count)) {
        convert_blocks(state);
    }
}
