/*
 * Writing types as C. A declarator grows from the name outwards: "*" before it, "[]" and "()" after it,
 * brackets around it where a pointer leads to an array or a function; last the name of what is left comes in
 * front.
 */
#include <stdio.h>
#include <stdlib.h>

#include "patch/memory.h"
#include "patch/types/types.h"

struct writing {
    bool typedefs;
    type_namer *namer;
    void *context;
};

static void write_declarator(const struct writing *writing, const struct type *type, char *declarator,
                             bool pointed, struct text *ret);

/* What the next step of a declarator looks at. */
static const struct type *look(const struct writing *writing, const struct type *type)
{
    return writing->typedefs ? type : type_strip(type);
}

static char *parameters_of(const struct writing *writing, const struct type *function, char *declarator)
{
    struct text text = { 0 };

    text_printf(&text, "%s(", declarator);
    for (size_t i = 0; i < function->parameter_count; i++) {
        text_puts(&text, i ? ", " : "");
        write_declarator(writing, function->parameters[i], must_strdup(""), true, &text);
    }
    text_puts(&text, function->variadic          ? function->parameter_count ? ", ...)" : ")"
                     : function->parameter_count ? ")"
                                                 : "void)");
    free(declarator);
    return must_have(text_steal(&text));
}

/* DECLARATOR, taken, behind a pointer's star. */
static char *starred(char *declarator, bool brackets)
{
    char *result = brackets ? must_printf("(*%s)", declarator) : must_printf("*%s", declarator);

    free(declarator);
    return result;
}

/* DECLARATOR is taken. */
static void write_declarator(const struct writing *writing, const struct type *type, char *declarator,
                             bool pointed, struct text *ret)
{
    type = look(writing, type);
    switch (type->kind) {
    case TYPE_POINTER: {
        const struct type *target = look(writing, type->inner);
        bool brackets = target->kind == TYPE_ARRAY || target->kind == TYPE_FUNCTION;
        write_declarator(writing, target, starred(declarator, brackets), true, ret);
        return;
    }
    case TYPE_ARRAY: {
        char *dimension = must_printf("%s[%lu]", declarator, (unsigned long)type->count);
        free(declarator);
        write_declarator(writing, type->inner, dimension, pointed, ret);
        return;
    }
    case TYPE_FUNCTION:
        write_declarator(writing, type->inner, parameters_of(writing, type, declarator), true, ret);
        return;
    default:
        writing->namer(writing->context, type, pointed, ret);
        text_printf(ret, "%s%s", *declarator ? " " : "", declarator);
        free(declarator);
    }
}

void type_write(const struct type *type, const char *name, bool typedefs, type_namer *namer, void *context,
                struct text *ret)
{
    struct writing writing = { typedefs, namer, context };

    write_declarator(&writing, type, must_strdup(name), false, ret);
}

static const char *word_of(const struct type *type)
{
    return type->kind == TYPE_UNION ? "union" : type->kind == TYPE_ENUM ? "enum" : "struct";
}

static void describe_leaf(void *context, const struct type *leaf, bool pointed, struct text *ret)
{
    (void)context;
    (void)pointed;
    if (!type_is_compound(leaf) && leaf->kind != TYPE_ENUM) {
        text_puts(ret, leaf->name ? leaf->name : "?");
    } else if (leaf->name || !leaf->alias) {
        text_printf(ret, "%s %s", word_of(leaf), leaf->name ? leaf->name : "{...}");
    } else {
        text_puts(ret, leaf->alias);
    }
}

void type_describe(const struct type *type, struct text *ret)
{
    type_write(type, "", true, describe_leaf, NULL, ret);
}

char *type_key(const struct type *type)
{
    if (type->name) {
        return must_printf("%s %s", word_of(type), type->name);
    }
    return type->alias ? must_strdup(type->alias)
                       : must_printf("%s {%016lx}", word_of(type), (unsigned long)type->hash);
}
