/*
 * What the one pass does to blocks: pointers are looked at quickly, what is not what they promise is left to
 * trace.c; then what is fine is made (making.c).
 *
 * Blocks come some at a time. Those of a simple site are looked at all at once, word by word, before
 * anything is done to them.
 */
#include <emmintrin.h>
#include <string.h>

#include "engine/update/one_pass_private.h"

#define LINE 64     /* bytes of memory that the processor fetches at once */
#define FETCHED 128 /* of a new block, before it is made: the rest follows by itself */

/* ---- pointers -------------------------------------------------------------------------------------- */

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
static bool trace_alone(struct state *state, const struct place *place)
{
    while (atomic_flag_test_and_set_explicit(&state->pass->slow, memory_order_acquire)) {
        if (state->status < 0 || atomic_load(&parallel_broken)) {
            return false;
        }
        _mm_pause();
    }
    bool fine = trace_place(state, place);
    atomic_flag_clear_explicit(&state->pass->slow, memory_order_release);
    return fine;
}

static void note_stray(struct state *state, uint32_t layout)
{
    if (!state->strays[layout]) {
        state->strays[layout] = true;
    }
}

/* Returns false if the update is refused. */
static inline bool look_at_pointers(struct state *state, const struct place *place)
{
    struct glance glance = { .state = state };

    place_walk(&state->layouts, place->layout, place->kind, place->start, place->size, glance_at, &glance);
    if (glance.stray ||
        (place->kind == PLACE_OBJECT && place->size > state->layouts.items[place->layout].size)) {
        note_stray(state, place->layout);
    }
    return !glance.odd || trace_alone(state, place);
}

static bool are_all(const bool *some, size_t count)
{
    return !memchr(some, false, count);
}

/* Whether the pointers of each of COUNT objects of SIMPLE's site, HEAP_VISITED_MAX at most, lead to starts of
 * what they promise: fine[i], and whether all do. */
static bool look_at_many(struct state *state, const struct simple *simple, const uintptr_t *objects,
                         size_t count, bool *fine)
{
    bool others[HEAP_VISITED_MAX];

    memset(fine, true, count);
    memset(others, true, count);
    for (const struct simple_word *word = simple->words; word < simple->words + simple->count; word++) {
        if (word->matters || !state->strays[simple->layout]) {
            heap_words_lead(objects, word->offset, count, state->pass->starts, word->layout,
                            word->matters ? fine : others);
        }
    }
    if (!are_all(others, count)) {
        note_stray(state, simple->layout);
    }
    return are_all(fine, count);
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

/* The block ahead for what grows out of BLOCK; 0: there is none, and that is not for this pass. */
static uintptr_t take_target(struct worker *worker, const struct conversion *conversion,
                             const struct heap_block *block)
{
    size_t number = (size_t)(conversion - worker->state->conversions);
    unsigned site = worker->state->pass->site_after[block->site];
    bool grows_out = conversion->to->size > block->usable && site;
    uintptr_t target =
        grows_out ? ahead_take(&worker->state->conversions[number].ahead, &worker->items[number].batch, site)
                  : 0;

    worker->left |= !target;
    for (size_t at = 0; target && at < conversion->to->size && at < FETCHED; at += LINE) {
        __builtin_prefetch((const void *)(target + at), 1);
    }
    return target;
}

/* The object at PLACE in BLOCK becomes what CONVERSION says, as far as that is for this pass. */
static bool make_one(struct worker *worker, const struct conversion *conversion,
                     const struct heap_block *block, const struct place *place)
{
    bool fits = place->start == block->start && place->size == conversion->from->size;
    bool moves = conversion->moves_in_passing && fits;

    if (!moves && !one_pass_takes(worker->state, conversion, place)) {
        worker->left = true;
        return true;
    }
    struct making *making = making_set(worker, conversion, block->site, place->kind, moves);
    making->places[0] = place->start;
    making->targets[0] = moves ? take_target(worker, conversion, block) : 0;
    return making_run(worker, !moves || making->targets[0]);
}

/* Whatever BLOCK is. */
static bool visit_any(struct worker *worker, const struct heap_block *block)
{
    struct state *state = worker->state;
    struct place place;

    if (!state_place(state, block, &place)) {
        return true;
    }
    const struct layout *layout = &state->layouts.items[place.layout];
    if (layout->leads && !look_at_pointers(state, &place)) {
        return false;
    }
    if (!layout->changed) {
        return true;
    }
    return make_one(worker, &state->conversions[layout->first_conversion], block, &place);
}

/* BLOCK, of SIMPLE's site, holds a table of what does not change. */
static bool visit_table(struct worker *worker, const struct simple *simple, const struct heap_block *block)
{
    struct state *state = worker->state;
    struct place place;
    uintptr_t objects[HEAP_VISITED_MAX] = { 0 };
    bool fine[HEAP_VISITED_MAX], goes_on = state_place(state, block, &place);
    size_t left = goes_on ? place.size / simple->size : 0;

    for (uintptr_t at = place.start; left && goes_on;) {
        size_t some = left < HEAP_VISITED_MAX ? left : HEAP_VISITED_MAX;
        for (size_t i = 0; i < some; i++, at += simple->size) {
            objects[i] = at;
        }
        bool all = look_at_many(state, simple, objects, some, fine);
        for (size_t i = 0; i < some && !all && goes_on; i++) {
            place.start = objects[i];
            place.size = simple->size;
            goes_on = fine[i] || look_at_pointers(state, &place);
        }
        left -= some;
    }
    return goes_on;
}

/* Those of COUNT blocks whose pointers are FINE are made into what SIMPLE says. */
static bool make_simple(struct worker *worker, const struct simple *simple, const struct heap_block *blocks,
                        size_t count, const bool *fine)
{
    struct making *making = making_set(worker, simple->conversion, blocks->site, simple->kind, simple->moves);
    size_t made = 0;

    for (size_t i = 0; i < count; i++) {
        if (fine[i]) {
            making->places[made] = blocks[i].start + simple->header;
            making->targets[made] = simple->moves ? take_target(worker, simple->conversion, &blocks[i]) : 0;
            made += !simple->moves || making->targets[made];
        }
    }
    return making_run(worker, made);
}

/* COUNT blocks, one after the other, of SIMPLE's site and size. */
static bool visit_simple(struct worker *worker, const struct simple *simple, const struct heap_block *blocks,
                         size_t count)
{
    uintptr_t objects[HEAP_VISITED_MAX] = { 0 };
    bool fine[HEAP_VISITED_MAX];

    for (size_t i = 0; i < count; i++) {
        objects[i] = blocks[i].start + simple->header;
    }
    bool all = look_at_many(worker->state, simple, objects, count, fine);
    for (size_t i = 0; i < count && !all; i++) {
        if (!fine[i] && !visit_any(worker, &blocks[i])) {
            return false;
        }
    }
    return !simple->conversion || make_simple(worker, simple, blocks, count, fine);
}

/* How many of COUNT blocks, from the first on, are of its site and its size. */
static size_t alike(const struct heap_block *blocks, size_t count)
{
    size_t i = 1;

    while (i < count && blocks[i].site == blocks->site && blocks[i].size == blocks->size) {
        i++;
    }
    return i;
}

/* Of COUNT blocks the first one, or, if they are simple, those that are like it. Returns how many; 0 if the
 * update fails. */
static size_t visit_some(struct worker *worker, const struct heap_block *blocks, size_t count)
{
    const struct one_pass *pass = worker->state->pass;
    unsigned which = pass->simple_of[blocks->site];
    const struct simple *simple = which ? &pass->simple[which - 1] : NULL;

    if (simple && blocks->size == simple->header + simple->size) {
        size_t some = alike(blocks, count);
        return visit_simple(worker, simple, blocks, some) ? some : 0;
    }
    if (simple && !simple->conversion && simple->kind == PLACE_ARRAY) {
        return visit_table(worker, simple, blocks);
    }
    return visit_any(worker, blocks);
}

bool in_passing_visit(void *context, const struct heap_block *blocks, size_t count)
{
    struct worker *worker = context;
    size_t some;

    for (size_t i = 0; i < count; i += some) {
        some = visit_some(worker, blocks + i, count - i);
        if (!some || worker->state->status < 0) {
            return false;
        }
    }
    return true;
}
