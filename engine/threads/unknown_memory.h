/*
 * The program's memory in which stacks may lie that the engine does not know: everything private and writable
 * but the stacks of threads and coroutines that are known. On the engine's thread, in the stopped world.
 */
#ifndef MOLT_ENGINE_THREADS_UNKNOWN_MEMORY_H
#define MOLT_ENGINE_THREADS_UNKNOWN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/jump_buffers.h"
#include "engine/threads/stop.h"

enum unknown_kind { UNKNOWN_BLOCK, UNKNOWN_MAPPING, UNKNOWN_DATA, UNKNOWN_THREAD, UNKNOWN_COROUTINE };

/* What a stack may lie in. */
struct unknown_place {
    enum unknown_kind kind;
    uintptr_t low, high; /* a block of the heap; a mapping; a module's variables; the thread's own stack; one
                            that is known, but not where it goes on; of that what lies in one mapping and can
                            be read. They do not overlap */
    pid_t tid;           /* of the thread */
};

/* The values that are looked for: those in [low, high) of one of them. */
struct unknown_values {
    uintptr_t low, high;
};

typedef void unknown_visitor(void *context, uintptr_t *at);

/* WORLD is stopped and was looked at (safe_point.c). False without memory. To be ended if true. */
bool unknown_memory_begin(const struct world *world);
void unknown_memory_end(void);

/* Visits all words of the program's memory, stacks that are known included, with one of the values. */
void unknown_memory_find(const struct unknown_values *values, size_t count, unknown_visitor *visit,
                         void *context);

/* Whether there is one in [start, end). */
bool unknown_memory_has(const struct unknown_values *values, size_t count, uintptr_t start, uintptr_t end);

/* Visits all that may be a jmp_buf. */
void unknown_memory_find_jumps(jump_buffer_visitor *visit, void *context);

/* The place that ADDRESS lies in. False: nobody's stack can be there that is not known, or that anybody will
 * come back to. BY_JUMP: what is known of contexts does not count, since a stack can be left in two ways. */
bool unknown_memory_place(uintptr_t address, bool by_jump, struct unknown_place *ret);

/* Whether what stands at ADDRESS may still be read by the program: it is in no block that was freed, and not
 * below a thread's stack pointer. */
bool unknown_memory_is_alive(uintptr_t address);

/* Whether ADDRESS is on a stack, not its own, that a thread is on: in use, or dead below that. */
bool unknown_memory_is_in_use(uintptr_t address);

/* How far down from SP, but not below LOW, what calls have left reaches: to the first page that is empty.
 * What lies below that was never part of the stack, or is of another one: the kernel joins mappings that lie
 * side by side. */
uintptr_t unknown_memory_depth(uintptr_t low, uintptr_t sp);

#endif
