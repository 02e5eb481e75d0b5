/*
 * One value out of another, in either direction: numbers by assignment, with a check where they may not fit;
 * arrays whole or element by element; structures by their own function, or, where they have no name, member
 * by member on the spot.
 */
#include "patch/policy/write_value.h"

#include <stdlib.h>
#include <string.h>

void policy_line(struct policy_writer *writer, unsigned indent, const char *comment, const char *format, ...)
{
    va_list arguments;

    text_printf(writer->text, "%*s", (int)indent * 4, "");
    va_start(arguments, format);
    text_vprintf(writer->text, format, arguments);
    va_end(arguments);
    if (comment) {
        text_printf(writer->text, " /* %s */", comment);
    }
    text_puts(writer->text, "\n");
}

/* ---- numbers --------------------------------------------------------------------------------------- */

static bool is_signed(const struct type *type)
{
    return type->encoding == TYPE_SIGNED;
}

bool policy_number_fits(const struct type *old, uint32_t old_bits, const struct type *new, uint32_t new_bits)
{
    old = type_strip(old);
    new = type_strip(new);
    uint32_t from = old_bits ? old_bits : 8 * old->size, to = new_bits ? new_bits : 8 * new->size;

    if (new->encoding == TYPE_BOOL || old->encoding == TYPE_BOOL) {
        return true; /* not 0 is true, as in all of C */
    }
    if (new->encoding == TYPE_FLOAT || new->encoding == TYPE_COMPLEX) {
        return old->encoding != TYPE_FLOAT || to >= from;
    }
    if (old->encoding == TYPE_FLOAT || old->encoding == TYPE_COMPLEX) {
        return false;
    }
    if (is_signed(old) == is_signed(new)) {
        return to >= from;
    }
    return !is_signed(old) && to > from;
}

/* TYPE as C writes it in a cast. Owned by the caller. */
static char *type_text(const struct declarations *declarations, const struct type *type)
{
    struct text text = { 0 };

    text_puts(&text, "");
    declare_object(declarations, type, "", &text);
    return must_have(text_steal(&text));
}

/* Whether both sides are written as the same C type. */
static bool same_in_c(const struct policy_writer *writer, const struct policy_value *value)
{
    char *old = type_text(writer->old_types, value->old), *new = type_text(writer->new_types, value->new);
    bool same = strcmp(old, new) == 0 && !strchr(old, '{'); /* without a name, each is a type of its own */

    free(old);
    free(new);
    return same;
}

static const char *from_text(const struct policy_writer *writer, const struct policy_value *value)
{
    return writer->back ? value->new_text : value->old_text;
}

static const char *to_text(const struct policy_writer *writer, const struct policy_value *value)
{
    return writer->back ? value->old_text : value->new_text;
}

static void write_number(struct policy_writer *writer, const struct policy_value *value)
{
    const char *from = from_text(writer, value), *to = to_text(writer, value);
    bool fits = writer->back ? policy_number_fits(value->new, value->new_bits, value->old, value->old_bits)
                             : policy_number_fits(value->old, value->old_bits, value->new, value->new_bits);

    if (type_strip(value->old)->encoding == TYPE_COMPLEX &&
        type_strip(value->new)->encoding != TYPE_COMPLEX) {
        policy_line(writer, value->indent, NULL, "molt_fail(\"%s is complex, %s is not\");", from, to);
    } else if (fits || value->drop) {
        policy_line(writer, value->indent, value->comment, "%s = %s;", to, from);
    } else {
        policy_line(writer, value->indent, value->comment, "MOLT_CONVERT(%s, %s);", to, from);
    }
}

static bool is_number(const struct type *type)
{
    return type->kind == TYPE_BASE || type->kind == TYPE_ENUM;
}

/* The same bits. */
static void write_copy(struct policy_writer *writer, const struct policy_value *value)
{
    const char *from = from_text(writer, value), *to = to_text(writer, value);
    const struct type *type = type_strip(writer->back ? value->old : value->new);
    const struct type *other = type_strip(writer->back ? value->new : value->old);
    bool array = type->kind == TYPE_ARRAY;

    if (array && type->flexible) {
        policy_line(writer, value->indent, NULL, "/* %s: the engine copies the elements */", to);
    } else if (array || (type_is_compound(type) && !same_in_c(writer, value))) {
        policy_line(writer, value->indent, value->comment, "memcpy(%s%s, %s%s, sizeof(%s));",
                    array ? "" : "&", to, array ? "" : "&", from, to);
    } else if (is_number(type) && is_number(other) && value->old_bits != value->new_bits) {
        write_number(writer, value);
    } else if (is_number(type) && is_number(other)) {
        policy_line(writer, value->indent, value->comment, "%s = %s;", to, from);
    } else if (same_in_c(writer, value)) {
        policy_line(writer, value->indent, value->comment, "%s = %s;", to, from);
    } else {
        char *cast = is_number(type) ? type_text(writer->back ? writer->old_types : writer->new_types, type)
                                     : must_strdup("void *");
        policy_line(writer, value->indent, value->comment, "%s = (%s)%s;", to, cast, from);
        free(cast);
    }
}

/* ---- what holds others ----------------------------------------------------------------------------- */

/* Element by element, as far as both go. */
static void write_elements(struct policy_writer *writer, const struct policy_value *value,
                           const struct type *old, const struct type *new)
{
    const struct type *from = writer->back ? new : old, *to = writer->back ? old : new;
    uint64_t count = from->count < to->count ? from->count : to->count;
    char index = (char)('h' + value->indent);
    struct policy_value element = *value;
    char *old_text = must_printf("%s[%c]", value->old_text, index);
    char *new_text = must_printf("%s[%c]", value->new_text, index);

    element.old = old->inner;
    element.new = new->inner;
    element.old_text = old_text;
    element.new_text = new_text;
    element.comment = NULL;
    element.indent++;
    policy_line(writer, value->indent, value->comment, "for (size_t %c = 0; %c < %llu; %c++) {", index, index,
                (unsigned long long)count, index);
    policy_write_value(writer, &element);
    policy_line(writer, value->indent, NULL, "}");
    if (count < from->count && !value->drop) {
        policy_line(writer, value->indent, "what is cut off", "MOLT_EXPECT_ZERO(%s, %llu);",
                    from_text(writer, value), (unsigned long long)count);
    }
    free(old_text);
    free(new_text);
}

static void write_array(struct policy_writer *writer, const struct policy_value *value)
{
    const struct type *old = type_strip(value->old), *new = type_strip(value->new);
    const char *from = from_text(writer, value), *to = to_text(writer, value);
    bool shorter = writer->back ? old->count < new->count : new->count < old->count;
    bool plain = policy_conversion(writer->plans, old->inner, new->inner) == TYPE_CONVERT_COPY;

    if (old->flexible || new->flexible) {
        policy_line(writer, value->indent, NULL, "/* %s: the engine takes the elements one by one */", to);
    } else if (value->string) {
        policy_line(writer, value->indent, value->comment, "MOLT_COPY_TEXT(%s, %s);", to, from);
    } else if (plain && shorter && !value->drop) {
        policy_line(writer, value->indent, value->comment, "MOLT_COPY_ARRAY(%s, %s);", to, from);
    } else if (plain) {
        policy_line(writer, value->indent, value->comment, "memcpy(%s, %s, sizeof(%s));", to, from,
                    shorter ? to : from);
    } else {
        write_elements(writer, value, old, new);
    }
}

/* The members of structures without a name, on the spot. */
static void write_members(struct policy_writer *writer, const struct policy_value *value)
{
    struct type_pair *pairs = NULL;
    size_t count =
        types_pair_members(writer->plans->changes, type_strip(value->old), type_strip(value->new), &pairs);

    for (size_t i = 0; i < count; i++) {
        const struct type_pair *pair = &pairs[i];
        if (!pair->old_path || !pair->new_path) {
            continue;
        }
        char *old_text = must_printf("%s.%s", value->old_text, pair->old_path);
        char *new_text = must_printf("%s.%s", value->new_text, pair->new_path);
        struct policy_value member = { .old = pair->old_member->type,
                                       .new = pair->new_member->type,
                                       .old_bits = pair->old_member->bit_size,
                                       .new_bits = pair->new_member->bit_size,
                                       .old_text = old_text,
                                       .new_text = new_text,
                                       .drop = value->drop,
                                       .indent = value->indent };
        if (pair->overlaps) {
            policy_line(writer, value->indent, NULL,
                        "molt_fail(\"%s: which member of the union is in use is not known\");",
                        pair->old_path);
        } else {
            policy_write_value(writer, &member);
        }
        free(old_text);
        free(new_text);
    }
    free(pairs);
}

static void write_migration(struct policy_writer *writer, const struct policy_value *value)
{
    const struct policy_plan *plan = policy_plan_of(writer->plans, value->old, value->new);

    if (plan) {
        policy_line(writer, value->indent, value->comment, "molt_%s_%s(&%s, &%s);",
                    writer->back ? "invert" : "migrate", plan->name, from_text(writer, value),
                    to_text(writer, value));
    } else {
        write_members(writer, value);
    }
}

void policy_write_value(struct policy_writer *writer, const struct policy_value *value)
{
    switch (policy_conversion(writer->plans, value->old, value->new)) {
    case TYPE_CONVERT_COPY:
        write_copy(writer, value);
        break;
    case TYPE_CONVERT_NUMBER:
        write_number(writer, value);
        break;
    case TYPE_CONVERT_ENUM:
        policy_line(writer, value->indent, value->comment ? value->comment : "by name", "%s = %s(%s);",
                    to_text(writer, value),
                    policy_remap_name(writer, type_strip(value->old), type_strip(value->new)),
                    from_text(writer, value));
        break;
    case TYPE_CONVERT_ARRAY:
        write_array(writer, value);
        break;
    case TYPE_CONVERT_MIGRATE:
        write_migration(writer, value);
        break;
    case TYPE_CONVERT_NONE:
        policy_line(writer, value->indent, value->comment, "molt_fail(\"%s cannot become %s by itself\");",
                    from_text(writer, value), to_text(writer, value));
        break;
    }
}
