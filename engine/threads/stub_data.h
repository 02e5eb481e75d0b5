/* What stubs.c shares with the code that runs on a thread which has come to a stub. */
#ifndef MOLT_ENGINE_THREADS_STUB_DATA_H
#define MOLT_ENGINE_THREADS_STUB_DATA_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define STUB_SIZE 32
#define STUB_COUNT 2048 /* number 0 is none */
#define STUB_AREA_SIZE (STUB_SIZE * STUB_COUNT)

struct stub {
    uintptr_t original;     /* return address; must be first: the stub pushes it */
    uintptr_t return_slot;  /* where on the stack the stub's address stands instead, 0: unused */
    _Atomic uint32_t state; /* its users' */
    uint32_t unused;
    void *user;
};
_Static_assert(sizeof(struct stub) == STUB_SIZE, "a stub finds its data at a fixed distance");

struct stub_area {
    uint8_t *code; /* STUB_AREA_SIZE bytes of stubs, then as many of data; data 0 is the entry's address */
    uint32_t next; /* handed out in turn, so that a stub rests for long before it is used again */
    uint32_t used; /* how many are set */
};

static inline struct stub *stub_data(const struct stub_area *area, uint64_t index)
{
    return (struct stub *)(area->code + STUB_AREA_SIZE + STUB_SIZE * (size_t)index);
}

#endif
