/* What commit and rollback have in common: the critical section, the safe point, the report. */
#ifndef MOLT_ENGINE_UPDATE_STAGE_H
#define MOLT_ENGINE_UPDATE_STAGE_H

#include <stdio.h>
#include <string.h>

#include "engine/threads/safe_point.h"
#include "engine/threads/stop.h"
#include "engine/update/update.h"

/* Commits and rollbacks: an update prepared before the last one was planned for what was. */
extern uint64_t changes_made;

struct watcher {
    update_progress *progress;
    void *context;
};

void enter_critical(void);
void leave_critical(void);

/* Stops the world at a safe point for the COUNT RANGES, where frames may be suspended as TRANSFERS says, and
 * is in the critical section then. On failure the report is complete and the world runs. */
int reach_safe_point(const struct affected_range *ranges, size_t count, const struct transfers *transfers,
                     uint32_t timeout_ms, const struct watcher *watcher, struct safe_point *point,
                     struct world *world, struct update_report *report);

/* Lets the world go on after a safe point. The caller is still in the critical section: no child is born that
 * has the change but not our records of it. */
void resume(const struct world *world, struct update_report *report);

/* Sets outcome and reason and returns STATUS. */
static inline int fail(struct update_report *report, enum update_outcome outcome, int status,
                       const char *reason)
{
    report->outcome = outcome;
    snprintf(report->reason, sizeof(report->reason), "%s", reason && *reason ? reason : strerror(-status));
    return status;
}

static inline void tell(update_progress *progress, void *context, const char *phase, const char *message)
{
    if (progress) {
        progress(context, phase, message);
    }
}

#endif
