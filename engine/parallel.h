/*
 * More processors for a moment: a function run several times at once, on the engine's thread and on helpers,
 * in a stopped world.
 *
 * Helpers share the process's memory and nothing else: they are none of its threads, so nobody counts, stops
 * or joins them, and a fault ends the helper alone. They are made for one call and gone when it returns.
 * Where none can be made, the engine's thread does all the work.
 */
#ifndef MOLT_ENGINE_PARALLEL_H
#define MOLT_ENGINE_PARALLEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PARALLEL_MAX 4

/* How many may run at once: processors that the process may use, PARALLEL_MAX at most; 1 if the program is
 * in a sandbox that might not let it make helpers. */
unsigned parallel_width(void);

/*
 * Calls FUNCTION(CONTEXT, n) for n from 0 to WIDTH - 1, 0 on this thread. The functions share out the work
 * among themselves, so that it is done even if only number 0 is called. They have one thread-local memory,
 * the engine's, and must not need another. Returns 0, or the number of a helper that has not come to its end.
 */
typedef void parallel_function(void *context, unsigned number);
unsigned parallel_run(parallel_function *function, void *context, unsigned width);

/* A helper has met with a fault: nobody is to wait for it. */
extern atomic_bool parallel_broken;

/* If parallel_run was left by a jump: ends its helpers, which have been told to come to an end, if need be
 * by force. */
void parallel_abandon(void);

/* The calling thread has met with a fault, or cannot go on. Does not return on a helper. */
void parallel_fault(void);

#endif
