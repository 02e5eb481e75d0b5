/* The variables of a unit that have one place for their whole life, by its debug information. */
#ifndef MOLT_PATCH_VARIABLES_H
#define MOLT_PATCH_VARIABLES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "patch/memory.h"

struct variable {
    uint64_t address; /* or offset in the thread-local storage */
    bool tls;
    Dwarf_Die die;
};

/* Sorted; no two with the same place. */
typedef LIST(struct variable) variable_list;

/* Those of the compile unit with entry UNIT: of the file, static ones of functions, thread-local ones. Owned by the caller,
 * LIST_FREE. */
void variables_of_unit(const Dwarf_Die *unit, variable_list *ret);

/* Those of all units of DWARF, which may be NULL. */
void variables_of_all(Dwarf *dwarf, variable_list *ret);

/* The one at ADDRESS, or NULL. */
const struct variable *variables_find(const variable_list *list, uint64_t address, bool tls);

#endif
