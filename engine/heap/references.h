/*
 * Every word of the program's memory that may hold an address, once each, in the stopped world: with what its
 * type says, or without a type.
 */
#ifndef MOLT_ENGINE_HEAP_REFERENCES_H
#define MOLT_ENGINE_HEAP_REFERENCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"
#include "engine/update/memory_map.h"

/* Called with COUNT words at START about which nothing is known. */
typedef void references_visitor(void *context, uintptr_t *start, size_t count);

/* A stretch of memory that somebody else looks at, or nobody may. */
struct references_hole {
    uintptr_t start, end;
};

struct references {
    struct memory_map map;
    pid_t process;                 /* whose threads they are */
    struct references_hole *holes; /* ascending when they are used */
    size_t hole_count, hole_capacity;
    struct references_hole *stacks;
    size_t stack_count, stack_capacity;
    bool constants; /* read-only data of modules counts: pointers to variables may stand in it */
};

/* Reads the memory map. 0 or negative errno. */
int references_init(struct references *references);
void references_deinit(struct references *references);

/* Finds the stacks and thread-local memory of WORLD's threads, and what the engine keeps for frames on them.
 * 0 or -ENOMEM. */
int references_threads(struct references *references, const struct world *world);
bool references_on_stack(const struct references *references, uintptr_t address);

/* [start, end) is left out. 0 or -ENOMEM. To be sorted when all are known. */
int references_leave(struct references *references, uintptr_t start, uintptr_t end);
void references_sort(struct references *references);

/* Visits the words of [start, end) that are in no hole. */
void references_range(const struct references *references, uintptr_t start, uintptr_t end,
                      references_visitor *visit, void *context);

/* Visits what of memory that the program has mapped itself is there: arenas, stacks of coroutines. */
void references_mapped(const struct references *references, const struct world *world,
                       references_visitor *visit, void *context);

/* Visits what has no type outside of the heap: variables of modules and patches, stacks, saved registers
 * and thread-local memory. */
void references_walk(struct references *references, const struct world *world, references_visitor *visit,
                     void *context);

#endif
