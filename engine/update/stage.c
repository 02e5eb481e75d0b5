/*
 * The critical section: a lock is held while the process is being changed, and by fork in the forking thread,
 * so that no child is born in the middle of it. It is not held while a safe point is awaited: the awaited
 * thread may be on its way into fork.
 */
#include "engine/update/stage.h"

#include <errno.h>
#include <pthread.h>

#include "engine/threads/coroutines.h"

static pthread_mutex_t critical = PTHREAD_MUTEX_INITIALIZER;

uint64_t changes_made;

void enter_critical(void)
{
    pthread_mutex_lock(&critical);
}

void leave_critical(void)
{
    pthread_mutex_unlock(&critical);
}

static bool report_waiting(void *context, const char *blocked_by)
{
    const struct watcher *watcher = context;

    return watcher->progress(watcher->context, "safe-point", blocked_by);
}

/* Tells of the frames that are taken over. */
static void report_suspended(const struct safe_point *point, struct update_report *report)
{
    size_t length = 0, room = sizeof(report->transfers);

    report->transferred = 0;
    report->transfers[0] = '\0';
    for (size_t i = 0; i < point->suspended_count; i++) {
        const struct suspended *suspended = &point->suspended[i];
        char name[32], holder[64];
        if (!suspended->recipe) {
            continue;
        }
        report->transferred++;
        if (length + 256 < room) {
            if (suspended->tid) {
                thread_name(suspended->tid, name, sizeof(name));
                snprintf(holder, sizeof(holder), "thread %d (%s)", (int)suspended->tid, name);
            } else {
                snprintf(holder, sizeof(holder), "suspended coroutine");
            }
            length += (size_t)snprintf(report->transfers + length, room - length, "%s%s in %.128s, line %u",
                                       length ? "\n" : "", holder, suspended->recipe->function,
                                       (unsigned)suspended->recipe->line);
        }
    }
}

int reach_safe_point(const struct affected_range *ranges, size_t count, const struct transfers *transfers,
                     uint32_t timeout_ms, const struct watcher *watcher, struct safe_point *point,
                     struct world *world, struct update_report *report)
{
    *point = (struct safe_point){
        .ranges = ranges,
        .count = count,
        .transfers = *transfers,
        .timeout_ms = timeout_ms,
        .progress = watcher->progress ? report_waiting : NULL,
        .context = (void *)watcher,
        .enter_critical = enter_critical,
        .leave_critical = leave_critical,
    };
    if (count && coroutines_overflow()) {
        return fail(report, UPDATE_REFUSED, -EOVERFLOW,
                    "the program has kept coroutines in more than 65536 places, and what waits in those that "
                    "came later "
                    "is not known; restart it to update it");
    }
    int status = safe_point_reach(point, world);
    report->waited_us = point->waited_us;
    if (status == 0) {
        report_suspended(point, report);
    }
    if (status == -EBUSY || status == -ETIMEDOUT) {
        memcpy(report->blocked_by, point->blocked_by, sizeof(report->blocked_by));
        snprintf(report->reason, sizeof(report->reason), "no safe point within %u ms: %.900s",
                 (unsigned)timeout_ms, point->blocked_by);
        return fail(report, UPDATE_NO_SAFE_POINT, status, strdupa(report->reason));
    }
    if (status == -EPERM) {
        return fail(
            report, UPDATE_REFUSED, status,
            "this process is in a sandbox of its own (seccomp), which would kill it for being stopped "
            "(rt_sigreturn, futex): allow both in its filter, or name the others by their pids");
    }
    if (status == -ECANCELED) {
        return fail(report, UPDATE_REFUSED, status, "nobody waits for this any more");
    }
    return status < 0 ? fail(report, UPDATE_FAILED, status, NULL) : 0;
}

void resume(const struct world *world, struct update_report *report)
{
    resume_world();
    report->pause_us = monotonic_us() - world->began_us;
}
