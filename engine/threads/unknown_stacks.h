/*
 * Stacks that the engine has not been told of: of coroutines that the program switches to by code of its own.
 * Found by the return addresses into affected functions that they hold.
 */
#ifndef MOLT_ENGINE_THREADS_UNKNOWN_STACKS_H
#define MOLT_ENGINE_THREADS_UNKNOWN_STACKS_H

#include "engine/threads/unknown_walk.h"

struct unknown_stack {
    struct unknown_place place;
    uintptr_t sp;             /* where the program will go on with it, 0: that is not understood */
    uintptr_t pc;             /* of what longjmp goes on with: in the function that called setjmp; or 0 */
    struct unknown_walk walk; /* its frames; if it is not understood nothing but SLOT is set */
    uintptr_t rest_end; /* if longjmp goes on with it, and not all frames were found: to here are others */
    bool affected;      /* what longjmp goes on with: a function that changes waits there, or may */
    size_t more;        /* how many like this there are which nobody is told of */
};

typedef void unknown_stack_visitor(void *context, const struct unknown_stack *stack);

/* Which addresses are looked for: whether WORD lies in affected code. */
struct unknown_wanted {
    const struct unknown_values *values; /* where affected code lies, roughly */
    size_t count;
    bool (*is_affected)(void *context, uintptr_t word);
    void *context;
};

/* Visits the frames of STACK, which is understood, but for those that other stacks have come to. While it is
 * being visited. */
void unknown_stacks_frames(const struct unknown_stack *stack, unwind_visitor *visit, void *context);

/* Whether SP, which the program keeps at KEPT_AT, is where the stack in PLACE goes on; then it is RET. In the
 * stopped world. */
bool unknown_stacks_at(const struct unknown_place *place, uintptr_t sp, uintptr_t kept_at,
                       struct unknown_stack *ret);

/* Visits those on which affected functions wait. In the stopped world, after threads and coroutines have been
 * looked at. False if there was no memory for it. RET_OVERLOOKED: how many stacks, and jmp_bufs that lead to
 * some, were too many. */
bool unknown_stacks_visit(const struct world *world, const struct unknown_wanted *wanted,
                          unknown_stack_visitor *visit, void *context, size_t *ret_overlooked);

#endif
