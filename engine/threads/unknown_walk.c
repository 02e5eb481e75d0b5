/*
 * A walk from a return address in memory: the unwind tables say where the caller's stands, if the frame
 * pointer is known in functions that use it. That what is found is a stack, and no list of addresses, is told
 * by the calls: the one in front of a return address is a call of the function that the return address below
 * lies in. In a list of addresses (what backtrace gives) they stand side by side, where frames are larger.
 */
#include "engine/threads/unknown_walk.h"

#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "engine/threads/coroutines.h"
#include "engine/threads/readable.h"
#include "engine/threads/stubs.h"
#include "engine/threads/switches.h"
#include "engine/watched.h"

#define NEAR_END 512 /* bytes: so much of a stack may lie above the frames of its first function */
#define HOPS_MAX 4
#define SWITCH_SIZE 256 /* of a function that no unwind table tells of */
#define SWITCH_NEAR 64  /* so far from the instruction that loads the stack pointer it goes on */

/* ---- calls ----------------------------------------------------------------------------------------- */

/* Follows a jump at ADDRESS: a function's new version, an entry of the PLT. 0: there is none. */
static READS_PROGRAM uintptr_t jump_at(uintptr_t address)
{
    const uint8_t *code = (const uint8_t *)address;
    int32_t distance;

    if (code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa) { /* endbr64 */
        return address + 4;
    }
    if (code[0] == 0xe9) {
        memcpy(&distance, code + 1, sizeof(distance));
        return address + 5 + (uintptr_t)(intptr_t)distance;
    }
    unsigned prefix = code[0] == 0xf2; /* bnd */
    if (code[prefix] == 0xff && code[prefix + 1] == 0x25) {
        memcpy(&distance, code + prefix + 2, sizeof(distance));
        uintptr_t place = address + prefix + 6 + (uintptr_t)(intptr_t)distance;
        return is_readable(place) ? *(const uintptr_t *)place : 0;
    }
    return 0;
}

/* Whether the call in front of RETURN_ADDRESS leads to [start, end) surely. */
static READS_PROGRAM bool calls(uintptr_t return_address, bool (*is)(uintptr_t target, uintptr_t start),
                                uintptr_t start)
{
    const uint8_t *code = (const uint8_t *)return_address;
    int32_t distance;

    memcpy(&distance, code - 4, sizeof(distance));
    uintptr_t target = return_address + (uintptr_t)(intptr_t)distance;
    if (code[-5] == 0x15 && code[-6] == 0xff && is_readable(target)) { /* by the GOT */
        target = *(const uintptr_t *)target;
    } else if (code[-5] != 0xe8) {
        return false;
    }
    for (unsigned hops = 0; hops <= HOPS_MAX && target && coroutines_is_loaded(target); hops++) {
        if (is(target, start)) {
            return true;
        }
        target = jump_at(target);
    }
    return false;
}

static bool is_start(uintptr_t target, uintptr_t start)
{
    return target == start;
}

static bool is_switch(uintptr_t target, uintptr_t unused)
{
    uintptr_t start, end;

    (void)unused;
    return unwind_function(target, &start, &end) ? switches_within(start, end)
                                                 : switches_within(target, target + SWITCH_SIZE);
}

static bool is_longjmp(uintptr_t target, uintptr_t unused)
{
    (void)unused;
    return jump_buffers_is_longjmp(target);
}

bool unknown_walk_jumps(uintptr_t return_address)
{
    return coroutines_is_loaded(return_address - sizeof(uintptr_t)) && calls(return_address, is_longjmp, 0);
}

/* Whether ADDRESS may be where a switch that was written into a function goes on. */
static bool lies_in_switch(uintptr_t address)
{
    return switches_within(address - SWITCH_NEAR, address + SWITCH_NEAR);
}

bool unknown_walk_switches(uintptr_t return_address)
{
    return lies_in_switch(return_address) || calls(return_address, is_switch, 0);
}

bool unknown_walk_resumes(uintptr_t word)
{
    return coroutines_is_loaded(word - sizeof(word)) &&
           (coroutines_is_return_address(word) || lies_in_switch(word));
}

bool unknown_walk_is_switching(uintptr_t pc)
{
    uintptr_t start, end;

    if (!unwind_function(pc, &start, &end)) {
        return switches_exist() && switches_within(pc - SWITCH_SIZE, pc + SWITCH_SIZE);
    }
    return jump_buffers_possible() && end - start < SWITCH_SIZE && switches_by_library(start, end);
}

/* ---- the walk -------------------------------------------------------------------------------------- */

struct steps {
    const struct unknown_place *place;
    struct unknown_walk *walk;
    uintptr_t registers; /* where libunwind takes the first pc from */
    unwind_visitor *visit;
    void *context;
    uintptr_t function; /* the start of the last frame's, 0: not known */
    uintptr_t slot;     /* where its pc stands, 0: of no frame */
    uintptr_t end;      /* where the next one's should */
    bool interrupted;   /* the next frames were, by a signal: their return addresses are not known */
    bool lost;
};

/* Whether a signal handler returns to PC: mov $SYS_rt_sigreturn, %rax; syscall */
static READS_PROGRAM bool is_signal_return(uintptr_t pc)
{
    static const uint8_t code[] = { 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 };

    return coroutines_is_loaded(pc) && coroutines_is_loaded(pc + sizeof(code)) &&
           memcmp((const void *)pc, code, sizeof(code)) == 0;
}

/* Whether what a signal has interrupted is on this stack. Above the return address of its handler stands what
 * it was. A stack that was brought to life as the one for signals has nothing above that. */
static READS_PROGRAM bool is_interrupted(const struct unknown_place *place, uintptr_t slot)
{
    const ucontext_t *context = (const ucontext_t *)(slot + sizeof(uintptr_t));
    const greg_t *sp = &context->uc_mcontext.gregs[REG_RSP];

    return (uintptr_t)(sp + 1) <= place->high && (uintptr_t)*sp > slot && (uintptr_t)*sp < place->high;
}

/* Whether return addresses fill all of what lies between two of them. */
static READS_PROGRAM bool is_list(uintptr_t slot, uintptr_t next)
{
    for (uintptr_t at = slot + sizeof(uintptr_t); at < next; at += sizeof(uintptr_t)) {
        if (!coroutines_is_return_address(stubs_original_at(at))) {
            return false;
        }
    }
    return next > slot + sizeof(uintptr_t);
}

static bool step(void *context, const struct stack_frame *frame)
{
    struct steps *steps = context;
    struct stack_frame placed = *frame;
    bool by_jump = frame->pc_slot == steps->registers && steps->walk->jump;
    bool by_signal = is_signal_return(frame->pc);
    uintptr_t end;

    if (steps->interrupted && !frame->pc_slot) {
        steps->function = 0;
        return !steps->visit || steps->visit(steps->context, frame);
    }
    if (frame->pc_slot == steps->registers) {
        placed.pc_slot = steps->walk->slot;
    }
    steps->lost = placed.pc_slot <= steps->slot || placed.pc_slot + sizeof(uintptr_t) > steps->place->high ||
                  (steps->slot && !by_signal && !unknown_walk_resumes(frame->pc));
    if (steps->lost) {
        return false;
    }
    if (!steps->walk->jump && steps->function && calls(frame->pc, is_start, steps->function) &&
        !is_list(steps->slot, placed.pc_slot)) {
        steps->walk->links++;
    }
    steps->walk->top = steps->slot = placed.pc_slot;
    steps->end = frame->return_slot ? frame->return_slot : steps->end;
    if (!unwind_function(frame->lookup, &steps->function, &end)) {
        steps->function = 0;
    }
    if (frame->pc_slot == steps->registers && steps->walk->pc_at) {
        placed.pc_slot = steps->walk->pc_at;
    }
    steps->interrupted = by_signal && is_interrupted(steps->place, placed.pc_slot);
    return (!by_signal || steps->interrupted) &&
           (!steps->visit || by_jump || steps->visit(steps->context, &placed));
}

static READS_PROGRAM void walk(const struct unknown_place *place, struct unknown_walk *walk,
                               unwind_visitor *visit, void *context)
{
    static ucontext_t saved;
    greg_t *registers = saved.uc_mcontext.gregs;
    struct steps steps = { .place = place,
                           .walk = walk,
                           .registers = (uintptr_t)&registers[REG_RIP],
                           .visit = visit,
                           .context = context };
    uintptr_t lost_sp;

    if (walk->jump) {
        jump_buffers_registers(walk->jump, registers);
    } else {
        registers[REG_RIP] = *(const greg_t *)(walk->pc_at ? walk->pc_at : walk->slot);
        registers[REG_RSP] = (greg_t)(walk->slot + sizeof(uintptr_t));
        registers[REG_RBP] = (greg_t)walk->rbp;
    }
    walk->top = walk->slot;
    walk->links = 0;
    bool complete = unwind_saved(&saved, step, &steps, &lost_sp) == UNWIND_COMPLETE && !steps.lost;
    walk->lost = !complete;
    walk->end = steps.end > lost_sp ? steps.end : lost_sp;
    walk->complete = complete || (walk->end <= place->high && place->high - walk->end <= NEAR_END);
}

void unknown_walk_from(const struct unknown_place *place, uintptr_t slot, uintptr_t pc_at, uintptr_t rbp,
                       struct unknown_walk *ret)
{
    *ret = (struct unknown_walk){ .slot = slot, .pc_at = pc_at, .rbp = rbp };
    walk(place, ret, NULL, NULL);
}

void unknown_walk_from_jump(const struct unknown_place *place, const struct jump_buffer *buffer,
                            unwind_visitor *visit, void *context, struct unknown_walk *ret)
{
    *ret = (struct unknown_walk){ .slot = buffer->sp - sizeof(uintptr_t), .jump = buffer->at };
    walk(place, ret, visit, context);
}

void unknown_walk_visit(const struct unknown_place *place, const struct unknown_walk *found,
                        unwind_visitor *visit, void *context)
{
    struct unknown_walk again = *found;

    walk(place, &again, visit, context);
}
