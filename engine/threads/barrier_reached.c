/*
 * What a thread does when it has reached its return barrier. Compiled with -mgeneral-regs-only: the return
 * value of the function that was just left may be in vector or x87 registers, of any width.
 */
#include "engine/threads/barrier_reached.h"

#include <errno.h>

#include "engine/threads/futex.h"

void molt_barrier_reached(uint64_t index)
{
    const struct timespec limit = { .tv_sec = 1 };

    if (atomic_exchange(&stub_data(&barrier_stubs, index)->state, BARRIER_REACHED) == BARRIER_SET &&
        atomic_fetch_sub(&barrier_signal.waiting, 1) == 1) {
        futex_wake_all(&barrier_signal.waiting);
    }
    while (atomic_load(&barrier_signal.parking)) {
        if (futex_wait(&barrier_signal.parking, 1, &limit) == -ETIMEDOUT) {
            break; /* the engine lets go within milliseconds; whatever happened to it must not hold the
                      program */
        }
    }
}
