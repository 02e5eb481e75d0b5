/*
 * Return barriers (DESIGN 4.4; gDSU section 4.4 hijacks contexts for the same purpose): stubs (stubs.c) that
 * let the engine know when they are reached.
 *
 * A parked thread waits in molt_barrier_reached (barrier_reached.c), which is compiled without vector and x87
 * registers: the return value of the function that was left may be in any of them.
 */
#include "engine/threads/barrier.h"

#include <stdatomic.h>
#include <time.h>

#include "engine/threads/barrier_reached.h"
#include "engine/threads/futex.h"
#include "engine/threads/stubs.h"

struct stub_area barrier_stubs;
struct barrier_signal barrier_signal;

void molt_barrier_entry(void);

int barrier_init(void)
{
    return stubs_init(&barrier_stubs, molt_barrier_entry, "return barriers");
}

bool barrier_set(uintptr_t return_slot)
{
    uint32_t index = stubs_set(&barrier_stubs, return_slot);

    if (index) {
        atomic_store(&stub_data(&barrier_stubs, index)->state, BARRIER_SET);
        atomic_fetch_add(&barrier_signal.waiting, 1);
    }
    return index;
}

/* A thread that was stopped inside a stub goes on where it was returning to. */
static void leave_stub(const struct stopped_thread *thread)
{
    greg_t *registers = thread->context->uc_mcontext.gregs;
    size_t pushed;
    uint32_t index = stubs_inside(&barrier_stubs, thread, &pushed);

    if (index) {
        registers[REG_RIP] = (greg_t)stub_data(&barrier_stubs, index)->original;
        registers[REG_RSP] += (greg_t)pushed;
    }
}

void barrier_remove_all(const struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        leave_stub(&world->threads[i]);
    }
    for (uint32_t i = 1; i < STUB_COUNT && barrier_stubs.used; i++) {
        struct stub *stub = stub_data(&barrier_stubs, i);
        if (stub->return_slot) {
            stubs_clear(&barrier_stubs, i);
            atomic_store(&stub->state, BARRIER_FREE); /* who is on the way from it counts no more */
        }
    }
    atomic_store(&barrier_signal.waiting, 0);
}

bool barrier_await(uint32_t patience_ms)
{
    struct timespec patience = { patience_ms / 1000, (long)(patience_ms % 1000) * 1000000 };
    uint32_t waiting = atomic_load(&barrier_signal.waiting);
    struct timespec now, end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += patience.tv_nsec;
    end.tv_sec += patience.tv_sec + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    while (waiting) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long left = (end.tv_sec - now.tv_sec) * 1000000000 + (end.tv_nsec - now.tv_nsec);
        if (left <= 0) {
            return false;
        }
        patience = (struct timespec){ left / 1000000000, left % 1000000000 };
        futex_wait(&barrier_signal.waiting, waiting, &patience);
        waiting = atomic_load(&barrier_signal.waiting);
    }
    return true;
}

void barrier_hold(void)
{
    atomic_store(&barrier_signal.parking, 1);
}

void barrier_release(void)
{
    atomic_store(&barrier_signal.parking, 0);
    futex_wake_all(&barrier_signal.parking);
}

void barrier_after_fork(void)
{
    /* The forking thread may have barriers on its stack: their stubs and data stay, and hold nobody. */
    atomic_store(&barrier_signal.parking, 0);
}
