/*
 * Variables with one place for their whole life: their location is a single address, or a constant and the
 * operation that makes it an address of the running thread.
 */
#include "patch/variable_address.h"

#include <dwarf.h>

/* The address that OPERATION takes from a table. */
static bool indexed_address(Dwarf_Attribute *attribute, const Dwarf_Op *operation, Dwarf_Addr *ret)
{
    Dwarf_Attribute indirect;

    return dwarf_getlocation_attr(attribute, operation, &indirect) == 0 &&
           dwarf_formaddr(&indirect, ret) == 0;
}

bool variable_place(Dwarf_Attribute *attribute, const Dwarf_Op *operations, size_t count, Dwarf_Addr *ret,
                    bool *ret_tls)
{
    if (count < 1 || count > 2) {
        return false;
    }
    *ret_tls = count == 2 && (operations[1].atom == DW_OP_form_tls_address ||
                              operations[1].atom == DW_OP_GNU_push_tls_address);
    if (count == 2 && !*ret_tls) {
        return false;
    }
    switch (operations[0].atom) {
    case DW_OP_addr:
    case DW_OP_const4u:
    case DW_OP_const8u:
        *ret = operations[0].number;
        return *ret_tls || operations[0].atom == DW_OP_addr;
    case DW_OP_addrx:
    case DW_OP_GNU_addr_index:
        return indexed_address(attribute, &operations[0], ret);
    case DW_OP_constx:
    case DW_OP_GNU_const_index:
        return *ret_tls && indexed_address(attribute, &operations[0], ret);
    default:
        return false;
    }
}

bool variable_address(Dwarf_Die *die, Dwarf_Addr *ret, bool *ret_tls)
{
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;

    return dwarf_attr(die, DW_AT_location, &attribute) &&
           dwarf_getlocation(&attribute, &operations, &count) == 0 &&
           variable_place(&attribute, operations, count, ret, ret_tls);
}
