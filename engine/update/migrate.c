/*
 * Instances from old to new, in the stopped world, so that it can be taken back.
 *
 * Functions that may do anything (custom policies, the program's own allocation functions) run first, while
 * the whole program is old: they make new instances aside. Then places and what lies aside are exchanged.
 * Generated policies look at nothing but their instance, so most instances take a shorter way: saved and made
 * anew in one go, while they are in the processor's cache.
 *
 *     collect     what moves or has a custom policy gets an item, with room
 *     make        custom policies; memory for what moves, from the program  | written to by others: page log
 *     exchange    items in place
 *     convert     everything else: save, make                               | written to by us: items
 *     forward     pointers                                                  |
 *
 * Undoing is the same backwards.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/parallel.h"
#include "engine/update/guard.h"
#include "engine/update/one_pass.h"
#include "engine/update/page_log.h"
#include "engine/update/release.h"
#include "engine/update/state_private.h"

#define GUARD_BYTES 64
#define GUARD_BYTE 0xa5
#define LIMIT_MS 1000
#define MANY 1000            /* instances */
#define INSTANCES_PER_MS 100 /* that much more for each */

/* ---- items ----------------------------------------------------------------------------------------- */

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

/* Pointers to what moves, and to what lies elsewhere in its instance, will have to follow. */
static inline void note_address(struct conversion *conversion, struct item item)
{
    bool resized = conversion->from->size != conversion->to->size && item.size > conversion->from->size;

    if (item.moved || conversion->shifts || resized) {
        uintptr_t end = item.place + item.size;
        conversion->low = item.place < conversion->low ? item.place : conversion->low;
        conversion->high = end > conversion->high ? end : conversion->high;
        conversion->special += item.moved || conversion->from->conversion_count > 1;
    }
}

/* A block whose site cannot say what it is from now on gets one that does. */
static unsigned site_after(struct state *state, struct conversion *conversion, const struct item *item)
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
        conversion->synthetic =
            sites_synthetic(&state->sites, kind, conversion->record->new_layout, &meaning->allocator);
    }
    return conversion->synthetic;
}

/* Tells the heap what became of BLOCK, NULL if the item lies in none. To be called with what the block was
 * when its content was the old one: the heap may note in a small block's unused end how much of it is in use.
 */
static void retag(struct state *state, struct conversion *conversion, struct item *item, size_t size,
                  const struct heap_block *block)
{
    unsigned site = block ? site_after(state, conversion, item) : item->site;

    if (block && (size != item->size || site != item->site)) {
        heap_retag(block->start, site, block->size - item->size + size);
        item->retagged = site != item->site;
        conversion->special += item->retagged;
    }
}

static struct item *push_item(struct conversion *conversion, struct item item)
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

static size_t new_size(const struct conversion *conversion, const struct item *item)
{
    return conversion_size(conversion, item->kind, item->size);
}

void *item_new(const struct item *item)
{
    return item->moved ? (void *)item_target(item)->target : item_place(item);
}

const void *item_old(const struct item *item)
{
    return item->moved ? item_place(item) : item_saved(item);
}

int state_exhausted(struct state *state, const char *whose, size_t size)
{
    state_refuse(state,
                 "not enough memory: %s could not have %zu bytes for migrated instances; the update was "
                 "discarded, give the process more memory or make the update when it holds less",
                 whose, size);
    return -ENOMEM;
}

static void now(struct state *state, const struct conversion *conversion, const struct item *item,
                const void *old, void *new, enum state_function function)
{
    state->current = conversion;
    state->current_item = item;
    state->current_old = old;
    state->current_new = new;
    state->current_index = 0;
    state->current_function = function;
    state_note(state);
}

/* ---- which conversion ------------------------------------------------------------------------------ */

static struct conversion *select_for(struct state *state, const struct layout *layout, const void *object)
{
    for (uint32_t i = 0; i < layout->conversion_count; i++) {
        struct conversion *conversion = &state->conversions[layout->first_conversion + i];
        now(state, conversion, NULL, object, NULL, STATE_SELECT);
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

static bool is_whole(const struct layout *layout, enum place_kind kind, size_t size)
{
    size_t least = layout->record->tail_stride && layout->record->tail_offset < layout->size
                       ? layout->record->tail_offset
                       : layout->size;

    return kind != PLACE_OBJECT || size >= least;
}

static int refuse_part(struct state *state, const struct layout *layout, struct place place)
{
    char where[256];

    sites_describe(place.meaning, where, sizeof(where));
    return state_refuse(
        state,
        "%zu bytes were allocated at %s for a %s, which has %zu: say in molt.toml what is allocated there",
        place.size, where, layout->name, (size_t)layout->size);
}

/* ---- generated, in place --------------------------------------------------------------------------- */

/* WHAT becomes SIZE_AFTER bytes where it is. BLOCK, NULL for none, is to be told of it. NULL without memory.
 */
static const struct item *convert_here(struct state *state, struct conversion *conversion, struct item what,
                                       size_t size_after, const struct heap_block *block)
{
    struct item *item = push_item(conversion, what);
    void *place = (void *)(uintptr_t)what.place;

    if (!item) {
        return NULL;
    }
    uint8_t *saved = item_saved(item);
    memcpy(saved, place, what.size + what.slack);
    item->done = 1;
    now(state, conversion, item, saved, place, STATE_MIGRATE);
    memset(place, 0, size_after);
    conversion_run(conversion, what.kind, saved, what.size, place, &state->current_index);
    retag(state, conversion, item, size_after, block);
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
    if (conversion->custom || size_after > place.usable ||
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

static bool is_changed(const struct state *state, const struct meaning *meaning)
{
    return (meaning->layout && state->layouts.items[meaning->layout].changed) ||
           (meaning->kind == MOLT_SITE_UNKNOWN && state->guesses.count);
}

static void convert_blocks(void *context)
{
    struct state *state = context;

    state_want(state, is_changed);
    heap_walk(state->wanted, visit_conversion, state);
}

/* ---- items for the rest ---------------------------------------------------------------------------- */

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
    bool moved = size_after > place.usable;
    if (!moved && !conversion->custom) {
        state->collected = false;
        return true;
    }
    struct item *pushed = push_item(conversion, item_make(place.start, place.size, place.kind, block->site,
                                                          moved, moved ? 0 : place.usable - place.size));
    if (!pushed) {
        state->status = state_exhausted(state, "the engine", place.size);
        return false;
    }
    state->moved += moved;
    state->unplaced += moved;
    return true;
}

/* Variables of a changed type. Those with a generated policy are converted at once, when HERE says so. */
static int collect_roots(struct state *state, bool here)
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
            here ? convert_here(state, conversion, item, size_after, NULL) : push_item(conversion, item);
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

static void collect(void *context)
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

/* ---- making ---------------------------------------------------------------------------------------- */

static int allocate(struct state *state, struct conversion *conversion, struct item *item)
{
    const struct meaning *meaning = sites_meaning(&state->sites, item->site);
    size_t size = new_size(conversion, item);

    now(state, conversion, item, item_place(item), NULL, STATE_ALLOCATE);
    if (meaning->allocator.allocate) {
        conversion->from_program = true;
        item_target(item)->target = (uintptr_t)meaning->allocator.allocate(size);
    } else {
        item_target(item)->target = (uintptr_t)heap_allocate(size, site_after(state, conversion, item));
    }
    return item_target(item)->target ? 0 : state_exhausted(state, "the program", size);
}

static bool is_intact(const uint8_t *guard)
{
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (guard[i] != GUARD_BYTE) {
            return false;
        }
    }
    return true;
}

/* A variable that gets a new place has its new initial value there: what policies do not mention begins with
 * that. */
static bool is_initialised(const struct item *item)
{
    return item->kind == PLACE_ROOT && item->moved;
}

/* A custom policy writes to AT, which has guard bytes behind it. */
static int make_aside(struct state *state, const struct conversion *conversion, const struct item *item,
                      uint8_t *at)
{
    size_t size = new_size(conversion, item);

    if (is_initialised(item)) {
        memcpy(at, (const void *)item_target(item)->target, size);
    } else {
        memset(at, 0, size);
    }
    memset(at + size, GUARD_BYTE, GUARD_BYTES);
    now(state, conversion, item, item_place(item), at, STATE_MIGRATE);
    conversion_run(conversion, item->kind, item_place(item), item->size, at, &state->current_index);
    return is_intact(at + size) ? 0 : state_fail(state, "it wrote beyond the end of the new instance");
}

static int make_moved(struct state *state, const struct conversion *conversion, struct item *item)
{
    size_t size = new_size(conversion, item);
    void *target = (void *)item_target(item)->target;

    if (conversion->custom) {
        uint8_t *aside = staging_push(&state->aside, size + GUARD_BYTES);
        int status =
            aside ? make_aside(state, conversion, item, aside) : state_exhausted(state, "the engine", size);
        if (status < 0) {
            return status;
        }
        memcpy(target, aside, size);
        staging_pop(&state->aside, size + GUARD_BYTES);
        return 0;
    }
    if (!is_initialised(item)) {
        memset(target, 0, size);
    }
    now(state, conversion, item, item_place(item), target, STATE_MIGRATE);
    conversion_run(conversion, item->kind, item_place(item), item->size, target, &state->current_index);
    return 0;
}

/* Of many instances, ROOM is what the allocator has made ready for those that come. */
static int make_in_new_block(struct state *state, struct conversion *conversion, struct item *item,
                             size_t *room)
{
    size_t size = new_size(conversion, item);

    if (conversion->count >= MANY && size > *room) {
        heap_make_room();
        *room = HEAP_ROOM;
    }
    *room -= size < *room ? size : *room;
    int status = item_target(item)->target ? 0 : allocate(state, conversion, item);
    return status < 0 ? status : make_moved(state, conversion, item);
}

static int make_items(struct state *state, struct conversion *conversion)
{
    struct staging_position position = { 0 };
    struct item *item;
    size_t room = 0;
    int status = 0;

    while (status == 0 && (item = item_next(conversion, &position))) {
        status = item->passed  ? 0
                 : item->moved ? make_in_new_block(state, conversion, item, &room)
                               : make_aside(state, conversion, item, item_saved(item));
    }
    return status;
}

static void make(void *context)
{
    struct state *state = context;

    for (size_t i = 0; i < state->conversion_count && state->status == 0; i++) {
        state->status = make_items(state, &state->conversions[i]);
    }
}

/* ---- exchanging ------------------------------------------------------------------------------------ */

/* The new instance lies in the item, SIZE bytes of it, and belongs to its place; what was there is kept
 * instead. */
static void exchange(struct item *item, size_t size)
{
    uint8_t *place = item_place(item), *aside = item_saved(item), block[256];
    size_t all = item->size + item->slack;

    for (size_t at = 0; at < size; at += sizeof(block)) {
        size_t some = size - at < sizeof(block) ? size - at : sizeof(block);
        memcpy(block, place + at, some);
        memcpy(place + at, aside + at, some);
        memcpy(aside + at, block, some);
    }
    if (all > size) {
        memcpy(aside + size, place + size, all - size);
    }
    item->done = 1;
}

static void settle(struct state *state, struct conversion *conversion)
{
    struct staging_position position = { 0 };
    struct item *item;

    while (conversion->custom && (item = item_next(conversion, &position))) {
        if (!item->moved && !item->done) {
            size_t size = new_size(conversion, item);
            struct heap_block block;
            bool found = item->kind != PLACE_ROOT && heap_find(item->place, &block);
            exchange(item, size);
            retag(state, conversion, item, size, found ? &block : NULL);
        }
    }
}

/* What the program's own allocation functions gave. */
static void tag_moved(struct state *state, struct conversion *conversion)
{
    struct staging_position position = { 0 };
    struct heap_block block;
    struct item *item;

    while ((item = item_next(conversion, &position))) {
        if (item->moved && item->kind != PLACE_ROOT &&
            sites_meaning(&state->sites, item->site)->allocator.allocate &&
            heap_find(item_target(item)->target, &block)) {
            heap_retag(block.start, site_after(state, conversion, item), block.size);
        }
    }
}

static void convert_rest(void *context)
{
    struct state *state = context;

    state->status = collect_roots(state, true);
    if (state->status == 0 && !state->collected && (state->left || state->guesses.count)) {
        convert_blocks(state);
    }
}

/* ---- all of it ------------------------------------------------------------------------------------- */

uint32_t state_limit(const struct state *state)
{
    uint64_t limit = LIMIT_MS + state->live / INSTANCES_PER_MS;

    return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

/* Runs FUNCTION under the guard. 0, what it has put into state->status, or -EFAULT with the report. */
static int run(struct state *state, void (*function)(void *context))
{
    struct guard_result result;

    guard_limit(state_limit(state));

    state->status = 0;
    bool returned = guard_run(function, state, &result) == GUARD_RETURNED;
    if (!returned) {
        state->status = -EFAULT; /* for those who help */
    }
    one_pass_end(state);
    return returned ? state->status : state_fail(state, "%s", result.message);
}

static bool may_move(const struct state *state)
{
    for (size_t i = 0; i < state->conversion_count; i++) {
        const struct conversion *conversion = &state->conversions[i];
        if (conversion->custom || conversion->to->size > conversion->from->size || conversion->tail ||
            conversion->to->record->tail_stride > conversion->from->record->tail_stride ||
            conversion->to->record->tail_offset > conversion->from->record->tail_offset) {
            return true;
        }
    }
    for (size_t i = 0; i < state->roots.count; i++) {
        if (state->roots.items[i].place != state->roots.items[i].target) {
            return true;
        }
    }
    return false;
}

/* What others write meanwhile is logged page by page; what they free is freed after the commit. */
static int make_protected(struct state *state)
{
    int status = state->custom ? page_log_begin(&state->pages, state->world) : 0;

    heap_defer_frees(release_later);
    status = status < 0 ? status : run(state, collect);
    if (status == 0 && !state->custom && state->unplaced) {
        status = page_log_begin(&state->pages, state->world);
    }
    if (status == 0 && (state->custom || state->unplaced || state->variables_moved)) {
        status = run(state, make);
    }
    heap_defer_frees(NULL);
    page_log_keep(&state->pages);
    return status;
}

static void trace_all(void *context)
{
    struct state *state = context;

    state->status = trace(state);
}

static void forward_all(void *context)
{
    struct state *state = context;

    state->status = forward(state);
}

/* What Molt does itself runs under the guard, too: memory that is not what it seems must not cost the program
 * its life. */
static int run_own(struct state *state, void (*function)(void *context))
{
    struct guard_result result;

    now(state, NULL, NULL, NULL, NULL, STATE_SYSTEM);
    guard_limit(0);
    state->status = 0;
    if (guard_run(function, state, &result) != GUARD_RETURNED) {
        state->status = -EFAULT;
        parallel_abandon();
        return state_fail(state, "%s", result.message);
    }
    return state->status;
}

/* Variables that keep their type, and are elsewhere or longer from now on. */
static void copy_roots(struct state *state)
{
    for (size_t i = 0; i < state->roots.count; i++) {
        const struct root *root = &state->roots.items[i];
        const struct molt_patch_root *record = root->record;
        bool same = record->kind != MOLT_FIELD_MEMBER || !state->layouts.items[record->layout].changed;
        if (same && root->target != root->place) {
            size_t count = record->count < record->new_count ? record->count : record->new_count;
            memcpy((void *)root->target, (const void *)root->place,
                   count == record->count ? root_size(state, root) : count * record->stride);
        }
        state->roots_moved |= root->target != root->place;
    }
}

/* Looks at all pointers, and migrates on the way what it can. */
static int trace_and_convert(struct state *state)
{
    state->left = true;
    /* functions of the program's, and custom policies, meet a program that is all old */
    state->in_passing =
        one_pass_is_possible(state) && !(may_move(state) && (state->custom || state_has_allocators(state)));
    now(state, NULL, NULL, NULL, NULL, STATE_SYSTEM);
    return state->in_passing ? run(state, trace_all) : run_own(state, trace_all);
}

static int migrate(struct state *state)
{
    int status = roots_collect(state);

    status = status < 0 ? status : references_init(&state->references);
    status = status < 0 ? status : references_threads(&state->references, state->world);
    status = status < 0 ? status : initials_decide(state);
    status = status < 0 ? status : trace_and_convert(state);
    if (status == 0 && may_move(state)) {
        status = make_protected(state);
        for (size_t i = 0; i < state->conversion_count && status == 0; i++) {
            settle(state, &state->conversions[i]);
        }
        status = status < 0 || !state->unplaced ? status : heap_refresh();
    }
    status = status < 0 ? status : run(state, convert_rest);
    if (status < 0) {
        return status;
    }
    copy_roots(state);
    for (size_t i = 0; i < state->conversion_count; i++) {
        if (state->conversions[i].from_program) {
            tag_moved(state, &state->conversions[i]);
        }
    }
    status = run_own(state, forward_all);
    if (status == 0) {
        initials_take(state);
    }
    return status;
}

/* Nothing becomes something else: variables take their new initial values. */
static int take_initials(struct state *state)
{
    int status = roots_collect(state);

    status = status < 0 ? status : references_init(&state->references);
    status = status < 0 ? status : initials_decide(state);
    if (status == 0) {
        initials_take(state);
    }
    return status;
}

int state_migrate(struct state *state, const struct world *world, struct update_report *report)
{
    state->world = world;
    state->report = report;
    state->sites_mark = sites_mark();
    if (!state->migrates) {
        return take_initials(state);
    }
    int status = heap_refresh();
    status = status < 0 ? status : guard_begin(page_log_write);
    if (status < 0) {
        return status;
    }
    state->guarded = true;
    state->roots_moved = state->collected = false;
    state->unplaced = 0;
    state->variables_moved = 0;
    status = migrate(state);
    for (size_t i = 0; i < state->conversion_count; i++) {
        report->instances += state->conversions[i].count;
    }
    report->moved = state->moved + state->variables_moved;
    return status;
}

/* ---- back ------------------------------------------------------------------------------------------ */

/* Of CONVERSION's items those that were made in passing, or the others, which were made later. */
static void put_back(struct state *state, struct conversion *conversion, bool passed)
{
    struct staging_position position = { 0 };
    struct heap_block block;
    struct item *item;

    while ((item = item_next(conversion, &position))) {
        size_t size = new_size(conversion, item);
        if (item->moved || !item->done || item->passed != passed) {
            continue;
        }
        if (item->kind != PLACE_ROOT && (size != item->size || item->retagged) &&
            heap_find(item->place, &block)) {
            heap_retag(block.start, item->site, block.size - size + item->size);
        }
        if (item->derived) {
            one_pass_undo(conversion, item);
        } else {
            memcpy(item_place(item), item_saved(item), item->size + item->slack);
        }
    }
}

void state_revert(struct state *state)
{
    if (state->guarded) {
        page_log_undo_last(&state->pages); /* what validations have written */
    }
    initials_undo(state);
    if (!state->guarded) {
        return;
    }
    forward_undo(state);
    for (size_t i = 0; i < state->conversion_count; i++) {
        put_back(state, &state->conversions[i], false);
    }
    page_log_undo_all(&state->pages);
    for (size_t i = 0; i < state->conversion_count; i++) {
        put_back(state, &state->conversions[i], true);
        ahead_return(&state->conversions[i].ahead);
        staging_deinit(&state->conversions[i].items);
        state->conversions[i].count = state->conversions[i].special = 0;
        state->conversions[i].low = UINTPTR_MAX;
        state->conversions[i].high = 0;
    }
    new_places_deinit(&state->places);
    sites_forget(state->sites_mark);
    state->moved = 0;
    release_deinit();
    guard_end();
    state->guarded = false;
}
