/*
 * The ways out of a turn. What went to the next turn (`continue`) returns, what left the loop returns a
 * number that the loop has an answer for: 1, 2 and so on, in the order in which they are found; 0 is the next
 * turn. Constants that are returned stay in the loop; other values come through a pointer.
 */
#include "recorder/loop/private.h"

#include <stdlib.h>

struct place {
    bool in_loop, in_switch;
    bool in_list; /* the statement is one of several in braces */
};

/* ---- finding --------------------------------------------------------------------------------------- */

struct jump {
    TSNode node;
    uint32_t number; /* 0: the next turn */
    bool in_list;
};

struct walk {
    struct loop_work *work;
    LOOP_LIST(struct jump) jumps;
};

static uint32_t exit_number(struct loop_work *work, struct exit exit)
{
    for (uint32_t i = 0; i < work->exits.count; i++) {
        const struct exit *known = &work->exits.items[i];
        if (known->kind == exit.kind && same_words(text_at(work, known->start), known->end - known->start,
                                                   text_at(work, exit.start), exit.end - exit.start))
            return i + 1;
    }
    LOOP_ADD(work, &work->exits, exit);
    return work->exits.count;
}

static bool is_constant(const struct loop_work *work, TSNode value)
{
    while (node_is(value, "parenthesized_expression") || node_is(value, "unary_expression"))
        value = node_is(value, "unary_expression") ? node_field(value, "argument")
                                                   : ts_node_named_child(value, 0);
    return node_is(value, "number_literal") || node_is(value, "char_literal") || node_is(value, "null") ||
           node_is(value, "true") || node_is(value, "false") || node_reads(work, value, "EXIT_SUCCESS") ||
           node_reads(work, value, "EXIT_FAILURE");
}

static bool returns_nothing(const struct loop_work *work)
{
    return node_reads(work, node_field(work->function, "type"), "void") &&
           node_is(node_field(work->function, "declarator"), "function_declarator");
}

/* What the return statement NODE returns; null: nothing. */
static TSNode returned(TSNode node)
{
    TSNode value = { 0 };

    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        if (!node_is(ts_node_named_child(node, i), "comment"))
            value = ts_node_named_child(node, i);
    }
    return value;
}

static uint32_t return_number(struct loop_work *work, TSNode node)
{
    TSNode value = returned(node);
    uint32_t start = node_start(work, node);
    if (ts_node_is_null(value))
        return exit_number(work, (struct exit){ EXIT_RETURN, start, start });
    if (returns_nothing(work))
        loop_refuse(work, start, "it returns a value from a function without one");
    if (is_constant(work, value))
        return exit_number(work,
                           (struct exit){ EXIT_RETURN, node_start(work, value), node_end(work, value) });
    work->returns_value = true;
    return exit_number(work, (struct exit){ EXIT_RETURN_VALUE, start, start });
}

/* The statement in NODE that has the label LABEL (as in the text from START to END); null: there is none. */
static TSNode find_label(const struct loop_work *work, TSNode node, uint32_t start, uint32_t end,
                         unsigned depth)
{
    TSNode label = node_is(node, "labeled_statement") ? node_field(node, "label") : (TSNode){ 0 };

    if (!ts_node_is_null(label) &&
        same_words(text_at(work, node_start(work, label)), node_end(work, label) - node_start(work, label),
                   text_at(work, start), end - start))
        return node;
    for (uint32_t i = 0; i < ts_node_named_child_count(node) && depth < LOOP_DEPTH_MAX; i++) {
        TSNode found = find_label(work, ts_node_named_child(node, i), start, end, depth + 1);
        if (!ts_node_is_null(found))
            return found;
    }
    return (TSNode){ 0 };
}

/* Jumps from outside that lead into the turn. */
static void check_gotos(struct loop_work *work, TSNode node, unsigned depth)
{
    if (node_is(node, "goto_statement")) {
        TSNode label = node_field(node, "label");
        if (!ts_node_is_null(label) &&
            !ts_node_is_null(find_label(work, work->turn, node_start(work, label), node_end(work, label), 0)))
            loop_refuse(work, node_start(work, node), "a goto leads into it");
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node) && depth < LOOP_DEPTH_MAX; i++) {
        TSNode child = ts_node_named_child(node, i);
        if (!ts_node_eq(child, work->turn))
            check_gotos(work, child, depth + 1);
    }
}

static void add_jump(struct walk *walk, TSNode node, uint32_t number, struct place place)
{
    LOOP_ADD(walk->work, &walk->jumps, (struct jump){ node, number, place.in_list });
}

static void find_goto(struct walk *walk, TSNode node, struct place place)
{
    struct loop_work *work = walk->work;
    TSNode label = node_field(node, "label");

    if (ts_node_is_null(label)) {
        loop_refuse(work, node_start(work, node), "a goto leads to where an expression says");
        return;
    }
    uint32_t start = node_start(work, label), end = node_end(work, label);
    if (ts_node_is_null(find_label(work, work->turn, start, end, 0)))
        add_jump(walk, node, exit_number(work, (struct exit){ EXIT_GOTO, start, end }), place);
}

static void find_exits(struct walk *walk, TSNode node, struct place place, unsigned depth)
{
    struct loop_work *work = walk->work;
    uint32_t start = node_start(work, node);

    if (node_is(node, "break_statement") && !place.in_loop && !place.in_switch)
        add_jump(walk, node, exit_number(work, (struct exit){ EXIT_BREAK, start, start }), place);
    else if (node_is(node, "continue_statement") && !place.in_loop)
        add_jump(walk, node, 0, place);
    else if (node_is(node, "return_statement"))
        add_jump(walk, node, return_number(work, node), place);
    else if (node_is(node, "goto_statement"))
        find_goto(walk, node, place);
    else if (node_is(node, "case_statement") && !place.in_switch)
        loop_refuse(work, start, "it has a `case` of the switch around the loop");
    else if (strcmp(ts_node_type(node), "preproc_def") == 0 || node_is(node, "preproc_function_def") ||
             node_is(node, "preproc_call") || node_is(node, "preproc_include"))
        loop_refuse(work, start, "it has a directive");
    else if (node_is(node, "gnu_asm_expression") && !ts_node_is_null(node_field(node, "goto_labels")))
        loop_refuse(work, start, "its assembly jumps");
    place.in_loop |=
        node_is(node, "for_statement") || node_is(node, "while_statement") || node_is(node, "do_statement");
    place.in_switch = place.in_switch || node_is(node, "switch_statement");
    if (node_is(node, "for_statement") || node_is(node, "while_statement") || node_is(node, "do_statement"))
        place.in_switch = false;
    place.in_list = node_is(node, "compound_statement") || node_is(node, "case_statement") ||
                    (place.in_list && is_directive(node));
    for (uint32_t i = 0; i < ts_node_named_child_count(node) && depth < LOOP_DEPTH_MAX; i++)
        find_exits(walk, ts_node_named_child(node, i), place, depth + 1);
}

/* ---- rewriting ------------------------------------------------------------------------------------- */

/* The spaces in front of what stands at OFFSET, if it is the first of its line; else one space. */
static void write_break(const struct loop_work *work, uint32_t offset, struct text *text)
{
    uint32_t begin = offset;

    while (begin && strchr(" \t", *text_at(work, begin - 1)))
        begin--;
    if (begin && *text_at(work, begin - 1) != '\n') {
        text_puts(text, " ");
        return;
    }
    text_puts(text, "\n");
    text_append(text, text_at(work, begin), offset - begin);
}

/* How a pair of statements is put in place of one. */
struct braces {
    uint32_t from; /* where the first begins: behind what stands in front, if that line takes the brace */
    bool needed, own_lines;
    struct text before;        /* in front of a line */
    uint32_t outer, outer_end; /* the spaces in front of the closing brace */
};

static struct braces choose_braces(const struct loop_work *work, const struct jump *jump)
{
    uint32_t start = node_start(work, jump->node), from = start;
    struct braces braces = { .from = start, .needed = !jump->in_list };
    TSNode before = ts_node_prev_sibling(jump->node), parent = ts_node_parent(jump->node);

    write_break(work, start, &braces.before);
    while (from && strchr(" \t\r\n", *text_at(work, from - 1)))
        from--;
    braces.own_lines = braces.before.bytes && *braces.before.bytes == '\n';
    if (!braces.needed || !braces.own_lines || node_is(before, "comment") || ts_node_is_null(parent)) {
        braces.own_lines &= !braces.needed;
        return braces;
    }
    braces.from = from;
    braces.outer = node_start(work, parent);
    while (braces.outer && *text_at(work, braces.outer - 1) != '\n')
        braces.outer--;
    braces.outer_end = braces.outer + (uint32_t)strspn(text_at(work, braces.outer), " \t");
    return braces;
}

/* `return value;` becomes `*result = value;` and a return of the number. */
static void rewrite_value(struct loop_work *work, const struct jump *jump, const char *result)
{
    struct braces braces = choose_braces(work, jump);
    const char *line = braces.own_lines ? braces.before.bytes : " ";
    uint32_t end = node_end(work, jump->node);
    struct text front = { 0 }, back = { 0 };

    if (braces.needed)
        text_printf(&front, "%s{%s", braces.own_lines ? " " : "", line);
    text_printf(&front, "*%s = ", result);
    loop_rewrite(work, braces.from, node_start(work, returned(jump->node)), &front);
    text_printf(&back, "%sreturn %u;", line, jump->number);
    if (braces.needed)
        text_printf(&back, "%s%.*s}", braces.own_lines ? "\n" : " ", (int)(braces.outer_end - braces.outer),
                    text_at(work, braces.outer));
    loop_rewrite(work, end, end, &back);
    text_deinit(&braces.before);
}

static void rewrite_jump(struct loop_work *work, const struct jump *jump, const char *result)
{
    struct text text = { 0 };

    if (jump->number && work->exits.items[jump->number - 1].kind == EXIT_RETURN_VALUE) {
        rewrite_value(work, jump, result);
        return;
    }
    if (work->exits.count)
        text_printf(&text, "return %u;", jump->number);
    else
        text_puts(&text, "return;");
    loop_rewrite(work, node_start(work, jump->node), node_end(work, jump->node), &text);
}

static void each_jump(struct loop_work *work, const char *result)
{
    struct walk walk = { .work = work };

    find_exits(&walk, work->turn, (struct place){ .in_list = false }, 0);
    for (uint32_t i = 0; i < walk.jumps.count && result; i++)
        rewrite_jump(work, &walk.jumps.items[i], result);
    free(walk.jumps.items);
}

void loop_read_exits(struct loop_work *work)
{
    each_jump(work, NULL);
    check_gotos(work, work->body, 0);
    struct text type = { 0 };
    if (work->returns_value && !loop_write_type(work, &type))
        loop_refuse(work, node_start(work, work->function), "what the function returns has no simple type");
    text_deinit(&type);
}

void loop_rewrite_exits(struct loop_work *work, const char *result)
{
    each_jump(work, result);
}

bool loop_write_type(const struct loop_work *work, struct text *text)
{
    TSNode type = node_field(work->function, "type"), declarator = node_field(work->function, "declarator");
    bool pointer = node_is(declarator, "pointer_declarator");

    if (ts_node_is_null(type))
        return false;
    for (uint32_t i = 0; i < ts_node_named_child_count(work->function); i++) {
        TSNode child = ts_node_named_child(work->function, i);
        /* the variable that takes the value must be one that can be assigned to */
        if (!ts_node_eq(child, type) && !(pointer && node_is(child, "type_qualifier")))
            continue;
        text_append(text, text_at(work, node_start(work, child)),
                    node_end(work, child) - node_start(work, child));
        text_puts(text, " ");
    }
    for (; node_is(declarator, "pointer_declarator"); declarator = node_field(declarator, "declarator"))
        text_puts(text, "*");
    return node_is(declarator, "function_declarator");
}
