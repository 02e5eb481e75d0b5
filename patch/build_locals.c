/*
 * Locals that are instances of types which change. While their function is suspended they are migrated like
 * any other instance (engine/update/frame_instances.c), so recipes say which migration that is. And a
 * function that has one counts as changed, even if its code comes out the same, since what it hands to others
 * is read by code that does not.
 */
#include "patch/build_locals.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/build_state_private.h"
#include "patch/types/die_facts.h"

#define DEPTH_MAX 64

/* ---- which migration --------------------------------------------------------------------------------- */

/* How many elements the array DIE has; 0: that is not known. */
static uint64_t elements_of(Dwarf_Die *die)
{
    uint64_t count = 1;
    Dwarf_Die child;

    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        struct die_facts facts;
        die_facts_read(&child, &facts);
        if (facts.tag == DW_TAG_subrange_type) {
            count *= facts.counted ? facts.count : 0;
        }
    }
    return count;
}

/* What a local of the type DIE is made of, as MODEL knows it, in UNIT. NULL: of nothing that migrates. */
static const struct type *element_of(struct type_model *model, const Dwarf_Die *die, const char *unit,
                                     uint64_t *ret_count)
{
    Dwarf_Die plain;
    struct die_facts facts = { 0 };
    const char *name = NULL;

    *ret_count = 1;
    if (!die_unqualified(die, &plain)) {
        return NULL;
    }
    for (unsigned i = 0; i < DEPTH_MAX; i++) {
        die_facts_read(&plain, &facts);
        bool through = facts.tag == DW_TAG_typedef || facts.tag == DW_TAG_array_type;
        *ret_count *= facts.tag == DW_TAG_array_type ? elements_of(&plain) : 1;
        name = facts.tag == DW_TAG_typedef ? facts.name : through ? NULL : name;
        if (!through || !facts.typed || !die_unqualified(&facts.type, &plain)) {
            break;
        }
    }
    if (facts.tag != DW_TAG_structure_type && facts.tag != DW_TAG_union_type) {
        return NULL;
    }
    char *key = facts.name
                    ? must_printf("%s %s", facts.tag == DW_TAG_union_type ? "union" : "struct", facts.name)
                : name ? must_strdup(name)
                       : NULL;
    const struct type *type = key ? type_model_find(model, key, unit, NULL) : NULL;
    free(key);
    type = type ? type_strip(type) : NULL;
    return type && type->size == facts.size ? type : NULL;
}

enum local_change build_local_change(const struct build_locals *locals, const Dwarf_Die *from,
                                     const Dwarf_Die *to, bool back, uint32_t *ret_migration)
{
    const struct build_state *state = locals->state;
    const Dwarf_Die *before = back ? to : from, *after = back ? from : to;
    uint64_t old_count = 0, new_count = 0;
    const struct type *old = before ? element_of(state->old, before, locals->unit, &old_count) : NULL;
    const struct type *new = after ? element_of(state->new, after, locals->unit, &new_count) : NULL;

    *ret_migration = 0;
    if (!to || !from) { /* does it change at all? */
        const struct type_change *change = old   ? type_changes_of_old(state->changes, old)
                                           : new ? type_changes_of_new(state->changes, new)
                                                 : NULL;
        return change && change->old && change->new ? LOCAL_DIFFERS : LOCAL_UNKNOWN;
    }
    if (!old || !new) {
        return LOCAL_UNKNOWN;
    }
    enum type_conversion conversion = types_conversion(state->changes, old, new);
    if (conversion == TYPE_CONVERT_COPY && old_count == new_count) {
        return LOCAL_SAME;
    }
    if (conversion == TYPE_CONVERT_MIGRATE && old_count == new_count && old_count && !old->flexible &&
        !new->flexible) {
        *ret_migration = policies_migration(state->policies, old, new, back);
    }
    return *ret_migration ? LOCAL_MIGRATES : LOCAL_DIFFERS;
}

enum policy_part build_local_part(const struct build_locals *locals, const Dwarf_Die *from,
                                  const Dwarf_Die *to, bool back, uint64_t offset, uint64_t size,
                                  uint64_t *ret)
{
    const struct build_state *state = locals->state;
    uint64_t count;
    const struct type *old = element_of(state->old, back ? to : from, locals->unit, &count);
    const struct type *new = element_of(state->new, back ? from : to, locals->unit, &count);

    if (!old || !new || !old->size || !new->size) {
        return POLICY_PART_UNKNOWN;
    }
    uint64_t from_size = back ? new->size : old->size, to_size = back ? old->size : new->size;
    enum policy_part part = policies_part(state->policies, old, new, back, offset % to_size, size, ret);
    *ret += offset / to_size * from_size;
    return part;
}

/* ---- which functions --------------------------------------------------------------------------------- */

/* Whether VARIABLE is kept somewhere, and not among the program's variables. */
static bool is_local(Dwarf_Die *variable)
{
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;

    if (!dwarf_attr(variable, DW_AT_location, &attribute)) {
        return false;
    }
    bool plain = dwarf_getlocation(&attribute, &operations, &count) == 0 && count > 0;
    return !plain || (operations[0].atom != DW_OP_addr && operations[0].atom != DW_OP_addrx);
}

/* The first local below SCOPE that is an instance of a changed type; NULL: none is. */
static const char *find_instance(const struct build_state *state, Dwarf_Die *scope, unsigned depth)
{
    const char *found = NULL;
    Dwarf_Die child;

    for (int more = dwarf_child(scope, &child); more == 0 && !found; more = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_formal_parameter || tag == DW_TAG_variable) {
            const struct type *type = type_element(type_of_object(state->old, &child), NULL);
            const struct type_change *change =
                type_is_compound(type) ? type_changes_of_old(state->changes, type) : NULL;
            found = change && change->new &&is_local(&child) ? dwarf_diename(&child) : NULL;
        } else if ((tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) && depth < DEPTH_MAX) {
            found = find_instance(state, &child, depth + 1);
        }
    }
    return found;
}

/* The function of COMPARISON's new object whose old code begins at ADDRESS, if that is not known to change.
 */
static struct object_symbol *unchanged_at(const struct comparison *comparison, uint64_t address)
{
    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        const struct object_symbol *old = &comparison->old->symbols[i];
        struct object_symbol *new = comparison->new_of[i];
        if (new && old->section &&
            object_address(comparison->old, old) == address &&symbol_is_function(comparison->old, old) &&
            comparison->new_change[new->index] == CHANGE_NONE) {
            return new;
        }
    }
    return NULL;
}

static bool mark_holders(struct build *build, struct comparison *comparison)
{
    Dwarf *dwarf = object_dwarf(comparison->old);
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die;
    Dwarf_Addr address;
    bool any = false;

    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            const char *local = dwarf_tag(&die) == DW_TAG_subprogram && dwarf_lowpc(&die, &address) == 0
                                    ? find_instance(build->state, &die, 0)
                                    : NULL;
            struct object_symbol *symbol = local ? unchanged_at(comparison, address) : NULL;
            if (symbol) {
                char *reason = must_printf("its local %s is of a type that changes", local);
                LIST_ADD(&build->texts, reason);
                comparison_mark(comparison, symbol, reason);
                any = true;
            }
        }
    }
    return any;
}

struct molt_error *build_take_holders(struct build *build)
{
    bool any = false;

    for (size_t i = 0; i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        if (changed->compared &&
            changed->comparison.old != changed->comparison.new &&mark_holders(build, &changed->comparison)) {
            comparison_spread(&changed->comparison);
            any = true;
        }
    }
    return any ? build_place(build) : NULL;
}
