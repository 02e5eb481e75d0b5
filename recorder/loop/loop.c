/* The way through the extraction, top to bottom. */
#include "recorder/loop/loop.h"

#include <stdarg.h>
#include <stdlib.h>

#include "recorder/loop/private.h"

extern const TSLanguage *tree_sitter_c(void);

/* ---- what all its files use ------------------------------------------------------------------------ */

bool loop_reserve(struct loop_work *work, void **items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    uint32_t larger = *capacity ? *capacity * 2 : 16;
    void *grown = realloc(*items, larger * size);
    if (!grown) {
        work->failed = true;
        return false;
    }
    *items = grown;
    *capacity = larger;
    return true;
}

const char *loop_keep(struct loop_work *work, struct text *text)
{
    char *string = text_steal(text);
    uint32_t count = work->kept.count;

    if (!string) {
        work->failed = true;
        return "";
    }
    LOOP_ADD(work, &work->kept, string);
    if (work->kept.count == count) {
        free(string);
        return "";
    }
    return string;
}

void loop_rewrite(struct loop_work *work, uint32_t start, uint32_t end, struct text *text)
{
    const char *kept = loop_keep(work, text); /* whether there is room in the list or not */

    LOOP_ADD(work, &work->rewrites, (struct rewrite){ start, end, kept });
}

void loop_refuse(struct loop_work *work, uint32_t offset, const char *format, ...)
{
    va_list arguments;
    struct text text = { 0 };
    unsigned line = 1;

    if (work->reason)
        return;
    for (uint32_t i = 0; i < offset; i++)
        line += work->source->text[i] == '\n';
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    text_printf(&text, ", line %u", line);
    work->reason = text_steal(&text);
    work->failed |= !work->reason;
}

static void deinit(struct loop_work *work)
{
    for (uint32_t i = 0; i < work->kept.count; i++)
        free(work->kept.items[i]);
    free(work->kept.items);
    free(work->names.items);
    free(work->uses.items);
    free(work->rewrites.items);
    free(work->exits.items);
    free(work->macros.items);
    free(work->reason);
    if (work->tree)
        ts_tree_delete(work->tree);
}

/* ---- the way --------------------------------------------------------------------------------------- */

/* Parses TEXT, which is the segment, or as long. */
static bool parse(struct loop_work *work, const char *text)
{
    TSParser *parser = ts_parser_new();

    if (work->tree)
        ts_tree_delete(work->tree);
    work->tree = NULL;
    if (parser && ts_parser_set_language(parser, tree_sitter_c()))
        work->tree = ts_parser_parse_string(parser, NULL, text, work->source->end - work->source->lead);
    if (parser)
        ts_parser_delete(parser);
    work->failed |= !work->tree;
    return work->tree != NULL;
}

/* Whether TOKEN begins a type, as only macros take one. */
static bool begins_type(const char *text, const struct token *token)
{
    static const char *const words[] = { "struct", "union", "enum",  "const", "volatile", "unsigned",
                                         "signed", "char",  "short", "int",   "long",     "float",
                                         "double", "void",  "bool",  "_Bool", "size_t" };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (token_is(text, token, words[i]))
            return true;
    }
    return false;
}

/* Makes names of the arguments behind READER, which is behind a parenthesis, that are types or operators. */
static void mask_arguments(char *text, struct token_reader reader)
{
    struct token first = { 0 }, last = { 0 };
    int depth = 0;

    for (struct token token = token_next(&reader); token.kind != TOKEN_END && depth >= 0;
         token = token_next(&reader)) {
        depth += token.first == '(' || token.first == '{'   ? 1
                 : token.first == ')' || token.first == '}' ? -1
                                                            : 0;
        if (depth >= 0 && !(depth == 0 && token.first == ',')) {
            first = first.end ? first : token;
            last = token;
            continue;
        }
        bool sign = first.kind == TOKEN_PUNCTUATION && first.start == last.start;
        if (first.end &&
            (sign || begins_type(text, &first) || (last.first == '*' && last.start != first.start)))
            memset(text + first.start, '_', last.end - first.start);
        first = last = (struct token){ 0 };
    }
}

/* Makes the segment's TEXT one that the grammar understands: no macros in front of the function's name, such
 * as LUA_API, and no types as arguments of macros. */
static void mask(const struct loop_work *work, char *text, uint32_t length)
{
    struct token_reader reader = token_reader_at(text, length, 0);
    struct token before = { 0 };
    bool head = true;

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        const struct macro *macro = before.kind == TOKEN_WORD
                                        ? loop_macro(work, text + before.start, before.end - before.start)
                                        : NULL;
        head &= token.first != '(';
        if (head && macro && !macro->has_parameters && (token.kind == TOKEN_WORD || token.first == '*'))
            memset(text + before.start, ' ', before.end - before.start);
        if (!head && token.first == '(' &&
            ((macro && macro->has_parameters) || token_is(text, &before, "va_arg")))
            mask_arguments(text, reader);
        before = token;
    }
}

/* Parses the segment once more, masked. */
static bool parse_masked(struct loop_work *work)
{
    uint32_t length = work->source->end - work->source->lead;
    char *text = strndup(text_at(work, work->source->lead), length);

    if (!text) {
        work->failed = true;
        return false;
    }
    mask(work, text, length);
    bool done = parse(work, text);
    free(text);
    return done;
}

static uint32_t first_error(const struct loop_work *work, TSNode node)
{
    for (uint32_t i = 0; i < ts_node_child_count(node); i++) {
        TSNode child = ts_node_child(node, i);
        if (ts_node_is_missing(child) || node_is(child, "ERROR"))
            return node_start(work, child);
        if (ts_node_has_error(child))
            return first_error(work, child);
    }
    return node_start(work, node);
}

/* Whether NODE is a call that computes nothing by itself. */
static bool is_plain_call(TSNode node)
{
    TSNode arguments = node_field(node, "arguments");

    if (!node_is(node, "call_expression"))
        return false;
    for (uint32_t i = 0; i < ts_node_named_child_count(arguments); i++) {
        TSNode argument = ts_node_named_child(arguments, i);
        if (node_is(argument, "pointer_expression"))
            argument = node_field(argument, "argument");
        if (!node_is(argument, "identifier") && !strstr(ts_node_type(argument), "literal"))
            return false;
    }
    return true;
}

static bool is_jump(TSNode node)
{
    return node_is(node, "break_statement") || node_is(node, "return_statement") ||
           node_is(node, "goto_statement") || node_is(node, "continue_statement");
}

/* Whether NODE is what an extracted turn leaves in a loop: a call, or what is made of its result. RET_CALLS
 * counts the calls. */
static bool is_remainder(TSNode node, unsigned *ret_calls)
{
    TSNode inner = ts_node_named_child(node, 0);

    if (node_is(node, "comment"))
        return true;
    if (node_is(node, "declaration")) {
        TSNode declarator = node_field(node, "declarator"), value = node_field(declarator, "value");
        *ret_calls += is_plain_call(value);
        return ts_node_is_null(value) || is_plain_call(value);
    }
    if (node_is(node, "if_statement")) {
        inner = ts_node_named_child(node_field(node, "condition"), 0);
        *ret_calls += is_plain_call(inner);
        return ts_node_is_null(node_field(node, "alternative")) && is_jump(node_field(node, "consequence")) &&
               (is_plain_call(inner) || node_is(inner, "binary_expression"));
    }
    *ret_calls += is_plain_call(inner);
    return node_is(node, "expression_statement") && (ts_node_is_null(inner) || is_plain_call(inner));
}

/* Whether the turn is a call already, or nothing. */
static bool is_call(TSNode turn)
{
    unsigned calls = 0;

    if (!node_is(turn, "compound_statement"))
        return is_remainder(turn, &calls) && calls < 2;
    for (uint32_t i = 0; i < ts_node_named_child_count(turn); i++) {
        if (!is_remainder(ts_node_named_child(turn, i), &calls))
            return false;
    }
    return calls < 2;
}

static void extract(struct loop_work *work, struct loop_extraction *ret)
{
    if (ts_node_has_error(work->function))
        loop_refuse(work, first_error(work, work->function), "the function cannot be understood");
    ret->is_call = !work->reason && is_call(work->turn);
    if (ret->is_call)
        loop_refuse(work, node_start(work, work->turn), "what it does is a call already");
    if (work->reason)
        return;
    loop_read_names(work);
    loop_read_exits(work);
    loop_expand_macros(work);
    loop_choose_passing(work);
    if (!work->reason && !work->failed)
        loop_write(work, ret);
}

static uint32_t line_of(const struct loop_source *source, uint32_t offset)
{
    uint32_t line = 0;

    for (uint32_t i = 0; i < offset; i++)
        line += source->text[i] == '\n';
    return line;
}

struct molt_error *loop_extract(const struct loop_source *source, const struct loop_wish *wish,
                                struct loop_extraction *ret)
{
    struct loop_work work = { .source = source };

    *ret = (struct loop_extraction){ 0 };
    if (parse(&work, source->text + source->lead) && loop_find(&work, wish)) {
        loop_read_macros(&work);
        if (ts_node_has_error(work.function) && parse_masked(&work))
            loop_find(&work, wish);
    }
    if (work.tree && !ts_node_is_null(work.loop)) {
        ret->found = true;
        ret->line = line_of(source, node_start(&work, work.loop));
        extract(&work, ret);
        ret->reason = work.reason;
        work.reason = NULL;
    }
    bool failed = work.failed;
    deinit(&work);
    if (failed || ret->reason) {
        char *reason = ret->reason;
        ret->reason = NULL;
        uint32_t line = ret->line;
        bool call = ret->is_call;
        loop_extraction_deinit(ret);
        *ret = (struct loop_extraction){ .found = !failed, .line = line, .reason = reason, .is_call = call };
    }
    if (!failed)
        return NULL;
    loop_extraction_deinit(ret);
    return molt_error_nomem();
}

void loop_extraction_deinit(struct loop_extraction *extraction)
{
    free(extraction->name);
    free(extraction->reason);
    for (unsigned i = 0; i < 2; i++)
        free(extraction->edits[i].text);
    *extraction = (struct loop_extraction){ 0 };
}
