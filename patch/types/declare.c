/*
 * Declarations in the order that C wants: what lies in a type first, what is only pointed to as a name in
 * advance. Each type is declared once; types of one name that are not the same (file scope of two units) get
 * a number.
 */
#include "patch/types/declare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/types/declare_private.h"

#define HIDDEN "_molt_earlier"

static void need(struct declarations *declarations, const struct type *type, bool whole);

struct declarations *declarations_create(const struct declaration_rules *rules, struct text *text)
{
    struct declarations *declarations = must_calloc(1, sizeof(*declarations));

    *declarations = (struct declarations){ .rules = *rules, .text = text };
    return declarations;
}

void declarations_destroy(struct declarations *declarations)
{
    if (!declarations) {
        return;
    }
    for (size_t i = 0; i < declarations->owned.count; i++) {
        free(declarations->owned.items[i]);
    }
    LIST_FREE(&declarations->owned);
    table_deinit(&declarations->names);
    table_deinit(&declarations->advance);
    table_deinit(&declarations->done);
    table_deinit(&declarations->enumerators);
    number_map_deinit(&declarations->of);
    free(declarations);
}

static bool is_tagged(const struct type *type)
{
    return type_is_compound(type) || type->kind == TYPE_ENUM;
}

static const char *suffix_of(const struct declarations *declarations, const struct type *type)
{
    const struct declaration_rules *rules = &declarations->rules;

    return !rules->suffixed || rules->suffixed(rules->context, type) ? rules->suffix : "";
}

/* Whether nobody may look at what a pointer to TYPE leads to. */
static bool is_hidden(const struct declarations *declarations, const struct type *type)
{
    const struct declaration_rules *rules = &declarations->rules;

    return rules->hidden && type_is_compound(type) && (type->name || type->alias) &&
           rules->hidden(rules->context, type);
}

static bool is_known(const struct declarations *declarations, const char *name)
{
    const struct declaration_rules *rules = &declarations->rules;

    return rules->known && rules->known(rules->context, name);
}

/* The name for TYPE, with a tag or alias, the NUMBER-th of it. Owned by the caller. */
static char *make_name(const struct declarations *declarations, const struct type *type, unsigned number)
{
    const char *word = !type->name                ? ""
                       : type->kind == TYPE_UNION ? "union "
                       : type->kind == TYPE_ENUM  ? "enum "
                                                  : "struct ";
    const char *suffix = suffix_of(declarations, type);
    const char *name = type->name ? type->name : type->alias;

    return number > 1 ? must_printf("%s%s%s_%u", word, name, suffix, number)
                      : must_printf("%s%s%s", word, name, suffix);
}

/* Whether what is declared as OTHER does for TYPE of the same name. */
static bool does_for(const struct type *other, const struct type *type)
{
    bool same_layout = !type->ambiguous && !other->ambiguous && other->size == type->size;

    return other->kind == type->kind &&
           (other->hash == type->hash || type->incomplete || other->incomplete || same_layout);
}

/* Tags share one name space, whatever kind of type they are of. */
static const char *without_kind(const struct type *type, const char *name)
{
    return type->name ? strchr(name, ' ') : name;
}

/* The name that TYPE has or will have here. */
static const char *name_of(struct declarations *declarations, const struct type *type)
{
    char *name = number_map_get(&declarations->of, (uintptr_t)type);

    if (name) {
        return name;
    }
    for (unsigned number = 1; !name; number++) {
        name = make_name(declarations, type, number);
        const struct type *other = table_get(&declarations->names, without_kind(type, name));
        if (other && !does_for(other, type)) {
            free(name);
            name = NULL;
        }
    }
    *number_map_at(&declarations->of, (uintptr_t)type) = name;
    LIST_ADD(&declarations->owned, name);
    const struct type *other = table_get(&declarations->names, without_kind(type, name));
    if (!other || other->incomplete) {
        table_put(&declarations->names, without_kind(type, name), (void *)type);
    }
    return name;
}

/* C's words for a base type; those that have none go by what they hold. */
static const char *base_name(const struct type *type)
{
    static const char *const own[] = { "char",
                                       "signed char",
                                       "unsigned char",
                                       "short",
                                       "unsigned short",
                                       "int",
                                       "unsigned int",
                                       "long",
                                       "unsigned long",
                                       "long long",
                                       "unsigned long long",
                                       "float",
                                       "double",
                                       "long double",
                                       "_Bool",
                                       "_Complex float",
                                       "_Complex double",
                                       "_Complex long double",
                                       "_Float128" };
    static const struct {
        enum type_encoding encoding;
        uint64_t size;
        const char *name;
    } others[] = { { TYPE_SIGNED, 1, "signed char" },
                   { TYPE_SIGNED, 2, "short" },
                   { TYPE_SIGNED, 4, "int" },
                   { TYPE_SIGNED, 8, "long" },
                   { TYPE_SIGNED, 16, "__int128" },
                   { TYPE_UNSIGNED, 1, "unsigned char" },
                   { TYPE_UNSIGNED, 2, "unsigned short" },
                   { TYPE_UNSIGNED, 4, "unsigned int" },
                   { TYPE_UNSIGNED, 8, "unsigned long" },
                   { TYPE_UNSIGNED, 16, "unsigned __int128" },
                   { TYPE_BOOL, 1, "_Bool" },
                   { TYPE_FLOAT, 4, "float" },
                   { TYPE_FLOAT, 8, "double" },
                   { TYPE_FLOAT, 16, "long double" },
                   { TYPE_COMPLEX, 8, "_Complex float" },
                   { TYPE_COMPLEX, 16, "_Complex double" },
                   { TYPE_COMPLEX, 32, "_Complex long double" } };

    for (size_t i = 0; type->name && type->kind == TYPE_BASE && i < sizeof(own) / sizeof(*own); i++) {
        if (strcmp(own[i], type->name) == 0) {
            return own[i];
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        if (others[i].encoding == type->encoding && others[i].size == type->size) {
            return others[i].name;
        }
    }
    return NULL;
}

/* Whether the enumerators alone make C choose an integer of this size. */
static bool is_enumerable(const struct type *type)
{
    bool wide = false;

    for (size_t i = 0; i < type->enumerator_count; i++) {
        int64_t value = type->enumerators[i].value;
        wide = wide || value > UINT32_MAX || value < INT32_MIN;
    }
    return type->enumerator_count && (type->size == (wide ? 8 : 4) || (type->size < 4 && !wide));
}

void declare_leaf(void *context, const struct type *leaf, bool pointed, struct text *ret)
{
    struct declarations *declarations = context;
    bool named = is_tagged(leaf) && (leaf->name || leaf->alias);

    if (leaf->kind == TYPE_VOID) {
        text_puts(ret, "void");
    } else if (leaf->kind == TYPE_ENUM && (!named || (!leaf->incomplete && !is_enumerable(leaf)))) {
        text_puts(ret, base_name(leaf) ? base_name(leaf) : "int");
    } else if (pointed && is_hidden(declarations, leaf)) {
        text_printf(ret, "%s %s" HIDDEN, leaf->kind == TYPE_UNION ? "union" : "struct",
                    leaf->name ? leaf->name : leaf->alias);
    } else if (named) {
        const char *name = name_of(declarations, leaf);
        bool there =
            leaf->name || !pointed || table_get(&declarations->done, name) || is_known(declarations, name);
        text_puts(ret, there ? name : "void");
    } else if (leaf->kind == TYPE_BASE && base_name(leaf)) {
        text_puts(ret, base_name(leaf));
    } else if (pointed) {
        text_puts(ret, "void");
    } else {
        text_printf(ret, "struct { char bytes[%lu]; }", (unsigned long)leaf->size);
    }
}

/* "struct conn_molt_old" without its first word; "" for what is named by a typedef. */
static const char *tag_of(const struct type *type, const char *name)
{
    return type->name ? strchr(name, ' ') + 1 : "";
}

/* NAME, or if another enumeration has it with a number behind it. Owned by DECLARATIONS. */
static const char *enumerator_name(struct declarations *declarations, const char *name, const char *suffix)
{
    char *own = must_printf("%s%s", name, suffix);

    for (unsigned number = 2; table_get(&declarations->enumerators, own); number++) {
        free(own);
        own = must_printf("%s%s_%u", name, suffix, number);
    }
    LIST_ADD(&declarations->owned, own);
    table_put(&declarations->enumerators, own, own);
    return own;
}

static void write_enumeration(struct declarations *declarations, const struct type *type, const char *name,
                              struct text *ret)
{
    const char *suffix = suffix_of(declarations, type), *tag = tag_of(type, name);

    text_printf(ret, "enum %s%s%s{\n", type->size < 4 ? "__attribute__((packed)) " : "", tag,
                *tag ? " " : "");
    for (size_t i = 0; i < type->enumerator_count; i++) {
        text_printf(ret, "    %s = %ld,\n", enumerator_name(declarations, type->enumerators[i].name, suffix),
                    (long)type->enumerators[i].value);
    }
    text_puts(ret, "}");
}

/* Appends the declaration of TYPE, whose parts are declared. */
static void write_declaration(struct declarations *declarations, const struct type *type, const char *name)
{
    struct text body = { 0 };

    if (type->kind == TYPE_ENUM) {
        write_enumeration(declarations, type, name, &body);
    } else {
        declare_compound(declarations, type, tag_of(type, name), 0, &body);
    }
    text_printf(declarations->text, "%s%s%s%s;\n", type->name ? "" : "typedef ",
                (char *)must_have(body.bytes), type->name ? "" : " ", type->name ? "" : name);
    text_deinit(&body);
    declare_check(type, name, declarations->text);
}

/* Whether TYPE is a pointer to SELF: its declaration may use its own name. */
static bool leads_back(const struct type *type, const struct type *self)
{
    while (type->kind == TYPE_POINTER || type->kind == TYPE_TYPEDEF) {
        type = type->inner;
    }
    return type == self;
}

/* Makes what lies in TYPE known. */
static void need_parts(struct declarations *declarations, const struct type *type)
{
    for (size_t i = 0; i < type->member_count; i++) {
        if (!leads_back(type->members[i].type, type)) {
            need(declarations, type->members[i].type, true);
        }
    }
}

static void announce(struct declarations *declarations, const struct type *type, const char *name)
{
    bool possible = type->name && type->kind != TYPE_ENUM;

    if (possible && !table_get(&declarations->done, name) &&
        !table_put(&declarations->advance, name, (void *)type)) {
        text_printf(declarations->text, "%s;\n", name);
    }
}

static void need_named(struct declarations *declarations, const struct type *type, bool whole)
{
    const char *name = name_of(declarations, type);

    if (is_known(declarations, name)) {
        return;
    }
    if (type->kind == TYPE_ENUM) {
        whole = is_enumerable(type);
    }
    if (type->incomplete || !whole) {
        announce(declarations, type, name);
    } else if (!table_get(&declarations->done, name)) {
        need_parts(declarations, type);
        table_put(&declarations->done, name, (void *)type);
        write_declaration(declarations, type, name);
    }
}

/* What a function takes or returns by value needs a name, and without a tag it has none before it is
 * declared. */
static void need_by_value(struct declarations *declarations, const struct type *type)
{
    type = type_strip(type);
    need(declarations, type, type_is_compound(type) && !type->name);
}

/* Makes TYPE known, as a whole or (behind a pointer) as a name. */
static void need(struct declarations *declarations, const struct type *type, bool whole)
{
    type = type_strip(type);
    switch (type->kind) {
    case TYPE_POINTER:
        if (!is_hidden(declarations, type_strip(type->inner))) {
            need(declarations, type->inner, false);
        }
        break;
    case TYPE_ARRAY:
        need(declarations, type->inner, true);
        break;
    case TYPE_FUNCTION:
        need_by_value(declarations, type->inner);
        for (size_t i = 0; i < type->parameter_count; i++) {
            need_by_value(declarations, type->parameters[i]);
        }
        break;
    case TYPE_STRUCT:
    case TYPE_UNION:
    case TYPE_ENUM:
        if (type->name || type->alias) {
            need_named(declarations, type, whole);
        } else if (whole) {
            need_parts(declarations, type);
        }
        break;
    default:
        break;
    }
}

void declare(struct declarations *declarations, const struct type *type)
{
    need(declarations, type, true);
}

bool declarations_has(const struct declarations *declarations, const char *name)
{
    return table_get(&declarations->done, name) != NULL;
}

void declare_object(const struct declarations *declarations, const struct type *type, const char *name,
                    struct text *ret)
{
    type_write(type, name, false, declare_leaf, (void *)declarations, ret);
}

char *declared_name(const struct declarations *declarations, const struct type *type)
{
    return must_strdup(name_of((struct declarations *)declarations, type_strip(type)));
}
