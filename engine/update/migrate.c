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
#include <string.h>

#include "engine/parallel.h"
#include "engine/update/guard.h"
#include "engine/update/migrate_private.h"
#include "engine/update/one_pass.h"
#include "engine/update/page_log.h"
#include "engine/update/release.h"

#define LIMIT_MS 1000
#define INSTANCES_PER_MS 100 /* that much more for each */

/* ---- forth ----------------------------------------------------------------------------------------- */

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
            conversion_realigns(conversion) ||
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
        status = run(state, make_aside);
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

    migrate_now(state, NULL, NULL, NULL, NULL, STATE_SYSTEM);
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
    migrate_now(state, NULL, NULL, NULL, NULL, STATE_SYSTEM);
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
    state->sites_mark = site_memory_count();
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
        size_t size = item_new_size(conversion, item);
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
    site_memory_forget(state->sites_mark);
    state->moved = 0;
    release_deinit();
    guard_end();
    state->guarded = false;
}
