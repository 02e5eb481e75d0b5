/*
 * Where what an address led to is now. An address is looked for among what one_pass.c has moved, then among
 * the items of the index, then by the block that it lies in, whose site says what became of it, and at last
 * in variables. Several workers may ask at once.
 */
#include "engine/update/forward_private.h"

static bool find_in_roots(const struct state *state, uintptr_t value, uint32_t wanted, struct where *ret)
{
    const struct root *root = roots_find(state, value);

    /* what begins where a variable ends is another one: only a pointer to such elements can mean the end */
    if (!root && wanted && (root = roots_find(state, value - 1)) &&
        (root->place + root_size(state, root) != value ||
         (root->record->layout != wanted && root->record->new_layout != wanted))) {
        root = NULL;
    }
    if (!root) {
        return false;
    }
    if (!root->item && root->target == root->place) {
        return false;
    }
    *ret = (struct where){ .kind = PLACE_ROOT, .place = root->place, .target = root->target };
    ret->conversion = root->conversion;
    ret->size = root->item ? root->item->size : root_size(state, root);
    ret->moved = root->target != root->place;
    return true;
}

/* In an item of the index. Where one ends another block may begin. */
static bool find_in_index(const struct state *state, uintptr_t value, struct where *ret)
{
    const struct indexed_item *found = item_index_find(&state->forwarding->index, value);
    const struct item *item = found ? found->item : NULL;

    if (!item || value < item->place || value > item->place + item->size ||
        (value == item->place + item->size && heap_site_at(value))) {
        return false;
    }
    *ret = (struct where){ found->conversion,         item->kind, item->place,
                           (uintptr_t)item_new(item), item->size, item->moved };
    return true;
}

/* In what one_pass.c has moved out of BLOCK, where it still is. */
static bool find_in_new_places(const struct state *state, const struct heap_block *block, struct where *ret)
{
    uint64_t place = new_places_get(&state->places, block->start, block->site);

    if (!place) {
        return false;
    }
    const struct conversion *conversion = &state->conversions[new_place_conversion(place)];
    *ret = (struct where){ .conversion = conversion,
                           .kind = new_place_is_array(place) ? PLACE_ARRAY : PLACE_OBJECT,
                           .place = block->start,
                           .target = new_place_target(place),
                           .size = conversion->from->size,
                           .moved = true };
    return true;
}

static bool find_in_heap(struct state *state, uintptr_t value, struct where *ret)
{
    struct heap_block block;
    struct place place;

    if (find_in_index(state, value, ret)) {
        return true;
    }
    if (!heap_find(value, &block) && !(heap_find(value - 1, &block) && block.start + block.usable == value)) {
        return false;
    }
    if (find_in_new_places(state, &block, ret)) {
        return true;
    }
    if (item_index_has(&state->forwarding->index, block.start) || !state_place(state, &block, &place) ||
        !state->layouts.items[place.layout].changed) {
        return false;
    }
    const struct conversion *conversion =
        &state->conversions[state->layouts.items[place.layout].first_conversion];
    *ret = (struct where){ conversion,
                           place.kind,
                           place.start,
                           place.start,
                           conversion_size_before(conversion, place.kind, place.size),
                           false };
    return true;
}

enum answer forward_look_up(struct state *state, uintptr_t value, uint32_t wanted, uintptr_t *ret,
                            struct where *where)
{
    uint64_t offset;

    if ((!state->forwarding->heap || !find_in_heap(state, value, where)) &&
        !find_in_roots(state, value, wanted, where)) {
        return SAME;
    }
    if (value < where->place || value > where->place + where->size) {
        return SAME; /* the part of the block that nobody asked for, or what an allocation function keeps in
                        front */
    }
    offset = value - where->place;
    if (where->conversion &&
        !conversion_offset(where->conversion, where->kind, where->size, offset, wanted, &offset)) {
        return GONE;
    }
    *ret = where->target + offset;
    return *ret == value ? SAME : ELSEWHERE;
}

bool forward_may_be_tagged(const struct where *where, uintptr_t value, enum answer answer, uintptr_t after)
{
    const struct conversion *conversion = where->conversion;
    uintptr_t bits = value & 7, offset = value - bits - where->place;
    uint64_t start;

    if (bits && conversion && conversion->from->size &&
        (value - where->place) % conversion->from->size == 0) {
        return false; /* the end of a small object, and the beginning of another, perhaps */
    }
    if (!bits || !conversion || value - bits < where->place ||
        (where->kind == PLACE_OBJECT ? offset : offset % conversion->from->size) != 0 ||
        !conversion_offset(conversion, where->kind, where->size, offset, 0, &start)) {
        return false;
    }
    return where->target + start + bits != (answer == GONE ? value : after);
}
