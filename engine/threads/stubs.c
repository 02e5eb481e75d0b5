/*
 * The stubs are generated into a page range whose second half holds their data, so that a stub finds its
 * data, and so does whoever unwinds through it, at a fixed distance:
 *
 *     stub i   at code + 32 i:   push  original(i)        ff 35 rel32    0    the stack is again what it was
 * at the return push  $i                 68 imm32       6 jmp   *entry             ff 25 rel32    11 data i
 * at code + SIZE + 32 i:  original return address, address of the stack slot, state
 *
 * One DWARF FDE describes all stubs of an area: the offset inside the stub (pc & 31) says how much was
 * pushed, and before the first push the return address is read from the data. Unwinders see the original
 * callers at every instruction.
 */
#include "engine/threads/stubs.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/code/unwind_tables.h"
#include "engine/mapping.h"
#include "engine/threads/readable.h"
#include "engine/watched.h"

#define FIRST_PUSHED 6 /* offsets behind the pushes */
#define BOTH_PUSHED 11

#define AREA_MAX 2

static const struct stub_area *areas[AREA_MAX]; /* all that there are */
static size_t area_count;

static uintptr_t stub_at(const struct stub_area *area, uint32_t index)
{
    return (uintptr_t)(area->code + STUB_SIZE * (size_t)index);
}

static void write_stub(const struct stub_area *area, uint32_t index)
{
    uint8_t *stub = area->code + STUB_SIZE * (size_t)index;
    int32_t data = STUB_AREA_SIZE - FIRST_PUSHED; /* from the end of the push */
    int32_t entry =
        (int32_t)(STUB_AREA_SIZE - STUB_SIZE * (size_t)index - 17); /* to data 0, from the end of the jump */

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

static int register_tables(const struct stub_area *area)
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
        0x80,       0x80, 0x80, 0x04, 0x96, /* breg16 STUB_AREA_SIZE; nop */
    };
    _Static_assert(STUB_AREA_SIZE == 0x10000, "the expression above says so: sleb128 80 80 04");

    return unwind_tables_add_expressions((uintptr_t)area->code, STUB_AREA_SIZE, cfa, sizeof(cfa),
                                         return_address, sizeof(return_address));
}

int stubs_init(struct stub_area *area, void (*entry)(void), const char *name)
{
    if (area->code) {
        return 0;
    }
    uint8_t *code = mapping_create(NULL, 2 * STUB_AREA_SIZE, PROT_READ | PROT_WRITE, 0, name);
    if (!code) {
        return -ENOMEM;
    }
    area->code = code;
    for (uint32_t i = 1; i < STUB_COUNT; i++) {
        write_stub(area, i);
    }
    stub_data(area, 0)->original = (uintptr_t)entry;
    if (mprotect(code, STUB_AREA_SIZE, PROT_READ | PROT_EXEC) < 0) {
        int status = -errno;
        mapping_destroy(code);
        area->code = NULL;
        return status;
    }
    areas[area_count++] = area;
    return register_tables(area);
}

/* The next unused one, so that none is used again soon: a thread may be on its way out of it. */
static uint32_t find_unused(struct stub_area *area)
{
    if (area->used == STUB_COUNT - 1) {
        return 0;
    }
    do {
        area->next = area->next % (STUB_COUNT - 1) + 1;
    } while (stub_data(area, area->next)->return_slot);
    return area->next;
}

uint32_t stubs_set(struct stub_area *area, uintptr_t return_slot)
{
    uintptr_t *slot = (uintptr_t *)return_slot;
    uint32_t index = find_unused(area);

    if (index) {
        struct stub *stub = stub_data(area, index);
        stub->original = *slot;
        stub->return_slot = return_slot;
        *slot = stub_at(area, index);
        area->used++;
    }
    return index;
}

bool stubs_is_set(const struct stub_area *area, uint32_t index)
{
    const struct stub *stub = stub_data(area, index);

    return stub->return_slot && is_readable(stub->return_slot) &&
           *(const uintptr_t *)stub->return_slot == stub_at(area, index);
}

void stubs_clear(struct stub_area *area, uint32_t index)
{
    struct stub *stub = stub_data(area, index);

    if (stubs_is_set(area, index)) {
        *(uintptr_t *)stub->return_slot = stub->original;
    }
    stubs_forget(area, index);
}

void stubs_forget(struct stub_area *area, uint32_t index)
{
    stub_data(area, index)->return_slot = 0;
    area->used--;
}

uint32_t stubs_index(const struct stub_area *area, uintptr_t word)
{
    uintptr_t offset = word - (uintptr_t)area->code;

    return area->code && offset < STUB_AREA_SIZE && offset % STUB_SIZE == 0 ? (uint32_t)(offset / STUB_SIZE)
                                                                            : 0;
}

uintptr_t stubs_original(uintptr_t word)
{
    for (size_t i = 0; i < area_count;) {
        uint32_t index = stubs_index(areas[i], word);
        if (index && stub_data(areas[i], index)->original) {
            word = stub_data(areas[i], index)->original;
            i = 0; /* a barrier may stand in front of another stub */
        } else {
            i++;
        }
    }
    return word;
}

READS_PROGRAM uintptr_t stubs_original_at(uintptr_t slot)
{
    return stubs_original(*(const uintptr_t *)slot);
}

uint32_t stubs_inside(const struct stub_area *area, const struct stopped_thread *thread, size_t *ret_pushed)
{
    uintptr_t offset = (uintptr_t)thread->context->uc_mcontext.gregs[REG_RIP] - (uintptr_t)area->code;

    if (!area->code || offset >= STUB_AREA_SIZE) {
        return 0;
    }
    *ret_pushed = offset % STUB_SIZE >= BOTH_PUSHED ? 16 : offset % STUB_SIZE >= FIRST_PUSHED ? 8 : 0;
    return (uint32_t)(offset / STUB_SIZE);
}
