/*
 * Where numbers about types go. A container that is told how large its elements are keeps that in its data,
 * and goes on with it after an update that changes the type:
 *
 *     struct vector *vector_new(size_t size)      parameter 0 -> member `size` of what v leads to
 *     {
 *         struct vector *v = malloc(sizeof(*v));
 *         v->size = size;
 *         ...
 *     vector_new(sizeof(struct item))             the size of struct item -> argument 0 of vector_new
 *
 * One function is read at a time. Its flows lead from ends to ends:
 *
 *     s:N   the number of candidate N             p:I   parameter I, as it was passed, if it is a pointer
 *     v:X   the local variable X                  q:X   the same, a pointer
 *     c:N:F what the call of F at N returns       a:N:I:F  argument I of that call
 *     r     what the function returns             k:N   the place of candidate N, which may last
 *     m     memory that may last
 *
 * each with a member (of the object, or of what the pointer leads to), "*" for what the pointer leads to, or
 * "" for the value itself. In which order statements run does not count. They are put together by
 * patch/build_numbers.c, from function to function.
 */
#include "patch/probe/flows.h"

#include <stdlib.h>
#include <string.h>

/* Where a value goes. */
struct goal {
    const char *end, *member;
    size_t place; /* from 1; 0: it is no place that questions are asked about */
    bool pointer; /* a pointer: what is added to it is no number */
};

static void add_flow(struct flowing *flowing, const char *from, const char *member, const struct goal *goal,
                     size_t number)
{
    LIST_ADD(&flowing->drafts,
             (struct flow_draft){ from, member, goal->end, goal->member, goal->place, number });
}

/* ---- values ---------------------------------------------------------------------------------------- */

static void give(struct flowing *flowing, TSNode node, const struct goal *goal);

/* &x, &x.list, &p->list: as a pointer that leads to all of the object. */
static void give_address(struct flowing *flowing, TSNode node, const struct goal *goal)
{
    const char *end, *member;
    struct goal target = *goal;

    if (node_is(scan_inside(node), "compound_literal_expression")) {
        give(flowing, node, goal);
        return;
    }
    if (!flow_find_place(flowing, node, &end, &member)) {
        add_flow(flowing, "m", "", goal, 0);
        return;
    }
    if (strcmp(member, "*") == 0 || end[0] == 'p' || end[0] == 'q') { /* &*p, &p->list: p itself */
        add_flow(flowing, end, "", goal, 0);
        return;
    }
    target.member = *goal->member ? goal->member : "*";
    add_flow(flowing, end, "", &target, 0);
}

/* Whether NODE is an array of the function: its value is its address. */
static bool is_array(struct flowing *flowing, TSNode node)
{
    const char *end, *member;

    return node_is(node, "identifier") && flow_find_target(flowing, node, &end, &member) && !*member;
}

/* NODE is in memory of which nothing is known here, or what is known: reads from it. */
static void give_place(struct flowing *flowing, TSNode node, const struct goal *goal)
{
    const char *end, *member;

    if (is_array(flowing, node)) {
        give_address(flowing, node, goal);
        return;
    }
    if (!flow_find_place(flowing, node, &end, &member)) {
        end = "m";
        member = "";
    }
    add_flow(flowing, end, member, goal, 0);
}

static const char *call_name(struct flowing *flowing, TSNode call)
{
    TSNode function = scan_inside(node_field(call, "function"));
    const char *end, *member;
    bool named = node_is(function, "identifier") && !flow_find_place(flowing, function, &end, &member);

    return named ? flow_keep(flowing, scan_text(flowing->scan, function)) : "";
}

/* (size_t)(x), which the grammar takes for a call. */
static bool is_cast(TSNode call)
{
    return node_is(node_field(call, "function"), "parenthesized_expression") &&
           node_is(scan_inside(node_field(call, "function")), "identifier") &&
           ts_node_named_child_count(node_field(call, "arguments")) == 1;
}

/* Whether FUNCTION returns its first argument, perhaps in another byte order. */
static bool passes_on(const char *function)
{
    bool builtin = strncmp(function, "__builtin_", 10) == 0;

    return builtin ? strncmp(function + 10, "bswap", 5) == 0 || strcmp(function + 10, "expect") == 0
                   : strcmp(function, "htons") == 0 || strcmp(function, "htonl") == 0 ||
                         strcmp(function, "ntohs") == 0 || strcmp(function, "ntohl") == 0;
}

static void give_call(struct flowing *flowing, TSNode call, const struct goal *goal)
{
    if (is_cast(call) || passes_on(call_name(flowing, call))) {
        give(flowing, ts_node_named_child(node_field(call, "arguments"), 0), goal);
        return;
    }
    const char *end = flow_keep(
        flowing, must_printf("c:%zu:%s", scan_start(flowing->scan, call), call_name(flowing, call)));
    add_flow(flowing, end, "", goal, 0);
    if (!*goal->member) {
        add_flow(flowing, "m", "", goal, 0); /* what a pointer that is returned leads to */
    }
}

/* A question about the structure that the braces LIST make; NULL if nothing tells. */
static const char *holder_of_list(struct flowing *flowing, TSNode list)
{
    TSNode owner = ts_node_parent(list), declarator = node_field(owner, "declarator");
    bool literal = node_is(owner, "compound_literal_expression");

    if (!literal && (!node_is(owner, "init_declarator") || !node_is(declarator, "identifier"))) {
        return NULL;
    }
    char *text = scan_text(flowing->scan, literal ? node_field(owner, "type") : declarator);
    const char *question = flow_keep(flowing, must_printf("__typeof__(%s) *\001;", text));
    free(text);
    return question;
}

/* The name of the member that PAIR, `.name = value`, is about; NULL for an element. */
static const char *designated(struct flowing *flowing, TSNode pair)
{
    const char *name = NULL;

    for (uint32_t i = 0; i < ts_node_named_child_count(pair); i++) {
        TSNode child = ts_node_named_child(pair, i);
        if (node_is(child, "field_designator") && ts_node_named_child_count(child) > 0) {
            name = flow_keep(flowing, scan_text(flowing->scan, ts_node_named_child(child, 0)));
        } else if (node_is(child, "field_identifier")) {
            name = flow_keep(flowing, scan_text(flowing->scan, child));
        }
    }
    return name;
}

/* { .size = sizeof(struct item), 4 } */
static void give_list(struct flowing *flowing, TSNode list, const struct goal *goal)
{
    const char *holder = holder_of_list(flowing, list);

    for (uint32_t i = 0; i < ts_node_named_child_count(list); i++) {
        TSNode child = ts_node_named_child(list, i);
        bool pair = node_is(child, "initializer_pair");
        TSNode value = pair ? node_field(child, "value") : child;
        const char *member = pair ? designated(flowing, child) : flow_keep(flowing, must_printf("#%u", i));
        if (node_is(value, "initializer_list") || !member) {
            give(flowing, value, goal);
            continue;
        }
        struct flow_place place = { .beside = value, .holder = holder, .member = member };
        LIST_ADD(&flowing->places, place);
        give(flowing, value, &(struct goal){ goal->end, member, flowing->places.count, false });
    }
}

static void give_binary(struct flowing *flowing, TSNode node, const struct goal *goal)
{
    TSNode sign = node_field(node, "operator"), right = node_field(node, "right");

    if (goal->pointer) {
        add_flow(flowing, "m", "", goal, 0); /* it leads to something else */
    } else if (node_is(sign, "+") || node_is(sign, "-") || node_is(sign, "*") || node_is(sign, "&") ||
               node_is(sign, "|") || node_is(sign, "^") || node_is(sign, "<<")) {
        give(flowing, node_field(node, "left"), goal);
        give(flowing, right, goal);
    } else if (node_is(sign, ">>") || (node_is(sign, "/") && node_is(scan_inside(right), "number_literal"))) {
        give(flowing, node_field(node, "left"), goal);
    }
}

/* What BLOCK is worth, of ({ statement; value; }); null: nothing. */
static TSNode value_of_block(TSNode block)
{
    uint32_t count = ts_node_named_child_count(block);
    TSNode last = count ? ts_node_named_child(block, count - 1) : (TSNode){ 0 };

    return node_is(last, "expression_statement") && ts_node_named_child_count(last) == 1
               ? ts_node_named_child(last, 0)
               : (TSNode){ 0 };
}

static void give_cast(struct flowing *flowing, TSNode node, const struct goal *goal)
{
    struct goal inner = *goal;
    char *type = scan_text(flowing->scan, node_field(node, "type"));

    inner.pointer = goal->pointer || strchr(type, '*');
    free(type);
    give(flowing, node_field(node, "value"), &inner);
}

static void give_number(struct flowing *flowing, const struct number *number, const struct goal *goal)
{
    if (number->path) {
        flow_keep(flowing, number->path);
    }
    if (goal->pointer) {
        return;
    }
    LIST_ADD(&flowing->numbers, *number);
    add_flow(flowing, flow_keep(flowing, must_printf("s:%zu", flowing->numbers.count)), "", goal,
             flowing->numbers.count);
}

/* Adds flows from all that the value of NODE is made of. */
static void give(struct flowing *flowing, TSNode node, const struct goal *goal)
{
    struct number number;

    node = scan_inside(node);
    if (scan_number(flowing->scan, node, &number)) {
        give_number(flowing, &number, goal);
    } else if (node_is(node, "identifier") || node_is(node, "field_expression") ||
               node_is(node, "subscript_expression")) {
        give_place(flowing, node, goal);
    } else if (node_is(node, "pointer_expression")) {
        if (node_is(node_field(node, "operator"), "&")) {
            give_address(flowing, node_field(node, "argument"), goal);
        } else {
            give_place(flowing, node, goal);
        }
    } else if (node_is(node, "call_expression")) {
        give_call(flowing, node, goal);
    } else if (node_is(node, "cast_expression")) {
        give_cast(flowing, node, goal);
    } else if (node_is(node, "binary_expression")) {
        give_binary(flowing, node, goal);
    } else if (node_is(node, "conditional_expression")) {
        give(flowing, node_field(node, "consequence"), goal);
        give(flowing, node_field(node, "alternative"), goal);
    } else if (node_is(node, "comma_expression") || node_is(node, "assignment_expression")) {
        give(flowing, node_field(node, "right"), goal);
    } else if (node_is(node, "unary_expression") && !node_is(node_field(node, "operator"), "!")) {
        give(flowing, node_field(node, "argument"), goal);
    } else if (node_is(node, "compound_literal_expression")) {
        give_list(flowing, node_field(node, "value"), goal);
    } else if (node_is(node, "initializer_list")) {
        give_list(flowing, node, goal);
    } else if (node_is(node, "compound_statement")) {
        TSNode value = value_of_block(node);
        if (!ts_node_is_null(value)) {
            give(flowing, value, goal);
        }
    }
}

/* ---- statements ------------------------------------------------------------------------------------ */

static bool same_value(const struct scan *scan, TSNode one, TSNode other)
{
    return scan_same_text(scan, scan_without_casts(one), scan_without_casts(other));
}

/* Whether RIGHT is LEFT and something: a sum that is kept, not a size. */
static bool adds_up(const struct scan *scan, TSNode left, TSNode right)
{
    right = scan_without_casts(right);
    TSNode sign = node_field(right, "operator"), one = node_field(right, "left"),
           other = node_field(right, "right");

    return node_is(right, "binary_expression") && (node_is(sign, "+") || node_is(sign, "-")) &&
           (same_value(scan, left, one) || same_value(scan, left, other) || adds_up(scan, left, one) ||
            adds_up(scan, left, other));
}

/* A place for the number that BESIDE is, or may be, to be put to LEFT; its number, from 1. */
static size_t add_place(struct flowing *flowing, TSNode left, TSNode beside)
{
    struct flow_place place = { .left = left, .beside = beside, .member = "" };

    while (node_is(left, "subscript_expression")) {
        left = scan_inside(node_field(left, "argument"));
    }
    if (node_is(left, "field_expression")) {
        bool arrow = scan_reads(flowing->scan, node_field(left, "operator"), "->");
        char *text = scan_text(flowing->scan, node_field(left, "argument"));
        place.holder = flow_keep(
            flowing, must_printf(arrow ? "__typeof__(*(%s)) *\001;" : "__typeof__(%s) *\001;", text));
        place.member = flow_keep(flowing, scan_text(flowing->scan, node_field(left, "field")));
        free(text);
    } else {
        place.member = flow_keep(flowing, scan_text(flowing->scan, left));
    }
    LIST_ADD(&flowing->places, place);
    return flowing->places.count;
}

/* LEFT = RIGHT (or *=), or (ADDS) += and the like. END, MEMBER: what LEFT is; END NULL: in memory. */
static void store(struct flowing *flowing, TSNode left, TSNode right, const char *end, const char *member,
                  bool adds)
{
    bool own = end && (end[0] == 'v' || !*member); /* a variable of the function */

    if (own && !*member) {
        give(flowing, right, &(struct goal){ end, "", 0, end[0] != 'v' });
        return;
    }
    if (!own && (adds || adds_up(flowing->scan, left, right))) {
        return;
    }
    size_t place = add_place(flowing, left, right);
    if (!end) {
        end = flow_keep(flowing, must_printf("k:%zu", place));
        member = "";
    }
    give(flowing, right, &(struct goal){ end, member, place, false });
}

static void read_assignment(struct flowing *flowing, TSNode node)
{
    TSNode left = scan_inside(node_field(node, "left"));
    TSNode sign = node_field(node, "operator");
    bool adds = !scan_reads(flowing->scan, sign, "=") && !scan_reads(flowing->scan, sign, "*=");
    const char *end, *member;

    if (!flow_find_place(flowing, left, &end, &member)) {
        end = NULL;
        member = "";
    }
    store(flowing, left, node_field(node, "right"), end, member, adds);
}

static void read_declaration(struct flowing *flowing, TSNode declaration)
{
    bool lasting = scan_is_lasting(flowing->scan, declaration);

    for (uint32_t i = 0; !lasting && i < ts_node_named_child_count(declaration); i++) {
        TSNode child = ts_node_named_child(declaration, i);
        TSNode name = node_is(child, "init_declarator") ? scan_declared(node_field(child, "declarator"))
                                                        : (TSNode){ 0 };
        const char *end, *member;
        if (!ts_node_is_null(name) && flow_find_place(flowing, name, &end, &member)) {
            give(flowing, node_field(child, "value"), &(struct goal){ end, "", 0, end[0] != 'v' });
        }
    }
}

/* memcpy(to, from, size): an assignment of what they lead to. */
static void read_copy(struct flowing *flowing, TSNode list)
{
    TSNode to = ts_node_named_child(list, 0), from = ts_node_named_child(list, 1);
    const char *end, *member;

    if (!flow_find_target(flowing, from, &end, &member)) {
        return;
    }
    TSNode left = scan_without_casts(to);
    bool address = scan_is_address(left);
    struct goal goal = { 0 };
    goal.place = add_place(flowing, address ? scan_inside(node_field(left, "argument")) : left, from);
    if (!flow_find_target(flowing, to, &goal.end, &goal.member)) {
        goal.end = flow_keep(flowing, must_printf("k:%zu", goal.place));
        goal.member = "";
    }
    add_flow(flowing, end, member, &goal, 0);
}

/* Whether FUNCTION is the library's, or the compiler's, that copies memory. */
static bool copies(const char *function)
{
    function += strncmp(function, "__builtin_", 10) == 0 ? 10 : 0;
    return strcmp(function, "memcpy") == 0 || strcmp(function, "memmove") == 0 ||
           strcmp(function, "mempcpy") == 0;
}

/* __atomic_store_n(&to, from, order): an assignment. */
static void read_atomic(struct flowing *flowing, TSNode list)
{
    TSNode to = scan_without_casts(ts_node_named_child(list, 0));
    const char *end, *member;

    if (scan_is_address(to)) {
        TSNode left = scan_inside(node_field(to, "argument"));
        bool known = flow_find_place(flowing, left, &end, &member);
        store(flowing, left, ts_node_named_child(list, 1), known ? end : NULL, known ? member : "", false);
    }
}

static void read_call(struct flowing *flowing, TSNode call)
{
    TSNode list = node_field(call, "arguments");
    const char *name = call_name(flowing, call);
    unsigned place = 0;

    if (copies(name) && ts_node_named_child_count(list) == 3) {
        read_copy(flowing, list);
    } else if ((strcmp(name, "__atomic_store_n") == 0 || strcmp(name, "__atomic_exchange_n") == 0) &&
               ts_node_named_child_count(list) == 3) {
        read_atomic(flowing, list);
    }
    for (uint32_t i = 0; !ts_node_is_null(list) && !probe_forgets(name) && !passes_on(name) &&
                         !is_cast(call) && i < ts_node_named_child_count(list);
         i++) {
        TSNode argument = ts_node_named_child(list, i);
        if (!node_is(argument, "comment")) {
            const char *end = flow_keep(
                flowing, must_printf("a:%zu:%u:%s", scan_start(flowing->scan, call), place++, name));
            give(flowing, argument, &(struct goal){ end, "", 0, false });
        }
    }
}

static void read_statements(struct flowing *flowing, TSNode node)
{
    if (node_is(node, "assignment_expression")) {
        read_assignment(flowing, node);
    } else if (node_is(node, "declaration")) {
        read_declaration(flowing, node);
    } else if (node_is(node, "call_expression")) {
        read_call(flowing, node);
    } else if (node_is(node, "return_statement") && ts_node_named_child_count(node) == 1) {
        give(flowing, ts_node_named_child(node, 0), &(struct goal){ "r", "", 0, false });
    } else if (node_is(node, "sizeof_expression")) {
        return;
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        read_statements(flowing, ts_node_named_child(node, i));
    }
}

void flow_read(struct flowing *flowing, TSNode root)
{
    flow_read_variables(flowing);
    read_statements(flowing, root);
}
