/*
 * Going back. An update in force is undone at a safe point by exchanging what its undo log holds with what is in memory; exchanged
 * once more, it is back. So a rollback can be held until all processes of a program have rolled back.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/update/history.h"
#include "engine/update/stage.h"

static struct applied *held; /* rolled back, and may be brought back */

/* Makes CHANGE of APPLIED at a safe point for COUNT RANGES. Returns in the critical section if 0. */
static int change_back(struct applied *applied, int (*change_it)(struct applied *applied),
                       const struct affected_range *ranges, size_t count, uint32_t timeout_ms,
                       const struct watcher *watcher, struct update_report *report)
{
    struct safe_point point;
    struct world world;

    tell(watcher->progress, watcher->context, "safe-point", "");
    int status = reach_safe_point(ranges, count, timeout_ms, watcher, &point, &world, report);
    if (status < 0) {
        return status;
    }
    undo_begin();
    status = change_it(applied);
    undo_synchronise_code();
    undo_end();
    resume(&world, report);
    if (status < 0) {
        leave_critical();
        return fail(report, UPDATE_FAILED, status, NULL);
    }
    changes_made++;
    report->functions = history_functions(applied);
    return 0;
}

int update_rollback(uint32_t timeout_ms, bool hold, update_progress *progress, void *context,
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
    status = change_back(last, history_revert, ranges, count, timeout_ms, &watcher, report);
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

int update_restore(uint32_t timeout_ms, update_progress *progress, void *context,
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
    int status = change_back(held, history_restore, ranges, count, timeout_ms, &watcher, report);
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
