/*
 * Definitions that went from one file to another. What all files can name is what its name says, whichever
 * file has it: of a function the new code takes the old one's place, and a variable stays where it is, with
 * what it holds. What is static is another thing in another file, and begins anew, and so does a variable
 * under another name; that is told.
 *
 * Whether two files make one program is known once they are placed in binaries.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "patch/build_private.h"
#include "patch/code/definition_line.h"
#include "patch/types/variables.h"

/* A definition that FROM had and does not have any more, and that TO has since. */
struct refiling {
    const struct contribution *from, *to;
    const struct object_symbol *old, *new;
};

typedef LIST(struct refiling) refilings;

static bool is_gone(const struct comparison *comparison, const struct object_symbol *symbol)
{
    return symbol->key && symbol->section && !comparison->now_of[symbol->index];
}

static bool is_arrived(const struct comparison *comparison, const struct object_symbol *symbol)
{
    return symbol->key && symbol->section && !comparison->was_of[symbol->index] && !symbol_is_part(symbol);
}

/* Whether the program has the extern definition, and from FROM: a weak one may have given way to another's.
 */
static bool is_in_program(const struct build *build, const struct contribution *from,
                          const struct object_symbol *symbol)
{
    const struct image_symbol *found = image_find_global(from->image, symbol->name);

    return found ? symbol->bind == STB_GLOBAL || image_unit_has(from->image, from->image_unit, found)
                 : bind_earlier(build->earlier, build->earlier_count, symbol->name, "") != NULL;
}

/* Whether OLD, which FROM does not have any more, is NEW of TO by its name and kind. What is static in one of
 * them is another thing, so its size has to speak for it. */
static bool is_pair(const struct build *build, const struct contribution *from, const struct contribution *to,
                    const struct object_symbol *old, const struct object_symbol *new)
{
    bool function = symbol_is_function(from->comparison->old, old);

    if (function != symbol_is_function(to->comparison->new, new)) {
        return false;
    }
    return old->bind == STB_LOCAL || new->bind == STB_LOCAL ? !function && old->size == new->size
                                                            : is_in_program(build, from, old);
}

/* Adds what went from FROM to TO. */
static void find_between(const struct build *build, const struct contribution *from,
                         const struct contribution *to, refilings *ret)
{
    const struct object *old = from->comparison->old;

    for (size_t i = 1; i < old->symbol_count; i++) {
        const struct object_symbol *symbol = &old->symbols[i];
        const struct object_symbol *arrived =
            is_gone(from->comparison, symbol) ? object_find(to->comparison->new, symbol->key) : NULL;
        if (arrived && is_arrived(to->comparison, arrived) && is_pair(build, from, to, symbol, arrived)) {
            LIST_ADD(ret, (struct refiling){ from, to, symbol, arrived });
        }
    }
}

static struct molt_error *refuse(const struct refiling *refiling, const char *why)
{
    return molt_error_at(MOLT_ERROR_REFUSED, refiling->to->source,
                         definition_line(refiling->to->comparison->new, refiling->new),
                         "%s came from %s, and %s", refiling->new->name, refiling->from->name, why);
}

static struct molt_error *follow_function(const struct refiling *refiling)
{
    const struct image *image = refiling->to->image;
    const struct image_symbol *found = image_find_global(image, refiling->old->name);

    return found && image_room(image, found) < MOLT_JUMP_ROOM
               ? refuse(refiling, "is too short in the program to lead to its new version: leave it there")
               : NULL;
}

static const struct object_section *section_of(const struct object *object,
                                               const struct object_symbol *symbol)
{
    return &object->sections[symbol->section];
}

/* Whether two definitions of one size begin with the same bytes; without bytes they are zero. */
static bool same_bytes(const struct object_section *old, uint64_t old_start, const struct object_section *new,
                       uint64_t new_start, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        uint8_t before = old->bytes ? old->bytes[old_start + i] : 0;
        if (before != (new->bytes ? new->bytes[new_start + i] : 0)) {
            return false;
        }
    }
    return true;
}

/* Of constants with addresses in them nothing tells here whether these are the same. The type of a variable
 * is compared where it is known (check_refiled in emit/roots.c). */
static struct molt_error *follow_variable(const struct refiling *refiling)
{
    const struct object_section *old = section_of(refiling->from->comparison->old, refiling->old),
                                *new = section_of(refiling->to->comparison->new, refiling->new);
    bool unclear = new->kind == SECTION_CONST && (old->relocation_count || new->relocation_count);

    if (old->kind != new->kind || refiling->old->size != refiling->new->size || unclear ||
        !same_bytes(old, refiling->old->value, new, refiling->new->value, refiling->new->size)) {
        return refuse(refiling, "is not what it was there: let it move in one update and change in another");
    }
    if (new->kind != SECTION_CONST) {
        refiling->to->comparison->new_change[refiling->new->index] = CHANGE_NONE;
    }
    return NULL;
}

/* Warns that the variable SYMBOL of the unit at PLACE's new object begins anew. Compilers make names of their
 * own for those in functions: the source's is in the debug information. */
static void tell_anew(struct build *build, const struct contribution *place,
                      const struct object_symbol *symbol, const char *format, ...)
{
    struct object *object = place->comparison->new;
    bool tls = object->sections[symbol->section].kind == SECTION_TLS;
    struct text why = { 0 };
    variable_list variables;
    va_list arguments;
    int line = 0;

    variables_of_all(object_dwarf(object), &variables);
    const struct variable *variable = variables_find(&variables, object_address(object, symbol), tls);
    const char *name = variable ? dwarf_diename((Dwarf_Die *)&variable->die) : NULL;
    if (variable) {
        dwarf_decl_line((Dwarf_Die *)&variable->die, &line);
    }
    va_start(arguments, format);
    text_vprintf(&why, format, arguments);
    va_end(arguments);
    char *words = must_have(text_steal(&why));
    const struct molt_diagnostics *said = &build->result->diagnostics;
    char *message = must_printf("the variable %s %s", name ? name : symbol->name, words);
    if (!said->count || strcmp(said->items[said->count - 1].message, message) != 0) { /* of another program */
        molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_WARNING, place->source,
                             (unsigned)line, 0, "begins-anew", "%s", message);
    }
    free(message);
    free(words);
    LIST_FREE(&variables);
}

static struct molt_error *follow(struct build *build, const struct refiling *refiling)
{
    bool function = symbol_is_function(refiling->to->comparison->new, refiling->new);

    if (refiling->old->bind == STB_LOCAL || refiling->new->bind == STB_LOCAL) {
        if (object_is_variable(refiling->to->comparison->new, refiling->new)) {
            tell_anew(build, refiling->to, refiling->new,
                      "%s static and went from %s to %s, where it begins anew: what it held is lost",
                      refiling->old->bind == STB_LOCAL ? "was" : "is", refiling->from->name,
                      refiling->to->name);
        }
        return NULL;
    }
    struct molt_error *error = function ? follow_function(refiling) : follow_variable(refiling);
    LIST_ADD(&build->refiled, ((struct refiled){ refiling->to->image, refiling->new->name }));
    return error;
}

/* ---- other names ----------------------------------------------------------------------------------- */

/* CHANGE gave a variable of the unit at PLACE another name. */
static void tell_renamed(struct build *build, const struct contribution *place, const json_t *change)
{
    const struct comparison *comparison = place->comparison;
    const char *before = json_string_value(json_object_get(change, "old_name")),
               *after = json_string_value(json_object_get(change, "name"));
    const struct object_symbol *old = before ? object_find(comparison->old, before) : NULL,
                               *new = after ? object_find(comparison->new, after) : NULL;

    if (old && new &&is_gone(comparison, old) && is_arrived(comparison, new) &&
        object_is_variable(comparison->old, old) && object_is_variable(comparison->new, new)) {
        tell_anew(
            build, place, new,
            "was %s, and begins anew under this name: what it held is lost; keep the name if it matters",
            before);
    }
}

static void tell_all_renamed(struct build *build)
{
    const json_t *change;
    size_t index;

    json_array_foreach(build->request->changes, index, change)
    {
        const char *action = json_string_value(json_object_get(change, "action")),
                   *kind = json_string_value(json_object_get(change, "kind"));
        bool renamed = action && kind && !strcmp(action, "renamed") && !strcmp(kind, "variable");
        for (size_t i = 0; renamed && i < build->contributions.count; i++) {
            tell_renamed(build, build->contributions.items[i], change);
        }
    }
}

/* ---- all ------------------------------------------------------------------------------------------- */

struct molt_error *build_follow_refiled(struct build *build)
{
    refilings list = { 0 };
    struct molt_error *error = NULL;

    for (size_t i = 0; i < build->contributions.count; i++) {
        for (size_t k = 0; k < build->contributions.count; k++) {
            const struct contribution *from = build->contributions.items[i],
                                      *to = build->contributions.items[k];
            if (i != k && from->image == to->image) {
                find_between(build, from, to, &list);
            }
        }
    }
    for (size_t i = 0; !error && i < list.count; i++) {
        error = follow(build, &list.items[i]);
    }
    LIST_FREE(&list);
    if (!error) {
        tell_all_renamed(build);
    }
    return error;
}
