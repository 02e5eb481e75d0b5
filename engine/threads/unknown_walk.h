/* Walking a stack of which nothing is known but where a return address stands. In the stopped world. */
#ifndef MOLT_ENGINE_THREADS_UNKNOWN_WALK_H
#define MOLT_ENGINE_THREADS_UNKNOWN_WALK_H

#include "engine/threads/jump_buffers.h"
#include "engine/threads/unknown_memory.h"
#include "engine/threads/unwind.h"

struct unknown_walk {
    uintptr_t slot, rbp; /* where it begins, and the frame pointer there */
    uintptr_t pc_at; /* 0, or where the program keeps what it goes on with beside its stack pointer: then a
                        call has left that at SLOT, too */
    uintptr_t jump;  /* 0, or the jmp_buf by which it does: SLOT is where setjmp's return address stood */
    uintptr_t top;   /* the last slot in which a return address stands */
    uintptr_t end;   /* where the next one would */
    unsigned links;  /* of its calls: how many are surely calls of the function whose frame lies below */
    bool complete;   /* it came to the end of the stack */
    bool lost;       /* it did not, but perhaps not far from it */
};

/* Walks from the return address at SLOT in PLACE, where the frame pointer is RBP. PC_AT as above. */
void unknown_walk_from(const struct unknown_place *place, uintptr_t slot, uintptr_t pc_at, uintptr_t rbp,
                       struct unknown_walk *ret);

/* Visits the frames of WALK, as unwind_thread does, but for that which called setjmp. */
void unknown_walk_visit(const struct unknown_place *place, const struct unknown_walk *walk,
                        unwind_visitor *visit, void *context);

/* Walks what longjmp goes on with by BUFFER, and visits all frames but the first: that called setjmp. */
void unknown_walk_from_jump(const struct unknown_place *place, const struct jump_buffer *buffer,
                            unwind_visitor *visit, void *context, struct unknown_walk *ret);

/* Whether control can come to WORD when a stack is gone on with: it lies behind a call, or in a function that
 * switches stacks itself. */
bool unknown_walk_resumes(uintptr_t word);

/* Whether the call in front of RETURN_ADDRESS is one of a function that switches stacks, or the function that
 * it lies in does so itself. */
bool unknown_walk_switches(uintptr_t return_address);

/* Whether the call in front of RETURN_ADDRESS is one of longjmp. */
bool unknown_walk_jumps(uintptr_t return_address);

/* Whether a thread that is stopped at PC may have left one stack and not yet come to the other: then where it
 * goes on may stand in registers alone. */
bool unknown_walk_is_switching(uintptr_t pc);

#endif
