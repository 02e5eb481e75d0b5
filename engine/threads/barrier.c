/*
 * Return barriers (DESIGN 4.4; gDSU section 4.4 hijacks contexts for the same purpose).
 *
 * The stubs are generated into a page range whose second half holds their data, so that a stub finds its
 * data, and so does whoever unwinds through it, at a fixed distance:
 *
 *     stub i   at code + 32 i:   push  original(i)        ff 35 rel32    0    the stack is again what it was
 * at the return push  $i                 68 imm32       6 jmp   *entry             ff 25 rel32    11 data i
 * at code + SIZE + 32 i:  original return address, address of the stack slot, state
 *
 * One DWARF FDE describes all stubs: the offset inside the stub (pc & 31) says how much was pushed, and
 * before the first push the return address is read from the data. Unwinders see the original callers at every
 * instruction.
 *
 * A parked thread waits in molt_barrier_reached (barrier_reached.c), which is compiled without vector and x87
 * registers: the return value of the function that was left may be in any of them.
 */
#include "engine/threads/barrier.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/code/unwind_tables.h"
#include "engine/mapping.h"
#include "engine/threads/barrier_reached.h"
#include "engine/threads/futex.h"
#include "engine/threads/readable.h"

#define STUB_SIZE 32
#define STUB_COUNT                                                                                           \
    1024 /* threads that can be awaited by barriers; further ones are awaited by looking again */
#define AREA_SIZE (STUB_SIZE * STUB_COUNT)

static struct {
    uint8_t *code; /* AREA_SIZE bytes of stubs, then AREA_SIZE bytes of data; data 0 is the entry's address */
    uint32_t next; /* handed out in turn, so that a stub rests for long before it is used again */
    uint32_t used; /* how many are set */
} barriers;

struct barrier_signal barrier_signal;

void molt_barrier_entry(void);

struct barrier *barrier_data(uint64_t index)
{
    return (struct barrier *)(barriers.code + AREA_SIZE + STUB_SIZE * (size_t)index);
}

static uintptr_t stub_at(uint32_t index)
{
    return (uintptr_t)(barriers.code + STUB_SIZE * (size_t)index);
}

static void write_stub(uint32_t index)
{
    uint8_t *stub = barriers.code + STUB_SIZE * (size_t)index;
    int32_t data = AREA_SIZE - 6; /* from the end of the push */
    int32_t entry =
        (int32_t)(AREA_SIZE - STUB_SIZE * (size_t)index - 17); /* to data 0, from the end of the jump */

    memset(stub, 0xcc, STUB_SIZE);
    memcpy(stub, "\xff\x35", 2);
    memcpy(stub + 2, &data, 4);
    stub[6] = 0x68;
    memcpy(stub + 7, &index, 4);
    memcpy(stub + 11, "\xff\x25", 2);
    memcpy(stub + 13, &entry, 4);
}

/* DWARF expressions (DWARF 5, 2.5): r7 is rsp, r16 is the return address, which is pc while a frame is
 * described. */
#define PC_IN_STUB 0x80, 0x00, 0x4f, 0x1a /* breg16 0; lit31; and */

int barrier_init(void)
{
    static const uint8_t cfa[] = {
        0x77,       0x00,                         /* breg7 0 */
        PC_IN_STUB, 0x36, 0x2a, 0x33, 0x24, 0x22, /* lit6; ge; lit3; shl; plus: + 8 behind the first push */
        PC_IN_STUB, 0x3b, 0x2a, 0x33, 0x24, 0x22, /* lit11; ge; lit3; shl; plus: + 8 behind the second */
    };
    static const uint8_t return_address[] = {
        /* the CFA lies on the stack; CFA - 8 holds the address once it was pushed */
        0x38,       0x1c,                   /* lit8; minus */
        PC_IN_STUB, 0x36, 0x2a,             /* lit6; ge */
        0x28,       0x06, 0x00,             /* bra +6: pushed already */
        0x13,                               /* drop */
        0x80,       0x80, 0x80, 0x02, 0x96, /* breg16 AREA_SIZE; nop */
    };
    _Static_assert(AREA_SIZE == 0x8000, "the expression above says so: sleb128 80 80 02");

    if (barriers.code) {
        return 0;
    }
    uint8_t *code = mapping_create(NULL, 2 * AREA_SIZE, PROT_READ | PROT_WRITE, 0, "return barriers");
    if (!code) {
        return -ENOMEM;
    }
    barriers.code = code;
    for (uint32_t i = 1; i < STUB_COUNT; i++) {
        write_stub(i);
    }
    barrier_data(0)->original = (uintptr_t)molt_barrier_entry;
    if (mprotect(code, AREA_SIZE, PROT_READ | PROT_EXEC) < 0) {
        int status = -errno;
        mapping_destroy(code);
        barriers.code = NULL;
        return status;
    }
    return unwind_tables_add_expressions((uintptr_t)code, AREA_SIZE, cfa, sizeof(cfa), return_address,
                                         sizeof(return_address));
}

bool barrier_set(uintptr_t return_slot)
{
    uintptr_t *slot = (uintptr_t *)return_slot;

    if (barriers.used == STUB_COUNT - 1) {
        return false;
    }
    barriers.next = barriers.next % (STUB_COUNT - 1) + 1;
    struct barrier *barrier = barrier_data(barriers.next);
    barrier->original = *slot;
    barrier->return_slot = return_slot;
    atomic_store(&barrier->state, BARRIER_SET);
    *slot = stub_at(barriers.next);
    barriers.used++;
    atomic_fetch_add(&barrier_signal.waiting, 1);
    return true;
}

/* A thread that was stopped inside a stub goes on where it was returning to. */
static void leave_stub(const struct stopped_thread *thread)
{
    greg_t *registers = thread->context->uc_mcontext.gregs;
    uintptr_t offset = (uintptr_t)registers[REG_RIP] - (uintptr_t)barriers.code;

    if (offset < AREA_SIZE) {
        registers[REG_RIP] = (greg_t)barrier_data((uint32_t)(offset / STUB_SIZE))->original;
        registers[REG_RSP] += offset % STUB_SIZE >= 11 ? 16 : offset % STUB_SIZE >= 6 ? 8 : 0;
    }
}

void barrier_remove_all(const struct world *world)
{
    for (size_t i = 0; i < world->count && barriers.code; i++) {
        leave_stub(&world->threads[i]);
    }
    for (uint32_t i = 1; i < STUB_COUNT && barriers.used; i++) {
        struct barrier *barrier = barrier_data(i);
        if (!barrier->return_slot) {
            continue;
        }
        /* A frame that was left, by longjmp or an exception too, is gone, and its slot may mean something
         * else by now; with its thread, the whole stack may be gone. */
        if (is_readable(barrier->return_slot) && *(uintptr_t *)barrier->return_slot == stub_at(i)) {
            *(uintptr_t *)barrier->return_slot = barrier->original;
        }
        barrier->return_slot = 0;
        atomic_store(&barrier->state, BARRIER_FREE); /* who is on the way from it counts no more */
        barriers.used--;
    }
    atomic_store(&barrier_signal.waiting, 0);
}

uintptr_t barrier_original(uintptr_t word)
{
    uintptr_t offset = word - (uintptr_t)barriers.code;

    if (!barriers.code || offset >= AREA_SIZE || offset % STUB_SIZE || !offset) {
        return word;
    }
    const struct barrier *barrier = barrier_data((uint32_t)(offset / STUB_SIZE));
    return barrier->original ? barrier->original : word;
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
