/* The variables of a unit that have one place for their whole life, by its debug information. */
#ifndef MOLT_PATCH_VARIABLES_H
#define MOLT_PATCH_VARIABLES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "patch/memory.h"

/* A variable, or a member of one that the compiler keeps apart from the others (clang does so with static
 * structures whose address nobody takes). */
struct variable {
    uint64_t address; /* or offset in the thread-local storage */
    bool tls;
    uint64_t offset, size; /* in bytes, of what is here in the whole; size 0: all of it */
    Dwarf_Die die;
};

/* Sorted; no two with the same place. */
typedef LIST(struct variable) variable_list;

/* Those of the compile unit with entry UNIT: of the file, static ones of functions, thread-local ones.
 * Owned by the caller, LIST_FREE. */
void variables_of_unit(const Dwarf_Die *unit, variable_list *ret);

/* Those of all units of DWARF, which may be NULL. */
void variables_of_all(Dwarf *dwarf, variable_list *ret);

/* The one at ADDRESS, or NULL. */
const struct variable *variables_find(const variable_list *list, uint64_t address, bool tls);

/* Which member a part is, in RET, empty before: "at.x", "[2].y"; false if the type has none there. */
bool variable_part(const struct variable *variable, struct text *ret);

#endif
