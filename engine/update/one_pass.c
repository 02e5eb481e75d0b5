/*
 * One pass over the heap for most updates: what has a generated policy, and either stays where it is and
 * keeps its size or moves into a block that was made ready for it (ahead.h), is traced and migrated while it
 * is in the processor's cache. Everything else is left to trace.c, collect.c and in_place.c, which meet it as
 * it was.
 *
 * Of an instance that its generated way back restores to the byte, nothing is saved: that is tried when it is
 * made, since bytes that no member owns are lost on the way, unless there are none: if the way there merely
 * moves all bytes, it can be gone backwards, and a few trials are enough. So its item is sixteen bytes, and
 * an update needs a quarter of the memory.
 *
 * The heap is divided into parts, which are taken by whoever is free. What workers share they only read, or
 * have a lock for.
 */
#include <string.h>

#include "engine/update/one_pass_private.h"

#define FEW 2000 /* instances: not worth a second thread */

/* ---- what takes part ------------------------------------------------------------------------------- */

/* The generated function that leads from CONVERSION's new layout back to the old one. NULL: there is none. */
static void *find_way_back(const struct state *state, const struct conversion *conversion)
{
    const struct patch_file *file = &state->patch->file;

    for (size_t i = 0; i < file->patch_migrations_count; i++) {
        const struct molt_patch_migration *back = &file->patch_migrations[i];
        bool other_way =
            !(back->flags & MOLT_MIGRATION_INVERSE) != !(conversion->record->flags & MOLT_MIGRATION_INVERSE);
        if (other_way && back->flags & MOLT_MIGRATION_GENERATED && back->migrate &&
            state->patch->symbols[back->migrate].address &&
            back->old_layout == conversion->record->new_layout &&
            back->new_layout == conversion->record->old_layout) {
            return (void *)state->patch->symbols[back->migrate].address;
        }
    }
    return NULL;
}

void one_pass_plan(struct state *state)
{
    for (size_t i = 0; i < state->conversion_count; i++) {
        struct conversion *conversion = &state->conversions[i];
        const struct layout *from = conversion->from, *to = conversion->to;
        conversion->in_passing = from->conversion_count == 1 && conversion->migrate && !conversion->custom &&
                                 !from->record->tail_stride && !to->record->tail_stride &&
                                 from->size == to->size && from->size <= SIZE_MAX_IN_PASSING &&
                                 !conversion_realigns(conversion);
        conversion->moves_in_passing = from->conversion_count == 1 && conversion->migrate &&
                                       !conversion->custom && !from->record->tail_stride &&
                                       !to->record->tail_stride && from->size < to->size &&
                                       to->record->alignment <= MOLT_ALIGNMENT_ANYWHERE &&
                                       state->conversion_count <= NEW_PLACES_CONVERSIONS_MAX;
        void *back =
            conversion->in_passing && !conversion->validate ? find_way_back(state, conversion) : NULL;
        memcpy(&conversion->back, &back, sizeof(back));
        conversion->exact =
            conversion->in_passing && !conversion->validate && conversion_is_exact(conversion);
    }
}

bool one_pass_may_derive(const struct conversion *conversion)
{
    const struct molt_patch_segment *segments =
        &conversion->layouts->file->patch_segments[conversion->record->segment];
    size_t bytes = 0;

    for (uint32_t i = 0; i < conversion->record->segment_count; i++) {
        bytes += segments[i].flags & MOLT_SEGMENT_BITS ? 0 : segments[i].size;
    }
    return conversion->exact || (conversion->back && bytes >= conversion->from->size);
}

bool one_pass_is_possible(const struct state *state)
{
    bool any = false;

    for (size_t i = 0; i < state->conversion_count; i++) {
        any |= state->conversions[i].in_passing || state->conversions[i].ahead.count;
    }
    return any && !state->notes;
}

static bool is_wanted(const struct state *state, const struct meaning *meaning)
{
    const struct layout *layout = &state->layouts.items[meaning->layout];

    return meaning->layout && (layout->leads || layout->changed);
}

/* ---- all ------------------------------------------------------------------------------------------- */

static bool goes_on(const struct state *state)
{
    return state->status == 0 && !atomic_load(&parallel_broken);
}

static bool visit_alone(void *worker, const struct heap_block *block)
{
    return in_passing_visit(worker, block, 1);
}

static void work(void *context, unsigned number)
{
    struct state *state = context;
    struct one_pass *pass = state->pass;
    size_t part;
    while (goes_on(state) && (part = atomic_fetch_add(&pass->next_part, 1)) < pass->parts) {
        heap_walk_part(heap_part_turn(part, pass->parts), state->wanted, NULL, in_passing_visit,
                       &pass->workers[number]);
    }
}

/* Memory that was reserved is for all. */
static void deal_out(struct state *state)
{
    struct one_pass *pass = state->pass;

    for (unsigned i = 0; i < pass->width; i++) {
        struct worker *worker = &pass->workers[i];
        worker->state = state;
        worker->items = pass->items + i * state->conversion_count;
        for (size_t k = 0; k < state->conversion_count; k++) {
            worker->items[k].low = UINTPTR_MAX;
            worker->items[k].items.pool = &state->conversions[k].items;
        }
    }
}

/* What a helper has not survived is done once more here, where it can be told on. */
static void make_again(struct state *state, struct worker *lost)
{
    struct worker *worker = &state->pass->workers[0];
    struct item item;
    uintptr_t target;

    if (making_interrupted(lost, &item, &target)) {
        struct making *making = making_set(worker, lost->making.conversion, item.site, item.kind, item.moved);
        making->places[0] = item.place;
        making->targets[0] = target;
        making_run(worker, 1);
    }
    state->status = state_fail(state, "a helper of the engine has not come back");
}

static enum place_kind kind_of(const struct meaning *meaning)
{
    return meaning->kind == MOLT_SITE_ARRAY ? PLACE_ARRAY : PLACE_OBJECT;
}

/* The site of what moves out of blocks that are what MEANING says; 0 if that is not for this pass. */
static unsigned site_of_moved(struct state *state, const struct meaning *meaning)
{
    const struct layout *layout = &state->layouts.items[meaning->layout];
    struct conversion *conversion = &state->conversions[layout->first_conversion];

    return meaning->layout && layout->changed && conversion->from == layout && conversion->ahead.count &&
                   !meaning->allocator.header && !meaning->allocator.allocate
               ? state_site_of_moved(state, conversion, meaning, kind_of(meaning))
               : 0;
}

/* The words of LAYOUT, one by one. False: it has too many, or others. */
static bool describe_words(const struct state *state, const struct layout *layout, struct simple *simple)
{
    for (uint32_t i = 0; i < layout->word_count; i++) {
        const struct layout_word *word = &state->layouts.words[layout->first_word + i];
        const struct layout *wanted = &state->layouts.items[word->layout];
        if (word->kind == MOLT_FIELD_MEMBER || word->count > WORDS_MAX - simple->count) {
            return false;
        }
        for (uint32_t k = 0; k < word->count; k++) {
            simple->words[simple->count++] = (struct simple_word){
                .offset = word->offset + k * word->stride,
                .layout = word->layout ? word->layout : UINT32_MAX,
                .matters = word->kind == MOLT_FIELD_POINTER && (wanted->changed || wanted->leads),
            };
        }
    }
    return true;
}

static bool describe(const struct state *state, const struct meaning *meaning, bool moves, struct simple *ret)
{
    const struct layout *layout = &state->layouts.items[meaning->layout];
    const struct conversion *conversion =
        layout->changed ? &state->conversions[layout->first_conversion] : NULL;

    bool stays = conversion && conversion->in_passing && state_keeps_site(state, conversion, meaning);
    if (!meaning->layout || meaning->kind == MOLT_SITE_UNKNOWN || layout->opaque || !layout->size ||
        layout->record->tail_stride || (conversion && (conversion->from != layout || !(stays || moves)))) {
        return false;
    }
    *ret = (struct simple){ .conversion = conversion,
                            .layout = meaning->layout,
                            .header = meaning->allocator.header,
                            .size = layout->size,
                            .kind = kind_of(meaning),
                            .moves = moves };
    return !layout->leads || describe_words(state, layout, ret);
}

/* What each site means. */
static void describe_sites(struct state *state)
{
    struct one_pass *pass = state->pass;

    for (unsigned id = 1; id <= heap_site_count() && id <= HEAP_SITE_MAX; id++) {
        const struct meaning *meaning = sites_meaning(&state->sites, id);
        pass->starts[id] = meaning->allocator.header ? 0 : meaning->layout;
        pass->site_after[id] = pass->moves ? site_of_moved(state, meaning) : 0;
        state->places.sites[id] = pass->site_after[id] != 0;
        if (state->wanted[id] && pass->simple_count < SIMPLE_MAX &&
            describe(state, meaning, pass->site_after[id] != 0, &pass->simple[pass->simple_count])) {
            pass->simple_of[id] = (uint8_t)++pass->simple_count;
        }
    }
}

void one_pass(struct state *state)
{
    unsigned width = state->live >= FEW ? parallel_width() : 1;

    state->left = false;
    state->pass = state_map(1, sizeof(*state->pass));
    struct one_pass_items *items =
        state->pass ? state_map(width * state->conversion_count, sizeof(*items)) : NULL;
    if (!items) {
        state->status = state_exhausted(state, "the engine", sizeof(*items));
        return;
    }
    state->pass->items = items;
    state->pass->width = width;
    state_want(state, is_wanted); /* and knows what each site means, from here on */
    sites_meaning(&state->sites, 0);
    state->pass->parts = heap_parts();
    for (size_t i = 0; i < state->conversion_count; i++) {
        state->pass->moves |= state->conversions[i].ahead.count > 0;
    }
    state->pass->moves =
        state->pass->moves && state->pass->parts && new_places_make_room(&state->places, state->pass->parts);
    describe_sites(state);
    deal_out(state);
    if (!state->pass->parts) { /* no blocks, or no memory to list them in parts */
        heap_walk(state->wanted, visit_alone, &state->pass->workers[0]);
        return;
    }
    unsigned lost = parallel_run(work, state, width);
    if (lost && state->status == 0) {
        make_again(state, &state->pass->workers[lost]);
    }
}

static void take_over(struct state *state, struct worker *worker)
{
    for (size_t i = 0; i < state->conversion_count; i++) {
        struct conversion *conversion = &state->conversions[i];
        struct one_pass_items *items = &worker->items[i];
        staging_join(&conversion->items, &items->items);
        conversion->count += items->count;
        state->moved += items->moved;
        if ((conversion->shifts || items->moved || items->spreads) && items->count) {
            conversion->low = items->low < conversion->low ? items->low : conversion->low;
            conversion->high = items->high > conversion->high ? items->high : conversion->high;
        }
    }
    state->left |= worker->left;
}

/* What WORKER was at, if it was interrupted, is as it was, and what the report is about. */
static void put_back_interrupted(struct state *state, struct worker *worker)
{
    struct item item;
    uintptr_t target;

    if (!making_interrupted(worker, &item, &target)) {
        return;
    }
    struct item *kept = staging_push(&state->aside, sizeof(item) + sizeof(struct item_target));
    if (kept) {
        *kept = item;
        item_target(kept)->target = target;
    }
    state->current = worker->making.conversion;
    state->current_item = kept;
    state->current_old = item_place(&item);
    state->current_new = NULL;
    state->current_function = STATE_MIGRATE;
}

void one_pass_end(struct state *state)
{
    struct one_pass *pass = state->pass;

    if (!pass) {
        return;
    }
    parallel_abandon();
    for (unsigned i = pass->width; i-- > 0;) { /* the engine's thread last: it is what has met the guard */
        put_back_interrupted(state, &pass->workers[i]);
        take_over(state, &pass->workers[i]);
    }
    state_unmap(pass->items);
    state_unmap(pass);
    state->pass = NULL;
}
