/*
 * The two edits: the new function in front of the old one and the comment that belongs to it, and the call in
 * place of what stood in the loop. Indentation is taken from the source: the turn's own lines move left to
 * where a function's are, and calls stand where its first line stood.
 */
#include "recorder/loop/private.h"

#include <stdio.h>
#include <stdlib.h>

struct layout {
    char line[64];  /* in front of the loop */
    char unit[64];  /* one level */
    char first[64]; /* in front of the turn's first line */
};

/* ---- layout ---------------------------------------------------------------------------------------- */

static uint32_t line_start(const struct loop_work *work, uint32_t offset)
{
    while (offset && *text_at(work, offset - 1) != '\n')
        offset--;
    return offset;
}

/* The spaces at the beginning of the line that holds OFFSET, as far as there is room. */
static void read_indentation(const struct loop_work *work, uint32_t offset, char (*ret)[64])
{
    const char *line = text_at(work, line_start(work, offset));

    snprintf(*ret, sizeof(*ret), "%.*s", (int)strspn(line, " \t"), line);
}

/* The first statement in BLOCK that is not on the line of its brace; null: none. */
static TSNode first_statement(TSNode block)
{
    for (uint32_t i = 0; i < ts_node_named_child_count(block); i++) {
        TSNode child = ts_node_named_child(block, i);
        if (ts_node_start_point(child).row > ts_node_start_point(block).row && !is_directive(child) &&
            !node_is(child, "labeled_statement"))
            return child;
    }
    return (TSNode){ 0 };
}

static void read_layout(const struct loop_work *work, struct layout *layout)
{
    TSNode statement = first_statement(work->body), turn = first_statement(work->turn);

    read_indentation(work, node_start(work, work->loop), &layout->line);
    snprintf(layout->unit, sizeof(layout->unit), "    ");
    if (!ts_node_is_null(statement))
        read_indentation(work, node_start(work, statement), &layout->unit);
    snprintf(layout->first, sizeof(layout->first), "%.32s%.31s", layout->line, layout->unit);
    if (!ts_node_is_null(turn) && node_is(work->turn, "compound_statement"))
        read_indentation(work, node_start(work, turn), &layout->first);
}

/* ---- names ----------------------------------------------------------------------------------------- */

static bool has_word(const char *text, uint32_t length, const char *word)
{
    size_t size = strlen(word);
    const char *end = text + length;

    for (const char *at = text; (at = memmem(at, (size_t)(end - at), word, size)); at++) {
        struct token_reader reader = token_reader_at(at, (uint32_t)(end - at), 0);
        struct token token = token_next(&reader);
        char before = at > text ? at[-1] : ' ';
        bool inside = before == '_' || (before >= '0' && before <= '9') || (before >= 'A' && before <= 'Z') ||
                      (before >= 'a' && before <= 'z');
        if (!inside && token.end == size)
            return true;
    }
    return false;
}

static bool is_taken(const struct loop_work *work, const char *word)
{
    if (has_word(work->source->text, work->source->length, word))
        return true;
    for (size_t i = 0; i < work->header_count; i++) {
        if (has_word(work->headers[i].text, work->headers[i].length, word))
            return true;
    }
    return false;
}

/* BASE, or BASE_2 and so on: a word that stands nowhere yet. */
static const char *fresh(struct loop_work *work, const char *base)
{
    struct text text = { 0 };

    text_puts(&text, base);
    for (unsigned number = 2; !text_failed(&text) && is_taken(work, text.bytes); number++) {
        text_clear(&text);
        text_printf(&text, "%s_%u", base, number);
    }
    return loop_keep(work, &text);
}

/* Whether the function has the name WORD. */
static bool is_in_function(const struct loop_work *work, const char *word)
{
    struct token_reader reader =
        token_reader_at(work->source->text, node_end(work, work->function), node_start(work, work->function));

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token_is(work->source->text, &token, word))
            return true;
    }
    return false;
}

/* Of a local name, collisions in the function and with macros count only. */
static const char *fresh_local(struct loop_work *work, const char *base)
{
    struct text text = { 0 };

    text_puts(&text, base);
    for (unsigned number = 2; !text_failed(&text) && (is_in_function(work, text.bytes) ||
                                                      loop_macro(work, text.bytes, (uint32_t)text.length));
         number++) {
        text_clear(&text);
        text_printf(&text, "%s_%u", base, number);
    }
    return loop_keep(work, &text);
}

/* The name of the function that holds the loop. */
static TSNode function_label(const struct loop_work *work)
{
    TSNode node = node_field(work->function, "declarator");

    while (!ts_node_is_null(node) && !node_is(node, "identifier"))
        node = node_is(node, "parenthesized_declarator") ? ts_node_named_child(node, 0)
                                                         : node_field(node, "declarator");
    return node;
}

/* ---- the turn -------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct rewrite *one = a, *other = b;

    return one->start != other->start ? (one->start < other->start ? -1 : 1)
                                      : (one->end > other->end) - (one->end < other->end);
}

/* The text from START to END, rewritten. */
static void write_rewritten(struct loop_work *work, uint32_t start, uint32_t end, struct text *text)
{
    if (work->rewrites.count)
        qsort(work->rewrites.items, work->rewrites.count, sizeof(*work->rewrites.items), by_place);
    for (uint32_t i = 0; i < work->rewrites.count; i++) {
        const struct rewrite *rewrite = &work->rewrites.items[i];
        text_append(text, text_at(work, start), rewrite->start - start);
        text_puts(text, rewrite->text);
        start = rewrite->end;
    }
    text_append(text, text_at(work, start), end - start);
}

/* Appends LINES, each with as much of PREFIX taken away as it begins with; what continues a string stays. */
static void write_outdented(const char *lines, size_t length, const char *prefix, struct text *text)
{
    struct token_reader reader = token_reader_at(lines, (uint32_t)length, 0);
    struct token token = token_next(&reader);

    for (size_t at = 0; at < length;) {
        const char *end = memchr(lines + at, '\n', length - at);
        size_t next = end ? (size_t)(end - lines) + 1 : length;
        text_append(text, lines + at, next - at);
        at = next;
        while (token.kind != TOKEN_END && token.end <= at)
            token = token_next(&reader);
        for (const char *p = prefix; *p && at < length && lines[at] == *p; p++) {
            if (token.kind == TOKEN_STRING && token.start < at)
                break;
            at++;
        }
    }
}

/* Gives each statement of a turn on one line a line of its own: compilers warn of what looks like the branch
 * of an if. */
static void break_lines(struct loop_work *work, const struct layout *layout)
{
    uint32_t count = ts_node_named_child_count(work->turn);

    if (ts_node_start_point(work->turn).row != ts_node_end_point(work->turn).row)
        return;
    for (uint32_t i = 1; i < count; i++) {
        struct text line = { 0 };
        text_printf(&line, "\n%s", layout->first);
        loop_rewrite(work, node_end(work, ts_node_named_child(work->turn, i - 1)),
                     node_start(work, ts_node_named_child(work->turn, i)), &line);
    }
}

/* What stands between the braces of the new function. */
static void write_turn(struct loop_work *work, const struct layout *layout, struct text *text)
{
    bool braces = node_is(work->turn, "compound_statement");
    uint32_t start = node_start(work, work->turn) + braces, end = node_end(work, work->turn) - braces;
    size_t first = strlen(layout->first), unit = strlen(layout->unit);
    char prefix[64];
    struct text lines = { 0 };

    while (braces && end > start && strchr(" \t\r\n", *text_at(work, end - 1)))
        end--;
    while (start < end && strchr(" \t", *text_at(work, start)))
        start++;
    snprintf(prefix, sizeof(prefix), "%.*s", first > unit ? (int)(first - unit) : 0, layout->first);
    if (braces)
        break_lines(work, layout);
    write_rewritten(work, start, end, &lines);
    if (start < end && *text_at(work, start) != '\n' && *text_at(work, start) != '/')
        text_printf(text, "\n%s", layout->unit);
    else if (start < end && *text_at(work, start) == '/')
        text_puts(text, " ");
    if (lines.bytes)
        write_outdented(lines.bytes, lines.length, prefix, text);
    text->failed |= lines.failed;
    text_deinit(&lines);
    if (work->exits.count)
        text_printf(text, "\n%sreturn 0;", layout->unit);
    text_puts(text, "\n}\n");
}

/* ---- calls and heads ------------------------------------------------------------------------------- */

/* `HEAD(a, b, c)` from COLUMN on, broken before LOOP_LINE_MAX columns; further lines begin with INDENT. */
static void write_list(const char *head, size_t column, const char *indent, const char *const *items,
                       size_t count, struct text *text)
{
    column += strlen(head) + 1;

    text_printf(text, "%s(", head);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(items[i]) + 2;
        if (i && column + size > LOOP_LINE_MAX) {
            text_printf(text, "\n%s", indent);
            column = strlen(indent);
        } else if (i) {
            text_puts(text, " ");
        }
        text_printf(text, "%s%s", items[i], i + 1 < count ? "," : "");
        column += size;
    }
    text_puts(text, ")");
}

/* The parameters, or the arguments, each a string that WORK keeps. */
static size_t list_names(struct loop_work *work, const char *result, bool arguments, const char **ret,
                         size_t most)
{
    size_t count = 0;
    struct text text = { 0 };

    for (uint32_t i = 0; i < work->names.count && count + 1 < most; i++) {
        const struct name *name = &work->names.items[i];
        if (name->passing == PASSED_NOT)
            continue;
        if (arguments)
            loop_write_argument(work, name, &text);
        else
            loop_write_parameter(work, name, &text);
        ret[count++] = loop_keep(work, &text);
    }
    if (work->returns_value) {
        if (!arguments)
            loop_write_type(work, &text);
        text_printf(&text, "%s%s", arguments ? "&" : "*", result);
        ret[count++] = loop_keep(work, &text);
    }
    return count;
}

enum { PARAMETERS_MAX = 127 };

static void write_exit(const struct loop_work *work, const struct exit *exit, const char *result,
                       struct text *text)
{
    const char *word = text_at(work, exit->start);
    int length = (int)(exit->end - exit->start);

    switch (exit->kind) {
    case EXIT_BREAK:
        text_puts(text, "break;");
        break;
    case EXIT_RETURN:
        text_printf(text, "return%s%.*s;", length ? " " : "", length, word);
        break;
    case EXIT_RETURN_VALUE:
        text_printf(text, "return %s;", result);
        break;
    case EXIT_GOTO:
        text_printf(text, "goto %.*s;", length, word);
        break;
    }
}

/* The statements in the loop, each line behind INDENT. */
static void write_call(struct loop_work *work, const char *name, const char *result, const char *indent,
                       const char *unit, struct text *text)
{
    const char *items[PARAMETERS_MAX + 1], *left;
    size_t count = list_names(work, result, true, items, PARAMETERS_MAX);
    struct text call = { 0 }, deep = { 0 };

    text_printf(&deep, "%s%s%s", indent, unit, unit);
    write_list(name, strlen(indent) + strlen("int left = "), loop_keep(work, &deep), items, count, &call);
    left = loop_keep(work, &call);
    if (!work->exits.count) {
        text_printf(text, "\n%s%s;", indent, left);
        return;
    }
    if (work->returns_value) {
        text_printf(text, "\n%s", indent);
        loop_write_type(work, text);
        text_printf(text, "%s;", result);
    }
    if (work->exits.count == 1) {
        text_printf(text, "%s\n%sif (%s)\n%s%s", work->returns_value ? "\n" : "", indent, left, indent, unit);
        write_exit(work, &work->exits.items[0], result, text);
        return;
    }
    const char *variable = fresh_local(work, "left");
    text_printf(text, "\n%sint %s = %s;\n", indent, variable, left);
    for (uint32_t i = 0; i < work->exits.count; i++) {
        text_printf(text, "\n%sif (%s == %u)\n%s%s", indent, variable, i + 1, indent, unit);
        write_exit(work, &work->exits.items[i], result, text);
    }
}

/* What the new function says of itself. */
static void write_comment(const struct loop_work *work, const char *function, const char *result,
                          struct text *text)
{
    text_printf(text, "/* A turn of the loop in %s, never inlined: updates of it leave %s alone.", function,
                function);
    if (work->exits.count)
        text_puts(text, "\n * Returns 0, or how the loop is left:");
    for (uint32_t i = 0; i < work->exits.count; i++) {
        struct text exit = { 0 };
        write_exit(work, &work->exits.items[i], result, &exit);
        text_printf(text, "%s %u `%.*s`", i ? "," : "", i + 1, (int)(exit.length ? exit.length - 1 : 0),
                    exit.bytes ? exit.bytes : "");
        text_deinit(&exit);
    }
    text_puts(text, work->exits.count ? ". */\n" : " */\n");
}

/* ---- the edits ------------------------------------------------------------------------------------- */

/* Behind the comment that begins at OFFSET, or the line that it is on. */
static uint32_t skip_comment(const struct loop_work *work, uint32_t offset, uint32_t end)
{
    bool block = text_at(work, offset)[1] == '*';

    offset += 2;
    while (offset < end && (block ? memcmp(text_at(work, offset), "*/", 2) : *text_at(work, offset) != '\n'))
        offset++;
    return offset + (block ? 2 : 0);
}

/* Where the comment that belongs to the function begins, else the function: behind the last empty line in
 * front of it. */
static uint32_t place_of_function(const struct loop_work *work)
{
    uint32_t lead = work->source->lead, place = work->source->start, at = place;
    bool empty = false;

    while (at < lead) {
        char byte = *text_at(work, at);
        if (byte == '/') {
            at = skip_comment(work, at, lead);
            empty = false;
        } else if (byte == '\n') {
            if (empty || place == work->source->start)
                place = at + 1;
            empty = true;
            at++;
        } else {
            at++;
        }
    }
    return place == work->source->start && place ? lead : place;
}

/* Whether TEXT has `FUNCTION(` up to LENGTH. */
static bool has_head(const char *text, uint32_t length, const char *function)
{
    struct token_reader reader = token_reader_at(text, length, 0);
    struct token before = { 0 };

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token.first == '(' && token_is(text, &before, function))
            return true;
        before = token;
    }
    return false;
}

/* Whether FUNCTION is called in the turn without being declared before: its head has to be. */
static bool needs_declaration(const struct loop_work *work, const char *function)
{
    uint32_t start = node_start(work, work->turn), length = node_end(work, work->turn) - start;

    if (!has_word(text_at(work, start), length, function) ||
        has_head(work->source->text, work->source->lead, function))
        return false;
    for (size_t i = 0; i < work->header_count; i++) {
        if (has_word(work->headers[i].text, work->headers[i].length, function) &&
            has_head(work->headers[i].text, work->headers[i].length, function))
            return false;
    }
    return true;
}

static char *new_function(struct loop_work *work, const char *function, const char *name, const char *result,
                          const struct layout *layout)
{
    uint32_t start = node_start(work, work->function), brace = node_start(work, work->body), end;
    TSNode declarator = node_field(work->function, "declarator");
    const char *items[PARAMETERS_MAX + 1];
    size_t count = list_names(work, result, false, items, PARAMETERS_MAX);
    struct text text = { 0 }, head = { 0 }, deep = { 0 };

    end = node_end(work, declarator);
    if (needs_declaration(work, function)) {
        text_append(&text, text_at(work, start), end - start);
        text_puts(&text, ";\n\n");
    }
    write_comment(work, function, result, &text);
    text_printf(&head, "static __attribute__((noinline, used)) %s %s", work->exits.count ? "int" : "void",
                name);
    text_printf(&deep, "%s%s", layout->unit, layout->unit);
    if (!count)
        items[count++] = "void";
    write_list(loop_keep(work, &head), 0, loop_keep(work, &deep), items, count, &text);
    text_append(&text, text_at(work, end),
                strspn(text_at(work, end), " \t\r\n") == brace - end ? brace - end : 0);
    if (strspn(text_at(work, end), " \t\r\n") != brace - end)
        text_puts(&text, "\n");
    text_puts(&text, "{");
    write_turn(work, layout, &text);
    text_puts(&text, "\n");
    return text_steal(&text);
}

static char *new_loop(struct loop_work *work, const char *name, const char *result,
                      const struct layout *layout)
{
    bool braces = node_is(work->turn, "compound_statement");
    struct text text = { 0 }, indent = { 0 };

    if (braces)
        text_puts(&indent, layout->first);
    else
        text_printf(&indent, "%s%s", layout->line, layout->unit);
    text_puts(&text, "{");
    write_call(work, name, result, loop_keep(work, &indent), layout->unit, &text);
    text_printf(&text, "\n");
    if (braces) {
        uint32_t brace = node_end(work, work->turn) - 1, line = line_start(work, brace);
        bool own = strspn(text_at(work, line), " \t") == brace - line;
        text_append(&text, text_at(work, line), own ? brace - line : 0);
        text_puts(&text, own ? "" : layout->line);
    } else {
        text_puts(&text, layout->line);
    }
    text_puts(&text, "}");
    return text_steal(&text);
}

void loop_write(struct loop_work *work, struct loop_extraction *ret)
{
    TSNode label = function_label(work);
    struct layout layout;
    struct text text = { 0 };
    uint32_t start;

    if (ts_node_is_null(label)) {
        loop_refuse(work, node_start(work, work->function), "the function's head cannot be understood");
        return;
    }
    start = node_start(work, label);
    text_append(&text, text_at(work, start), node_end(work, label) - start);
    const char *function = loop_keep(work, &text);
    text_printf(&text, "%s_turn", function);
    const char *name = fresh(work, loop_keep(work, &text));
    const char *result = fresh_local(work, "result");
    loop_rewrite_exits(work, result);
    read_layout(work, &layout);
    ret->name = strdup(name);
    ret->edits[0] = (struct loop_edit){ .start = place_of_function(work), .end = place_of_function(work) };
    ret->edits[0].text = new_function(work, function, name, result, &layout);
    ret->edits[1] =
        (struct loop_edit){ .start = node_start(work, work->turn), .end = node_end(work, work->turn) };
    ret->edits[1].text = new_loop(work, name, result, &layout);
    work->failed |= !ret->name || !ret->edits[0].text || !ret->edits[1].text;
}
