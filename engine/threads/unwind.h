/*
 * Walking the stack of a stopped thread, without locks and without believing the stack: every word is read
 * inside the thread's stack mapping only.
 */
#ifndef MOLT_ENGINE_THREADS_UNWIND_H
#define MOLT_ENGINE_THREADS_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"

struct stack_frame {
    uintptr_t pc; /* where control is, or comes back to */
    uintptr_t
        lookup; /* an address inside the instruction that is being executed: pc, or pc - 1 after a call */
    uintptr_t
        pc_slot; /* where on the stack pc was read from: the inner frame's return_slot; 0 if it was not */
    uintptr_t return_slot; /* where this frame's return address lies on the stack, 0 if it is not known */
};

/* Called per frame, innermost first. Return false to stop walking. */
typedef bool unwind_visitor(void *context, const struct stack_frame *frame);

enum unwind_end {
    UNWIND_COMPLETE, /* the outermost frame was reached, or the visitor stopped */
    UNWIND_LOST, /* a frame without usable unwind information: *ret_lost_sp is where the known part ends */
};

/* 0 or -ENOMEM. Before the first stop, on the engine's thread. */
int unwind_init(void);

/* Reads the memory map, so that stacks are known; before a stop. 0 or negative errno. */
int unwind_refresh(void);

/* Walks the stack of THREAD, which is stopped. */
enum unwind_end unwind_thread(const struct stopped_thread *thread, unwind_visitor *visit, void *context,
                              uintptr_t *ret_lost_sp);

/* The same for a stack whose thread is not on it: CONTEXT was saved by a call of swapcontext or
 * getcontext. */
enum unwind_end unwind_saved(const ucontext_t *context, unwind_visitor *visit, void *argument,
                             uintptr_t *ret_lost_sp);

/* Walks the stack of CONTEXT, a stopped thread's or (SAVED) as for unwind_saved. REGISTERS, 16 by DWARF's
 * numbers, hold those that calls preserve, and rsp, as they will be when control comes back to the frame
 * that is being visited. */
void unwind_with_registers(const ucontext_t *context, bool saved, unwind_visitor *visit, void *argument,
                           uint64_t *registers);

/* Where the function at PC, an address inside of it, begins and ends; of one in several parts, that part.
 * False if no unwind table says so. */
bool unwind_function(uintptr_t pc, uintptr_t *ret_start, uintptr_t *ret_end);

/* The end (exclusive) of the readable mapping that ADDRESS lies in, as of the last refresh; 0 if in none. */
uintptr_t unwind_stack_end(uintptr_t address);

#endif
