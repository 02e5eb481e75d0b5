/*
 * Which symbol is the static definition of a unit. The symbol table only tells the file's name without its
 * directory (and "util.c" is in every other directory), so where that leaves a choice the debug information
 * decides: code lies in a unit's ranges, a variable is where one of the unit says it is. What it does not
 * describe, such as tables that the compiler made, belongs to the unit of the other symbols from the same
 * object file, which stand together in the symbol table.
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/code/image.h"
#include "patch/types/variable_address.h"

enum owner {
    OWNER_UNKNOWN,
    OWNER_THIS,
    OWNER_OTHER,
};

static void collect(Dwarf_Die *parent, struct image_variables *ret)
{
    Dwarf_Die die;

    if (dwarf_child(parent, &die) != 0) {
        return;
    }
    do {
        Dwarf_Addr address;
        bool in_tls;
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) {
            collect(&die, ret);
        } else if (tag == DW_TAG_variable && variable_address(&die, &address, &in_tls)) {
            if (in_tls) {
                LIST_ADD(&ret->offsets, address);
            } else {
                LIST_ADD(&ret->addresses, address);
            }
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

const struct image_unit *image_unit_at(const struct image *image, uint64_t address, Dwarf_Die *ret_die)
{
    for (size_t i = 0; image->dwarf && i < image->units.count; i++) {
        const struct image_unit *unit = &image->units.items[i];
        if (dwarf_offdie(image->dwarf, unit->die, ret_die) && dwarf_haspc(ret_die, address) == 1) {
            return unit;
        }
    }
    return NULL;
}

bool image_unit_has(const struct image *image, const struct image_unit *unit,
                    const struct image_symbol *symbol)
{
    struct image_variables *variables = unit->variables;
    uint64_t value = symbol->value;
    Dwarf_Die die;

    if (!dwarf_offdie(image->dwarf, unit->die, &die)) {
        return false;
    }
    if (!variables->read) {
        variables->read = true;
        collect(&die, variables);
        if (variables->addresses.count) {
            qsort(variables->addresses.items, variables->addresses.count, sizeof(uint64_t), by_number);
        }
        if (variables->offsets.count) {
            qsort(variables->offsets.items, variables->offsets.count, sizeof(uint64_t), by_number);
        }
    }
    if (symbol->type == STT_TLS) {
        return variables->offsets.count && bsearch(&value, variables->offsets.items, variables->offsets.count,
                                                   sizeof(uint64_t), by_number);
    }
    return dwarf_haspc(&die, value) == 1 ||
           (variables->addresses.count && bsearch(&value, variables->addresses.items,
                                                  variables->addresses.count, sizeof(uint64_t), by_number));
}

static enum owner owner_of(const struct image *image, const struct image_unit *unit, const char *file,
                           const struct image_symbol *symbol)
{
    if (image_unit_has(image, unit, symbol)) {
        return OWNER_THIS;
    }
    for (const struct image_unit *other = table_get(&image->unit_names, file); other; other = other->next) {
        if (other != unit && image_unit_has(image, other, symbol)) {
            return OWNER_OTHER;
        }
    }
    return OWNER_UNKNOWN;
}

/* The owner of the symbols from the object file that SYMBOL is from. */
static enum owner owner_of_group(const struct image *image, const struct image_unit *unit, const char *file,
                                 const struct image_symbol *symbol)
{
    const struct image_symbol *at = symbol, *end = image->symbols + image->symbol_count;
    enum owner owner = OWNER_UNKNOWN;

    while (at > image->symbols && at[-1].file && at[-1].group == symbol->group) {
        at--;
    }
    for (; owner == OWNER_UNKNOWN && at < end && at->file && at->group == symbol->group; at++) {
        owner = owner_of(image, unit, file, at);
    }
    return owner;
}

/* The first of the symbols from SYMBOL on that are named like it and come from a file named FILE. */
static const struct image_symbol *candidate(const struct image_symbol *symbol, const char *file)
{
    while (symbol && (!symbol->file || strcmp(path_last(symbol->file), file) != 0)) {
        symbol = symbol->next;
    }
    return symbol;
}

/* Chooses by debug information between FIRST and the candidates after it. */
static const struct image_symbol *choose(const struct image *image, const struct image_unit *unit,
                                         const char *file, const struct image_symbol *first,
                                         bool *ret_ambiguous)
{
    const struct image_symbol *unknown = NULL;

    for (const struct image_symbol *symbol = first; symbol; symbol = candidate(symbol->next, file)) {
        if (image_unit_has(image, unit, symbol)) {
            return symbol;
        }
    }
    for (const struct image_symbol *symbol = first; symbol; symbol = candidate(symbol->next, file)) {
        enum owner owner = owner_of(image, unit, file, symbol);
        owner = owner == OWNER_UNKNOWN ? owner_of_group(image, unit, file, symbol) : owner;
        if (owner == OWNER_THIS) {
            return symbol;
        }
        if (owner == OWNER_UNKNOWN) {
            *ret_ambiguous = *ret_ambiguous || unknown;
            unknown = symbol;
        }
    }
    return *ret_ambiguous ? NULL : unknown;
}

const struct image_symbol *image_find_local(const struct image *image, const struct image_unit *unit,
                                            const char *path, const char *name, bool *ret_ambiguous)
{
    const char *file = path_last(path);
    const struct image_symbol *first = candidate(table_get(&image->names, name), file);

    *ret_ambiguous = false;
    if (!first || !unit) {
        return NULL;
    }
    const struct image_unit *named = table_get(&image->unit_names, file);
    bool alone = !named || (named == unit && !named->next);
    if (alone && !candidate(first->next, file)) {
        return first;
    }
    return choose(image, unit, file, first, ret_ambiguous);
}
