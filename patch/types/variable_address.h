/* Where debug information says a variable is. */
#ifndef MOLT_PATCH_VARIABLE_ADDRESS_H
#define MOLT_PATCH_VARIABLE_ADDRESS_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

/* Sets *RET to the address of the variable DIE, or to its offset in the thread-local storage of its module
 * if *RET_TLS. False for variables that have no place of their own for their whole life. */
bool variable_address(Dwarf_Die *die, Dwarf_Addr *ret, bool *ret_tls);

/* The same for the COUNT operations of the location ATTRIBUTE that say where a part of a variable is. */
bool variable_place(Dwarf_Attribute *attribute, const Dwarf_Op *operations, size_t count, Dwarf_Addr *ret,
                    bool *ret_tls);

/* A number that only ever has two values, kept as less: the value is base + factor * the `room` bytes at
 * the address. */
struct variable_scale {
    Dwarf_Addr address;
    bool tls;
    uint64_t factor, base, room;
};

/* False: the location is none of the kind. */
bool variable_scale(Dwarf_Attribute *attribute, const Dwarf_Op *operations, size_t count,
                    struct variable_scale *ret);

#endif
