/*
 * Two functions of one name, each read by itself: the variables with their types, then what is assigned to
 * members of them. What only the new one sets is told. A name that means two things in one function counts
 * for neither.
 */
#include "recorder/initialisers.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "recorder/file.h"
#include "recorder/node.h"
#include "recorder/token.h"

enum { NAMES_MAX = 256, SETTINGS_MAX = 256, DEPTH_MAX = 400 };

/* A variable or parameter. */
struct local {
    TSNode name, type;
    bool parameter, pointer;
    bool made;      /* a call has given it its value */
    bool ambiguous; /* the name is declared twice */
};

/* Something is set to VALUE. */
struct setting {
    struct text type, member;
    TSNode value;
    TSNode base; /* the variable's name; null: a list of initial values */
    bool counts; /* it belongs to an instance that is made */
};

struct function {
    TSTree *tree;
    const char *source; /* from the function's first token */
    unsigned line;      /* of that, 1-based */
    bool makes;         /* its name says so */
    struct local locals[NAMES_MAX];
    size_t local_count;
    struct setting settings[SETTINGS_MAX];
    size_t setting_count;
};

/* ---- words ----------------------------------------------------------------------------------------- */

/* Appends NODE on one line, without comments. */
static void write_node(const struct function *function, TSNode node, struct text *ret)
{
    uint32_t end = ts_node_end_byte(node), last = 0;
    struct token_reader reader = token_reader_at(function->source, end, ts_node_start_byte(node));

    for (struct token token; (token = token_next(&reader)).kind != TOKEN_END; last = token.end) {
        text_puts(ret, last && token.start > last ? " " : "");
        text_append(ret, function->source + token.start, token.end - token.start);
    }
}

static bool same_word(const struct function *function, TSNode one, TSNode other)
{
    uint32_t length = ts_node_end_byte(one) - ts_node_start_byte(one);

    return length == ts_node_end_byte(other) - ts_node_start_byte(other) &&
           memcmp(function->source + ts_node_start_byte(one), function->source + ts_node_start_byte(other),
                  length) == 0;
}

/* Whether a function called NAME ("conn_new", "initQueue") makes something, by a word that stands in it. */
static bool says_makes(const char *name)
{
    static const char *const words[] = { "init",  "new",   "create", "make", "alloc", "open",
                                         "setup", "reset", "build",  "add",  "start" };
    bool found = false;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        found = found || strcasestr(name, words[i]);
    }
    return found;
}

/* ---- variables ------------------------------------------------------------------------------------- */

static struct local *find_local(struct function *function, TSNode name)
{
    for (size_t i = 0; i < function->local_count; i++) {
        if (same_word(function, function->locals[i].name, name)) {
            return &function->locals[i];
        }
    }
    return NULL;
}

/* Past casts and parentheses. */
static TSNode plain(TSNode node)
{
    while (node_is(node, "cast_expression") || node_is(node, "parenthesized_expression")) {
        node = node_is(node, "cast_expression") ? node_field(node, "value") : ts_node_named_child(node, 0);
    }
    return node;
}

static void add_local(struct function *function, TSNode declaration, TSNode declarator)
{
    struct local local = { .type = node_field(declaration, "type"),
                           .parameter = node_is(declaration, "parameter_declaration") };

    if (node_is(declarator, "init_declarator")) {
        local.made = node_is(plain(node_field(declarator, "value")), "call_expression");
        declarator = node_field(declarator, "declarator");
    }
    if (node_is(declarator, "pointer_declarator")) {
        local.pointer = true;
        declarator = node_field(declarator, "declarator");
    }
    if (!node_is(declarator, "identifier") || function->local_count == NAMES_MAX) {
        return;
    }
    local.name = declarator;
    struct local *namesake = find_local(function, declarator);
    if (namesake) {
        namesake->ambiguous = true;
    } else {
        function->locals[function->local_count++] = local;
    }
}

static void add_locals(struct function *function, TSNode declaration)
{
    for (uint32_t i = 0; i < ts_node_named_child_count(declaration); i++) {
        TSNode child = ts_node_named_child(declaration, i);
        if (node_is(child, "init_declarator") || node_is(child, "pointer_declarator") ||
            node_is(child, "identifier")) {
            add_local(function, declaration, child);
        }
    }
}

/* ---- what is set ----------------------------------------------------------------------------------- */

/* Appends what NODE, a type with a name, is called: "struct conn", "conn_t". False: it has none. */
static bool write_type(const struct function *function, TSNode node, struct text *ret)
{
    if (node_is(node, "type_descriptor")) {
        return write_type(function, node_field(node, "type"), ret);
    }
    if (node_is(node, "struct_specifier") && !ts_node_is_null(node_field(node, "name"))) {
        text_puts(ret, "struct ");
        node = node_field(node, "name");
    }
    if (!node_is(node, "type_identifier")) {
        return false;
    }
    write_node(function, node, ret);
    return true;
}

/* The way to the member that NODE, a->b.c or a.b.c, means; *RET_BASE becomes a. */
static bool write_member(const struct function *function, TSNode node, TSNode *ret_base, struct text *ret)
{
    TSNode inner = node_field(node, "argument"), name = node_field(node, "field");
    bool arrow = node_is(node_field(node, "operator"), "->");

    if (!node_is(node, "field_expression")) {
        return false;
    }
    if (!node_is(inner, "identifier")) {
        if (arrow || !write_member(function, inner, ret_base, ret)) {
            return false;
        }
        text_puts(ret, ".");
    } else {
        *ret_base = inner;
    }
    write_node(function, name, ret);
    return true;
}

static void drop(struct setting *setting)
{
    text_deinit(&setting->type);
    text_deinit(&setting->member);
}

static void add_setting(struct function *function, struct setting *setting)
{
    bool whole = setting->type.length && setting->member.length && !ts_node_is_null(setting->value);

    if (whole && function->setting_count < SETTINGS_MAX) {
        function->settings[function->setting_count++] = *setting;
    } else {
        drop(setting);
    }
}

static void add_assignment(struct function *function, TSNode node)
{
    struct setting setting = { .value = node_field(node, "right") };
    TSNode left = node_field(node, "left");

    if (node_is(left, "identifier") && node_is(plain(setting.value), "call_expression")) {
        struct local *local = find_local(function, left);
        if (local) {
            local->made = true;
        }
        return;
    }
    while (node_is(setting.value, "assignment_expression")) {
        setting.value = node_field(setting.value, "right");
    }
    struct local *local = write_member(function, left, &setting.base, &setting.member)
                              ? find_local(function, setting.base)
                              : NULL;
    if (local && !local->ambiguous && write_type(function, local->type, &setting.type)) {
        setting.counts =
            local->made || (local->parameter ? local->pointer && function->makes : !local->pointer);
        add_setting(function, &setting);
    } else {
        drop(&setting);
    }
}

/* { .a = 1, .b.c = 2 } as the value of an object of type TYPE. */
static void add_list(struct function *function, TSNode type, TSNode list)
{
    for (uint32_t i = 0; node_is(list, "initializer_list") && i < ts_node_named_child_count(list); i++) {
        TSNode pair = ts_node_named_child(list, i);
        struct setting setting = { .value = node_field(pair, "value"), .counts = true };
        bool known = node_is(pair, "initializer_pair") && write_type(function, type, &setting.type);
        for (uint32_t k = 0; known && k < ts_node_named_child_count(pair); k++) {
            TSNode child = ts_node_named_child(pair, k);
            if (node_is(child, "field_designator")) {
                text_puts(&setting.member, setting.member.length ? "." : "");
                write_node(function, ts_node_named_child(child, 0), &setting.member);
            } else if (!ts_node_eq(child, setting.value)) {
                known = false; /* an element of an array */
            }
        }
        if (known) {
            add_setting(function, &setting);
        } else {
            drop(&setting);
        }
    }
}

static void read_node(struct function *function, TSNode node, unsigned depth)
{
    if (node_is(node, "declaration") || node_is(node, "parameter_declaration")) {
        add_locals(function, node);
    } else if (node_is(node, "assignment_expression") && node_is(node_field(node, "operator"), "=")) {
        add_assignment(function, node);
    } else if (node_is(node, "compound_literal_expression")) {
        add_list(function, node_field(node, "type"), node_field(node, "value"));
    } else if (node_is(node, "init_declarator") && node_is(node_field(node, "declarator"), "identifier")) {
        add_list(function, node_field(ts_node_parent(node), "type"), node_field(node, "value"));
    }
    for (uint32_t i = 0; depth < DEPTH_MAX && i < ts_node_named_child_count(node); i++) {
        read_node(function, ts_node_named_child(node, i), depth + 1);
    }
}

static void function_destroy(struct function *function)
{
    for (size_t i = 0; function && i < function->setting_count; i++) {
        drop(&function->settings[i]);
    }
    if (function && function->tree) {
        ts_tree_delete(function->tree);
    }
    free(function);
}

/* The function NAME that SEGMENT of DOCUMENT is; NULL without memory. */
static struct function *function_create(TSParser *parser, const struct document *document,
                                        const struct segment *segment, const char *name)
{
    struct function *function = calloc(1, sizeof(*function));

    if (!function) {
        return NULL;
    }
    function->source = document->text + segment->span.lead;
    function->line = document_line(document, segment->span.lead) + 1;
    function->makes = says_makes(name);
    function->tree =
        ts_parser_parse_string(parser, NULL, function->source, segment->span.end - segment->span.lead);
    if (!function->tree) {
        function_destroy(function);
        return NULL;
    }
    read_node(function, ts_tree_root_node(function->tree), 0);
    return function;
}

/* ---- what is new ----------------------------------------------------------------------------------- */

static bool sets(const struct function *function, const struct setting *setting)
{
    for (size_t i = 0; i < function->setting_count; i++) {
        if (strcmp(function->settings[i].member.bytes, setting->member.bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether NODE can be worked out without the function: of its variables nothing but members of what BASE, a
 * pointer, leads to. */
static bool is_free(struct function *function, TSNode node, TSNode base)
{
    if (node_is(node, "identifier")) {
        const struct local *local = find_local(function, node);
        bool member = node_is(ts_node_parent(node), "field_expression");
        return !local ||
               (member && local->pointer && !ts_node_is_null(base) && same_word(function, node, base));
    }
    bool is = !node_is(node, "initializer_list"); /* as a value it would need its type in front */
    for (uint32_t i = 0; is && i < ts_node_named_child_count(node); i++) {
        is = is_free(function, ts_node_named_child(node, i), base);
    }
    return is;
}

/* Appends NODE, which is free, with `new` for BASE. */
static void write_value(const struct function *function, TSNode node, TSNode base, struct text *ret)
{
    uint32_t from = ts_node_start_byte(node);

    if (node_is(node, "identifier") && !ts_node_is_null(base) && same_word(function, node, base)) {
        text_puts(ret, "new");
        return;
    }
    for (uint32_t i = 0; i < ts_node_child_count(node); i++) {
        TSNode child = ts_node_child(node, i);
        if (node_is(child, "comment")) {
            continue;
        }
        text_puts(ret, ts_node_start_byte(child) > from ? " " : "");
        write_value(function, child, base, ret);
        from = ts_node_end_byte(child);
    }
    if (ts_node_child_count(node) == 0) {
        text_append(ret, function->source + from, ts_node_end_byte(node) - from);
    }
}

/* Who is told, and of which function. */
struct telling {
    const char *file, *function;
    initialiser_visitor *visit;
    void *context;
};

/* Tells of one SETTING of FUNCTION; false without memory. */
static bool tell(const struct telling *telling, struct function *function, const struct setting *setting)
{
    struct initialiser initialiser = { .file = telling->file,
                                       .function = telling->function,
                                       .type = setting->type.bytes,
                                       .member = setting->member.bytes,
                                       .line = function->line + ts_node_start_point(setting->value).row };
    struct text text = { 0 }, value = { 0 };

    write_node(function, setting->value, &text);
    if (is_free(function, setting->value, setting->base)) {
        write_value(function, setting->value, setting->base, &value);
    }
    bool done = !text_failed(&text) && !text_failed(&value) && text.length;
    if (done) {
        initialiser.text = text.bytes;
        initialiser.value = value.bytes;
        telling->visit(telling->context, &initialiser);
    }
    text_deinit(&text);
    text_deinit(&value);
    return done;
}

/* Tells what NOW sets and BEFORE does not. */
static bool tell_new(const struct telling *telling, const struct function *before, struct function *now)
{
    bool done = before && now;

    for (size_t i = 0; done && i < now->setting_count; i++) {
        const struct setting *setting = &now->settings[i];
        done = !setting->counts || sets(before, setting) || tell(telling, now, setting);
    }
    return done;
}

/* ---- all functions of a file ----------------------------------------------------------------------- */

/* The name of the function that SEGMENT of FILE's current text is, if it was another one in the baseline:
 * *RET_OLD; else NULL. */
static const char *changed_function(const struct file *file, const struct segment *segment,
                                    const struct segment **ret_old)
{
    const struct declarations *declarations = &segment->content->declarations;

    if (!declarations->count || declarations->items[0].kind != DECLARATION_FUNCTION ||
        declarations->items[0].prototype || segment->identities[0].base < 0) {
        return NULL;
    }
    file_base(file, segment->identities[0].base, ret_old);
    return (*ret_old)->content->text_hash == segment->content->text_hash ? NULL
                                                                         : declaration_name(declarations, 0);
}

static struct molt_error *tell_all(struct file_context *context, const struct file *file,
                                   struct telling *telling)
{
    TSParser *parser = context->extractor.parser;
    bool done = true;

    for (uint32_t i = 0; done && i < file->current.count; i++) {
        const struct segment *segment = &file->current.items[i], *old;
        telling->function = changed_function(file, segment, &old);
        if (telling->function) {
            struct function *before =
                function_create(parser, &file->baseline_document, old, telling->function);
            struct function *now = function_create(parser, &file->document, segment, telling->function);
            done = tell_new(telling, before, now);
            function_destroy(before);
            function_destroy(now);
        }
    }
    return done ? NULL : molt_error_nomem();
}

struct molt_error *initialisers_between(const char *path, const char *old_text, size_t old_length,
                                        const char *new_text, size_t new_length, initialiser_visitor *visit,
                                        void *context)
{
    struct telling telling = { .file = path, .visit = visit, .context = context };
    struct file_context files;
    struct file file;
    struct molt_error *error = file_context_init(&files);

    if (error) {
        return error;
    }
    file_init(&file, NULL);
    error = file_set_baseline(&files, &file, old_text, old_length);
    error = error ? error : file_set_text(&files, &file, new_text, new_length);
    error = error ? error : tell_all(&files, &file, &telling);
    file_deinit(&file);
    file_context_deinit(&files);
    return error;
}
