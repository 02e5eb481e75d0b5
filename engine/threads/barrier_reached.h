/* What barrier.c shares with the code that runs on a thread which has reached its barrier. */
#ifndef MOLT_ENGINE_THREADS_BARRIER_REACHED_H
#define MOLT_ENGINE_THREADS_BARRIER_REACHED_H

#include <stdatomic.h>
#include <stdint.h>

enum { BARRIER_FREE, BARRIER_SET, BARRIER_REACHED };

struct barrier {
    uintptr_t original;    /* return address; must be first: the stub pushes it */
    uintptr_t return_slot; /* where on the stack the stub's address stands instead, 0: not set */
    _Atomic uint32_t state;
};

struct barrier_signal {
    _Atomic uint32_t waiting; /* barriers not reached yet; the engine sleeps on it */
    _Atomic uint32_t parking; /* 1: threads that reach a barrier stay there and sleep on it */
};
extern struct barrier_signal barrier_signal;

/* Called by molt_barrier_entry with the data of the barrier. */
void molt_barrier_reached(uint64_t index);
struct barrier *barrier_data(uint64_t index);

#endif
