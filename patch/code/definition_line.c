/* Where definitions stand: the top level of the debug information is searched by name, clones by the name
 * before the dot. */
#include "patch/code/definition_line.h"

#include <dwarf.h>
#include <string.h>

#include "base/text.h"

char *definition_path(Dwarf_Die *die, const char *file)
{
    Dwarf_Die unit;
    Dwarf_Attribute attribute;
    const char *directory = NULL;

    if (dwarf_diecu(die, &unit, NULL, NULL) && dwarf_attr(&unit, DW_AT_comp_dir, &attribute)) {
        directory = dwarf_formstring(&attribute);
    }
    return must_have(path_normalise(directory ? directory : "/", file));
}

/* libdw takes file 0 for none; since DWARF 5 it is the unit's own source, and clang counts so. */
char *definition_file(Dwarf_Die *die)
{
    const char *name = dwarf_decl_file(die);
    Dwarf_Die unit;

    if (!name && dwarf_hasattr(die, DW_AT_decl_file) && dwarf_diecu(die, &unit, NULL, NULL)) {
        name = dwarf_diename(&unit);
    }
    return name ? definition_path(die, name) : NULL;
}

static bool is_wanted(Dwarf_Die *die, const char *name, size_t length)
{
    int tag = dwarf_tag(die);
    const char *own = tag == DW_TAG_subprogram || tag == DW_TAG_variable ? dwarf_diename(die) : NULL;

    return own && strncmp(own, name, length) == 0 && !own[length] && !dwarf_hasattr(die, DW_AT_declaration);
}

unsigned definition_line(struct object *object, const struct object_symbol *symbol)
{
    Dwarf *dwarf = object_dwarf(object);
    size_t length = strcspn(symbol->name, ".");
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die;

    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            int line = 0;
            if (is_wanted(&die, symbol->name, length) && dwarf_decl_line(&die, &line) == 0) {
                return line;
            }
        }
    }
    return 0;
}
