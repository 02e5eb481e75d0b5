/*
 * How a variable of the function comes to the new one. What a turn only reads comes as a value, if nobody can
 * change it meanwhile; all else by its address, and then each use of `x` becomes `*x`. An array is its first
 * element's address in any case, unless its size matters.
 *
 *     int n;              int n               int *n
 *     char buffer[10];    char *buffer        char (*buffer)[10]
 *     struct s state;                         struct s *state       state.x becomes state->x
 *     int (*step)(int);   int (*step)(int)    int (**step)(int)
 */
#include "recorder/loop/private.h"

#include <stdlib.h>

/* ---- what a variable is ---------------------------------------------------------------------------- */

/* The declarator right around NAME's label: an array's, a function's, or none (null). */
static TSNode closest(const struct loop_work *work, const struct name *name)
{
    TSNode declarator = name->declarator, found = { 0 };

    for (int depth = 0; depth < 64 && !ts_node_is_null(declarator) && !node_is(declarator, "identifier");
         depth++) {
        if (!node_is(declarator, "parenthesized_declarator"))
            found = declarator;
        TSNode inner = node_field(declarator, "declarator");
        for (uint32_t i = 0; ts_node_is_null(inner) && i < ts_node_named_child_count(declarator); i++) {
            TSNode child = ts_node_named_child(declarator, i);
            if (strstr(ts_node_type(child), "declarator") || node_is(child, "identifier"))
                inner = child;
        }
        declarator = inner;
    }
    return found;
}

static bool is_array(const struct loop_work *work, const struct name *name)
{
    return node_is(closest(work, name), "array_declarator");
}

static bool is_plain(const struct name *name)
{
    return node_is(name->declarator, "identifier");
}

/* The specifier of NAME's type. */
static TSNode type_of(const struct name *name)
{
    return node_field(name->declaration, "type");
}

static bool has_word(const struct loop_work *work, const struct name *name, const char *kind,
                     const char *word)
{
    for (uint32_t i = 0; i < ts_node_named_child_count(name->declaration); i++) {
        TSNode child = ts_node_named_child(name->declaration, i);
        if (node_is(child, kind) && node_reads(work, child, word))
            return true;
    }
    return false;
}

static bool is_aggregate(const struct name *name)
{
    TSNode type = type_of(name);

    return is_plain(name) &&
           (name->has_members || node_is(type, "struct_specifier") || node_is(type, "union_specifier"));
}

static void refuse(struct loop_work *work, const struct name *name, const char *why)
{
    loop_refuse(work, name->start, "`%.*s` %s", (int)(name->end - name->start), text_at(work, name->start),
                why);
}

/* ---- the choice ------------------------------------------------------------------------------------ */

static enum passing choose(const struct loop_work *work, const struct name *name)
{
    bool shared = has_word(work, name, "storage_class_specifier", "static") ||
                  has_word(work, name, "storage_class_specifier", "extern") ||
                  has_word(work, name, "type_qualifier", "volatile");

    if (name->kind == NAME_VARIABLE && is_array(work, name))
        return name->measured || name->addressed || name->is_argument || name->changed ? PASSED_POINTER
                                                                                       : PASSED_ELEMENT;
    if (name->addressed || name->changed || is_aggregate(name) ||
        (shared && !has_word(work, name, "type_qualifier", "const")))
        return PASSED_POINTER;
    /* what the type's name hides may be an array, whose size a parameter has not */
    if (name->measured && node_is(type_of(name), "type_identifier"))
        return PASSED_POINTER;
    return PASSED_VALUE;
}

/* Whether the word from START to END, of the declaration of NAME, is one that the function declares. */
static const struct name *local_word(const struct loop_work *work, const struct name *name, uint32_t start,
                                     uint32_t end)
{
    for (uint32_t i = 0; i < work->names.count; i++) {
        const struct name *other = &work->names.items[i];
        if (other != name && other->visible && !other->inside &&
            same_words(text_at(work, other->start), other->end - other->start, text_at(work, start),
                       end - start))
            return other;
    }
    return NULL;
}

/* Refuses what the words of NAME's type mean in the function only. */
static void check_words(struct loop_work *work, const struct name *name, uint32_t start, uint32_t end)
{
    struct token_reader reader = token_reader_at(work->source->text, end, start);
    struct token before = { 0 };

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        const struct name *other = token.kind == TOKEN_WORD && token.start != name->start
                                       ? local_word(work, name, token.start, token.end)
                                       : NULL;
        bool tag = token_is(work->source->text, &before, "struct") ||
                   token_is(work->source->text, &before, "union") ||
                   token_is(work->source->text, &before, "enum");
        if (token.line_start && token.first == '#')
            refuse(work, name, "is declared with directives in between");
        if (other && other->kind == NAME_OTHER)
            refuse(work, name, "has a type that is declared inside of the function");
        else if (other && !tag)
            refuse(work, name, "has a type that depends on another variable");
        before = token;
    }
}

/* Whether the text from START to END has the word WORD. */
static bool reads(const struct loop_work *work, uint32_t start, uint32_t end, const char *word)
{
    struct token_reader reader = token_reader_at(work->source->text, end, start);

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token_is(work->source->text, &token, word))
            return true;
    }
    return false;
}

static void check_type(struct loop_work *work, const struct name *name)
{
    TSNode type = type_of(name), array = closest(work, name);
    uint32_t start = node_start(work, name->declarator), end = node_end(work, name->declarator);

    if (!ts_node_is_null(node_field(type, "body")))
        refuse(work, name, "has a type that is defined where it is declared");
    if (reads(work, start, end, "__attribute__") || reads(work, start, end, "asm") ||
        reads(work, start, end, "__asm__"))
        refuse(work, name, "has attributes");
    if (node_reads(work, type, "__auto_type") ||
        has_word(work, name, "storage_class_specifier", "__auto_type") || ts_node_is_null(type))
        refuse(work, name, "has a type that is not written down");
    check_words(work, name, node_start(work, type), node_end(work, type));
    if (name->passing == PASSED_ELEMENT && node_is(array, "array_declarator")) {
        check_words(work, name, start, node_end(work, node_field(array, "declarator")));
        check_words(work, name, node_end(work, array), end);
        return;
    }
    check_words(work, name, start, end);
    if (name->passing == PASSED_POINTER && name->kind == NAME_VARIABLE &&
        node_is(array, "array_declarator") && ts_node_is_null(node_field(array, "size")))
        refuse(work, name, "has its size by its initial value only");
}

/* What cannot come to another function the way that is chosen. */
static void check(struct loop_work *work, const struct name *name)
{
    if (name->kind == NAME_OTHER) {
        refuse(work, name, "is declared inside of the function");
        return;
    }
    if (name->conditional)
        refuse(work, name, "is declared under an #if");
    if (name->passing == PASSED_POINTER && has_word(work, name, "storage_class_specifier", "register"))
        refuse(work, name, "is a register variable");
    if (name->passing == PASSED_POINTER && name->kind == NAME_PARAMETER &&
        (node_reads(work, type_of(name), "va_list") || node_reads(work, type_of(name), "jmp_buf")))
        refuse(work, name, "is an array that only the type's name hides");
    if (name->macro && (name->macro_changes || name->passing == PASSED_POINTER))
        loop_refuse(work, name->start, "the macro `%s` means `%.*s` of the function", name->macro,
                    (int)(name->end - name->start), text_at(work, name->start));
    if (name->spelled && name->passing == PASSED_POINTER)
        refuse(work, name, "is spelled by a macro");
    check_type(work, name);
}

/* ---- uses ------------------------------------------------------------------------------------------ */

/* FRONT, the name and BACK instead of what stands from START to END. */
static void rewrite(struct loop_work *work, uint32_t start, uint32_t end, const char *front,
                    const struct name *name, const char *back)
{
    struct text text = { 0 };

    text_puts(&text, front);
    text_append(&text, text_at(work, name->start), name->end - name->start);
    text_puts(&text, back);
    loop_rewrite(work, start, end, &text);
}

static void rewrite_use(struct loop_work *work, const struct use *use)
{
    const struct name *name = &work->names.items[use->name];

    if (name->passing != PASSED_POINTER)
        return;
    if (use->whole_start != use->start)
        rewrite(work, use->whole_start, use->whole_end, "", name, "");
    else if (use->dot)
        rewrite(work, use->start, use->dot + 1, "", name, "->");
    else
        rewrite(work, use->start, use->end, use->bare ? "*" : "(*", name, use->bare ? "" : ")");
}

void loop_choose_passing(struct loop_work *work)
{
    for (uint32_t i = 0; i < work->names.count; i++) {
        struct name *name = &work->names.items[i];
        if (!name->used || name->inside)
            continue;
        name->passing = choose(work, name);
        check(work, name);
    }
    for (uint32_t i = 0; i < work->uses.count; i++)
        rewrite_use(work, &work->uses.items[i]);
}

/* ---- parameters ------------------------------------------------------------------------------------ */

/* The words from START to END, comments left out and spaces made one. */
static void write_words(const struct loop_work *work, uint32_t start, uint32_t end, struct text *text)
{
    struct token_reader reader = token_reader_at(work->source->text, end, start);
    uint32_t last = start;

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token.start > last)
            text_puts(text, " ");
        text_append(text, text_at(work, token.start), token.end - token.start);
        last = token.end;
    }
    if (last < end && text->length && text->bytes[text->length - 1] != '*' &&
        text->bytes[text->length - 1] != '(')
        text_puts(text, " ");
}

static void write_specifiers(const struct loop_work *work, TSNode declaration, struct text *text)
{
    TSNode type = node_field(declaration, "type");

    for (uint32_t i = 0; i < ts_node_named_child_count(declaration); i++) {
        TSNode child = ts_node_named_child(declaration, i);
        if (!node_is(child, "type_qualifier") && !ts_node_eq(child, type))
            continue;
        write_words(work, node_start(work, child), node_end(work, child), text);
        text_puts(text, " ");
    }
}

void loop_write_parameter(const struct loop_work *work, const struct name *name, struct text *text)
{
    uint32_t start = node_start(work, name->declarator), end = node_end(work, name->declarator);
    uint32_t from = name->start, to = name->end;
    TSNode array = closest(work, name);
    bool is_in = node_is(array, "array_declarator"), pointer = name->passing == PASSED_POINTER;
    bool element = is_in && name->kind == NAME_VARIABLE && name->passing == PASSED_ELEMENT;
    const char *stars = pointer ? "*" : "";

    if (element || (is_in && name->kind == NAME_PARAMETER && pointer)) {
        /* `a[]` of a parameter is a pointer already */
        from = node_start(work, array);
        to = node_end(work, array);
        stars = element ? "*" : "**";
    }
    bool inner = *stars && to < end && strchr("[(", *text_at(work, to + strspn(text_at(work, to), " \t\n")));
    write_specifiers(work, name->declaration, text);
    write_words(work, start, from, text);
    text_printf(text, inner ? "(%s%.*s)" : "%s%.*s", stars, (int)(name->end - name->start),
                text_at(work, name->start));
    write_words(work, to, end, text);
    if (!name->needed)
        text_puts(text, " __attribute__((unused))");
}

void loop_write_argument(const struct loop_work *work, const struct name *name, struct text *text)
{
    text_printf(text, name->passing == PASSED_POINTER ? "&%.*s" : "%.*s", (int)(name->end - name->start),
                text_at(work, name->start));
}
