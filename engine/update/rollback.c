/*
 * Going back. An update in force is undone at a safe point by exchanging what its undo log holds with what is
 * in memory; exchanged once more, it is back. What the program holds goes back by the patch's inverse
 * migrations, so that nothing is lost that came since. So a rollback can be held until all processes of a
 * program have rolled back.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/update/frames.h"
#include "engine/update/history.h"
#include "engine/update/stage.h"

static struct applied *held; /* rolled back, and may be brought back */

/* A change back, or forth again. */
struct way {
    int (*change)(struct applied *applied);
    int (*undo)(struct applied *applied);
    bool rollback;
};

static const struct way back = { history_revert, history_restore, true };
static const struct way forth = { history_restore, history_revert, false };

/* What runs when the code leads to the other version. */
static int check_all(struct frames *frames, struct state *state, struct safe_point *point,
                     const struct world *world, struct update_report *report)
{
    int status = frames_give(frames, point, world, state, report);

    return status < 0 || !state_changes(state) ? status : state_validate(state, report);
}

/* Code, STATE (NULL: none) and the frames at POINT in the stopped world; all of it or nothing. */
static int change_all(struct applied *applied, const struct way *way, struct state *state,
                      struct safe_point *point, const struct world *world, struct update_report *report)
{
    struct frames frames = { 0 };
    int status = frames_prepare(&frames, point, state, report);

    status = status < 0 || !state_changes(state) ? status : state_migrate(state, world, report);

    status = status < 0 ? status : way->change(applied);
    if (status == 0) {
        undo_synchronise_code();
        status = check_all(&frames, state, point, world, report);
        if (status < 0) {
            way->undo(applied);
        }
    }
    undo_synchronise_code();
    if (status == 0) {
        safe_point_transfer(point, state_now_at, state);
        frames_commit(&frames);
    } else {
        frames_revert(&frames);
    }
    if (status == 0 && state_changes(state)) {
        state_commit(state, report);
    } else if (state_changes(state)) {
        state_revert(state);
    }
    frames_free(&frames);
    return status;
}

/* RANGES, and the allocator if it is NEEDED; from malloc. */
static struct affected_range *with_allocator(const struct affected_range *ranges, size_t *count, bool needed)
{
    struct affected_range *all = calloc(*count + 1, sizeof(*all));

    for (size_t i = 0; all && i < *count; i++) {
        all[i] = ranges[i];
    }
    if (all && needed) {
        all[(*count)++] = state_allocator();
        *count = plan_sort_ranges(all, *count);
    }
    return all;
}

/* Makes the change of APPLIED at a safe point for COUNT RANGES. Returns in the critical section if 0. */
static int change_at_safe_point(struct applied *applied, const struct way *way, struct state *state,
                                const struct affected_range *ranges, size_t count, struct update_wait wait,
                                const struct watcher *watcher, struct update_report *report)
{
    struct transfers transfers = history_transfers(applied, way->rollback, wait.transfer_ms);
    struct safe_point point;
    struct world world;

    transfers.known_only = wait.known_stacks;
    tell(watcher->progress, watcher->context, "safe-point", "");
    int status =
        reach_safe_point(ranges, count, &transfers, wait.timeout_ms, watcher, &point, &world, report);
    if (status < 0) {
        return status;
    }
    undo_begin();
    status = change_all(applied, way, state, &point, &world, report);
    undo_end();
    resume(&world, report);
    if (status < 0) {
        leave_critical();
        return *report->reason ? status : fail(report, UPDATE_FAILED, status, NULL);
    }
    changes_made++;
    report->functions = history_functions(applied);
    if (state) {
        history_state_changed(applied, state);
    }
    return 0;
}

static int change_back(struct applied *applied, const struct way *way, const struct affected_range *ranges,
                       size_t count, struct update_wait wait, const struct watcher *watcher,
                       struct update_report *report)
{
    struct state *state;
    const char *reason = NULL;
    int status = history_state(applied, way->rollback, &state, &reason);

    if (status == 0 && state) {
        status = state_reserve(state);
        state_reserve_blocks(state);
    }
    if (status < 0) {
        state_destroy(state);
        return fail(report, UPDATE_REFUSED, status, reason);
    }
    const struct transfers transfers = history_transfers(applied, way->rollback, wait.transfer_ms);
    struct affected_range *all =
        with_allocator(ranges, &count, state_changes(state) || frames_have_policies(&transfers));
    status = all ? change_at_safe_point(applied, way, state, all, count, wait, watcher, report)
                 : fail(report, UPDATE_FAILED, -ENOMEM, NULL);
    free(all);
    state_destroy(state);
    return status;
}

int update_rollback(struct update_wait wait, bool hold, update_progress *progress, void *context,
                    struct update_report *report)
{
    const struct watcher watcher = { progress, context };
    uint64_t start = monotonic_us();
    struct affected_range *ranges;
    const char *reason;
    size_t count;

    *report = (struct update_report){ 0 };
    struct applied *last = history_last(&reason);
    if (!last) {
        return fail(report, UPDATE_REFUSED, -EINVAL, reason);
    }
    int status = history_ranges(last, &ranges, &count);
    if (status < 0) {
        return fail(report, UPDATE_FAILED, status, NULL);
    }
    status = change_back(last, &back, ranges, count, wait, &watcher, report);
    free(ranges);
    if (status < 0) {
        return status;
    }
    if (hold) {
        held = last;
    } else {
        history_pop();
    }
    leave_critical();
    report->outcome = UPDATE_ROLLED_BACK;
    report->total_us = monotonic_us() - start;
    return 0;
}

int update_restore(struct update_wait wait, update_progress *progress, void *context,
                   struct update_report *report)
{
    const struct watcher watcher = { progress, context };
    uint64_t start = monotonic_us();
    size_t count;

    *report = (struct update_report){ 0 };
    if (!held) {
        return fail(report, UPDATE_REFUSED, -EINVAL, "no rollback can be taken back");
    }
    const struct affected_range *ranges = history_ranges_before(held, &count);
    int status = change_back(held, &forth, ranges, count, wait, &watcher, report);
    if (status < 0) {
        return status;
    }
    held = NULL;
    leave_critical();
    report->outcome = UPDATE_UPDATED;
    report->total_us = monotonic_us() - start;
    return 0;
}

void update_settle(void)
{
    enter_critical();
    if (held) {
        held = NULL;
        history_pop();
    }
    leave_critical();
}
