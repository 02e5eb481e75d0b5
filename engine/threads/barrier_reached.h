/* What barrier.c shares with the code that runs on a thread which has reached its barrier. */
#ifndef MOLT_ENGINE_THREADS_BARRIER_REACHED_H
#define MOLT_ENGINE_THREADS_BARRIER_REACHED_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/threads/stub_data.h"

enum { BARRIER_FREE, BARRIER_SET, BARRIER_REACHED }; /* states of its stubs */

extern struct stub_area barrier_stubs;

struct barrier_signal {
    _Atomic uint32_t waiting; /* barriers not reached yet; the engine sleeps on it */
    _Atomic uint32_t parking; /* 1: threads that reach a barrier stay there and sleep on it */
};
extern struct barrier_signal barrier_signal;

/* Called by molt_barrier_entry with the number of the stub. */
void molt_barrier_reached(uint64_t index);

#endif
