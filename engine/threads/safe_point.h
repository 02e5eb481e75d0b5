/*
 * Bringing the program to a safe update point: a moment at which no thread's stack holds an affected function
 * (gDSU section 4.4), but for frames that wait for a call and can be taken over by the new version.
 */
#ifndef MOLT_ENGINE_THREADS_SAFE_POINT_H
#define MOLT_ENGINE_THREADS_SAFE_POINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"
#include "engine/threads/transfer.h"

/* Code that no stack may hold. */
struct affected_range {
    uintptr_t start, end;
    const char *name; /* borrowed */
};

/* A frame of an affected function that the update takes over where it waits. */
struct suspended {
    pid_t tid;                     /* 0: a coroutine's, which no thread runs at the moment */
    uintptr_t slot;                /* where the return address into it stands */
    const struct transfer *recipe; /* NULL: the last one that is pending there is taken away again */
    uint8_t *given; /* where its policy gives, and instances go: set by update/frames.c before the commit */
    bool seen;      /* what the policy is called with is there: likewise */
};

/* Affected frames that may be suspended at the safe point. */
struct transfers {
    const struct transfer *recipes; /* ascending by from */
    size_t count;
    const struct transfer *cancelled; /* if pending, one of these is taken away where there is no recipe */
    size_t cancelled_count;
    uint32_t after_ms; /* so long they are waited for like any other; UINT32_MAX: always */
    bool known_only;   /* memory is not searched for stacks that nobody has told of */
};

struct safe_point {
    const struct affected_range *ranges; /* ascending by start, not overlapping */
    size_t count;
    uint32_t timeout_ms;
    struct transfers transfers;
    /* called while waiting, world running; false: give up, -ECANCELED; may be NULL */
    bool (*progress)(void *context, const char *blocked_by);
    void *context;
    void (*enter_critical)(void); /* around each stop: nothing else may change the process meanwhile (fork) */
    void (*leave_critical)(
        void);             /* not called when a safe point was reached: the caller does, after resuming */
    char blocked_by[1024]; /* on failure: which threads, in which functions */
    uint64_t waited_us;
    struct suspended *suspended; /* those to be taken over; until the world is resumed */
    size_t suspended_count;
};

/*
 * Stops the world at a safe point. 0: the world is stopped, the caller resumes it. -EBUSY: none came in time;
 * -ETIMEDOUT: a thread did not react at all; both with blocked_by, everything running and untouched.
 */
int safe_point_reach(struct safe_point *wanted, struct world *ret);

/* Takes the suspended frames of REACHED over, as the update is made, and follows what it has moved to where
 * that is, as NOW_AT says. World stopped. */
void safe_point_transfer(const struct safe_point *reached, memory_mover *now_at, void *context);

#endif
