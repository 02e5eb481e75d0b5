/*
 * Variables, found by walking down into functions and blocks. A static variable of an inlined function is
 * described several times; what counts is its place. One in parts has a location of several addresses with a
 * size each, in the order of the parts.
 */
#include "patch/types/variables.h"

#include <dwarf.h>
#include <stdlib.h>

#include "patch/types/die_facts.h"
#include "patch/types/variable_address.h"

#define PARTS_DEPTH_MAX 16

/* The parts of a variable that has no place as a whole. */
static void collect_parts(Dwarf_Die *die, variable_list *ret)
{
    struct variable part = { .die = *die };
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;
    size_t first = 0;

    if (!dwarf_attr(die, DW_AT_location, &attribute) ||
        dwarf_getlocation(&attribute, &operations, &count) != 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (operations[i].atom != DW_OP_piece) {
            continue;
        }
        part.size = operations[i].number;
        if (variable_place(&attribute, &operations[first], i - first, &part.address, &part.tls)) {
            LIST_ADD(ret, part);
        }
        part.offset += part.size;
        first = i + 1;
    }
}

static void collect(const Dwarf_Die *parent, variable_list *ret)
{
    Dwarf_Die die;

    if (dwarf_child((Dwarf_Die *)parent, &die) != 0) {
        return;
    }
    do {
        struct variable variable = { .die = die };
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) {
            collect(&die, ret);
        } else if (tag == DW_TAG_variable && variable_address(&die, &variable.address, &variable.tls)) {
            LIST_ADD(ret, variable);
        } else if (tag == DW_TAG_variable) {
            collect_parts(&die, ret);
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

static int by_place(const void *one, const void *other)
{
    const struct variable *a = one, *b = other;

    return a->tls != b->tls ? a->tls - b->tls : (a->address > b->address) - (a->address < b->address);
}

static void sort(variable_list *list)
{
    size_t kept = 0;

    if (list->count) {
        qsort(list->items, list->count, sizeof(*list->items), by_place);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!kept || by_place(&list->items[kept - 1], &list->items[i]) != 0) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

void variables_of_unit(const Dwarf_Die *unit, variable_list *ret)
{
    *ret = (variable_list){ 0 };
    collect(unit, ret);
    sort(ret);
}

void variables_of_all(Dwarf *dwarf, variable_list *ret)
{
    Dwarf_CU *unit = NULL;
    Dwarf_Die top;

    *ret = (variable_list){ 0 };
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        collect(&top, ret);
    }
    sort(ret);
}

const struct variable *variables_find(const variable_list *list, uint64_t address, bool tls)
{
    struct variable wanted = { .address = address, .tls = tls };

    return list->count ? bsearch(&wanted, list->items, list->count, sizeof(*list->items), by_place) : NULL;
}

/* The member of the structure TYPE that SIZE bytes at *OFFSET are, or lie in; *OFFSET is in that member
 * then. */
static bool member_at(Dwarf_Die *type, uint64_t size, uint64_t *offset, struct die_facts *ret)
{
    Dwarf_Die child;

    for (int more = dwarf_child(type, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        Dwarf_Word room = 0;
        die_facts_read(&child, ret);
        if (ret->tag != DW_TAG_member || !ret->typed || ret->bit_size ||
            dwarf_aggregate_size(&ret->type, &room) != 0) {
            continue;
        }
        uint64_t place = die_member_place(ret, room) / 8;
        if (*offset >= place && *offset - place < room && size <= room - (*offset - place)) {
            *offset -= place;
            return true;
        }
    }
    return false;
}

/* Appends the element of the array TYPE that SIZE bytes at *OFFSET are, or lie in; *OFFSET is in that
 * element then. Dimensions are counted through. */
static bool element_at(Dwarf_Die *type, uint64_t size, uint64_t *offset, Dwarf_Die *ret, struct text *path)
{
    Dwarf_Word room = 0;

    if (!die_type(type, ret) || dwarf_aggregate_size(ret, &room) != 0 || !room ||
        *offset % room + size > room) {
        return false;
    }
    text_printf(path, "[%lu]", (unsigned long)(*offset / room));
    *offset %= room;
    return true;
}

/* Appends the way from an object of type DIE to SIZE bytes at OFFSET in it. */
static bool append_part(const Dwarf_Die *die, uint64_t offset, uint64_t size, unsigned depth,
                        struct text *ret)
{
    Dwarf_Die type, element;
    Dwarf_Word whole = 0;
    struct die_facts member;

    if (depth > PARTS_DEPTH_MAX || dwarf_peel_type((Dwarf_Die *)die, &type) != 0) {
        return false;
    }
    if (depth && offset == 0 && dwarf_aggregate_size(&type, &whole) == 0 && whole == size) {
        return true;
    }
    if (dwarf_tag(&type) == DW_TAG_array_type && element_at(&type, size, &offset, &element, ret)) {
        return append_part(&element, offset, size, depth + 1, ret);
    }
    if (dwarf_tag(&type) != DW_TAG_structure_type) {
        text_printf(ret, "+%lu", (unsigned long)offset); /* in a union, or several elements */
        return true;
    }
    if (!member_at(&type, size, &offset, &member)) {
        return false;
    }
    text_printf(ret, "%s%s", ret->length ? "." : "", member.name ? member.name : "");
    return append_part(&member.type, offset, size, depth + 1, ret);
}

bool variable_part(const struct variable *variable, struct text *ret)
{
    Dwarf_Die type;

    return die_type(&variable->die, &type) && append_part(&type, variable->offset, variable->size, 0, ret);
}
