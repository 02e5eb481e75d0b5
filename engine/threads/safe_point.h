/*
 * Bringing the program to a safe update point: a moment at which no thread's stack holds an affected function
 * (gDSU section 4.4).
 */
#ifndef MOLT_ENGINE_THREADS_SAFE_POINT_H
#define MOLT_ENGINE_THREADS_SAFE_POINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"

/* Code that no stack may hold. */
struct affected_range {
    uintptr_t start, end;
    const char *name; /* borrowed */
};

struct safe_point {
    const struct affected_range *ranges; /* ascending by start, not overlapping */
    size_t count;
    uint32_t timeout_ms;
    /* called while waiting, world running; false: give up, -ECANCELED; may be NULL */
    bool (*progress)(void *context, const char *blocked_by);
    void *context;
    void (*enter_critical)(void); /* around each stop: nothing else may change the process meanwhile (fork) */
    void (*leave_critical)(
        void);             /* not called when a safe point was reached: the caller does, after resuming */
    char blocked_by[1024]; /* on failure: which threads, in which functions */
    uint64_t waited_us;
};

/*
 * Stops the world at a safe point. 0: the world is stopped, the caller resumes it. -EBUSY: none came in time;
 * -ETIMEDOUT: a thread did not react at all; both with blocked_by, everything running and untouched.
 */
int safe_point_reach(struct safe_point *wanted, struct world *ret);

#endif
