/*
 * Forwarding: whatever leads to an instance that has moved, or to a part of one that lies elsewhere in it
 * now, is led to where that is.
 *
 * Words that have a type are judged by it: a pointer follows what it points to, a word that may be an address
 * (uintptr_t) only if it is the address of a moved instance, and everything else is left alone. Words without
 * a type follow if they lie inside a moved instance.
 *
 * Most words are rejected by a comparison with the lowest and the highest address that could matter, most of
 * the others as starts of blocks that are where they were; what is left is looked up. Every rewritten word is
 * noted, so that it can be put back.
 */
#include <errno.h>

#include "engine/update/forward_private.h"

#define FEW_PARTS 64      /* of the heap: not worth a second processor */
#define FEW_IN_PLACE 1024 /* the same, if nothing has moved: then few blocks are visited */
#define WORDS_EACH 2      /* that lead to an instance, as a guess: memory for noting them is taken ahead */

/* ---- what has moved -------------------------------------------------------------------------------- */

static void widen(struct forwarding *forwarding, uintptr_t low, uintptr_t high)
{
    forwarding->low = low < forwarding->low ? low : forwarding->low;
    forwarding->high = high > forwarding->high ? high : forwarding->high;
}

/* The bounds of all that has moved or shifted, and whether that is nothing but what the one pass has moved.
 */
static void find_bounds(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    forwarding->pages_tell = state->in_passing && !state->left && !state->guesses.count;
    for (size_t i = 0; i < state->conversion_count; i++) {
        const struct conversion *conversion = &state->conversions[i];
        if (conversion->high) {
            widen(forwarding, conversion->low, conversion->high);
            forwarding->heap = true;
            forwarding->pages_tell &= conversion->moves_in_passing;
        }
    }
    for (size_t i = 0; i < state->roots.count; i++) { /* of unchanged types, but elsewhere */
        const struct root *root = &state->roots.items[i];
        if (root->target != root->place) {
            widen(forwarding, root->place, root->place + root_size(state, root));
        }
        forwarding->pages_tell &= root->target == root->place && !root->item;
    }
}

static bool is_special(const struct conversion *conversion, const struct item *item)
{
    return item->kind != PLACE_ROOT && !item->passed &&
           (item->moved || item->retagged || conversion->from->conversion_count > 1);
}

static int index_items(struct state *state, const struct conversion *conversion)
{
    struct staging_position position = { 0 };
    const struct item *item;
    int status = 0;

    while (status == 0 && (item = item_next(conversion, &position))) {
        if (is_special(conversion, item)) {
            uint32_t header = sites_meaning(&state->sites, item->site)->allocator.header;
            status = item_index_add(&state->forwarding->index,
                                    (struct indexed_item){ item->place - header, conversion, item });
        }
    }
    return status;
}

static int make_index(struct state *state)
{
    struct item_index *index = &state->forwarding->index;
    size_t special = 0;
    int status = 0;

    for (size_t i = 0; i < state->conversion_count; i++) {
        special += state->conversions[i].special;
    }
    if (special) {
        status = item_index_make_room(index, special);
    }
    for (size_t i = 0; i < state->conversion_count && status == 0; i++) {
        status = state->conversions[i].special ? index_items(state, &state->conversions[i]) : 0;
    }
    item_index_lay_out(index);
    return status;
}

/* Room for them, by layout. */
static int make_shapes(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    if (!forwarding->shapes) {
        forwarding->shapes = state_map(state->layouts.count + 1, sizeof(*forwarding->shapes));
    }
    return forwarding->shapes ? 0 : -ENOMEM;
}

/* ---- where to look --------------------------------------------------------------------------------- */

/* Variables with types are visited by them, and by nobody else. */
static int leave_roots(struct state *state)
{
    int status = 0;

    for (size_t i = 0; i < state->roots.count && status == 0; i++) {
        const struct root *root = &state->roots.items[i];
        const struct molt_patch_root *record = root->record;
        size_t each = record->kind == MOLT_FIELD_MEMBER ? state->layouts.items[record->new_layout].size
                                                        : sizeof(void *);
        status = references_leave(&state->references, root->place, root->place + root_size(state, root));
        if (status == 0 && root->target != root->place) {
            status =
                references_leave(&state->references, root->target, root->target + each * record->new_count);
        }
    }
    return status;
}

/* What the patch writes itself stays as it was until it does, else the way back would bring addresses that
 * had been led on already. */
static int leave_constants(struct state *state)
{
    const struct patch_file *file = &state->patch->file;
    int status = 0;

    for (size_t i = 0; i < file->patch_data_count && status == 0; i++) {
        const struct molt_patch_data *data = &file->patch_data[i];
        uintptr_t place =
            state->patch->modules[data->module].absent ? 0 : load_data_place(state->patch, data);
        status = place ? references_leave(&state->references, place, place + data->size) : 0;
    }
    return status;
}

/* What the kernel keeps is the address of an object, in whose low bits, which are zero in addresses, programs
 * keep flags. */
static bool kernel_word_moved(void *context, uint64_t data, uint64_t *ret)
{
    struct state *state = context;
    const struct forwarding *forwarding = state->forwarding;
    struct where where;
    uintptr_t after;

    if (data - forwarding->low > forwarding->high - forwarding->low ||
        forward_look_up(state, data, 0, &after, &where) == SAME) {
        return false;
    }
    uint32_t alignment = where.conversion ? where.conversion->from->record->alignment : 1;
    uint64_t flags = data & ((alignment < 8 ? alignment : 8) - 1);
    bool moved = forward_look_up(state, data - flags, 0, &after, &where) == ELSEWHERE;
    *ret = after + flags;
    return moved;
}

uintptr_t state_now_at(void *context, uintptr_t address)
{
    struct state *state = context;
    const struct forwarding *forwarding = state_changes(state) ? state->forwarding : NULL;
    struct where where;
    uintptr_t after;

    return forwarding && address - forwarding->low <= forwarding->high - forwarding->low &&
                   forward_look_up(state, address, 0, &after, &where) == ELSEWHERE
               ? after
               : address;
}

static void visit_kernel(struct state *state)
{
    int descriptor = -1;

    if (state->notes) {
        return; /* a rehearsal: the copy's epoll sets are the program's */
    }
    state->status = kernel_words_lead(&state->forwarding->kernel, kernel_word_moved, state, &descriptor);
    if (state->status < 0) {
        state_refuse(
            state,
            "an epoll set holds the address of an instance that moves, with descriptor %d, and it cannot be "
            "changed there now (%s); try again",
            descriptor, state->status == -ENOMEM ? "no memory" : "the descriptor is disarmed or closed");
    }
}

static void visit_all(struct state *state)
{
    struct forwarder *forwarder = &state->forwarding->workers[0];

    for (size_t i = 0; i < state->roots.count && state->status == 0; i++) {
        root_walk(state, &state->roots.items[i], state->roots.items[i].target, true, forward_word, forwarder);
    }
    if (state->status == 0) {
        forward_heap(state);
    }
    if (state->status == 0) {
        references_walk(&state->references, state->world, forward_untyped, forwarder);
    }
    if (state->status == 0) {
        references_mapped(&state->references, state->world, forward_untyped, forwarder);
    }
    if (state->status == 0) {
        visit_kernel(state);
    }
}

/* Memory that was reserved is for all. */
static void deal_out(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    forwarding->parts = heap_parts();
    forwarding->width = forwarding->parts > (state->moved ? FEW_PARTS : FEW_IN_PLACE) ? parallel_width() : 1;
    for (unsigned i = 0; i < forwarding->width; i++) {
        forwarding->workers[i].state = state;
        forwarding->workers[i].changes.pool = &forwarding->changes;
    }
}

/* What all have noted, however far they came. */
static void take_over(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    for (unsigned i = 0; i < forwarding->width; i++) {
        staging_join(&forwarding->changes, &forwarding->workers[i].changes);
        state->report->rewritten_typed += forwarding->workers[i].typed;
        state->report->rewritten_untyped += forwarding->workers[i].untyped;
    }
    forwarding->width = 0;
}

int forward(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    forwarding->low = UINTPTR_MAX;
    state->lost = (struct lost_pointer){ 0 };
    find_bounds(state);
    if (forwarding->low == UINTPTR_MAX) {
        return 0;
    }
    state->references.constants = state->roots_moved;
    state->status = 0;
    int status = make_index(state);
    status = status < 0 ? status : make_shapes(state);
    status = status < 0 ? status : leave_roots(state);
    status = status < 0 ? status : leave_constants(state);
    if (status < 0) {
        return status;
    }
    references_sort(&state->references);
    state->report->rewritten_typed = state->report->rewritten_untyped = 0;
    deal_out(state);
    visit_all(state);
    take_over(state);
    forward_close(state);
    if (forwarding->lost) {
        state_warn(state, "%lu pointers lead to members that are gone: they stay as they are",
                   (unsigned long)forwarding->lost);
    }
    return state->status;
}

void forward_undo(struct state *state)
{
    struct staging_position position = { 0 };
    const struct change *change;

    take_over(state);
    while ((change = staging_next(&state->forwarding->changes, &position))) {
        staging_advance(&position, sizeof(*change));
        if (state->references.constants) {
            forward_open(state, change->at);
        }
        *change->at = change->before;
    }
    forward_close(state);
    kernel_words_undo(&state->forwarding->kernel);
    forward_deinit(state);
}

void forward_deinit(struct state *state)
{
    staging_deinit(&state->forwarding->changes);
    item_index_deinit(&state->forwarding->index);
    kernel_words_deinit(&state->forwarding->kernel);
    state_unmap(state->forwarding->shapes);
    *state->forwarding = (struct forwarding){ 0 };
}

int forward_reserve(struct state *state, size_t count)
{
    size_t some_more = count + count / 16;
    int status =
        staging_reserve_parts(&state->forwarding->changes, some_more * WORDS_EACH * sizeof(struct change));

    return status < 0 ? status : item_index_reserve(&state->forwarding->index, some_more);
}

int forward_init(struct state *state)
{
    state->forwarding = state_map(1, sizeof(*state->forwarding));
    return state->forwarding ? 0 : -ENOMEM;
}

void forward_destroy(struct state *state)
{
    if (state->forwarding) {
        forward_deinit(state);
        state_unmap(state->forwarding);
    }
}
