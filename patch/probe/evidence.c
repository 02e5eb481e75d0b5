/*
 * What surrounds a call. Up from the call, as long as its value stays the same: casts, assignments,
 * initialisers, `return`, arguments of other calls. Sideways: what becomes of the variable that took the
 * block.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/sites/allocators.h"
#include "patch/probe/calls.h"

#define FLOWS 12 /* uses of a variable that are asked about */

/* What is known on the way up from an expression. */
struct climb {
    struct scan *scan;
    struct candidate *candidate;
    size_t start, end;       /* of the expression that the questions are asked beside */
    enum evidence_role role; /* FLOW, or TARGET for the call's own surroundings */
    TSNode variable;         /* result: the identifier that took the value */
    bool found;              /* result: any evidence */
    bool shifted;            /* something was added to the address on the way */
};

static void ask(struct climb *climb, enum evidence_role role, unsigned argument, char *question)
{
    if (climb->shifted) { /* it is about something inside of the block */
        bool goes_on = role == EVIDENCE_RETURN || role == EVIDENCE_TARGET;
        climb->candidate->shifted = climb->candidate->shifted || goes_on;
        free(question);
        question = must_strdup("int \001;");
    }
    bool flow = climb->role == EVIDENCE_FLOW && role != EVIDENCE_PARAMETER && role != EVIDENCE_RETURN;

    climb->found = true;
    scan_add_evidence(climb->candidate,
                      (struct evidence){ .role = flow ? EVIDENCE_FLOW : role,
                                         .argument = argument,
                                         .start = climb->start,
                                         .end = climb->end },
                      question);
}

/* Asks for the type of an expression by its text. */
static void ask_about(struct climb *climb, enum evidence_role role, TSNode expression)
{
    char *text = scan_text(climb->scan, expression);

    ask(climb, role, 0, must_printf("__typeof__(%s) \001;", text));
    free(text);
}

/* (T *)node */
static void meet_cast(struct climb *climb, TSNode cast)
{
    char *type = scan_text(climb->scan, node_field(cast, "type"));

    ask(climb, EVIDENCE_CAST, 0, must_printf("__typeof__((%s)0) \001;", type));
    free(type);
}

/* Whether NODE names a place that the caller of the function chose: *p, with P a parameter. */
static bool is_callers_place(const struct scan *scan, TSNode node)
{
    TSNode pointer = node_is(node, "pointer_expression") ? scan_inside(node_field(node, "argument")) : node;

    if (!node_is(node, "pointer_expression") || !node_is(pointer, "identifier")) {
        return false;
    }
    for (size_t i = 0; i < scan->parameters.count; i++) {
        if (scan_reads(scan, pointer, scan->parameters.items[i])) {
            return true;
        }
    }
    return false;
}

static void meet_assignment(struct climb *climb, TSNode assignment)
{
    TSNode left = scan_inside(node_field(assignment, "left"));

    ask_about(climb, EVIDENCE_TARGET, left);
    climb->candidate->evidence.items[climb->candidate->evidence.count - 1].callers_place =
        is_callers_place(climb->scan, left);
    if (node_is(left, "identifier")) {
        climb->variable = left;
    }
}

static void meet_initialiser(struct climb *climb, TSNode declarator)
{
    TSNode name = scan_declared(node_field(declarator, "declarator"));

    if (!ts_node_is_null(name)) {
        ask_about(climb, EVIDENCE_TARGET, name);
        climb->variable = name;
    }
}

/* { .member = node }: LIST is the braces' content. */
static void meet_member(struct climb *climb, TSNode pair, TSNode list)
{
    struct scan *scan = climb->scan;
    TSNode designator = node_field(pair, "designator"), owner = ts_node_parent(list);
    char *path = ts_node_is_null(designator) ? NULL : scan_text(scan, designator);

    if (path && node_is(owner, "init_declarator")) {
        char *name = scan_text(scan, scan_declared(node_field(owner, "declarator")));
        ask(climb, EVIDENCE_TARGET, 0, must_printf("__typeof__(%s%s) \001;", name, path));
        free(name);
    } else if (path && node_is(owner, "compound_literal_expression")) {
        char *type = scan_text(scan, node_field(owner, "type"));
        ask(climb, EVIDENCE_TARGET, 0, must_printf("__typeof__((*(%s *)0)%s) \001;", type, path));
        free(type);
    }
    free(path);
}

bool scan_returns_first_argument(const char *function)
{
    static const char *const names[] = { "memset", "memcpy", "memmove", "strcpy", "strncpy", "strcat" };

    function += strncmp(function, "__builtin_", 10) == 0 ? 10 : 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], function) == 0) {
            return true;
        }
    }
    return false;
}

/* node is an argument of CALL. Returns whether it is the call's value, too: a cast in fact, (T *)(node);
 * memset(node, ...). */
static bool meet_argument(struct climb *climb, TSNode node, TSNode list, TSNode call)
{
    TSNode function = node_field(call, "function");
    unsigned place = 0;

    for (uint32_t i = 0; i < ts_node_named_child_count(list); i++) {
        TSNode argument = ts_node_named_child(list, i);
        place += !node_is(argument, "comment");
        if (ts_node_eq(argument, node)) {
            break;
        }
    }
    if (node_is(function, "parenthesized_expression") && ts_node_named_child_count(list) == 1) {
        ask_about(climb, EVIDENCE_CAST, call);
        return true;
    }
    char *text = scan_text(climb->scan, function);
    if (place == 1 && scan_returns_first_argument(text)) {
        free(text);
        return true;
    }
    ask(climb, EVIDENCE_PARAMETER, place, must_printf("__typeof__(%s) *\001;", text));
    free(text);
    return false;
}

/* Whether NODE is the last statement of a ({ statement; expression; }), whose value is the whole's. */
static bool is_value_of_block(TSNode node, TSNode *ret_whole)
{
    TSNode block = ts_node_parent(node), whole = ts_node_is_null(block) ? block : ts_node_parent(block);
    uint32_t count = ts_node_is_null(block) ? 0 : ts_node_named_child_count(block);

    *ret_whole = whole;
    return node_is(block, "compound_statement") && node_is(whole, "parenthesized_expression") &&
           ts_node_eq(ts_node_named_child(block, count - 1), node);
}

/* Whether PARENT adds to the address that NODE is, *RET_GOES_ON being set if the sum is a value that goes
 * on upwards. */
static bool adds(const struct climb *climb, TSNode parent, TSNode node, bool *ret_goes_on)
{
    TSNode sign = node_field(parent, "operator");

    *ret_goes_on = false;
    if (node_is(parent, "binary_expression")) {
        *ret_goes_on = node_is(sign, "+") || node_is(sign, "-");
        return *ret_goes_on;
    }
    if (node_is(parent, "update_expression")) {
        return true;
    }
    return node_is(parent, "assignment_expression") && ts_node_eq(node_field(parent, "left"), node) &&
           (node_is(sign, "+=") || node_is(sign, "-="));
}

/* One step up from NODE. False: its value goes nowhere else. */
static bool step(struct climb *climb, TSNode *node)
{
    TSNode parent = ts_node_parent(*node), whole;
    bool goes_on;

    if (node_is(parent, "parenthesized_expression")) {
    } else if (adds(climb, parent, *node, &goes_on)) {
        climb->shifted = true;
        if (!goes_on) {
            climb->candidate->shifted = true;
            return false;
        }
    } else if (node_is(parent, "cast_expression")) {
        meet_cast(climb, parent);
    } else if (node_is(parent, "assignment_expression") && node_is(node_field(parent, "operator"), "=") &&
               ts_node_eq(node_field(parent, "right"), *node)) {
        meet_assignment(climb, parent);
    } else if (node_is(parent, "init_declarator") && ts_node_eq(node_field(parent, "value"), *node)) {
        meet_initialiser(climb, parent);
        return false;
    } else if (node_is(parent, "initializer_pair")) {
        meet_member(climb, parent, ts_node_parent(parent));
        return false;
    } else if (node_is(parent, "return_statement")) {
        ask(climb, EVIDENCE_RETURN, 0, must_strdup("int \001;"));
        return false;
    } else if (node_is(parent, "argument_list")) {
        TSNode call = ts_node_parent(parent);
        if (!node_is(call, "call_expression") || !meet_argument(climb, *node, parent, call)) {
            return false;
        }
        parent = call;
    } else if (node_is(parent, "conditional_expression")) {
        if (ts_node_eq(node_field(parent, "condition"), *node)) {
            return false;
        }
    } else if (node_is(parent, "comma_expression")) {
        if (!ts_node_eq(node_field(parent, "right"), *node)) {
            return false;
        }
    } else if (node_is(parent, "expression_statement") && is_value_of_block(parent, &whole)) {
        parent = whole;
    } else {
        return false;
    }
    *node = parent;
    return true;
}

static void climb_from(struct climb *climb, TSNode node)
{
    while (step(climb, &node)) {
    }
}

/* Follows what becomes of VARIABLE below NODE: each of its uses as a value is asked about. */
static void follow(struct scan *scan, struct candidate *candidate, TSNode node, const char *variable,
                   unsigned *left)
{
    if (node_is(node, "identifier") && *left && scan_reads(scan, node, variable)) {
        struct climb climb = { .scan = scan,
                               .candidate = candidate,
                               .start = scan_start(scan, node),
                               .end = scan_end(scan, node),
                               .role = EVIDENCE_FLOW };
        climb_from(&climb, node);
        *left -= climb.found;
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        follow(scan, candidate, ts_node_named_child(node, i), variable, left);
    }
}

/* The variable whose address CALL takes to fill it in: posix_memalign(&p, ...). Null if there is none. */
static TSNode filled_variable(TSNode call)
{
    TSNode list = node_field(call, "arguments"), none = { 0 };

    for (uint32_t i = 0; !ts_node_is_null(list) && i < ts_node_named_child_count(list); i++) {
        TSNode plain = scan_without_casts(ts_node_named_child(list, i)),
               variable = node_field(plain, "argument");
        if (scan_is_address(plain) && node_is(variable, "identifier")) {
            return variable;
        }
    }
    return none;
}

void scan_evidence(struct scan *scan, struct candidate *candidate, TSNode call)
{
    struct climb climb = { .scan = scan,
                           .candidate = candidate,
                           .start = scan_start(scan, call),
                           .end = scan_end(scan, call),
                           .role = EVIDENCE_TARGET };
    unsigned flows = FLOWS;

    scan_arguments(scan, candidate, call);
    climb_from(&climb, call);
    TSNode variable = ts_node_is_null(climb.variable) ? filled_variable(call) : climb.variable;
    if (!ts_node_is_null(variable)) {
        char *name = scan_text(scan, variable);
        follow(scan, candidate, scan->definition, name, &flows);
        free(name);
    }
    if (!candidate->callee) {
        ask_about(&climb, EVIDENCE_RESULT, call);
    }
}
