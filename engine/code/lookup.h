/* Symbols of the program's global scope, found without leaving a trace in the dynamic linker or the
 * program's heap. */
#ifndef MOLT_ENGINE_CODE_LOOKUP_H
#define MOLT_ENGINE_CODE_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Notes which modules the program was started with. Called before main; without it every look-up is
 * dlsym's. */
void lookup_init(void);

/* Address of function or variable NAME with VERSION ("": the default one), as a module that refers to it
 * would be bound; 0: nowhere. *ret_size is what its symbol says, 0 if unknown; may be NULL. Takes the
 * dynamic linker's lock. */
uintptr_t lookup_symbol(const char *name, const char *version, size_t *ret_size);

/* Address of the first definition of NAME in any loaded module, in the order in which the dynamic linker
 * searches those that the program was started with; or, BEHIND_US, of the first in modules that come after
 * the one that this code is part of. 0: nowhere. Without a lock: before main, when there is one thread.
 * Needs no lookup_init. */
uintptr_t lookup_definition(const char *name, bool behind_us);

#endif
