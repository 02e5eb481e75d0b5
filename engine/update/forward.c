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
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/update/forward_private.h"
#include "engine/watched.h"

#define FEW_PARTS 64      /* of the heap: not worth a second processor */
#define FEW_IN_PLACE 1024 /* the same, if nothing has moved: then few blocks are visited */
#define QUICK_MAX 1024    /* bytes of an object that are looked at quickly first, */
#define QUICK_WORDS 4     /* if it has that many words: fewer are looked at as quickly one by one */
#define ENOUGH_HITS 4     /* stretches of memory that hold addresses, before it is found that most do */
#define SLICE 1024        /* bytes of them that are searched at once */
#define WORDS_EACH 2      /* that lead to an instance, as a guess: memory for noting them is taken ahead */

/* ---- what has moved -------------------------------------------------------------------------------- */

static void widen(struct forwarding *forwarding, uintptr_t low, uintptr_t high)
{
    forwarding->low = low < forwarding->low ? low : forwarding->low;
    forwarding->high = high > forwarding->high ? high : forwarding->high;
}

/* The bounds of all that has moved or shifted. */
static void find_bounds(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    for (size_t i = 0; i < state->conversion_count; i++) {
        const struct conversion *conversion = &state->conversions[i];
        if (conversion->high) {
            widen(forwarding, conversion->low, conversion->high);
            forwarding->heap = true;
        }
    }
    for (size_t i = 0; i < state->roots.count; i++) { /* of unchanged types, but elsewhere */
        const struct root *root = &state->roots.items[i];
        if (root->target != root->place) {
            widen(forwarding, root->place, root->place + root_size(state, root));
        }
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

/* ---- rewriting ------------------------------------------------------------------------------------- */

/* Tables of constants and the linker's tables are read-only; they are opened as they are met. (What could not
 * even be read when the map was made is an allocator's by now, who has seen to it.) */
static void open_region(struct state *state, const uintptr_t *at)
{
    struct forwarding *forwarding = state->forwarding;
    const struct region *region = memory_map_find(&state->references.map, (uintptr_t)at);

    if (!region || !region->readable || region->writable || region == forwarding->opened) {
        return;
    }
    if (forwarding->opened) {
        mprotect((void *)forwarding->opened->start, forwarding->opened->end - forwarding->opened->start,
                 PROT_READ);
    }
    mprotect((void *)region->start, region->end - region->start, PROT_READ | PROT_WRITE);
    forwarding->opened = region;
}

static void close_region(struct state *state)
{
    const struct region *region = state->forwarding->opened;

    if (region) {
        mprotect((void *)region->start, region->end - region->start, PROT_READ);
        state->forwarding->opened = NULL;
    }
}

static void rewrite(struct forwarder *forwarder, uintptr_t *at, uintptr_t value)
{
    struct state *state = forwarder->state;
    struct change *change = staging_push(&forwarder->changes, sizeof(*change));

    if (!change) {
        state_refuse(state, "not enough memory to note the addresses that change");
        state->status = -ENOMEM;
        return;
    }
    *change = (struct change){ at, *at };
    if (state->references.constants) {
        open_region(state, at);
    }
    *at = value;
}

static void refuse_tag(struct state *state, uintptr_t at, const struct layout_word *word, const char *type,
                       uintptr_t value)
{
    const struct patch_file *file = state->layouts.file;

    state->status = state_refuse(
        state,
        "the pointer to %s at 0x%lx%s%s has the value 0x%lx, which is no address of one but has bits of its "
        "own (a tagged pointer): it cannot be led to "
        "where the instance is now; keep the type within its size, or write a policy that does",
        type, (unsigned long)at, word->field != UINT32_MAX ? ", member " : "",
        word->field != UINT32_MAX ? patch_file_string(file, file->patch_fields[word->field].name) : "",
        (unsigned long)value);
}

/* In place, the member's memory still is the instance's: a warning is enough. */
static void note_lost(struct state *state, uintptr_t at, const struct layout_word *word, uint64_t offset,
                      const struct where *where)
{
    if (where->moved && !state->lost.at && word->kind == MOLT_FIELD_POINTER) {
        offset = where->kind != PLACE_OBJECT && where->conversion->from->size
                     ? offset % where->conversion->from->size
                     : offset;
        state->lost = (struct lost_pointer){ at, word->field, where->conversion, offset };
    }
}

/* One at a time tells what cannot be led anywhere. ANSWER is GONE, or the word may have bits of its own. */
static void tell(struct state *state, uintptr_t at, const struct layout_word *word, const char *type,
                 enum answer answer, const struct where *where)
{
    struct forwarding *forwarding = state->forwarding;
    uintptr_t value = *(uintptr_t *)at;

    while (atomic_flag_test_and_set_explicit(&forwarding->telling, memory_order_acquire)) {
        if (state->status < 0 || atomic_load(&parallel_broken)) {
            return;
        }
    }
    if (answer == GONE) {
        forwarding->lost++;
        note_lost(state, at, word, value - where->place, where);
    } else {
        refuse_tag(state, at, word, type, value);
    }
    atomic_flag_clear_explicit(&forwarding->telling, memory_order_release);
}

/* The address in WORD at AT, PROMISED to be of that layout if it is not 0, may lead elsewhere now. */
static __attribute__((noinline)) void follow(struct forwarder *forwarder, uintptr_t at,
                                             const struct layout_word *word, uint32_t promised)
{
    struct state *state = forwarder->state;
    const struct layout *wanted = &state->layouts.items[promised];
    uintptr_t value = *(uintptr_t *)at, after = 0;
    struct where where;
    enum answer answer = forward_look_up(state, value, promised, &after, &where);

    if (answer == SAME) {
        return;
    }
    if (promised && value & ((wanted->record->alignment < 8 ? wanted->record->alignment : 8) - 1)) {
        tell(state, at, word, wanted->name, ELSEWHERE, &where);
    } else if (!promised && forward_may_be_tagged(&where, value, answer, after)) {
        tell(state, at, word, where.conversion->from->name, ELSEWHERE, &where);
    } else if (answer == GONE) {
        tell(state, at, word, "", GONE, &where);
    } else {
        rewrite(forwarder, (uintptr_t *)at, after);
        forwarder->typed++;
    }
}

/* What the shadow tells at once of VALUE, which leads to the layout WANTED, or 0 for any. */
enum glance {
    STAYS,   /* the start of a block that has not moved, and means the object in it */
    MOVED,   /* the start of one that has, and means the object in it, which is at *ret now */
    UNCLEAR, /* everything else */
};

static inline enum glance glance_at(struct state *state, uintptr_t value, uint32_t wanted, uintptr_t *ret)
{
    unsigned site = heap_site_at(value);
    const struct meaning *meaning = sites_meaning(&state->sites, site);
    const struct layout *layouts = state->layouts.items;

    if (!meaning->layout || meaning->allocator.header) {
        return UNCLEAR;
    }
    bool same = !wanted || wanted == meaning->layout || wanted == layouts[meaning->layout].becomes;
    uint64_t place = new_places_get(&state->places, value, site);
    if (place) {
        *ret = new_place_target(place);
        return same ? MOVED : UNCLEAR;
    }
    return same && !item_index_has(&state->forwarding->index, value) ? STAYS : UNCLEAR;
}

READS_PROGRAM static inline void visit_typed_word(void *context, uintptr_t at, const struct layout_word *word)
{
    struct forwarder *forwarder = context;
    struct state *state = forwarder->state;
    const struct forwarding *forwarding = state->forwarding;
    uint32_t promised = word->kind == MOLT_FIELD_POINTER ? word->layout : 0;
    uintptr_t value = *(uintptr_t *)at, after;

    if (value - forwarding->low > forwarding->high - forwarding->low || state->status < 0) {
        return;
    }
    enum glance glance = glance_at(state, value, promised, &after);
    if (glance == MOVED) {
        rewrite(forwarder, (uintptr_t *)at, after);
        forwarder->typed++;
    } else if (glance == UNCLEAR) {
        follow(forwarder, at, word, promised);
    }
}

READS_PROGRAM static void visit_untyped_words(void *context, uintptr_t *start, size_t count)
{
    struct forwarder *forwarder = context;
    struct state *state = forwarder->state;
    uintptr_t low = state->forwarding->low, range = state->forwarding->high - low, after;
    struct where where;

    for (uintptr_t *at = start, *end = start + count; at < end; at++) {
        if (*at - low > range) {
            continue;
        }
        enum glance glance = glance_at(state, *at, 0, &after);
        if (glance == MOVED ||
            (glance == UNCLEAR && forward_look_up(state, *at, 0, &after, &where) == ELSEWHERE)) {
            rewrite(forwarder, at, after);
            forwarder->untyped++;
        }
    }
}

/* ---- where to look --------------------------------------------------------------------------------- */

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
        references_range(&state->references, block->start, block->start + block->size, visit_untyped_words,
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
    place_walk(&state->layouts, layout, place.kind, place.start, place.size, visit_typed_word, forwarder);
    if (place.kind == PLACE_OBJECT && !type->record->tail_stride && place.size > type->size) {
        references_range(&state->references, place.start + type->size, place.start + place.size,
                         visit_untyped_words, forwarder);
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

static bool visit_blocks(void *forwarder, const struct heap_block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!visit_block(forwarder, &blocks[i])) {
            return false;
        }
    }
    return true;
}

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

static void work(void *context, unsigned number)
{
    struct state *state = context;
    struct forwarding *forwarding = state->forwarding;
    size_t part;

    while (state->status == 0 && !atomic_load(&parallel_broken) &&
           (part = atomic_fetch_add(&forwarding->next_part, 1)) < forwarding->parts) {
        heap_walk_part(heap_part_turn(part, forwarding->parts), state->wanted, concerns, visit_blocks,
                       &forwarding->workers[number]);
    }
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

/* The heap, by as many as may. */
static void visit_heap(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    state_want(state, holds_addresses);
    leave_moved(state);
    sites_meaning(&state->sites, 0); /* and all of them are known from here on */
    forwarding->aligned = !state->guesses.count && are_aligned(state);
    if (!forwarding->parts) {
        heap_walk(state->wanted, visit_block, &forwarding->workers[0]);
    } else if (parallel_run(work, state, forwarding->width) && state->status == 0) {
        state_fail(state, "a helper of the engine has not come back");
        state->status = -EFAULT;
    }
}

static void visit_all(struct state *state)
{
    struct forwarder *forwarder = &state->forwarding->workers[0];

    for (size_t i = 0; i < state->roots.count && state->status == 0; i++) {
        root_walk(state, &state->roots.items[i], state->roots.items[i].target, true, visit_typed_word,
                  forwarder);
    }
    if (state->status == 0) {
        visit_heap(state);
    }
    if (state->status == 0) {
        references_walk(&state->references, state->world, visit_untyped_words, forwarder);
    }
    if (state->status == 0) {
        references_mapped(&state->references, state->world, visit_untyped_words, forwarder);
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
    close_region(state);
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
            open_region(state, change->at);
        }
        *change->at = change->before;
    }
    close_region(state);
    kernel_words_undo(&state->forwarding->kernel);
    forward_deinit(state);
}

void forward_deinit(struct state *state)
{
    staging_deinit(&state->forwarding->changes);
    item_index_deinit(&state->forwarding->index);
    kernel_words_deinit(&state->forwarding->kernel);
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
