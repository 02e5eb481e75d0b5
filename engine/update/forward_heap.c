/*
 * Forwarding in the heap, by as many as may: blocks as they are now, and those that the one pass has moved
 * instances into, of which the heap does not know before all is done. These are listed (ahead.h), and the
 * update takes them back with all that is in them should it fail, so their words need no note of what they
 * were.
 *
 * Most objects are of a layout with few words, at known offsets: its *shape*. Those are looked at
 * several at a time; the others one by one, as their layouts say.
 */
#include <emmintrin.h>
#include <errno.h>

#include "engine/update/forward_private.h"
#include "engine/watched.h"

#define QUICK_MAX 1024  /* bytes of an object that are looked at quickly first, */
#define QUICK_WORDS 4   /* if it has that many words: fewer are looked at as quickly one by one */
#define ENOUGH_HITS 4   /* stretches of memory that hold addresses, before it is found that most do */
#define SLICE 1024      /* bytes of them that are searched at once */
#define MOVED_EACH 4096 /* blocks ahead that a worker takes at once */

static bool goes_on(const struct state *state)
{
    return state->status == 0 && !atomic_load(&parallel_broken);
}

/* ---- blocks as they are ---------------------------------------------------------------------------- */

/* Quickly, whatever they mean: whether any of the words from START to END holds an address that matters. */
READS_PROGRAM static bool holds_any(const struct forwarding *forwarding, uintptr_t start, uintptr_t end)
{
    uintptr_t low = forwarding->low, range = forwarding->high - low;
    bool any = false;

    for (const uintptr_t *at = (const uintptr_t *)start; at < (const uintptr_t *)(end & ~7ul); at++) {
        any |= *at - low <= range;
    }
    return any;
}

/* The heap's blocks as they are now. */
static bool visit_block(void *context, const struct heap_block *block)
{
    struct forwarder *forwarder = context;
    struct state *state = forwarder->state;
    struct place place;

    if (new_places_get(&state->places, block->start, block->site) ||
        (item_index_has(&state->forwarding->index, block->start) &&
         item_index_find(&state->forwarding->index, block->start)->item->moved)) {
        return state->status == 0; /* the old block: nobody looks at it any more */
    }
    if (!state_place(state, block, &place)) {
        references_range(&state->references, block->start, block->start + block->size, forward_untyped,
                         forwarder);
        return state->status == 0;
    }
    uint32_t layout = state->layouts.items[place.layout].becomes;
    const struct layout *type = &state->layouts.items[layout];
    if (type->aligned && place.start % sizeof(uintptr_t) == 0 && place.size <= QUICK_MAX &&
        type->word_count >= QUICK_WORDS &&
        !holds_any(state->forwarding, place.start, place.start + place.size)) {
        return true;
    }
    place_walk(&state->layouts, layout, place.kind, place.start, place.size, forward_word, forwarder);
    if (place.kind == PLACE_OBJECT && !type->record->tail_stride && place.size > type->size) {
        references_range(&state->references, place.start + type->size, place.start + place.size,
                         forward_untyped, forwarder);
    }
    return state->status == 0;
}

/* Most of a large heap has nothing to do with what has moved: memory is searched as it lies, and only where
 * there may be something, block by block. Not if that is almost everywhere. */
static bool concerns(void *context, uintptr_t start, uintptr_t end)
{
    struct forwarder *forwarder = context;

    if (!forwarder->state->forwarding->aligned || forwarder->hits > ENOUGH_HITS + forwarder->stretches / 2) {
        return true;
    }
    bool any = false;
    for (uintptr_t at = start; at < end && !any; at += SLICE) {
        any = holds_any(forwarder->state->forwarding, at, end - at < SLICE ? end : at + SLICE);
    }
    forwarder->stretches++;
    forwarder->hits += any;
    return any;
}

/* How many of COUNT blocks, from the first on, are of its site and its size, and nothing has become of them
 * that the index knows. */
static size_t alike(const struct item_index *index, const struct heap_block *blocks, size_t count)
{
    size_t i = 0;

    while (i < count && blocks[i].site == blocks->site && blocks[i].size == blocks->size &&
           !item_index_has(index, blocks[i].start)) {
        i++;
    }
    return i;
}

/* COUNT objects of SHAPE, the first one at START, side by side. */
static void visit_table(struct forwarder *forwarder, const struct forward_shape *shape, uintptr_t start,
                        size_t count)
{
    uintptr_t objects[HEAP_VISITED_MAX];

    for (size_t some; count; count -= some) {
        some = count < HEAP_VISITED_MAX ? count : HEAP_VISITED_MAX;
        for (size_t i = 0; i < some; i++, start += shape->size) {
            objects[i] = start;
        }
        forward_objects(forwarder, shape, objects, some, true);
    }
}

/* Of COUNT blocks those that are like the first one, if each is an object with few words, or that one is an
 * array of such. Returns how many; 0: the first one is something else. */
static size_t visit_alike(struct forwarder *forwarder, const struct heap_block *blocks, size_t count)
{
    struct state *state = forwarder->state;
    struct forwarding *forwarding = state->forwarding;
    const struct meaning *meaning = sites_meaning(&state->sites, blocks->site);
    const struct forward_shape *shape = forwarding->shapes_of[blocks->site];
    size_t some = shape ? alike(&forwarding->index, blocks, count) : 0, header = meaning->allocator.header;
    uintptr_t objects[HEAP_VISITED_MAX];

    if (!some || blocks->size < header + shape->size) {
        return 0;
    }
    if (blocks->size > header + shape->size) {
        bool array = meaning->kind == MOLT_SITE_ARRAY;
        if (array) {
            visit_table(forwarder, shape, blocks->start + header, (blocks->size - header) / shape->size);
        }
        return array;
    }
    for (size_t i = 0; i < some; i++) {
        objects[i] = blocks[i].start + header;
    }
    forward_objects(forwarder, shape, objects, some, true);
    return some;
}

static bool visit_blocks(void *context, const struct heap_block *blocks, size_t count)
{
    struct forwarder *forwarder = context;

    for (size_t i = 0, some; i < count; i += some) {
        some = visit_alike(forwarder, blocks + i, count - i);
        if (!some && !visit_block(forwarder, &blocks[i])) {
            return false;
        }
        some += !some;
    }
    return forwarder->state->status == 0;
}

/* ---- what blocks are ------------------------------------------------------------------------------- */

static bool holds_addresses(const struct state *state, const struct meaning *meaning)
{
    const struct layout *layout = &state->layouts.items[meaning->layout];
    bool same = !state->custom &&
                !state->moved; /* what has been traced holds what it held, and that is where it was */

    if (meaning->layout && same && !state->strays[meaning->layout]) {
        return false;
    }
    if (!meaning->layout || layout->words) {
        return true;
    }
    for (uint32_t i = 0; i < layout->conversion_count; i++) {
        if (state->conversions[layout->first_conversion + i].to->words) {
            return true;
        }
    }
    return meaning->kind == MOLT_SITE_OBJECT &&
           !layout->record->tail_stride; /* bytes may follow the object */
}

static bool is_aligned(const struct state *state, uint32_t index)
{
    const struct layout *layout = &state->layouts.items[index];
    const struct molt_patch_layout *record = layout->record;

    return !layout->words ||
           (layout->aligned && layout->size % sizeof(uintptr_t) == 0 &&
            record->tail_offset % sizeof(uintptr_t) == 0 && record->tail_stride % sizeof(uintptr_t) == 0 &&
            (!record->tail_stride || state->layouts.items[layout->tail].aligned));
}

/* Whether addresses stand only where they are looked for, in blocks of those sites that are wanted. */
static bool are_aligned(struct state *state)
{
    bool aligned = true;

    for (unsigned id = 1; id <= heap_site_count() && aligned; id++) {
        const struct meaning *meaning = sites_meaning(&state->sites, id);
        aligned = !state->wanted[id] || !meaning->layout ||
                  (meaning->allocator.header % sizeof(uintptr_t) == 0 &&
                   is_aligned(state, state->layouts.items[meaning->layout].becomes));
    }
    return aligned;
}

/* Blocks of sites that one_pass.c has emptied are all old. */
static void leave_moved(struct state *state)
{
    for (unsigned id = 1; id <= HEAP_SITE_MAX && state->in_passing && !state->left; id++) {
        state->wanted[id] = state->wanted[id] && !state->places.sites[id];
    }
}

/* ---- shapes ---------------------------------------------------------------------------------------- */

/* The words of LAYOUT, one by one. False: it has too many, or others. */
static bool describe_words(const struct layouts *layouts, const struct layout *layout,
                           struct forward_shape *ret)
{
    for (uint32_t i = 0; i < layout->word_count; i++) {
        const struct layout_word *word = &layouts->words[layout->first_word + i];
        if (word->kind == MOLT_FIELD_MEMBER || word->count > FORWARD_WORDS_MAX - ret->count) {
            return false;
        }
        for (uint32_t k = 0; k < word->count; k++) {
            ret->words[ret->count++] = (struct forward_word){ word->offset + k * word->stride, word };
        }
    }
    return true;
}

/* NULL: objects of that layout have to be looked at one by one. */
static const struct forward_shape *shape_of(struct state *state, uint32_t index)
{
    const struct layout *layout = &state->layouts.items[index];
    struct forward_shape *shape = &state->forwarding->shapes[index];

    if (!shape->known) {
        *shape = (struct forward_shape){ .known = true, .size = layout->size };
        shape->simple = layout->size && !layout->opaque && !layout->record->tail_stride &&
                        describe_words(&state->layouts, layout, shape);
    }
    return shape->simple ? shape : NULL;
}

/* Of each site whose blocks are objects, or arrays of them, and none is old; and of what has moved. */
static void find_shapes(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    for (unsigned id = 1; id <= heap_site_count() && id <= HEAP_SITE_MAX; id++) {
        const struct meaning *meaning = sites_meaning(&state->sites, id);
        const struct layout *layout = &state->layouts.items[meaning->layout];
        bool plain = state->wanted[id] && !state->places.sites[id] && meaning->layout && !layout->opaque &&
                     meaning->kind != MOLT_SITE_UNKNOWN;
        forwarding->shapes_of[id] = plain ? shape_of(state, layout->becomes) : NULL;
    }
    for (size_t i = 0; i < state->conversion_count; i++) {
        if (state->conversions[i].ahead.count) {
            shape_of(state, state->conversions[i].record->new_layout);
        }
    }
}

/* ---- blocks that instances moved into -------------------------------------------------------------- */

/* Of CONVERSION, in those of its blocks ahead from the FIRST on that a worker takes at once. */
static void visit_moved(struct forwarder *forwarder, const struct conversion *conversion, size_t first)
{
    struct state *state = forwarder->state;
    uint32_t layout = conversion->record->new_layout;
    const struct forward_shape *shape = &state->forwarding->shapes[layout];
    uint32_t offset = shape->simple && shape->count ? shape->words[0].offset : 0;
    uintptr_t objects[HEAP_VISITED_MAX];

    for (size_t at = first; at < first + MOVED_EACH; at += HEAP_VISITED_MAX) {
        size_t count = ahead_used(&conversion->ahead, at, HEAP_VISITED_MAX, objects);
        ahead_fetch(&conversion->ahead, at + HEAP_VISITED_MAX, HEAP_VISITED_MAX, offset);
        if (shape->simple) {
            forward_objects(forwarder, shape, objects, count, false);
        }
        for (size_t i = 0; i < count && !shape->simple; i++) {
            place_walk(&state->layouts, layout, PLACE_OBJECT, objects[i], conversion->to->size, forward_word,
                       forwarder);
        }
    }
}

static void show_moved(struct forwarder *forwarder, const struct conversion *conversion, size_t first)
{
    ahead_show(&conversion->ahead, first, MOVED_EACH, conversion->to->size);
}

/* How many times somebody takes some of CONVERSION's blocks ahead. */
static size_t turns_of(const struct conversion *conversion)
{
    return (conversion->ahead.count + MOVED_EACH - 1) / MOVED_EACH;
}

/* VISITs what has moved, taking turns with others by NEXT. */
static void share_moved(struct forwarder *forwarder, atomic_size_t *next,
                        void (*visit)(struct forwarder *forwarder, const struct conversion *conversion,
                                      size_t first))
{
    const struct state *state = forwarder->state;
    size_t before = 0, turn = atomic_fetch_add(next, 1);

    for (size_t i = 0; i < state->conversion_count; i++) {
        const struct conversion *conversion = &state->conversions[i];
        size_t turns = turns_of(conversion);
        for (; turn - before < turns && goes_on(state); turn = atomic_fetch_add(next, 1)) {
            visit(forwarder, conversion, (turn - before) * MOVED_EACH);
            atomic_fetch_add(&state->forwarding->done, 1);
        }
        before += turns;
    }
}

/* ---- all ------------------------------------------------------------------------------------------- */

/* How many times somebody takes a part of the heap, or some of the blocks ahead. */
static size_t all_turns(const struct state *state)
{
    size_t turns = state->forwarding->parts;

    for (size_t i = 0; i < state->conversion_count; i++) {
        turns += turns_of(&state->conversions[i]);
    }
    return turns;
}

/* No block is shown before the last word has been looked at: what the heap says must not depend on who is
 * first. */
static void work(void *context, unsigned number)
{
    struct state *state = context;
    struct forwarding *forwarding = state->forwarding;
    struct forwarder *forwarder = &forwarding->workers[number];
    size_t part, turns = all_turns(state);

    while (goes_on(state) && (part = atomic_fetch_add(&forwarding->next_part, 1)) < forwarding->parts) {
        heap_walk_part(heap_part_turn(part, forwarding->parts), state->wanted, concerns, visit_blocks,
                       forwarder);
        atomic_fetch_add(&forwarding->done, 1);
    }
    share_moved(forwarder, &forwarding->next_moved, visit_moved);
    while (goes_on(state) && atomic_load(&forwarding->done) < turns) {
        _mm_pause();
    }
    share_moved(forwarder, &forwarding->next_shown, show_moved);
}

void forward_heap(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    state_want(state, holds_addresses);
    leave_moved(state);
    sites_meaning(&state->sites, 0); /* and all of them are known from here on */
    forwarding->aligned = !state->guesses.count && are_aligned(state);
    find_shapes(state);
    if (!forwarding->parts) {
        heap_walk(state->wanted, visit_block, &forwarding->workers[0]);
    }
    if (parallel_run(work, state, forwarding->width) && state->status == 0) {
        state_fail(state, "a helper of the engine has not come back");
        state->status = -EFAULT;
    }
}
