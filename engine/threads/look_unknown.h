/* The search for stacks that nobody has told of, as a part of a safe point. */
#ifndef MOLT_ENGINE_THREADS_LOOK_UNKNOWN_H
#define MOLT_ENGINE_THREADS_LOOK_UNKNOWN_H

#include "engine/threads/safe_point.h"

/* A search for a new safe point begins: finds out whether the program can have such stacks. Takes the dynamic
 * linker's lock: before threads are stopped or held. */
void unknown_begin(void);

/* Searches for such stacks (unknown_stacks.h), when none that is known blocks. Returns how many hold affected
 * functions; adds to *RET_UNEXPECTED how many of their frames are others than those known to last. In the
 * stopped world. */
size_t unknown_look(struct safe_point *wanted, const struct world *world, bool waited_long,
                    size_t *ret_unexpected);

#endif
