/*
 * Stacks of the program's own making on which no thread runs at the moment: coroutines that wait to be gone
 * on with.
 */
#ifndef MOLT_ENGINE_THREADS_COROUTINES_H
#define MOLT_ENGINE_THREADS_COROUTINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"

struct suspended_stack {
    const ucontext_t *context; /* as it was saved; NULL: only where the stack lies is known */
    uintptr_t low;             /* for messages: where it lies */
    uintptr_t start,
        end;           /* the part that may be in use: START without context; END is 0 if it is not known */
    uintptr_t kept_at; /* without context: where the program keeps START, or 0 */
    bool returns_once; /* what stands in the context may be replaced */
};

typedef void suspended_visitor(void *context, const struct suspended_stack *stack);

/* Before a stop. */
void coroutines_prepare(void);

/* Visits all, in the stopped world. Threads must have been looked at: those that are `switching` are. */
void coroutines_visit(const struct world *world, suspended_visitor *visit, void *context);

/* False if STACK, or what was saved of it, lies in a block of the heap that was given back: nobody will
 * come back to it. */
bool coroutines_is_live(const struct suspended_stack *stack);

/* After coroutines_visit: whether ADDRESS lies in a stack of those, and whether the own stack of the thread
 * with this index is one. */
bool coroutines_know(uintptr_t address);
bool coroutines_know_own(size_t index);

/* Likewise: whether ADDRESS lies in a stack of those that a thread is on. */
bool coroutines_are_on(uintptr_t address);

/* Likewise: whether ADDRESS lies in a stack of those of which a context tells where it goes on. */
bool coroutines_tell(uintptr_t address);

/* STACK, which is being visited and has no context, is left to the search for unknown ones: it is no longer
 * known. */
void coroutines_leave(const struct suspended_stack *stack);
bool coroutines_have_left(void); /* any, in this look */

/* Whether ADDRESS lies in a known stack, left or not, that is not older than what it overlaps. Narrows
 * [*LOW, *HIGH) to that, or to what lies between such stacks. */
bool coroutines_narrow(uintptr_t address, uintptr_t *low, uintptr_t *high);

/* Whether the 8 bytes at ADDRESS are a module's or a patch's, and can be read: modules have gaps. */
bool coroutines_is_loaded(uintptr_t address);

/* Whether ADDRESS lies right behind an instruction of loaded code that calls. */
bool coroutines_is_return_address(uintptr_t address);

/* A stack of the program's own. */
struct coroutine_stack {
    uintptr_t low;
    size_t size;
    bool registered; /* by <molt/engine.h>; else by makecontext */
};

/* How many of each kind there are, as far as is known, ended coroutines included. The first MAX are
 * written to RET. Roughly while the program runs. */
struct coroutine_counts {
    size_t made, registered;
};
struct coroutine_counts coroutines_list(struct coroutine_stack *ret, size_t max);

/* Whether there have been more than can be known: what waits on the others is not. */
bool coroutines_overflow(void);

#endif
