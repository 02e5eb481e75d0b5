/*
 * Return barriers: a thread's return address is replaced by the address of a stub, so that the engine hears
 * when the thread leaves the frame. One barrier per thread, on its oldest affected frame.
 */
#ifndef MOLT_ENGINE_THREADS_BARRIER_H
#define MOLT_ENGINE_THREADS_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/threads/stop.h"

/* 0 or negative errno. Before the first stop. */
int barrier_init(void);

/* Replaces the return address at RETURN_SLOT (on the stack of a stopped thread). False if all stubs are in
 * use. Stopped world. */
bool barrier_set(uintptr_t return_slot);

/* Puts back every return address that a barrier still replaces, and moves threads that are inside a stub out
 * of it. World stopped; afterwards no thread's stack or registers lead to a stub. */
void barrier_remove_all(const struct world *world);

/* Waits until every barrier set was reached, at most PATIENCE_MS. Returns whether all were. */
bool barrier_await(uint32_t patience_ms);

/* From now on threads that reach their barrier stay there (are parked), so that they do not run into the
 * affected function again; until barrier_release lets them go on. */
void barrier_hold(void);
void barrier_release(void);

/* The child of a fork: nobody is waiting for barriers in it. */
void barrier_after_fork(void);

#endif
