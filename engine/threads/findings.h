/* What looks at stacks find, for a safe point: which affected functions are there, and whether they can be
 * taken over. In the stopped world. */
#ifndef MOLT_ENGINE_THREADS_FINDINGS_H
#define MOLT_ENGINE_THREADS_FINDINGS_H

#include "engine/threads/safe_point.h"
#include "engine/threads/unwind.h"

#define NAMED_FRAMES 6

#define COROUTINE_HOLDER "suspended coroutine (stack at 0x%lx)" /* with its low end: for messages */

/* What one walk found. */
struct findings {
    struct safe_point *wanted;
    pid_t tid;
    const char *reason;              /* why the first of them cannot be taken over where it waits */
    const char *names[NAMED_FRAMES]; /* affected functions, innermost first */
    size_t affected;
    uintptr_t oldest_slot; /* return slot of the oldest affected frame */
    bool waited_long;      /* frames may be taken over */
    bool returns_once;     /* what is on this stack comes back where return addresses say, and once */
    bool switching;        /* the thread is in the middle of a switch of stacks */
    bool by_walk_alone;    /* nothing is known of the stack but what stands on it */
    size_t unexpected;     /* of those affected: frames without a recipe, or met for the first time */
};

/* A look at several stacks that no thread is on. */
struct looking {
    struct safe_point *wanted;
    bool waited_long;
    size_t blocking, unexpected; /* stacks; frames, as above */
};

/* The affected range that ADDRESS lies in, the recipe of what comes back to ADDRESS; NULL: there is none. */
const struct affected_range *findings_range(const struct safe_point *wanted, uintptr_t address);
const struct transfer *findings_recipe(const struct transfers *transfers, uintptr_t address);

/* An unwind_visitor: takes FRAME to the findings at CONTEXT. A frame whose transfer is pending counts as
 * being where that leads. */
bool findings_visit(void *context, const struct stack_frame *frame);

/* Notes a frame in RANGE; RETURN_SLOT is where its own return address stands, or 0. */
void findings_note(struct findings *findings, const struct affected_range *range, uintptr_t return_slot);

/* Where the walk lost its way, any word that points into affected code counts as a return address;
 * AFTER_CALLS, on stacks of which nothing is known, if it is one. */
void findings_scan(struct findings *findings, uintptr_t sp, uintptr_t end, bool after_calls);

/* Adds to wanted->blocked_by what was found. HOLDER is whose stack it is, "thread 12 (main)". */
void findings_describe(struct safe_point *wanted, const char *holder, const struct findings *findings);

/* A new look begins: nothing can be taken over yet. */
void findings_begin(struct safe_point *wanted);

/* The frames that are taken over now would not leave the next time, too. */
void findings_remember(const struct safe_point *reached);

#endif
