/*
 * Calls in preprocessed source. Only functions that mention a wanted name are parsed, each on its own, in a
 * copy where the compilers' extensions that the grammar does not know are blanked out byte for byte, so that
 * places in the tree are places in the text.
 */
#include "patch/probe/calls.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/probe/preprocessed.h"

const TSLanguage *tree_sitter_c(void);

bool scan_is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static void blank(char *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (from[i] != '\n') {
            from[i] = ' ';
        }
    }
}

/* Makes TEXT[start, end) one token: a word or a number. */
static void fuse(char *text, size_t start, size_t end, char filling)
{
    memset(text + start, filling, end - start);
}

/* Offset of the '(' behind OFFSET, or LIMIT if something else follows. */
static size_t group_after(const char *text, size_t offset, size_t limit)
{
    while (offset < limit && isspace((unsigned char)text[offset])) {
        offset++;
    }
    return offset < limit && text[offset] == '(' ? offset : limit;
}

/* Blanks the arguments but the first of the group at OPEN. */
static void keep_first_argument(char *text, size_t open, size_t limit)
{
    size_t end = preprocessed_skip(text, open, limit), at = open + 1;

    while (at < end && text[at] != ',') {
        at = strchr("(\"'", text[at]) ? preprocessed_skip(text, at, end) : at + 1;
    }
    if (at + 1 < end) {
        blank(text + at, end - 1 - at);
    }
}

/* The word TEXT[start, end): what the grammar does not know of it is made something it does. */
static size_t simplify_word(char *text, size_t start, size_t end, size_t limit)
{
    static const struct {
        const char *word;
        enum { DROP, DROP_GROUP, TYPE, FIRST_ARGUMENT, NUMBER, RENAME } how;
    } rules[] = {
        { "__extension__", DROP },
        { "__restrict", DROP },
        { "__restrict__", DROP },
        { "__inline", DROP },
        { "__inline__", DROP },
        { "__const", DROP },
        { "__volatile__", DROP },
        { "__volatile", DROP },
        { "_Noreturn", DROP },
        { "__signed__", DROP },
        { "__attribute__", DROP_GROUP },
        { "__attribute", DROP_GROUP },
        { "__typeof__", TYPE },
        { "__typeof", TYPE },
        { "typeof", TYPE },
        { "__builtin_va_arg", FIRST_ARGUMENT },
        { "__builtin_offsetof", RENAME },
        { "__builtin_types_compatible_p", NUMBER },
    };
    size_t open = group_after(text, end, limit),
           close = open < limit ? preprocessed_skip(text, open, limit) : end;

    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        if (end - start != strlen(rules[i].word) || memcmp(text + start, rules[i].word, end - start) != 0) {
            continue;
        }
        switch (rules[i].how) {
        case DROP:
            blank(text + start, end - start);
            return end;
        case DROP_GROUP:
            blank(text + start, close - start);
            return close;
        case TYPE:
            fuse(text, start, close, 't');
            return close;
        case NUMBER:
            fuse(text, start, close, '0');
            return close;
        case FIRST_ARGUMENT:
            if (open < limit) {
                keep_first_argument(text, open, limit);
            }
            return end;
        case RENAME:
            blank(text + start, end - start);
            memcpy(text + start, "offsetof", 8);
            return end;
        }
    }
    return end;
}

/* A copy of TEXT[start, end) that the grammar can read. */
static char *simplify(const char *text, size_t start, size_t end)
{
    char *copy = must_strndup(text + start, end - start);
    size_t length = end - start;
    bool line_start = true;

    for (size_t at = 0; at < length;) {
        if (copy[at] == '#' && line_start) {
            char *stop = memchr(copy + at, '\n', length - at);
            size_t next = stop ? (size_t)(stop - copy) : length;
            blank(copy + at, next - at);
            at = next;
        } else if (copy[at] == '"' || copy[at] == '\'') {
            at = preprocessed_skip(copy, at, length);
            line_start = false;
        } else if (scan_is_word_byte(copy[at])) {
            size_t stop = at;
            while (scan_is_word_byte(copy[stop])) {
                stop++;
            }
            at = simplify_word(copy, at, stop, length);
            line_start = false;
        } else {
            line_start = copy[at] == '\n' || (line_start && isspace((unsigned char)copy[at]));
            at++;
        }
    }
    return copy;
}

static int compare_names(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

bool scan_is_wanted(const struct scan *scan, const char *name)
{
    return scan->name_count &&
           bsearch(name, scan->names, scan->name_count, sizeof(*scan->names), compare_names) != NULL;
}

/* Whether TEXT[start, end) may have a call that is of interest: a wanted name, or a size for a call
 * through a pointer. */
static bool mentions_calls(const struct scan *scan, size_t start, size_t end)
{
    for (size_t at = start; at < end;) {
        if (!scan_is_word_byte(scan->text[at])) {
            at = strchr("\"'", scan->text[at]) ? preprocessed_skip(scan->text, at, end) : at + 1;
            continue;
        }
        size_t stop = at;
        char name[128];
        while (scan_is_word_byte(scan->text[stop])) {
            stop++;
        }
        if (stop - at < sizeof(name)) {
            memcpy(name, scan->text + at, stop - at);
            name[stop - at] = '\0';
            if (strcmp(name, "sizeof") == 0 || scan_is_wanted(scan, name)) {
                return true;
            }
        }
        at = stop;
    }
    return false;
}

char *scan_text(const struct scan *scan, TSNode node)
{
    size_t start = scan->base + ts_node_start_byte(node), end = scan->base + ts_node_end_byte(node);
    struct text line = { 0 };

    text_puts(&line, "");
    while (start < end) {
        const char *stop = memchr(scan->text + start, '\n', end - start);
        size_t next = stop ? (size_t)(stop - scan->text) : end;
        bool marker = scan->text[start] == '#' && start > 0 && scan->text[start - 1] == '\n';
        if (!marker) {
            text_append(&line, scan->text + start, next - start);
            text_puts(&line, next < end ? " " : "");
        }
        start = next + 1;
    }
    return must_have(text_steal(&line));
}

bool scan_reads(const struct scan *scan, TSNode node, const char *word)
{
    size_t start = scan->base + ts_node_start_byte(node), end = scan->base + ts_node_end_byte(node);

    return end - start == strlen(word) && memcmp(scan->text + start, word, end - start) == 0;
}

TSNode scan_declared(TSNode declarator)
{
    while (!ts_node_is_null(declarator) && !node_is(declarator, "identifier")) {
        TSNode inner = node_field(declarator, "declarator");
        declarator = ts_node_is_null(inner) && ts_node_named_child_count(declarator) > 0
                         ? ts_node_named_child(declarator, 0)
                         : inner;
    }
    return declarator;
}

/* Learns the function's name and parameters from its definition. */
static void read_head(struct scan *scan, TSNode definition)
{
    TSNode declarator = node_field(definition, "declarator");

    while (!ts_node_is_null(declarator) && !node_is(declarator, "function_declarator")) {
        declarator = node_field(declarator, "declarator");
    }
    TSNode name =
        ts_node_is_null(declarator) ? declarator : scan_declared(node_field(declarator, "declarator"));
    scan->function = ts_node_is_null(name) ? must_strdup("") : scan_text(scan, name);
    TSNode list = ts_node_is_null(declarator) ? declarator : node_field(declarator, "parameters");
    for (uint32_t i = 0; !ts_node_is_null(list) && i < ts_node_named_child_count(list); i++) {
        TSNode item = ts_node_named_child(list, i);
        TSNode declared = node_is(item, "identifier") ? item : scan_declared(node_field(item, "declarator"));
        LIST_ADD(&scan->parameters, ts_node_is_null(declared) ? must_strdup("") : scan_text(scan, declared));
    }
}

static void forget_head(struct scan *scan)
{
    for (size_t i = 0; i < scan->parameters.count; i++) {
        free(scan->parameters.items[i]);
    }
    scan->parameters.count = 0;
    free(scan->function);
    scan->function = NULL;
}

/* The name that CALL calls, NULL for an expression. Owned by the caller. */
static char *callee_of(const struct scan *scan, TSNode call)
{
    TSNode function = node_field(call, "function");

    while (node_is(function, "parenthesized_expression") && ts_node_named_child_count(function) == 1) {
        function = ts_node_named_child(function, 0);
    }
    return node_is(function, "identifier") ? scan_text(scan, function) : NULL;
}

static void add_candidate(struct scan *scan, TSNode call, char *callee)
{
    struct candidate *candidate = must_calloc(1, sizeof(*candidate));
    size_t start = scan->base + ts_node_start_byte(call), end = scan->base + ts_node_end_byte(call),
           at = start;
    const char *file, *last;

    candidate->callee = callee;
    candidate->function = must_strdup(scan->function);
    candidate->line = preprocessed_line(scan->source, start, &file);
    candidate->last_line = preprocessed_line(scan->source, end, &last);
    candidate->file = must_strdup(file);
    while (at > 0 && scan->text[at - 1] != '\n') {
        at--;
    }
    candidate->column = start - at + 1;
    LIST_ADD(&scan->probe->candidates, candidate);
    scan_evidence(scan, candidate, call);
}

static bool has_sizeof(TSNode node)
{
    bool found = node_is(node, "sizeof_expression") || node_is(node, "offsetof_expression");

    for (uint32_t i = 0; !found && i < ts_node_named_child_count(node); i++) {
        found = has_sizeof(ts_node_named_child(node, i));
    }
    return found;
}

/* Whether CALL, of CALLEE or (NULL) of an expression, goes through a pointer and may well allocate. */
static bool may_allocate(const struct scan *scan, TSNode call, const char *callee)
{
    bool pointer = !callee;

    for (size_t i = 0; callee && i < scan->parameters.count; i++) {
        pointer = pointer || strcmp(scan->parameters.items[i], callee) == 0;
    }
    return pointer && (scan_is_wanted(scan, scan->function) || has_sizeof(node_field(call, "arguments")));
}

/* Adds the wanted calls below NODE. */
static void walk(struct scan *scan, TSNode node)
{
    if (node_is(node, "call_expression")) {
        char *callee = callee_of(scan, node);
        if (callee && scan_is_wanted(scan, callee)) {
            add_candidate(scan, node, callee);
        } else {
            if (may_allocate(scan, node, callee)) {
                add_candidate(scan, node, NULL);
            }
            free(callee);
        }
    }
    if (node_is(node, "sizeof_expression")) {
        return; /* what is in it is not called */
    }
    uint32_t count = ts_node_named_child_count(node);
    for (uint32_t i = 0; i < count; i++) {
        walk(scan, ts_node_named_child(node, i));
    }
}

/* The same, and where the function takes what it returns from if there are any. */
static void walk_function(struct scan *scan, TSNode root)
{
    size_t before = scan->probe->candidates.count;

    walk(scan, root);
    if (scan->probe->candidates.count > before) {
        scan_origins(scan, true);
    }
}

/* The definition that was parsed: the first one, whatever else the parser saw around it. */
static TSNode find_definition(TSNode root)
{
    for (uint32_t i = 0; i < ts_node_named_child_count(root); i++) {
        TSNode child = ts_node_named_child(root, i);
        if (node_is(child, "function_definition")) {
            return child;
        }
    }
    return root;
}

void scan_function(struct scan *scan, TSParser *parser, const struct preprocessed_function *function,
                   void (*visit)(struct scan *scan, TSNode node))
{
    char *copy = simplify(scan->text, function->head, function->end);
    TSTree *tree = ts_parser_parse_string(parser, NULL, copy, function->end - function->head);
    TSNode root = ts_tree_root_node(tree);

    scan->base = function->head;
    scan->definition = find_definition(root);
    read_head(scan, scan->definition);
    visit(scan, root);
    forget_head(scan);
    ts_tree_delete(tree);
    free(copy);
}

/* Whether TEXT[start, end) may have a size or the place of a member as a value: an offsetof, something
 * subtracted that stands in parentheses, or a member of what is at 0. */
static bool mentions_numbers(const struct scan *scan, size_t start, size_t end)
{
    const char *text = scan->text + start, *minus = text;
    size_t length = end - start;

    if (memmem(text, length, "__builtin_offsetof", 18) || memmem(text, length, "sizeof", 6) ||
        memmem(text, length, "0)->", 4)) {
        return true;
    }
    while ((minus = memchr(minus, '-', text + length - minus))) {
        minus++;
        if (minus[strspn(minus, " \t")] == '(') {
            return true;
        }
    }
    return false;
}

/* Whether TEXT[start, end) is a function of interest: its name stands in front of its parameters; or one that
 * calls such a function as is written with '=' in front. */
static bool is_wanted_definition(const struct scan *scan, size_t start, size_t end)
{
    bool body = false;

    for (size_t at = start; at < end;) {
        size_t stop = at;
        char name[128] = "=";
        while (scan_is_word_byte(scan->text[stop])) {
            stop++;
        }
        if (stop > at && stop - at + 2 < sizeof(name) && group_after(scan->text, stop, end) < end) {
            memcpy(name + 1, scan->text + at, stop - at);
            name[stop - at + 1] = '\0';
            if (scan_is_wanted(scan, body ? name : name + 1)) {
                return true;
            }
        }
        body = body || scan->text[at] == '{';
        at = stop > at ? stop : at + 1;
    }
    return false;
}

/* Reads all functions that MENTIONS says may be of interest. */
static void find(struct scan *scan, size_t length,
                 bool (*mentions)(const struct scan *scan, size_t start, size_t end),
                 void (*visit)(struct scan *scan, TSNode node))
{
    struct preprocessed source;
    TSParser *parser = ts_parser_new();

    scan->source = &source;
    preprocessed_init(&source, scan->text, length);
    ts_parser_set_language(parser, tree_sitter_c());
    for (size_t i = 0; i < source.functions.count; i++) {
        const struct preprocessed_function *function = &source.functions.items[i];
        if (mentions(scan, function->head, function->end)) {
            scan_function(scan, parser, function, visit);
        }
    }
    scan_related(scan, parser);
    ts_parser_delete(parser);
    LIST_FREE(&scan->parameters);
    preprocessed_deinit(&source);
}

void probe_find_calls(struct probe *probe, const char *text, size_t length, const char *const *names)
{
    struct scan scan = { .probe = probe, .text = text, .names = names };

    while (names && names[scan.name_count]) {
        scan.name_count++;
    }
    find(&scan, length, mentions_calls, walk_function);
}

void probe_find_numbers(struct probe *probe, const char *text, size_t length, const char *const *names)
{
    struct scan scan = { .probe = probe, .text = text, .names = names };

    while (names && names[scan.name_count]) {
        scan.name_count++;
    }
    find(&scan, length, names ? is_wanted_definition : mentions_numbers, scan_flows);
}
