/*
 * Variables, found by walking down into functions and blocks. A static variable of an inlined function is described several
 * times; what counts is its place.
 */
#include "patch/variables.h"

#include <dwarf.h>
#include <stdlib.h>

#include "patch/variable_address.h"

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
