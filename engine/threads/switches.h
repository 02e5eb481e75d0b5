/* Whether the program can leave a stack for another one without the engine's hearing of it: by code of its
 * own that loads the stack pointer. */
#ifndef MOLT_ENGINE_THREADS_SWITCHES_H
#define MOLT_ENGINE_THREADS_SWITCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Looks through code that was not there the last time. Takes the dynamic linker's lock: before threads are
 * stopped or held. */
void switches_look(void);

/* Whether such code was found. */
bool switches_exist(void);

/* Whether some of it lies in [start, end). */
bool switches_within(uintptr_t start, uintptr_t end);

/* The same for code of libraries, too, that is otherwise passed over. */
bool switches_by_library(uintptr_t start, uintptr_t end);

#endif
