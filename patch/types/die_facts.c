/*
 * Attributes of types and members. libdw finds an attribute by walking all of them from the first, so asking
 * for ten takes ten walks; here one walk hands out all.
 */
#include "patch/types/die_facts.h"

#include <dwarf.h>

#define QUALIFIERS_MAX 32

static uint64_t number_of(Dwarf_Attribute *attribute, bool *ret_known)
{
    Dwarf_Word value;
    Dwarf_Sword negative;
    unsigned form = dwarf_whatform(attribute);

    if ((form == DW_FORM_sdata || form == DW_FORM_implicit_const) &&
        dwarf_formsdata(attribute, &negative) == 0) {
        *ret_known = true;
        return negative;
    }
    *ret_known = dwarf_formudata(attribute, &value) == 0;
    return *ret_known ? value : 0;
}

/* A member's place in bytes: a constant, or in old debug information an expression that adds one. */
static uint64_t location_of(Dwarf_Attribute *attribute)
{
    Dwarf_Op *operations;
    size_t count;
    bool known;
    uint64_t value = number_of(attribute, &known);

    if (!known && dwarf_getlocation(attribute, &operations, &count) == 0 && count == 1 &&
        operations[0].atom == DW_OP_plus_uconst) {
        value = operations[0].number;
    }
    return value;
}

static void read_size(Dwarf_Attribute *attribute, struct die_facts *facts)
{
    facts->size = number_of(attribute, &facts->sized);
}

static void read_count(Dwarf_Attribute *attribute, struct die_facts *facts)
{
    uint64_t count = number_of(attribute, &facts->counted);
    bool upper_bound = dwarf_whatattr(attribute) == DW_AT_upper_bound;

    facts->count = upper_bound ? count + 1 : count;
    if (facts->count == UINT64_MAX) { /* how old clangs wrote "unknown" */
        facts->counted = false;
    }
}

static int read_attribute(Dwarf_Attribute *attribute, void *context)
{
    struct die_facts *facts = context;
    bool known;

    switch (dwarf_whatattr(attribute)) {
    case DW_AT_name:
        facts->name = dwarf_formstring(attribute);
        break;
    case DW_AT_declaration:
        facts->declaration = true;
        break;
    case DW_AT_type:
        facts->typed = dwarf_formref_die(attribute, &facts->type) != NULL;
        break;
    case DW_AT_byte_size:
        read_size(attribute, facts);
        break;
    case DW_AT_alignment:
        facts->alignment = number_of(attribute, &known);
        break;
    case DW_AT_bit_size:
        facts->bit_size = number_of(attribute, &known);
        break;
    case DW_AT_data_bit_offset:
        facts->bit_offset += number_of(attribute, &known);
        break;
    case DW_AT_data_member_location:
        facts->bit_offset += 8 * location_of(attribute);
        break;
    case DW_AT_bit_offset:
        facts->old_bit_offset = number_of(attribute, &known);
        facts->has_old_bit_offset = true;
        break;
    case DW_AT_count:
    case DW_AT_upper_bound:
        read_count(attribute, facts);
        break;
    case DW_AT_const_value:
        facts->value = number_of(attribute, &known);
        break;
    case DW_AT_encoding:
        facts->encoding = number_of(attribute, &known);
        break;
    case DW_AT_GNU_vector:
        facts->vector = true;
        break;
    case DW_AT_decl_line:
        facts->line = number_of(attribute, &known);
        break;
    default:
        break;
    }
    return DWARF_CB_OK;
}

void die_facts_read(const Dwarf_Die *die, struct die_facts *ret)
{
    *ret = (struct die_facts){ .tag = dwarf_tag((Dwarf_Die *)die) };
    dwarf_getattrs((Dwarf_Die *)die, read_attribute, ret, 0);
}

uint64_t die_member_place(const struct die_facts *facts, uint64_t size)
{
    uint64_t storage = facts->sized ? facts->size : size;

    return facts->has_old_bit_offset
               ? facts->bit_offset + 8 * storage - facts->old_bit_offset - facts->bit_size
               : facts->bit_offset;
}

bool die_type(const Dwarf_Die *die, Dwarf_Die *ret)
{
    Dwarf_Attribute attribute;

    return dwarf_attr_integrate((Dwarf_Die *)die, DW_AT_type, &attribute) &&
           dwarf_formref_die(&attribute, ret);
}

bool die_plain_type(const Dwarf_Die *die, Dwarf_Die *ret)
{
    return die_type(die, ret) && dwarf_peel_type(ret, ret) == 0;
}

bool die_unqualified(const Dwarf_Die *die, Dwarf_Die *ret)
{
    *ret = *die;
    for (unsigned i = 0; i < QUALIFIERS_MAX; i++) {
        Dwarf_Attribute attribute;
        Dwarf_Die inner;
        switch (dwarf_tag(ret)) {
        case DW_TAG_const_type:
        case DW_TAG_volatile_type:
        case DW_TAG_restrict_type:
        case DW_TAG_atomic_type:
            if (!dwarf_attr(ret, DW_AT_type, &attribute) || !dwarf_formref_die(&attribute, &inner)) {
                return false;
            }
            *ret = inner;
            break;
        default:
            return true;
        }
    }
    return false;
}

bool die_signature(const Dwarf_Die *die, Dwarf_Die *ret)
{
    Dwarf_Attribute attribute;

    return dwarf_attr((Dwarf_Die *)die, DW_AT_signature, &attribute) && dwarf_formref_die(&attribute, ret) &&
           ret->addr != die->addr;
}
