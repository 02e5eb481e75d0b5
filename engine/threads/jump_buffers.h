/* Where the program's memory holds what setjmp has saved: stacks that are left by longjmp go on there. */
#ifndef MOLT_ENGINE_THREADS_JUMP_BUFFERS_H
#define MOLT_ENGINE_THREADS_JUMP_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

struct jump_buffer {
    uintptr_t at;     /* the jmp_buf */
    uintptr_t pc, sp; /* what longjmp goes on with */
};

typedef void jump_buffer_visitor(void *context, const struct jump_buffer *found);

/* A patch imports the function NAME: what it is to know of modules is looked for there. */
void jump_buffers_imported(const char *name);

/* Looks through modules that were not there the last time, and patches. Takes the dynamic linker's lock:
 * before threads are stopped or held. */
void jump_buffers_look(void);

/* Whether the program may leave stacks by longjmp and come back: of those that use it to report errors few
 * can. */
bool jump_buffers_possible(void);

/* Whether ADDRESS is where one of the C library's functions of that name begins. */
bool jump_buffers_is_longjmp(uintptr_t address);

/* Visits all words of [start, end), whole pages, that may be such a buffer. */
void jump_buffers_find(uintptr_t start, uintptr_t end, jump_buffer_visitor *visit, void *context);

/* The registers that longjmp restores from the buffer at AT, to RET: those that calls preserve, rsp and
 * rip. */
void jump_buffers_registers(uintptr_t at, greg_t *ret);

#endif
