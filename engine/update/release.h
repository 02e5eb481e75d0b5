/* What is given back once an update is committed: memory that policies name, and blocks that instances have
 * moved out of. */
#ifndef MOLT_ENGINE_UPDATE_RELEASE_H
#define MOLT_ENGINE_UPDATE_RELEASE_H

#include <stddef.h>
#include <stdint.h>

/* RELEASE(POINTER) is to be called after the commit. */
void release_later(void (*release)(void *), void *pointer);

/* Makes the calls, under the guard, which is up; returns how many did not come back. Stopped world. */
size_t release_run(void);

/* Forgets all calls: the update was discarded. */
void release_deinit(void);

#endif
