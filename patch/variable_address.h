/* Where debug information says a variable is. */
#ifndef MOLT_PATCH_VARIABLE_ADDRESS_H
#define MOLT_PATCH_VARIABLE_ADDRESS_H

#include <elfutils/libdw.h>
#include <stdbool.h>

/* Sets *RET to the address of the variable DIE, or to its offset in the thread-local storage of its module if *RET_TLS.
 * False for variables that have no place of their own for their whole life. */
bool variable_address(Dwarf_Die *die, Dwarf_Addr *ret, bool *ret_tls);

/* The same for the COUNT operations of the location ATTRIBUTE that say where a part of a variable is. */
bool variable_place(Dwarf_Attribute *attribute, const Dwarf_Op *operations, size_t count, Dwarf_Addr *ret,
                    bool *ret_tls);

#endif
