/*
 * One value out of another, in either direction: numbers by assignment, with a check where they may not fit; arrays whole
 * or element by element; structures by their own function, or, where they have no name, member by member on the spot.
 */
#include "patch/policy_write_value.h"

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

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

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
    bool same = strcmp(old, new) == 0;

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

    if (fits || value->drop) {
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
    } else if (is_number(type) && is_number(other)) {
        write_number(writer, value);
    } else if (same_in_c(writer, value)) {
        policy_line(writer, value->indent, value->comment, "%s = %s;", to, from);
    } else {
        char *cast = is_number(type) ? type_text(writer->back ? writer->old_types : writer->new_types, type)
                                     : must_strdup("void *");
        policy_line(writer, value->indent, value->comment, "%s = (%s)%s;", to, cast, from);
        free(cast);
    }
}

/* ---- enumerations ------------------------------------------------------------------------------------------------- */

static const char *remap_name(struct policy_writer *writer, const struct type *old, const struct type *new)
{
    for (size_t i = 0; i < writer->remaps.count; i++) {
        const struct policy_remap *remap = &writer->remaps.items[i];
        if (remap->old == old && remap->new == new && remap->back == writer->back) {
            return remap->name;
        }
    }
    const char *word = new->name ? new->name : new->alias ? new->alias : "unnamed";
    char *name = must_printf("molt_%s_%s", writer->back ? "restore" : "remap", word);
    for (unsigned i = 2; table_get(&writer->remap_names, name); i++) {
        free(name);
        name = must_printf("molt_%s_%s_%u", writer->back ? "restore" : "remap", word, i);
    }
    table_put(&writer->remap_names, name, name);
    LIST_ADD(&writer->remaps, (struct policy_remap){ old, new, writer->back, name });
    return name;
}

/* What the enumerator NAME of OLD is called in NEW, or the reverse. */
static const char *successor_of(const struct policy_plans *plans, const struct policy_remap *remap,
                                const char *name)
{
    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct policy_use *use = &plans->uses.items[i];
        const struct policy_statement *statement = use->statement;
        if (statement->kind == POLICY_ENUMERATOR && use->old == remap->old &&
            strcmp(remap->back ? statement->to : statement->from, name) == 0) {
            return remap->back ? statement->from : statement->to;
        }
    }
    return name;
}

static const struct type_enumerator *enumerator_called(const struct type *type, const char *name)
{
    for (size_t i = 0; i < type->enumerator_count; i++) {
        if (strcmp(type->enumerators[i].name, name) == 0) {
            return &type->enumerators[i];
        }
    }
    return NULL;
}

static const struct type_enumerator *enumerator_of(const struct type *type, int64_t value)
{
    for (size_t i = 0; i < type->enumerator_count; i++) {
        if (type->enumerators[i].value == value) {
            return &type->enumerators[i];
        }
    }
    return NULL;
}

/* Whether the enumerators stand for bits that may be set together. */
static bool are_bits(const struct type *type)
{
    bool larger = false;

    for (size_t i = 0; i < type->enumerator_count; i++) {
        int64_t value = type->enumerators[i].value;
        if (value < 0 || (value & (value - 1))) {
            return false;
        }
        larger = larger || value > 2;
    }
    return larger;
}

/* The case of the value of ENUMERATOR; those of the same value have the same one. */
static void write_case(const struct policy_plans *plans, const struct policy_remap *remap,
                       const struct type *from, const struct type *to,
                       const struct type_enumerator *enumerator, struct text *ret)
{
    const struct type_enumerator *target = NULL;
    bool clear = true;

    for (size_t i = 0; i < from->enumerator_count; i++) {
        if (from->enumerators[i].value == enumerator->value) {
            const char *name = successor_of(plans, remap, from->enumerators[i].name);
            const struct type_enumerator *one = enumerator_called(to, name);
            clear = clear && !(one && target && one->value != target->value);
            target = one ? one : target;
        }
    }
    text_printf(ret, "    case %lld: /* %s */\n", (long long)enumerator->value, enumerator->name);
    if (!target) {
        text_printf(ret,
                    "        molt_fail(\"%s (%lld) is no longer there: MOLT_ENUMERATOR says what it "
                    "becomes\");\n",
                    enumerator->name, (long long)enumerator->value);
    } else if (!clear) {
        text_printf(
            ret, "        molt_fail(\"%lld was the value of several names, which are no longer equal\");\n",
            (long long)enumerator->value);
    } else {
        text_printf(ret, "        return %lld;%s%s%s\n", (long long)target->value,
                    strcmp(target->name, enumerator->name) ? " /* " : "",
                    strcmp(target->name, enumerator->name) ? target->name : "",
                    strcmp(target->name, enumerator->name) ? " */" : "");
    }
}

static void write_remap(const struct policy_plans *plans, const struct policy_remap *remap, struct text *ret)
{
    const struct type *from = remap->back ? remap->new : remap->old;
    const struct type *to = remap->back ? remap->old : remap->new;
    char *key = type_key(remap->old);

    text_printf(ret, "/* The numbers of %s%s, by the enumerators' names. */\nstatic long %s(long value)\n{\n",
                key, remap->back ? ", back" : "", remap->name);
    if (are_bits(from) && are_bits(to)) {
        text_printf(ret,
                    "    if (value > 0 && (value & (value - 1))) { /* several bits */\n"
                    "        long lowest = value & -value;\n"
                    "        return %s(lowest) | %s(value - lowest);\n"
                    "    }\n",
                    remap->name, remap->name);
    }
    text_puts(ret, "    switch (value) {\n");
    for (size_t i = 0; i < from->enumerator_count; i++) {
        if (enumerator_of(from, from->enumerators[i].value) == &from->enumerators[i]) {
            write_case(plans, remap, from, to, &from->enumerators[i], ret);
        }
    }
    for (size_t i = 0; i < to->enumerator_count; i++) {
        int64_t value = to->enumerators[i].value;
        if (!enumerator_of(from, value) && enumerator_of(to, value) == &to->enumerators[i]) {
            text_printf(ret, "    case %lld:\n        molt_fail(\"%lld had no name and would become %s\");\n",
                        (long long)value, (long long)value, to->enumerators[i].name);
        }
    }
    text_puts(ret, "    default: /* never had a name */\n        return value;\n    }\n}\n\n");
    free(key);
}

void policy_write_remaps(struct policy_writer *writer, struct text *ret)
{
    for (size_t i = 0; i < writer->remaps.count; i++) {
        write_remap(writer->plans, &writer->remaps.items[i], ret);
    }
}

/* ---- what holds others ---------------------------------------------------------------------------------------------- */

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
    bool plain = types_conversion(writer->plans->changes, old->inner, new->inner) == TYPE_CONVERT_COPY;

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
    switch (types_conversion(writer->plans->changes, value->old, value->new)) {
    case TYPE_CONVERT_COPY:
        write_copy(writer, value);
        break;
    case TYPE_CONVERT_NUMBER:
        write_number(writer, value);
        break;
    case TYPE_CONVERT_ENUM:
        policy_line(writer, value->indent, value->comment ? value->comment : "by name", "%s = %s(%s);",
                    to_text(writer, value),
                    remap_name(writer, type_strip(value->old), type_strip(value->new)),
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
