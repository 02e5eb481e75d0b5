/*
 * What debug information says that a function has declared, whether or not it is kept anywhere: an inlined
 * function's abstract entry, or that of the function itself. Members lie as C lays them out, so that the
 * structure can be declared by their types alone.
 */
#include "patch/transfer/frame_locals.h"
#include "patch/types/die_facts.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

static bool has_member(const struct frame_locals *locals, const char *name, const struct type *type,
                       unsigned *ret_alike)
{
    *ret_alike = 0;
    for (size_t i = 0; i < locals->members.count; i++) {
        const struct frame_member *member = &locals->members.items[i];
        if (strcmp(member->name, name) == 0) {
            ++*ret_alike;
            if (member->type == type) {
                return true;
            }
        }
    }
    return false;
}

/* Variable-length arrays, types that C cannot name, and what has no size are left out. */
static bool is_declarable(const struct type *type)
{
    const struct type *element = type_strip(type_element(type, NULL));

    return type->size && type->alignment && !type->flexible && !element->incomplete &&
           element->kind != TYPE_OTHER && element->kind != TYPE_VOID && element->kind != TYPE_FUNCTION;
}

static void add_member(struct frame_locals *locals, struct type_model *model, Dwarf_Die *variable)
{
    const char *name = dwarf_diename(variable);
    const struct type *type = type_strip(type_of_object(model, variable));
    struct frame_member member = { .name = name, .type = type };
    unsigned alike;

    if (!name || dwarf_hasattr_integrate(variable, DW_AT_external) || !is_declarable(type) ||
        has_member(locals, name, type, &alike) || !die_type(variable, &member.die)) {
        return;
    }
    member.as = alike ? must_printf("%s_%u", name, alike + 1) : must_strdup(name);
    member.size = (uint32_t)type->size;
    member.offset = (locals->size + type->alignment - 1) / type->alignment * type->alignment;
    locals->size = member.offset + member.size;
    LIST_ADD(&locals->members, member);
}

static void add_scope(struct frame_locals *locals, struct type_model *model, Dwarf_Die *scope, unsigned depth)
{
    Dwarf_Die child;

    for (int more = dwarf_child(scope, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_formal_parameter || tag == DW_TAG_variable) {
            add_member(locals, model, &child);
        } else if (tag == DW_TAG_lexical_block && depth < DEPTH_MAX) {
            add_scope(locals, model, &child, depth + 1);
        }
    }
}

static bool is_definition(Dwarf_Die *die, const char *function)
{
    const char *name = dwarf_tag(die) == DW_TAG_subprogram ? dwarf_diename(die) : NULL;

    return name && strcmp(name, function) == 0 && !dwarf_hasattr(die, DW_AT_declaration) &&
           !dwarf_hasattr(die, DW_AT_abstract_origin);
}

bool frame_locals_find(struct frame_locals *locals, Dwarf *dwarf, struct type_model *model,
                       const char *function)
{
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die;
    bool found = false;

    *locals = (struct frame_locals){ 0 };
    while (!found && dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0 && !found; more = dwarf_siblingof(&die, &die)) {
            if (is_definition(&die, function)) {
                add_scope(locals, model, &die, 0);
                found = true;
            }
        }
    }
    return found;
}

void frame_locals_deinit(struct frame_locals *locals)
{
    for (size_t i = 0; i < locals->members.count; i++) {
        free(locals->members.items[i].as);
    }
    LIST_FREE(&locals->members);
}

const struct frame_member *frame_locals_member(const struct frame_locals *locals, const char *as,
                                               size_t length)
{
    for (size_t i = 0; i < locals->members.count; i++) {
        const struct frame_member *member = &locals->members.items[i];
        if (strlen(member->as) == length && strncmp(member->as, as, length) == 0) {
            return member;
        }
    }
    return NULL;
}
