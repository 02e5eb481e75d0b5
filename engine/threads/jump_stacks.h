/* Stacks that no thread is on and that some jmp_buf leads to. */
#ifndef MOLT_ENGINE_THREADS_JUMP_STACKS_H
#define MOLT_ENGINE_THREADS_JUMP_STACKS_H

#include "engine/threads/unknown_stacks.h"

/* Visits those on which affected functions wait, or may, since not all frames were found; ALL: the others,
 * too. Those that are not understood are not among them. In the stopped world, while unknown_memory.h can be
 * asked. Returns for how many jmp_bufs there was no room. */
size_t jump_stacks_visit(const struct unknown_wanted *wanted, bool all, unknown_stack_visitor *visit,
                         void *context);

/* Whether a stack was surely left by longjmp where it had the stack pointer SP, and not in another way
 * further down: the last call of the function that called setjmp was one of longjmp. */
bool jump_stacks_surely(uintptr_t sp);

#endif
