/*
 * Layouts, by the debug information of both objects. Every named structure, union and enumeration that the file scope of
 * both declares is compared: size, and of each member place and type. Named types inside are compared by name only, since
 * they have their own entry; types without a name are compared by what is in them. A member that got another name in the
 * same place is no change of layout. Enumerators may change their numbers (a warning): they are baked into code.
 */
#include "patch/layout.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/definition_line.h"

#define DEPTH_MAX 32

struct layouts {
    struct object *object;
    struct table types; /* "struct conn" -> Dwarf_Die */
    struct table variables;
    LIST(void *) owned;
};

struct checking {
    struct layouts old, new;
    struct molt_diagnostics *diagnostics;
    struct molt_error *error; /* the first */
};

/* "struct conn", "enum state"; NULL for what has no name or is only declared. Owned by the caller. */
static char *type_name(Dwarf_Die *die)
{
    const char *name = dwarf_diename(die);
    int tag = dwarf_tag(die);
    const char *word = tag == DW_TAG_structure_type     ? "struct"
                       : tag == DW_TAG_union_type       ? "union"
                       : tag == DW_TAG_enumeration_type ? "enum"
                       : tag == DW_TAG_typedef          ? "type"
                                                        : NULL;

    return word && name && !dwarf_hasattr(die, DW_AT_declaration) ? must_printf("%s %s", word, name) : NULL;
}

static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
    Dwarf_Attribute attribute;

    return dwarf_attr_integrate(die, DW_AT_type, &attribute) && dwarf_formref_die(&attribute, ret);
}

/* The type without typedefs and qualifiers; false for void. */
static bool peel(Dwarf_Die *die, Dwarf_Die *ret)
{
    *ret = *die;
    for (unsigned i = 0; i < DEPTH_MAX; i++) {
        switch (dwarf_tag(ret)) {
        case DW_TAG_typedef:
        case DW_TAG_const_type:
        case DW_TAG_volatile_type:
        case DW_TAG_restrict_type:
        case DW_TAG_atomic_type: {
            Dwarf_Die inner;
            if (!type_of(ret, &inner)) {
                return false;
            }
            *ret = inner;
            break;
        }
        default:
            return true;
        }
    }
    return true;
}

static int64_t number_of(Dwarf_Die *die, unsigned attribute_name, int64_t otherwise)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;

    return dwarf_attr(die, attribute_name, &attribute) && dwarf_formudata(&attribute, &value) == 0
               ? (int64_t)value
               : otherwise;
}

/* Bits from the start of the whole to the member. */
static int64_t place_of(Dwarf_Die *member)
{
    return number_of(member, DW_AT_data_bit_offset, 8 * number_of(member, DW_AT_data_member_location, 0));
}

/* How a type is written, roughly, for messages. */
static void describe(Dwarf_Die *die, struct text *ret)
{
    Dwarf_Die inner;
    bool typed = type_of(die, &inner);
    const char *name = dwarf_diename(die);

    switch (dwarf_tag(die)) {
    case DW_TAG_pointer_type:
        if (typed) {
            describe(&inner, ret);
        } else {
            text_puts(ret, "void");
        }
        text_puts(ret, " *");
        return;
    case DW_TAG_const_type:
    case DW_TAG_volatile_type:
        text_puts(ret, dwarf_tag(die) == DW_TAG_const_type ? "const " : "volatile ");
        if (typed) {
            describe(&inner, ret);
        } else {
            text_puts(ret, "void");
        }
        return;
    case DW_TAG_array_type: {
        Dwarf_Die range;
        describe(&inner, ret);
        for (int more = dwarf_child(die, &range); more == 0; more = dwarf_siblingof(&range, &range)) {
            int64_t count = number_of(&range, DW_AT_count, number_of(&range, DW_AT_upper_bound, -1) + 1);
            text_printf(ret, "[%ld]", (long)count);
        }
        return;
    }
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        text_puts(ret, dwarf_tag(die) == DW_TAG_structure_type ? "struct "
                       : dwarf_tag(die) == DW_TAG_union_type   ? "union "
                                                               : "enum ");
        text_puts(ret, name ? name : "{...}");
        return;
    case DW_TAG_subroutine_type:
        text_puts(ret, "function");
        return;
    default:
        text_puts(ret, name ? name : "?");
    }
}

static bool same_type(Dwarf_Die *old, Dwarf_Die *new, unsigned depth);

static bool same_element(Dwarf_Die *old, Dwarf_Die *new, unsigned depth)
{
    Dwarf_Die a, b;
    bool one = type_of(old, &a), other = type_of(new, &b);

    return one == other && (!one || same_type(&a, &b, depth + 1));
}

static bool same_array(Dwarf_Die *old, Dwarf_Die *new, unsigned depth)
{
    Dwarf_Die a, b;
    int more = dwarf_child(old, &a), too = dwarf_child(new, &b);

    for (; more == 0 && too == 0; more = dwarf_siblingof(&a, &a), too = dwarf_siblingof(&b, &b)) {
        if (number_of(&a, DW_AT_upper_bound, -1) != number_of(&b, DW_AT_upper_bound, -1) ||
            number_of(&a, DW_AT_count, -1) != number_of(&b, DW_AT_count, -1)) {
            return false;
        }
    }
    return (more == 0) == (too == 0) && same_element(old, new, depth);
}

/* What a base type holds: the number of a signed and an unsigned integer may be the same, that of a float is not. */
static int64_t encoding_class(Dwarf_Die *die)
{
    switch (number_of(die, DW_AT_encoding, 0)) {
    case DW_ATE_float:
    case DW_ATE_complex_float:
    case DW_ATE_decimal_float:
    case DW_ATE_imaginary_float:
        return 1;
    default:
        return 0;
    }
}

static bool next_member(Dwarf_Die *die, int *more)
{
    while (*more == 0 && dwarf_tag(die) != DW_TAG_member) {
        *more = dwarf_siblingof(die, die);
    }
    return *more == 0;
}

static bool same_members(Dwarf_Die *old, Dwarf_Die *new, unsigned depth)
{
    Dwarf_Die a, b;
    int more = dwarf_child(old, &a), too = dwarf_child(new, &b);

    for (;; more = dwarf_siblingof(&a, &a), too = dwarf_siblingof(&b, &b)) {
        bool one = next_member(&a, &more), other = next_member(&b, &too);
        if (!one || !other) {
            return one == other;
        }
        if (place_of(&a) != place_of(&b) ||
            number_of(&a, DW_AT_bit_size, 0) != number_of(&b, DW_AT_bit_size, 0) ||
            !same_element(&a, &b, depth)) {
            return false;
        }
    }
}

/* Types pointed to matter by name only: their instances have their own entry. */
static bool same_pointee(Dwarf_Die *old, Dwarf_Die *new)
{
    Dwarf_Die a, b, x, y;

    if (!type_of(old, &a) || !type_of(new, &b) || !peel(&a, &x) || !peel(&b, &y)) {
        return true; /* void * goes with everything */
    }
    const char *one = dwarf_diename(&x), *other = dwarf_diename(&y);
    if (dwarf_tag(&x) != dwarf_tag(&y)) {
        return false;
    }
    bool compound = dwarf_tag(&x) == DW_TAG_structure_type || dwarf_tag(&x) == DW_TAG_union_type;
    return !compound || !one || !other || strcmp(one, other) == 0;
}

static bool same_type(Dwarf_Die *old, Dwarf_Die *new, unsigned depth)
{
    Dwarf_Die a, b;
    bool one = peel(old, &a), other = peel(new, &b);

    if (!one || !other || depth > DEPTH_MAX) {
        return one == other;
    }
    bool integers = (dwarf_tag(&a) == DW_TAG_base_type || dwarf_tag(&a) == DW_TAG_enumeration_type) &&
                    (dwarf_tag(&b) == DW_TAG_base_type || dwarf_tag(&b) == DW_TAG_enumeration_type);
    if (integers) {
        return number_of(&a, DW_AT_byte_size, 4) == number_of(&b, DW_AT_byte_size, 4) &&
               encoding_class(&a) == encoding_class(&b);
    }
    if (dwarf_tag(&a) != dwarf_tag(&b)) {
        return false;
    }
    const char *old_name = dwarf_diename(&a), *new_name = dwarf_diename(&b);
    switch (dwarf_tag(&a)) {
    case DW_TAG_pointer_type:
        return same_pointee(&a, &b);
    case DW_TAG_array_type:
        return same_array(&a, &b, depth);
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
        if (old_name && new_name && strcmp(old_name, new_name) == 0) {
            return true;
        }
        return number_of(&a, DW_AT_byte_size, 0) == number_of(&b, DW_AT_byte_size, 0) &&
               same_members(&a, &b, depth);
    default:
        return true;
    }
}

static bool find_member(Dwarf_Die *type, const char *name, Dwarf_Die *ret)
{
    int more = dwarf_child(type, ret);

    for (; next_member(ret, &more); more = dwarf_siblingof(ret, ret)) {
        const char *own = dwarf_diename(ret);
        if (own && strcmp(own, name) == 0) {
            return true;
        }
    }
    return false;
}

static void describe_type_of(Dwarf_Die *die, struct text *ret)
{
    Dwarf_Die type;

    if (type_of(die, &type)) {
        describe(&type, ret);
    } else {
        text_puts(ret, "void");
    }
}

/* Says what became of member MEMBER of the new type; *RET_LINE is the line of it. False: nothing. */
static bool explain_new_member(Dwarf_Die *old, Dwarf_Die *member, struct text *ret)
{
    Dwarf_Die before;
    const char *name = dwarf_diename(member);

    if (!name) {
        return false;
    }
    if (!find_member(old, name, &before)) {
        text_printf(ret, "member '%s' (", name);
        describe_type_of(member, ret);
        text_printf(ret, ") added at offset %ld", (long)place_of(member) / 8);
        return true;
    }
    if (!same_element(&before, member, 0) ||
        number_of(&before, DW_AT_bit_size, 0) != number_of(member, DW_AT_bit_size, 0)) {
        text_printf(ret, "member '%s' was ", name);
        describe_type_of(&before, ret);
        text_puts(ret, ", is ");
        describe_type_of(member, ret);
        return true;
    }
    return false;
}

static bool explain_moved_member(Dwarf_Die *old, Dwarf_Die *member, struct text *ret)
{
    Dwarf_Die before;
    const char *name = dwarf_diename(member);

    if (!name || !find_member(old, name, &before) || place_of(&before) == place_of(member)) {
        return false;
    }
    text_printf(ret, "member '%s' moved from offset %ld to %ld", name, (long)place_of(&before) / 8,
                (long)place_of(member) / 8);
    return true;
}

/* Writes the most telling difference to RET; *RET_DIE is what it is about in the new source. */
static void explain(Dwarf_Die *old, Dwarf_Die *new, struct text *ret, Dwarf_Die *ret_die)
{
    Dwarf_Die member, other;
    int more;

    *ret_die = *new;
    for (more = dwarf_child(new, &member); next_member(&member, &more);
         more = dwarf_siblingof(&member, &member)) {
        if (explain_new_member(old, &member, ret)) {
            *ret_die = member;
            return;
        }
    }
    for (more = dwarf_child(old, &member); next_member(&member, &more);
         more = dwarf_siblingof(&member, &member)) {
        const char *name = dwarf_diename(&member);
        if (name && !find_member(new, name, &other)) {
            text_printf(ret, "member '%s' (offset %ld) removed", name, (long)place_of(&member) / 8);
            return;
        }
    }
    for (more = dwarf_child(new, &member); next_member(&member, &more);
         more = dwarf_siblingof(&member, &member)) {
        if (explain_moved_member(old, &member, ret)) {
            *ret_die = member;
            return;
        }
    }
    text_printf(ret, "it has %ld bytes, had %ld", (long)number_of(new, DW_AT_byte_size, 0),
                (long)number_of(old, DW_AT_byte_size, 0));
}

static void refuse(struct checking *checking, Dwarf_Die *die, const char *message)
{
    char *file = definition_file(die);
    int line = 0;

    dwarf_decl_line(die, &line);
    molt_diagnostics_add(checking->diagnostics, MOLT_SEVERITY_ERROR, file, line, 0, "layout-changed", "%s",
                         message);
    if (!checking->error) {
        checking->error = molt_error_at(MOLT_ERROR_REFUSED, file, line, "%s", message);
    }
    free(file);
}

/* Whether a member that both have is elsewhere now, although the places as such are the same. */
static bool members_swapped(Dwarf_Die *old, Dwarf_Die *new)
{
    struct text ignored = { 0 };
    Dwarf_Die member;
    int more = dwarf_child(new, &member);
    bool moved = false;

    for (; !moved && next_member(&member, &more); more = dwarf_siblingof(&member, &member)) {
        moved = explain_moved_member(old, &member, &ignored);
    }
    text_deinit(&ignored);
    return moved;
}

static void check_compound(struct checking *checking, const char *name, Dwarf_Die *old, Dwarf_Die *new)
{
    struct text message = { 0 };
    Dwarf_Die about;

    if (number_of(old, DW_AT_byte_size, 0) == number_of(new, DW_AT_byte_size, 0) &&
        same_members(old, new, 0) && !members_swapped(old, new)) {
        return;
    }
    text_printf(&message, "the layout of %s changed: ", name);
    explain(old, new, &message, &about);
    text_puts(&message, ": live instances cannot be migrated by this version");
    refuse(checking, &about, must_have(message.bytes));
    text_deinit(&message);
}

static void check_enumeration(struct checking *checking, const char *name, Dwarf_Die *old, Dwarf_Die *new)
{
    Dwarf_Die a, b;

    if (number_of(old, DW_AT_byte_size, 0) != number_of(new, DW_AT_byte_size, 0)) {
        check_compound(checking, name, old, new);
        return;
    }
    for (int more = dwarf_child(new, &b); more == 0; more = dwarf_siblingof(&b, &b)) {
        for (int too = dwarf_child(old, &a); too == 0; too = dwarf_siblingof(&a, &a)) {
            const char *one = dwarf_diename(&a), *other = dwarf_diename(&b);
            int64_t before = number_of(&a, DW_AT_const_value, 0), after = number_of(&b, DW_AT_const_value, 0);
            if (one && other && strcmp(one, other) == 0 && before != after) {
                int line = 0;
                dwarf_decl_line(new, &line);
                char *file = definition_file(new);
                molt_diagnostics_add(checking->diagnostics, MOLT_SEVERITY_WARNING, file, line, 0,
                                     "enumerator-renumbered",
                                     "%s of %s was %ld, is %ld: values already stored keep their number", one,
                                     name, (long)before, (long)after);
                free(file);
            }
        }
    }
}

/* Notes what the file scope declares. */
static void collect(struct layouts *layouts, struct object *object)
{
    Dwarf *dwarf = object_dwarf(object);
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die, inner;

    layouts->object = object;
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            bool variable = dwarf_tag(&die) == DW_TAG_variable;
            char *name =
                variable ? (dwarf_diename(&die) ? must_strdup(dwarf_diename(&die)) : NULL) : type_name(&die);
            Dwarf_Die kept = die;
            if (name && dwarf_tag(&die) == DW_TAG_typedef) { /* of a type without a name: it is the name */
                if (!type_of(&die, &inner) || dwarf_diename(&inner) ||
                    (dwarf_tag(&inner) != DW_TAG_structure_type && dwarf_tag(&inner) != DW_TAG_union_type &&
                     dwarf_tag(&inner) != DW_TAG_enumeration_type)) {
                    free(name);
                    continue;
                }
                kept = inner;
            }
            if (name) {
                Dwarf_Die *copy = must_calloc(1, sizeof(*copy));
                *copy = kept;
                LIST_ADD(&layouts->owned, copy);
                LIST_ADD(&layouts->owned, name);
                table_put(variable ? &layouts->variables : &layouts->types, name, copy);
            }
        }
    }
}

static void layouts_deinit(struct layouts *layouts)
{
    for (size_t i = 0; i < layouts->owned.count; i++) {
        free(layouts->owned.items[i]);
    }
    LIST_FREE(&layouts->owned);
    table_deinit(&layouts->types);
    table_deinit(&layouts->variables);
}

static void check_types(struct checking *checking)
{
    for (size_t i = 0; i < checking->new.types.capacity; i++) {
        const char *name = checking->new.types.slots[i].key;
        Dwarf_Die *new = checking->new.types.slots[i].value;
        Dwarf_Die *old = name ? table_get(&checking->old.types, name) : NULL;
        if (!old || dwarf_tag(old) != dwarf_tag(new)) {
            continue;
        }
        if (dwarf_tag(new) == DW_TAG_enumeration_type) {
            check_enumeration(checking, name, old, new);
        } else {
            check_compound(checking, name, old, new);
        }
    }
}

/* A variable that keeps its value must keep its type. Constants may change: they are replaced whole. */
static void check_variable(struct checking *checking, const struct object_symbol *old,
                           const struct object_symbol *new)
{
    Dwarf_Die *before = table_get(&checking->old.variables, old->name);
    Dwarf_Die *after = table_get(&checking->new.variables, new->name);
    Dwarf_Die a, b;
    struct text message = { 0 };

    if (!before || !after || !type_of(before, &a) || !type_of(after, &b)) {
        if (old->size == new->size) {
            return;
        }
        text_printf(&message,
                    "the variable %s had %ld bytes, has %ld: its value cannot be migrated by this version",
                    new->name, (long)old->size, (long)new->size);
        if (!checking->error) {
            checking->error = molt_error_new(MOLT_ERROR_REFUSED, "%s", message.bytes);
        }
        molt_diagnostics_add(checking->diagnostics, MOLT_SEVERITY_ERROR, NULL, 0, 0, "layout-changed", "%s",
                             message.bytes);
    } else if (old->size != new->size || !same_type(&a, &b, 0)) {
        text_printf(&message, "the type of variable %s changed: was ", new->name);
        describe(&a, &message);
        text_puts(&message, ", is ");
        describe(&b, &message);
        text_puts(&message, ": its value cannot be migrated by this version");
        refuse(checking, after, must_have(message.bytes));
    }
    text_deinit(&message);
}

static bool is_writable(const struct object *object, const struct object_symbol *symbol)
{
    enum section_kind kind = object->sections[symbol->section].kind;

    return kind == SECTION_DATA || kind == SECTION_TLS;
}

struct molt_error *layout_check(const struct comparison *comparison, struct molt_diagnostics *diagnostics)
{
    struct checking checking = { .diagnostics = diagnostics };

    collect(&checking.old, comparison->old);
    collect(&checking.new, comparison->new);
    check_types(&checking);
    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        const struct object_symbol *new = &comparison->new->symbols[i];
        const struct object_symbol *old = new->key ? object_find(comparison->old, new->key) : NULL;
        if (old && is_writable(comparison->new, new) && is_writable(comparison->old, old)) {
            check_variable(&checking, old, new);
        }
    }
    layouts_deinit(&checking.old);
    layouts_deinit(&checking.new);
    return checking.error;
}
