/*
 * Variables that get another place since their type grew, and who refers to them. Most functions that do name
 * them in operands of memory only, `mov settings+8(%rip), %eax`: such a function needs no new version, since
 * its operands can be bound anew where they are (build_rebind.c), and whoever is suspended in it holds no
 * address that it made. One that gets the address itself may keep another made from it in a register or on
 * the stack, the end of an array, say, and nothing tells that from a number: it comes anew with the patch, as
 * does everything that refers to constants, and to thread-local variables, of another size.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/build_take.h"
#include "patch/code/definition_line.h"
#include "patch/code/operands.h"

/* Whether NAME is extern and defined by a changed unit with another size: it has moved. */
static bool has_moved(const struct build *build, const char *name)
{
    for (size_t i = 0; i < build->units.count; i++) {
        const struct comparison *comparison = &build->units.items[i]->comparison;
        const struct object_symbol *symbol =
            build->units.items[i]->compared ? object_find(comparison->new, name) : NULL;
        if (symbol && symbol->bind != STB_LOCAL && !symbol_is_function(comparison->new, symbol) &&
            comparison->new_change[symbol->index] == CHANGE_NEW && object_find(comparison->old, name)) {
            return true;
        }
    }
    return false;
}

/* Notes the variables of UNIT that move. Returns whether anything extern does, constants counted in. */
static bool find_moved(struct build *build, struct changed_unit *unit)
{
    const struct comparison *comparison = &unit->comparison;
    bool any = false;

    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *symbol = &comparison->new->symbols[i];
        if (!symbol->key || !symbol->section) {
            continue;
        }
        any = any || (symbol->bind != STB_LOCAL && has_moved(build, symbol->name));
        if (comparison_moves(comparison, symbol)) {
            LIST_ADD(&build->moved, (struct moved_variable){ unit, comparison->was_of[i], symbol });
        }
    }
    return any;
}

bool build_is_moved(const struct build *build, const struct changed_unit *unit, const struct object *object,
                    const struct object_symbol *symbol, size_t *ret_index)
{
    for (size_t i = 0; i < build->moved.count; i++) {
        const struct moved_variable *moved = &build->moved.items[i];
        bool same =
            symbol->section
                ? moved->unit == unit && symbol == (object == unit->comparison.old ? moved->old : moved->new)
                : moved->new->bind != STB_LOCAL &&strcmp(moved->new->name, symbol->name) == 0;
        if (same) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

/* ---- who refers to them ------------------------------------------------------------------------------ */

/* What a field says about the function that holds it. */
enum reference { REFERENCE_NONE, REFERENCE_OPERAND, REFERENCE_OTHER };

static enum reference reference_of(const struct build *build, const struct changed_unit *unit,
                                   const struct object_section *section, size_t index)
{
    struct object *object = unit->comparison.new;
    const struct object_relocation *relocation = &section->relocations[index];
    const struct object_symbol *named = object_target(object, section, relocation).symbol;
    bool operand = relocation->type == R_X86_64_PC32 || relocation->type == R_X86_64_32S;
    size_t moved;

    if (!named) {
        return REFERENCE_NONE;
    }
    if (!build_is_moved(build, unit, object, named, &moved)) {
        return !named->section && has_moved(build, named->name) ? REFERENCE_OTHER : REFERENCE_NONE;
    }
    return operand ? REFERENCE_OPERAND : REFERENCE_OTHER;
}

/* The displacement at OFFSET of SECTION, in FUNCTION. False: the field there is none. */
static bool displacement_at(const struct object_section *section, const struct object_symbol *function,
                            uint64_t offset, struct operand_field *ret)
{
    uint64_t at = function->value, end = function->value + function->size;
    struct operands operands;

    while (at <= offset && at < end && operands_decode(section->bytes + at, end - at, &operands)) {
        if (offset < at + operands.length) {
            *ret = operands.displacement;
            return ret->size == 4 && at + ret->offset == offset;
        }
        at += operands.length;
    }
    return false;
}

/* Whether the field at OFFSET of SECTION, in FUNCTION, is that of an operand in memory. */
static bool is_direct(const struct object_section *section, const struct object_symbol *function,
                      uint64_t offset)
{
    struct operand_field field;

    return displacement_at(section, function, offset, &field) && field.direct;
}

/* Whether FUNCTION refers to what has moved, and whether by more than operands. */
static enum reference references_of(const struct build *build, const struct changed_unit *unit,
                                    const struct object_symbol *function)
{
    const struct object_section *section = &unit->comparison.new->sections[function->section];
    enum reference all = REFERENCE_NONE;

    for (size_t i = object_relocation_at(section, function->value);
         i < section->relocation_count && section->relocations[i].offset < function->value + function->size &&
         all != REFERENCE_OTHER;
         i++) {
        enum reference one = reference_of(build, unit, section, i);
        if (one == REFERENCE_OPERAND && !is_direct(section, function, section->relocations[i].offset)) {
            one = REFERENCE_OTHER;
        }
        all = one > all ? one : all;
    }
    return all;
}

/* Marks the functions that refer to what has moved by more than operands. */
static void mark_users(struct build *build, struct changed_unit *unit)
{
    struct comparison *comparison = &unit->comparison;

    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *function = &comparison->new->symbols[i];
        if (!function->key || !symbol_is_function(comparison->new, function) ||
            comparison->new_change[i] != CHANGE_NONE) {
            continue;
        }
        enum reference reference = references_of(build, unit, function);
        if (reference == REFERENCE_OTHER) {
            comparison_mark(comparison, function, "refers to a variable or constant of another size");
        }
        comparison->different = comparison->different || reference != REFERENCE_NONE; /* it is to be placed */
    }
    comparison_spread(comparison);
}

/* ---- several variables in one section ------------------------------------------------------------------ */

static bool is_alone(const struct object_section *section, const struct object_symbol *symbol)
{
    bool alone = true;

    for (size_t i = 0; i < section->definition_count; i++) {
        alone = alone && section->definitions[i]->value == symbol->value;
    }
    return alone;
}

/* Whether RELOCATION of CODE, in FUNCTION, names a place in SECTION, and not by a variable's symbol, to which
 * more is added. */
static bool is_ambiguous(const struct object *object, const struct object_section *section,
                         const struct object_section *code, const struct object_symbol *function,
                         const struct object_relocation *relocation)
{
    const struct object_symbol *named = &object->symbols[relocation->symbol];
    struct operand_field field;

    return named->section == section->index && !named->key &&
           (!displacement_at(code, function, relocation->offset, &field) || !field.direct || field.indexed);
}

/* The function of OBJECT that names SYMBOL, or one beside it in its section: nothing tells which. NULL: none
 * does. */
static const struct object_symbol *find_ambiguous(const struct object *object,
                                                  const struct object_symbol *symbol)
{
    const struct object_section *section = &object->sections[symbol->section];

    if (is_alone(section, symbol)) {
        return NULL;
    }
    for (size_t i = 1; i < object->symbol_count; i++) {
        const struct object_symbol *function = &object->symbols[i];
        const struct object_section *code = &object->sections[function->section];
        if (!function->key || !symbol_is_function(object, function)) {
            continue;
        }
        for (size_t k = object_relocation_at(code, function->value);
             k < code->relocation_count && code->relocations[k].offset < function->value + function->size;
             k++) {
            if (is_ambiguous(object, section, code, function, &code->relocations[k])) {
                return function;
            }
        }
    }
    return NULL;
}

/* The compiler gives each variable a section of its own, but for those to which the source gives one. There
 * assemblers count from the section's start, and `table[i - 1]` looks like a place in the variable before. */
static struct molt_error *check_section(const struct moved_variable *moved)
{
    struct object *old = moved->unit->comparison.old, *new = moved->unit->comparison.new;
    const struct object_symbol *in_old = find_ambiguous(old, moved->old),
                               *in_new = in_old ? NULL : find_ambiguous(new, moved->new);
    const struct object_symbol *function = in_old ? in_old : in_new;

    return !function
               ? NULL
               : molt_error_at(
                     MOLT_ERROR_REFUSED, moved->unit->unit->entry->file,
                     definition_line(in_old ? old : new, function),
                     "%s gets another size and so another place, and shares section %s with other "
                     "variables, so that nothing tells which of them %s names: give it a section of its "
                     "own, or leave its size as it is",
                     moved->new->name, new->sections[moved->new->section].name, function->name);
}

/* Takes the units that may refer to extern variables and constants which move. Those whose types differ do
 * already, but a header may declare an array without its length, and a structure by its tag alone. */
static struct molt_error *take_users(struct build *build)
{
    LIST(const char *) names = { 0 };
    struct molt_error *error = build_take_patched(build);

    for (size_t i = 0; i < build->units.count; i++) {
        const struct comparison *comparison = &build->units.items[i]->comparison;
        for (size_t k = 1; build->units.items[i]->compared && k < comparison->new->symbol_count; k++) {
            const struct object_symbol *symbol = &comparison->new->symbols[k];
            if (symbol->section && symbol->bind != STB_LOCAL && comparison->new_change[k] == CHANGE_NEW &&
                has_moved(build, symbol->name)) {
                LIST_ADD(&names, symbol->name);
            }
        }
    }
    error = error ? error : build_take_naming(build, names.items, names.count);
    LIST_FREE(&names);
    return error;
}

struct molt_error *build_follow_moved(struct build *build)
{
    struct molt_error *error = NULL;
    bool any = false;

    for (size_t i = 0; i < build->units.count; i++) {
        if (build->units.items[i]->compared) {
            any = find_moved(build, build->units.items[i]) || any;
        }
    }
    for (size_t i = 0; !error && i < build->moved.count; i++) {
        error = check_section(&build->moved.items[i]);
    }
    error = error ? error : any ? take_users(build) : NULL;
    for (size_t i = 0; !error && (any || build->moved.count) && i < build->units.count; i++) {
        if (build->units.items[i]->compared) {
            mark_users(build, build->units.items[i]);
        }
    }
    return error;
}
