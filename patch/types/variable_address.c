/*
 * Variables with one place for their whole life: their location is a single address, or a constant and the
 * operation that makes it an address of the running thread.
 */
#include "patch/types/variable_address.h"

#include <dwarf.h>

#include "patch/types/die_facts.h"

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

static bool number_of(const Dwarf_Op *operation, uint64_t *ret)
{
    bool literal = operation->atom >= DW_OP_lit0 && operation->atom <= DW_OP_lit31;
    bool constant = operation->atom >= DW_OP_const1u && operation->atom <= DW_OP_consts;

    *ret = literal ? (uint64_t)(operation->atom - DW_OP_lit0) : operation->number;
    return literal || constant;
}

/* "address, deref_size, factor, mul, base, plus, stack_value" is how clang describes a number that it
 * keeps as one bit. */
bool variable_scale(Dwarf_Attribute *attribute, const Dwarf_Op *operations, size_t count,
                    struct variable_scale *ret)
{
    struct variable_scale scale;
    size_t at = 1;

    while (at < count && operations[at].atom != DW_OP_deref_size) {
        at++;
    }
    if (count != at + 6 || !variable_place(attribute, operations, at, &scale.address, &scale.tls) ||
        !number_of(&operations[at + 1], &scale.factor) || operations[at + 2].atom != DW_OP_mul ||
        !number_of(&operations[at + 3], &scale.base) || operations[at + 4].atom != DW_OP_plus ||
        operations[at + 5].atom != DW_OP_stack_value) {
        return false;
    }
    scale.room = operations[at].number;
    *ret = scale;
    return true;
}

/* Whether the bytes at the address of SCALE are what the variable DIE would be anyway: a bool is one bit
 * in any case. */
static bool is_itself(Dwarf_Die *die, const struct variable_scale *scale)
{
    Dwarf_Word size;
    Dwarf_Die type;

    return scale->factor == 1 && scale->base == 0 && die_type(die, &type) &&
           dwarf_aggregate_size(&type, &size) == 0 && size == scale->room;
}

bool variable_address(Dwarf_Die *die, Dwarf_Addr *ret, bool *ret_tls)
{
    struct variable_scale scale;
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;

    if (!dwarf_attr(die, DW_AT_location, &attribute) ||
        dwarf_getlocation(&attribute, &operations, &count) != 0) {
        return false;
    }
    if (variable_place(&attribute, operations, count, ret, ret_tls)) {
        return true;
    }
    if (!variable_scale(&attribute, operations, count, &scale) || !is_itself(die, &scale)) {
        return false;
    }
    *ret = scale.address;
    *ret_tls = scale.tls;
    return true;
}
