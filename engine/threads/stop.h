/*
 * Stopping the world: every thread of the program, the engine's own apart, is held inside a signal handler,
 * with its registers at hand, and let go again without noticing.
 */
#ifndef MOLT_ENGINE_THREADS_STOP_H
#define MOLT_ENGINE_THREADS_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <ucontext.h>

#include "engine/threads/restart.h"

struct stopped_thread {
    pid_t tid;
    _Atomic uint32_t state;      /* whether it has arrived: enum in stop.c */
    ucontext_t *context;         /* the interrupted registers, on the thread's stack; valid while stopped */
    uintptr_t thread_pointer;    /* fs base */
    struct blocked_call blocked; /* what it was doing just before it was signalled */
    bool switching;              /* it is on its way from one stack to another (contexts.h) */
};

struct world {
    struct stopped_thread *threads;
    size_t count;
    pid_t process;     /* theirs: a copy of it that looks at them is another one */
    uint64_t began_us; /* monotonic time at which the first thread was told to stop */
};

/* Where what was at ADDRESS is, after an update has moved parts of the program's memory. */
typedef uintptr_t memory_mover(void *context, uintptr_t address);

/* Microseconds of the monotonic clock. */
uint64_t monotonic_us(void);

/* The calling thread becomes the one that is never stopped. */
void stop_init(void);

/*
 * Stops all threads and points *ret at them until resume_world. 0; -ETIMEDOUT if a thread did not stop within
 * TIMEOUT_MS (its tid is in *ret_stuck, and everything runs again); -EPERM if the program's own system call
 * filters would kill it for that (filters.h); -EAGAIN if signals cannot be queued;
 * other negative errnos if there is no memory, or /proc cannot be read.
 */
int stop_world(uint32_t timeout_ms, struct world *ret, pid_t *ret_stuck);

/* Lets all threads go on, and gives the signal back to the program. */
void resume_world(void);

/* The child of a fork has one thread and no stop under way. */
void stop_after_fork(void);

/* Copies the name of thread TID into NAME. */
void thread_name(pid_t tid, char *name, size_t size);

#endif
