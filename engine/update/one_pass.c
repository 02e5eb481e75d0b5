/*
 * One pass over the heap for most updates: what has a generated policy, and either stays where it is and keeps its size or moves into a block
 * that was made ready for it (ahead.h), is traced and migrated while it is in the processor's cache. Everything else is left to
 * trace.c and migrate.c, which it meets as it was.
 *
 * Of an instance that its generated way back restores to the byte, nothing is saved: that is tried when it is made, since bytes that
 * no member owns are lost on the way, unless there are none: if the way there merely moves all bytes, it can be gone backwards, and a few
 * trials are enough. So its item is sixteen bytes, and an update needs a quarter of the memory.
 *
 *     pointers are looked at quickly | copied | migrated in its place | and back, aside: the same?  -> nothing saved
 *       not what they promise: trace.c                                                  no          -> the copy is
 *
 * The heap is divided into parts, which are taken by whoever is free. What workers share they only read, or have a lock for.
 */
#include <emmintrin.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/parallel.h"
#include "engine/update/one_pass.h"
#include "engine/update/state_private.h"

#define SIZE_MAX_IN_PASSING 256
#define FEW 2000  /* instances: not worth a second thread */
#define LINES 128 /* bytes that the processor fetches together */
#define SIMPLE_MAX 64
#define WORDS_MAX 12
#define TRIES 64 /* ways back that are tried before it is given up, or relied upon */

/* Of one conversion, by one worker. Workers write to cache lines of their own. */
struct one_pass_items {
    _Alignas(LINES) struct staging items;
    uint64_t count, saved, moved;
    uintptr_t low, high;
    struct ahead_batch batch;
};

struct worker {
    _Alignas(LINES) struct state *state;
    struct one_pass_items *items; /* by conversion */
    /* What is being made, should it fail: its item, where it is, and what was there. */
    struct item item;
    const struct conversion *conversion;
    uint8_t *volatile place; /* NULL: nothing is */
    uintptr_t target;        /* if it moves */
    _Alignas(16) uint8_t old[SIZE_MAX_IN_PASSING];
    bool left; /* an instance was not for this pass */
};

/* A site whose blocks hold one object that is migrated in passing, of a type with few pointers: all there is to know, at a glance. */
struct simple {
    const struct conversion *conversion;
    size_t header;
    enum place_kind kind;
    bool moves;
    uint32_t count;
    struct {
        uint32_t offset, layout;
    } words[WORDS_MAX];
};

struct one_pass {
    struct worker workers[PARALLEL_MAX];
    struct one_pass_items *items; /* of all workers */
    unsigned width;
    size_t parts;
    _Alignas(LINES) atomic_size_t next_part;
    atomic_size_t parts_done;
    bool moves;                             /* some may move */
    unsigned site_after[HEAP_SITE_MAX + 1]; /* by site: of what moves; 0: it does not in this pass */
    struct simple simple[SIMPLE_MAX];
    size_t simple_count;
    uint8_t simple_of[HEAP_SITE_MAX + 1]; /* by site: 1 + which; 0: none */
    uint32_t starts[HEAP_SITE_MAX + 1]; /* by site: the layout of what its blocks begin with; 0: not known */
    atomic_flag slow;                   /* somebody looks at pointers that are not what they promise */
};

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

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

/* ---- what takes part ------------------------------------------------------------------------------------------------- */

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
                                 from->size == to->size && from->size <= SIZE_MAX_IN_PASSING;
        conversion->moves_in_passing = from->conversion_count == 1 && conversion->migrate &&
                                       !conversion->custom && !from->record->tail_stride &&
                                       !to->record->tail_stride && from->size < to->size &&
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
        bytes += segments[i].size;
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

/* ---- one instance ------------------------------------------------------------------------------------------------------ */

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

/* The bytes that were there are kept unless they can be had back. False without memory. */
static bool note(struct worker *worker, const struct conversion *conversion, struct one_pass_items *items,
                 uint8_t *place)
{
    size_t size = conversion->from->size;
    bool sure = conversion->exact && !items->saved && items->count >= TRIES;
    bool tries =
        (conversion->exact || conversion->back) && (items->saved < TRIES || items->saved < items->count / 2);
    struct item item = worker->item;

    item.derived = sure || (tries && is_restored(conversion, place, worker->old));
    struct item *pushed = staging_push(&items->items, sizeof(item) + (item.derived ? 0 : size));
    if (!pushed) {
        return false;
    }
    *pushed = item;
    if (!item.derived) {
        copy(item_saved(pushed), worker->old, size);
        items->saved++;
    }
    items->count++;
    uintptr_t start = (uintptr_t)place;
    items->low = start < items->low ? start : items->low;
    items->high = start + size > items->high ? start + size : items->high;
    return true;
}

static inline bool convert(struct worker *worker, const struct conversion *conversion, unsigned site,
                           uintptr_t start, enum place_kind kind)
{
    struct state *state = worker->state;
    uint8_t *place = (uint8_t *)start;
    size_t size = conversion->from->size;

    worker->item = item_make(start, size, kind, site, false, 0);
    worker->item.done = worker->item.passed = 1;
    worker->conversion = conversion;
    copy(worker->old, place, size);
    worker->place = place;
    atomic_signal_fence(memory_order_seq_cst);
    clear(place, size);
    conversion->migrate(worker->old, place);
    bool noted = note(worker, conversion, &worker->items[conversion - state->conversions], place);
    atomic_signal_fence(memory_order_seq_cst);
    if (noted) {
        worker->place = NULL;
        return true;
    }
    state->status = state_exhausted(state, "the engine", size);
    return false;
}

/* The instance at START becomes a new one at TARGET. */
static inline bool make_moved(struct worker *worker, const struct conversion *conversion, unsigned site,
                              uintptr_t start, enum place_kind kind, uintptr_t target)
{
    struct state *state = worker->state;
    size_t number = (size_t)(conversion - state->conversions);
    struct one_pass_items *items = &worker->items[number];

    worker->item = item_make(start, conversion->from->size, kind, site, true, 0);
    worker->item.done = worker->item.passed = 1;
    worker->conversion = conversion;
    worker->target = target;
    worker->place = (uint8_t *)start;
    atomic_signal_fence(memory_order_seq_cst);
    clear((uint8_t *)target, conversion->to->size);
    conversion->migrate((const void *)start, (void *)target);
    struct item *pushed = staging_push(&items->items, sizeof(*pushed) + sizeof(struct item_target));
    if (!pushed) {
        state->status = state_exhausted(state, "the engine", sizeof(*pushed));
        return false;
    }
    *pushed = worker->item;
    item_target(pushed)->target = target;
    *new_places_slot(&state->places, start) = new_place_make(target, number, kind == PLACE_ARRAY);
    items->count++;
    items->moved++;
    items->low = start < items->low ? start : items->low;
    items->high = start + conversion->from->size > items->high ? start + conversion->from->size : items->high;
    atomic_signal_fence(memory_order_seq_cst);
    worker->place = NULL;
    return true;
}

/* The same, if BLOCK is too small for it and there is a block ahead. Returns false if the update fails. */
static inline bool move(struct worker *worker, const struct conversion *conversion,
                        const struct heap_block *block, enum place_kind kind)
{
    size_t number = (size_t)(conversion - worker->state->conversions);
    bool grows_out = conversion->to->size > block->usable && worker->state->pass->site_after[block->site];
    uintptr_t target =
        grows_out ? ahead_take(&worker->state->conversions[number].ahead, &worker->items[number].batch) : 0;

    if (!target) {
        worker->left = true;
        return true;
    }
    return make_moved(worker, conversion, block->site, block->start, kind, target);
}

/* ---- one block ----------------------------------------------------------------------------------------------------------- */

struct glance {
    struct state *state;
    bool odd;   /* some pointer is not simply the start of what it promises */
    bool stray; /* the same, of a word that need not be looked at */
};

static inline void glance_at(void *context, uintptr_t at, const struct layout_word *word)
{
    struct glance *glance = context;
    uintptr_t value = *(const uintptr_t *)at;

    if (value && !state_leads_to_start(glance->state, value, word)) {
        const struct layout *wanted = &glance->state->layouts.items[word->layout];
        bool matters = word->kind == MOLT_FIELD_POINTER && (wanted->changed || wanted->leads);
        glance->odd |= matters;
        glance->stray |= !matters;
    }
}

/* The rest of the engine is for one thread. */
static bool trace_alone(struct state *state, const struct heap_block *block)
{
    while (atomic_flag_test_and_set_explicit(&state->pass->slow, memory_order_acquire)) {
        if (state->status < 0 || atomic_load(&parallel_broken)) {
            return false;
        }
        _mm_pause();
    }
    bool fine = trace_block(state, block);
    atomic_flag_clear_explicit(&state->pass->slow, memory_order_release);
    return fine;
}

/* Returns false if the update is refused. */
static inline bool look_at_pointers(struct state *state, const struct heap_block *block,
                                    const struct place *place)
{
    struct glance glance = { .state = state };

    place_walk(&state->layouts, place->layout, place->kind, place->start, place->size, glance_at, &glance);
    glance.stray |= place->kind == PLACE_OBJECT && place->size > state->layouts.items[place->layout].size;
    if (glance.stray && !state->strays[place->layout]) {
        state->strays[place->layout] = true;
    }
    return !glance.odd || trace_alone(state, block);
}

/* Whether BLOCK holds just what its site says, and all its pointers lead to starts of what they promise. */
static inline bool is_simple(const struct one_pass *pass, const struct simple *simple,
                             const struct heap_block *block)
{
    const uint8_t *object = (const uint8_t *)block->start + simple->header;
    bool same = block->size == simple->conversion->from->size + simple->header;

    for (uint32_t i = 0; i < simple->count && same; i++) {
        uintptr_t value;
        memcpy(&value, object + simple->words[i].offset, sizeof(value));
        same = !value || pass->starts[heap_site_at(value)] == simple->words[i].layout;
    }
    return same;
}

static bool visit(void *context, const struct heap_block *block)
{
    struct worker *worker = context;
    struct state *state = worker->state;
    struct one_pass *pass = state->pass;
    const struct simple *simple = &pass->simple[pass->simple_of[block->site] - 1];
    struct place place;

    if (pass->simple_of[block->site] && is_simple(pass, simple, block)) {
        return state->status < 0 ? false
               : simple->moves   ? move(worker, simple->conversion, block, simple->kind)
                                 : convert(worker, simple->conversion, block->site,
                                           block->start + simple->header, simple->kind);
    }
    if (state->status < 0 || !state_place(state, block, &place)) {
        return state->status == 0;
    }
    const struct layout *layout = &state->layouts.items[place.layout];
    if (layout->leads && !look_at_pointers(state, block, &place)) {
        return false;
    }
    if (!layout->changed) {
        return true;
    }
    const struct conversion *conversion = &state->conversions[layout->first_conversion];
    if (conversion->moves_in_passing && place.start == block->start && place.size == conversion->from->size) {
        return move(worker, conversion, block, place.kind);
    }
    if (!one_pass_takes(state, conversion, &place)) {
        worker->left = true;
        return true;
    }
    return convert(worker, conversion, block->site, place.start, place.kind);
}

/* ---- all --------------------------------------------------------------------------------------------------------------------- */

/* From now on the heap knows the new blocks of WORKER. Before, they would have been met as old ones. */
static void show_moved(struct worker *worker)
{
    struct state *state = worker->state;

    for (size_t i = 0; i < state->conversion_count; i++) {
        struct staging_position position = { 0 };
        const struct item *item;
        while (worker->items[i].moved && (item = staging_next(&worker->items[i].items, &position))) {
            heap_show(item_target(item)->target, state->conversions[i].to->size,
                      state->pass->site_after[item->site]);
            staging_advance(&position, sizeof(*item) + sizeof(struct item_target));
        }
    }
}

static bool goes_on(const struct state *state)
{
    return state->status == 0 && !atomic_load(&parallel_broken);
}

static void work(void *context, unsigned number)
{
    struct state *state = context;
    struct one_pass *pass = state->pass;
    size_t part;
    while (goes_on(state) && (part = atomic_fetch_add(&pass->next_part, 1)) < pass->parts) {
        heap_walk_part(heap_part_turn(part, pass->parts), state->wanted, visit, &pass->workers[number]);
        atomic_fetch_add(&pass->parts_done, 1);
    }
    while (pass->moves && atomic_load(&pass->parts_done) < pass->parts && goes_on(state)) {
        _mm_pause();
    }
    if (pass->moves && goes_on(state)) {
        show_moved(&pass->workers[number]);
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
        }
    }
    for (size_t k = 0; k < state->conversion_count; k++) {
        for (unsigned i = 0;
             staging_move_part(&state->conversions[k].items, &pass->workers[i % pass->width].items[k].items);
             i++) {
        }
    }
}

/* What WORKER was at is as it was. */
static void put_back(struct worker *worker)
{
    if (!worker->item.moved) {
        copy(worker->place, worker->old, worker->conversion->from->size);
    }
    worker->place = NULL;
}

/* What a helper has not survived is done once more here, where it can be told on. */
static void make_again(struct state *state, struct worker *lost)
{
    struct worker *worker = &state->pass->workers[0];

    if (lost->place) {
        const struct item *item = &lost->item;
        put_back(lost);
        if (item->moved) {
            make_moved(worker, lost->conversion, item->site, item->place, item->kind, lost->target);
        } else {
            convert(worker, lost->conversion, item->site, item->place, item->kind);
        }
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

static bool describe(const struct state *state, const struct meaning *meaning, bool moves, struct simple *ret)
{
    const struct layout *layout = &state->layouts.items[meaning->layout];
    const struct conversion *conversion = &state->conversions[layout->first_conversion];

    bool stays = conversion->in_passing && state_keeps_site(state, conversion, meaning);
    if (!meaning->layout || !layout->changed || layout->opaque || conversion->from != layout ||
        !(stays || moves) || layout->word_count > WORDS_MAX) {
        return false;
    }
    *ret = (struct simple){ .conversion = conversion,
                            .header = meaning->allocator.header,
                            .kind = kind_of(meaning),
                            .moves = moves,
                            .count = layout->leads ? layout->word_count : 0 };
    for (uint32_t i = 0; i < ret->count; i++) {
        const struct layout_word *word = &state->layouts.words[layout->first_word + i];
        if (word->kind != MOLT_FIELD_POINTER || word->count != 1 || !word->layout) {
            return false;
        }
        ret->words[i].offset = word->offset;
        ret->words[i].layout = word->layout;
    }
    return true;
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
        if (pass->simple_count < SIMPLE_MAX &&
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
        heap_walk(state->wanted, visit, &state->pass->workers[0]);
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
        if ((conversion->shifts || items->moved) && items->count) {
            conversion->low = items->low < conversion->low ? items->low : conversion->low;
            conversion->high = items->high > conversion->high ? items->high : conversion->high;
        }
    }
    state->left |= worker->left;
}

/* It is as it was, and what the report is about. */
static void put_back_interrupted(struct state *state, struct worker *worker)
{
    struct item *item = staging_push(&state->aside, sizeof(*item) + sizeof(struct item_target));

    put_back(worker);
    if (item) {
        *item = worker->item;
        item_target(item)->target = worker->target;
    }
    state->current = worker->conversion;
    state->current_item = item;
    state->current_old = (const void *)(uintptr_t)worker->item.place;
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
        take_over(state, &pass->workers[i]);
        if (pass->workers[i].place) {
            put_back_interrupted(state, &pass->workers[i]);
        }
    }
    state_unmap(pass->items);
    state_unmap(pass);
    state->pass = NULL;
}

void one_pass_undo(const struct conversion *conversion, const struct item *item)
{
    _Alignas(16) uint8_t old[SIZE_MAX_IN_PASSING];

    clear(old, item->size);
    lead_back(conversion, item_place(item), old);
    copy(item_place(item), old, item->size);
}
