/*
 * Which instances there are beside those of the one pass, and which conversion each takes: of several for one
 * type the policy's functions choose. What moves or has a custom policy gets an item.
 */
#include <errno.h>

#include "engine/update/migrate_private.h"

/* ---- which conversion ------------------------------------------------------------------------------ */

static struct conversion *select_for(struct state *state, const struct layout *layout, const void *object)
{
    for (uint32_t i = 0; i < layout->conversion_count; i++) {
        struct conversion *conversion = &state->conversions[layout->first_conversion + i];
        migrate_now(state, conversion, NULL, object, NULL, STATE_SELECT);
        if (conversion->select(object)) {
            return conversion;
        }
    }
    return NULL;
}

/* The conversion that an instance, or each element of an array, takes. NULL: refused. */
static struct conversion *choose(struct state *state, const struct layout *layout, enum place_kind kind,
                                 uintptr_t place, size_t size)
{
    struct conversion *chosen = &state->conversions[layout->first_conversion];

    if (layout->conversion_count == 1) {
        return chosen;
    }
    size_t count = conversion_count(chosen, kind, size);
    chosen = NULL;
    for (size_t i = 0; i < count; i++) {
        struct conversion *conversion = select_for(state, layout, (const void *)(place + i * layout->size));
        if (!conversion) {
            state_refuse(
                state, "no migration takes the %s at 0x%lx: the split policy must choose for every instance",
                layout->name, (unsigned long)place + i * layout->size);
            return NULL;
        }
        if (chosen && conversion != chosen) {
            state_refuse(state,
                         "the array of %s at 0x%lx would be split into elements of different types (%s, %s)",
                         layout->name, (unsigned long)place, chosen->to->name, conversion->to->name);
            return NULL;
        }
        chosen = conversion;
    }
    return chosen ? chosen : &state->conversions[layout->first_conversion];
}

bool is_whole(const struct layout *layout, enum place_kind kind, size_t size)
{
    size_t least = layout->record->tail_stride && layout->record->tail_offset < layout->size
                       ? layout->record->tail_offset
                       : layout->size;

    return kind != PLACE_OBJECT || size >= least;
}

int refuse_part(struct state *state, const struct layout *layout, struct place place)
{
    char where[256];

    sites_describe(place.meaning, where, sizeof(where));
    return state_refuse(
        state,
        "%zu bytes were allocated at %s for a %s, which has %zu: say in molt.toml what is allocated there",
        place.size, where, layout->name, (size_t)layout->size);
}

/* ---- instances ------------------------------------------------------------------------------------- */

bool is_changed(const struct state *state, const struct meaning *meaning)
{
    return (meaning->layout && state->layouts.items[meaning->layout].changed) ||
           (meaning->kind == MOLT_SITE_UNKNOWN && state->guesses.count);
}

static bool visit_collection(void *context, const struct heap_block *block)
{
    struct state *state = context;
    struct place place;

    if (!state_place(state, block, &place) || !state->layouts.items[place.layout].changed ||
        (state->in_passing && new_places_get(&state->places, block->start, block->site))) {
        return true;
    }
    const struct layout *layout = &state->layouts.items[place.layout];
    if (!is_whole(layout, place.kind, place.size)) {
        state->status = refuse_part(state, layout, place);
        return false;
    }
    struct conversion *conversion = choose(state, layout, place.kind, place.start, place.size);
    if (!conversion) {
        state->status = -EINVAL;
        return false;
    }
    size_t size_after = conversion_size(conversion, place.kind, place.size);
    bool moved = place_is_left(&place, conversion, size_after);
    if (!moved && !conversion->custom) {
        state->collected = false;
        return true;
    }
    struct item *pushed = item_push(conversion, item_make(place.start, place.size, place.kind, block->site,
                                                          moved, moved ? 0 : place.usable - place.size));
    if (!pushed) {
        state->status = state_exhausted(state, "the engine", place.size);
        return false;
    }
    state->moved += moved;
    state->unplaced += moved;
    return true;
}

int collect_roots(struct state *state, bool here)
{
    for (size_t i = 0; i < state->roots.count; i++) {
        struct root *root = &state->roots.items[i];
        const struct molt_patch_root *record = root->record;
        const struct layout *layout = &state->layouts.items[record->layout];
        if (record->kind != MOLT_FIELD_MEMBER || !layout->changed) {
            continue;
        }
        size_t count = record->count < record->new_count ? record->count : record->new_count;
        size_t size = count * layout->size;
        bool moved = root->target != root->place;
        struct conversion *conversion = choose(state, layout, PLACE_ROOT, root->place, size);
        if (!conversion) {
            return -EINVAL;
        }
        size_t size_after = conversion_size(conversion, PLACE_ROOT, size);
        if (!moved && size_after > root_size(state, root)) {
            return state_refuse(state, "the variable %s has become larger, and the patch has no place for it",
                                patch_file_string(state->layouts.file, record->name));
        }
        struct item item = item_make(root->place, size, PLACE_ROOT, 0, moved,
                                     !moved && size_after > size ? size_after - size : 0);
        if ((conversion->custom || moved) == here) {
            continue;
        }
        root->conversion = conversion;
        root->item =
            here ? convert_here(state, conversion, item, size_after, NULL) : item_push(conversion, item);
        if (!root->item) {
            return state_exhausted(state, "the engine", size);
        }
        if (moved) {
            state->variables_moved++;
            item_target(root->item)->target = root->target;
        }
    }
    return 0;
}

void collect(void *context)
{
    struct state *state = context;

    state->status = collect_roots(state, false);
    if (state->status == 0) {
        state->collected = !state->custom; /* which may make more of them */
        if (state->in_passing && !state->left && !state->guesses.count) {
            return; /* there is nothing else */
        }
        state_want(state, is_changed);
        heap_walk(state->wanted, visit_collection, state);
    }
}
