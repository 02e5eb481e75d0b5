/*
 * Whether the values of two locals mean the same: their types as the debug information of two objects
 * describes them, compared side by side, through everything that lies in them by value.
 */
#include <dwarf.h>
#include <string.h>

#include "patch/types/die_facts.h"
#include "patch/transfer/locals.h"

#define DEPTH_MAX 32

/* The type without typedefs and qualifiers; false: void. */
static bool strip(const Dwarf_Die *die, Dwarf_Die *ret)
{
    struct die_facts facts;

    if (!die_unqualified(die, ret)) {
        return false;
    }
    for (unsigned i = 0; i < DEPTH_MAX && dwarf_tag(ret) == DW_TAG_typedef; i++) {
        die_facts_read(ret, &facts);
        if (!facts.typed || !die_unqualified(&facts.type, ret)) {
            return false;
        }
    }
    return true;
}

static bool same_word(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_type(const Dwarf_Die *old, const Dwarf_Die *new, unsigned depth);

/* Members, enumerators and dimensions, one by one. */
static bool same_children(Dwarf_Die *old, Dwarf_Die *new, unsigned depth)
{
    Dwarf_Die a, b;
    int more_old = dwarf_child(old, &a), more_new = dwarf_child(new, &b);

    for (; more_old == 0 && more_new == 0;
         more_old = dwarf_siblingof(&a, &a), more_new = dwarf_siblingof(&b, &b)) {
        struct die_facts one, other;
        die_facts_read(&a, &one);
        die_facts_read(&b, &other);
        if (one.tag != other.tag || !same_word(one.name, other.name) || one.bit_offset != other.bit_offset ||
            one.bit_size != other.bit_size || one.count != other.count || one.counted != other.counted ||
            one.value != other.value || one.typed != other.typed) {
            return false;
        }
        if (one.tag == DW_TAG_member && one.typed && !same_type(&one.type, &other.type, depth + 1)) {
            return false;
        }
    }
    return more_old == more_new;
}

static bool same_type(const Dwarf_Die *old, const Dwarf_Die *new, unsigned depth)
{
    struct die_facts one, other;
    Dwarf_Die a, b;

    if (depth > DEPTH_MAX || !strip(old, &a) || !strip(new, &b)) {
        return false;
    }
    die_facts_read(&a, &one);
    die_facts_read(&b, &other);
    if (one.tag != other.tag || one.size != other.size || one.encoding != other.encoding) {
        return false;
    }
    switch (one.tag) {
    case DW_TAG_pointer_type:
    case DW_TAG_base_type:
        return true;
    case DW_TAG_array_type:
        return one.typed && other.typed && same_type(&one.type, &other.type, depth + 1) &&
               same_children(&a, &b, depth);
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        return same_word(one.name, other.name) && same_children(&a, &b, depth);
    default:
        return false;
    }
}

bool same_local_type(Dwarf_Die *old, Dwarf_Die *new)
{
    return same_type(old, new, 0);
}

bool local_is_integer(Dwarf_Die *type, bool *ret_signed)
{
    struct die_facts facts;
    Dwarf_Die plain;

    if (!strip(type, &plain)) {
        return false;
    }
    die_facts_read(&plain, &facts);
    *ret_signed = facts.encoding == DW_ATE_signed || facts.encoding == DW_ATE_signed_char;
    return facts.tag == DW_TAG_base_type &&
           (*ret_signed || facts.encoding == DW_ATE_unsigned || facts.encoding == DW_ATE_unsigned_char ||
            facts.encoding == DW_ATE_boolean);
}
