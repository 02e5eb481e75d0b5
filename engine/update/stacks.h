/* What is on the stacks of all threads at one moment: looked at as a safe point would be, and nothing
 * changes. */
#ifndef MOLT_ENGINE_UPDATE_STACKS_H
#define MOLT_ENGINE_UPDATE_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One frame. Those of a thread follow one another, innermost first. */
struct stacks_frame {
    pid_t tid;
    bool suspended;    /* it waits for a call; else it was running */
    bool lost;         /* no frame: here the walk lost its way */
    uintptr_t address; /* where control is, or comes back to: in the new version, if the frame is about to be
                          taken over */
    uintptr_t
        slot; /* where its own return address stands: the frame's name as long as it lives; 0: not known */
};

struct stacks {
    struct stacks_frame *frames; /* for free() */
    size_t count;
    bool all; /* there was room for all of them */
    uint64_t pause_us;
};

/* Stops the program and takes down all frames. 0, with *ret to be freed by the caller; -ETIMEDOUT: a thread
 * did not react; or another negative errno. */
int stacks_take(struct stacks *ret);

#endif
