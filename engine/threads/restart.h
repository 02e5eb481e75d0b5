/* Making a system call that the stop interrupted go on as if nothing had happened. */
#ifndef MOLT_ENGINE_THREADS_RESTART_H
#define MOLT_ENGINE_THREADS_RESTART_H

#include <stdint.h>
#include <ucontext.h>

/* The call a thread was blocked in before it was signalled: number (-1 for none), and where it was made. */
struct blocked_call {
    long number;
    uintptr_t pc, sp;
};

/*
 * In the stop's handler, on the stopped thread: if CONTEXT is just behind a system call that was interrupted,
 * makes it start again. BLOCKED may be NULL. Returns whether it does. Async-signal-safe.
 */
int restart_interrupted_call(const struct blocked_call *blocked, ucontext_t *context);

/* On the way out of the handler, if restart_interrupted_call said so: time counts again from here. */
void restart_begins(void);

#endif
