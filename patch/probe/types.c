/* Answers: the types of the variables that the questions declared, wherever they ended up in the debug
 * information. */
#include <dwarf.h>
#include <stdio.h>
#include <string.h>

#include "patch/probe/probe.h"
#include "patch/types/die_facts.h"

/* What TYPE points to, qualifiers left out, typedefs kept; false for void and what is no pointer. */
static bool pointee(Dwarf_Die type, Dwarf_Die *ret)
{
    Dwarf_Die plain, end;

    if (dwarf_peel_type(&type, &plain) != 0 || dwarf_tag(&plain) != DW_TAG_pointer_type ||
        !die_type(&plain, ret) || dwarf_peel_type(ret, &end) != 0) {
        return false;
    }
    while (dwarf_tag(ret) == DW_TAG_const_type || dwarf_tag(ret) == DW_TAG_volatile_type ||
           dwarf_tag(ret) == DW_TAG_restrict_type) {
        if (!die_type(ret, ret)) {
            return false;
        }
    }
    return true;
}

/* The type of parameter NUMBER (from 1) of the function that TYPE points to, however often. */
static bool parameter(Dwarf_Die type, unsigned number, Dwarf_Die *ret)
{
    Dwarf_Die inner, child;

    while (dwarf_peel_type(&type, &inner) == 0 && dwarf_tag(&inner) == DW_TAG_pointer_type &&
           die_type(&inner, &type)) {
    }
    if (dwarf_tag(&inner) != DW_TAG_subroutine_type) {
        return false;
    }
    for (int more = dwarf_child(&inner, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_formal_parameter && --number == 0) {
            return die_type(&child, ret);
        }
    }
    return false;
}

static bool is_pointer(Dwarf_Die type)
{
    Dwarf_Die plain;

    return dwarf_peel_type(&type, &plain) == 0 && dwarf_tag(&plain) == DW_TAG_pointer_type;
}

/* The answer that VARIABLE, declared in FUNCTION, gives. */
static void take_answer(struct evidence *evidence, Dwarf_Die *variable, Dwarf_Die *function)
{
    bool returned = evidence->role == EVIDENCE_RETURN;
    Dwarf_Die type;

    if (!die_type(returned ? function : variable, &type) ||
        (evidence->role == EVIDENCE_PARAMETER && !parameter(type, evidence->argument, &type))) {
        return;
    }
    evidence->answered = is_pointer(type);
    evidence->known = pointee(type, &evidence->type);
}

static void read_variable(struct probe *probe, Dwarf_Die *die, Dwarf_Die *function)
{
    const char *name = dwarf_diename(die);
    size_t number;
    struct evidence *evidence;

    if (name && sscanf(name, "molt_site_%zu", &number) == 1 &&
        (evidence = probe_evidence(probe, number, NULL)) && !evidence->known) {
        take_answer(evidence, die, function);
    }
}

static void read_scope(struct probe *probe, Dwarf_Die *scope, Dwarf_Die *function)
{
    Dwarf_Die child;

    for (int more = dwarf_child(scope, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        switch (dwarf_tag(&child)) {
        case DW_TAG_variable:
            read_variable(probe, &child, function);
            break;
        case DW_TAG_lexical_block:
            read_scope(probe, &child, function);
            break;
        case DW_TAG_subprogram:
            read_scope(probe, &child, &child);
            break;
        }
    }
}

bool probe_read_types(struct probe *probe, const char *path)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Die unit;

    molt_error_destroy(object_load(path, &probe->object));
    Dwarf *dwarf = probe->object ? object_dwarf(probe->object) : NULL;
    while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
        read_scope(probe, &unit, &unit);
    }
    return dwarf != NULL;
}
