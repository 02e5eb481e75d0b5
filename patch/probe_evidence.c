/*
 * What surrounds a call. Up from the call, as long as its value stays the same: casts, assignments, initialisers, `return`,
 * arguments of other calls. Down into its arguments: `sizeof` and how it is multiplied and added. Sideways: what becomes of
 * the variable that took the block, and how the variable came about that says how many bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/allocators.h"
#include "patch/probe_calls.h"

#define SUBSTITUTIONS 3 /* variables looked behind, one after another */
#define FLOWS 12        /* uses of a variable that are asked about */

/* One argument while it is read. */
struct sizing {
    struct scan *scan;
    struct candidate *candidate;
    struct candidate_argument *facts;
    unsigned argument; /* from 1 */
    unsigned term;
    unsigned depth;
    size_t start, end; /* of the call */
};

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

static void add_evidence(struct candidate *candidate, struct evidence evidence, char *question)
{
    evidence.question = question;
    LIST_ADD(&candidate->evidence, evidence);
}

static size_t start_of(const struct scan *scan, TSNode node)
{
    return scan->base + ts_node_start_byte(node);
}

static size_t end_of(const struct scan *scan, TSNode node)
{
    return scan->base + ts_node_end_byte(node);
}

/* NODE without parentheses around it. */
static TSNode inside(TSNode node)
{
    while (scan_is(node, "parenthesized_expression") && ts_node_named_child_count(node) == 1) {
        node = ts_node_named_child(node, 0);
    }
    return node;
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

static void read_size(struct sizing *sizing, TSNode node, bool product);

static void add_sized(struct sizing *sizing, enum evidence_role role, TSNode operand, bool product)
{
    char *text = scan_text(sizing->scan, operand);

    sizing->facts->sized = true;
    add_evidence(sizing->candidate,
                 (struct evidence){ .role = role,
                                    .argument = sizing->argument,
                                    .term = sizing->term,
                                    .product = product,
                                    .start = sizing->start,
                                    .end = sizing->end },
                 must_printf("__typeof__(%s) *\001;", text));
    free(text);
}

static void read_sizeof(struct sizing *sizing, TSNode node, bool product)
{
    TSNode operand = scan_child(node, "type");

    if (ts_node_is_null(operand)) {
        operand = inside(scan_child(node, "value"));
    }
    if (!ts_node_is_null(operand)) {
        add_sized(sizing, EVIDENCE_SIZEOF, operand, product);
    }
}

static bool is_one(const struct scan *scan, TSNode node)
{
    node = inside(node);
    return scan_reads(scan, node, "1") || scan_reads(scan, node, "1u") || scan_reads(scan, node, "1UL");
}

static void read_binary(struct sizing *sizing, TSNode node, bool product)
{
    TSNode left = scan_child(node, "left"), right = scan_child(node, "right");
    TSNode sign = scan_child(node, "operator");

    if (scan_is(sign, "*")) {
        bool more = !is_one(sizing->scan, left) && !is_one(sizing->scan, right);
        sizing->facts->product = sizing->facts->product || more;
        read_size(sizing, left, product || more);
        read_size(sizing, right, product || more);
    } else if (scan_is(sign, "+")) {
        read_size(sizing, left, product);
        sizing->term++;
        read_size(sizing, right, product);
    } else if (scan_is(sign, "<<")) {
        sizing->facts->product = true;
        read_size(sizing, left, true);
    } else {
        read_size(sizing, left, product); /* rounding up and the like */
    }
}

/* What the local variable NAME is defined as: its initialiser, or the value of the only assignment. Null if that is not
 * plain. */
static void find_definition_of(const struct scan *scan, TSNode node, TSNode name, unsigned *count,
                               TSNode *ret)
{
    TSNode left = { 0 }, value = { 0 };

    if (scan_is(node, "init_declarator")) {
        left = scan_child(node, "declarator");
        value = scan_child(node, "value");
    } else if (scan_is(node, "assignment_expression")) {
        left = scan_child(node, "left");
        value = scan_child(node, "right");
    }
    if (scan_is(left, "identifier")) {
        char *own = scan_text(scan, left);
        if (scan_reads(scan, name, own)) {
            ++*count;
            *ret = value;
        }
        free(own);
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        find_definition_of(scan, ts_node_named_child(node, i), name, count, ret);
    }
}

static void read_identifier(struct sizing *sizing, TSNode node, bool product)
{
    const struct scan *scan = sizing->scan;
    TSNode value;
    unsigned count = 0;

    for (size_t i = 0; i < scan->parameters.count && i < 32; i++) {
        if (scan_reads(scan, node, scan->parameters.items[i])) {
            sizing->facts->parameters |= 1u << i;
        }
    }
    if (sizing->depth >= SUBSTITUTIONS) {
        return;
    }
    find_definition_of(scan, scan->definition, node, &count, &value);
    if (count == 1) {
        sizing->depth++;
        read_size(sizing, value, product);
        sizing->depth--;
    }
}

static void read_call(struct sizing *sizing, TSNode node, bool product)
{
    TSNode function = inside(scan_child(node, "function")), list = scan_child(node, "arguments");
    char *name = scan_text(sizing->scan, function);

    if (strstr(name, "strlen") || strstr(name, "strnlen") || strstr(name, "wcslen")) {
        sizing->facts->text = true;
    } else {
        for (uint32_t i = 0; i < ts_node_named_child_count(list); i++) {
            read_size(sizing, ts_node_named_child(list, i), product);
        }
    }
    free(name);
}

/* Reads an expression that says how much; PRODUCT: it is multiplied by something. */
static void read_size(struct sizing *sizing, TSNode node, bool product)
{
    node = inside(node);
    if (scan_is(node, "sizeof_expression")) {
        read_sizeof(sizing, node, product);
    } else if (scan_is(node, "offsetof_expression")) {
        add_sized(sizing, EVIDENCE_OFFSETOF, scan_child(node, "type"), product);
    } else if (scan_is(node, "binary_expression")) {
        read_binary(sizing, node, product);
    } else if (scan_is(node, "cast_expression")) {
        read_size(sizing, scan_child(node, "value"), product);
    } else if (scan_is(node, "conditional_expression")) {
        read_size(sizing, scan_child(node, "consequence"), product);
        read_size(sizing, scan_child(node, "alternative"), product);
    } else if (scan_is(node, "identifier")) {
        read_identifier(sizing, node, product);
    } else if (scan_is(node, "call_expression")) {
        read_call(sizing, node, product);
    } else if (scan_is(node, "number_literal") && !sizing->depth) {
        sizing->facts->constant = true;
        sizing->facts->one = is_one(sizing->scan, node);
    } else if (scan_is(node, "comma_expression")) {
        read_size(sizing, scan_child(node, "right"), product);
    }
}

/* The expression of an argument without the casts that its callee's type asks for: (void **)&p. */
static TSNode without_casts(TSNode node)
{
    node = inside(node);
    while (scan_is(node, "cast_expression")) {
        node = inside(scan_child(node, "value"));
    }
    return node;
}

/* What the arguments that are pointers say: the block to be resized, the place of the new one. */
static void read_pointer(struct scan *scan, struct candidate *candidate, TSNode call, TSNode node)
{
    TSNode plain = without_casts(node);
    bool out = scan_is(plain, "pointer_expression") && scan_is(scan_child(plain, "operator"), "&");

    if (!out && !scan_is(plain, "identifier") && !scan_is(plain, "field_expression") &&
        !scan_is(plain, "subscript_expression")) {
        return;
    }
    char *text = scan_text(scan, out ? scan_child(plain, "argument") : plain);
    add_evidence(candidate,
                 (struct evidence){ .role = out ? EVIDENCE_OUT : EVIDENCE_POINTER,
                                    .argument = candidate->arguments.count,
                                    .start = start_of(scan, call),
                                    .end = end_of(scan, call) },
                 must_printf("__typeof__(%s) \001;", text));
    free(text);
}

static void read_arguments(struct scan *scan, struct candidate *candidate, TSNode call)
{
    TSNode list = scan_child(call, "arguments");

    for (uint32_t i = 0; !ts_node_is_null(list) && i < ts_node_named_child_count(list); i++) {
        TSNode node = ts_node_named_child(list, i);
        struct candidate_argument facts = { 0 };
        struct sizing sizing = { .scan = scan,
                                 .candidate = candidate,
                                 .facts = &facts,
                                 .argument = candidate->arguments.count + 1,
                                 .start = start_of(scan, call),
                                 .end = end_of(scan, call) };
        if (scan_is(node, "comment")) {
            continue;
        }
        read_size(&sizing, node, false);
        LIST_ADD(&candidate->arguments, facts);
        read_pointer(scan, candidate, call, node);
    }
}

/* ---- what becomes of the result ----------------------------------------------------------------------------------- */

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
    add_evidence(climb->candidate,
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
    char *type = scan_text(climb->scan, scan_child(cast, "type"));

    ask(climb, EVIDENCE_CAST, 0, must_printf("__typeof__((%s)0) \001;", type));
    free(type);
}

/* Whether NODE names a place that the caller of the function chose: *p, with P a parameter. */
static bool is_callers_place(const struct scan *scan, TSNode node)
{
    TSNode pointer = scan_is(node, "pointer_expression") ? inside(scan_child(node, "argument")) : node;

    if (!scan_is(node, "pointer_expression") || !scan_is(pointer, "identifier")) {
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
    TSNode left = inside(scan_child(assignment, "left"));

    ask_about(climb, EVIDENCE_TARGET, left);
    climb->candidate->evidence.items[climb->candidate->evidence.count - 1].callers_place =
        is_callers_place(climb->scan, left);
    if (scan_is(left, "identifier")) {
        climb->variable = left;
    }
}

static void meet_initialiser(struct climb *climb, TSNode declarator)
{
    TSNode name = scan_declared(scan_child(declarator, "declarator"));

    if (!ts_node_is_null(name)) {
        ask_about(climb, EVIDENCE_TARGET, name);
        climb->variable = name;
    }
}

/* { .member = node }: LIST is the braces' content. */
static void meet_member(struct climb *climb, TSNode pair, TSNode list)
{
    struct scan *scan = climb->scan;
    TSNode designator = scan_child(pair, "designator"), owner = ts_node_parent(list);
    char *path = ts_node_is_null(designator) ? NULL : scan_text(scan, designator);

    if (path && scan_is(owner, "init_declarator")) {
        char *name = scan_text(scan, scan_declared(scan_child(owner, "declarator")));
        ask(climb, EVIDENCE_TARGET, 0, must_printf("__typeof__(%s%s) \001;", name, path));
        free(name);
    } else if (path && scan_is(owner, "compound_literal_expression")) {
        char *type = scan_text(scan, scan_child(owner, "type"));
        ask(climb, EVIDENCE_TARGET, 0, must_printf("__typeof__((*(%s *)0)%s) \001;", type, path));
        free(type);
    }
    free(path);
}

static bool returns_first_argument(const char *function)
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

/* node is an argument of CALL. Returns whether it is the call's value, too: a cast in fact, (T *)(node); memset(node, ...). */
static bool meet_argument(struct climb *climb, TSNode node, TSNode list, TSNode call)
{
    TSNode function = scan_child(call, "function");
    unsigned place = 0;

    for (uint32_t i = 0; i < ts_node_named_child_count(list); i++) {
        TSNode argument = ts_node_named_child(list, i);
        place += !scan_is(argument, "comment");
        if (ts_node_eq(argument, node)) {
            break;
        }
    }
    if (scan_is(function, "parenthesized_expression") && ts_node_named_child_count(list) == 1) {
        ask_about(climb, EVIDENCE_CAST, call);
        return true;
    }
    char *text = scan_text(climb->scan, function);
    if (place == 1 && returns_first_argument(text)) {
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
    return scan_is(block, "compound_statement") && scan_is(whole, "parenthesized_expression") &&
           ts_node_eq(ts_node_named_child(block, count - 1), node);
}

/* Whether PARENT adds to the address that NODE is, *RET_GOES_ON being set if the sum is a value that goes on upwards. */
static bool adds(const struct climb *climb, TSNode parent, TSNode node, bool *ret_goes_on)
{
    TSNode sign = scan_child(parent, "operator");

    *ret_goes_on = false;
    if (scan_is(parent, "binary_expression")) {
        *ret_goes_on = scan_is(sign, "+") || scan_is(sign, "-");
        return *ret_goes_on;
    }
    if (scan_is(parent, "update_expression")) {
        return true;
    }
    return scan_is(parent, "assignment_expression") && ts_node_eq(scan_child(parent, "left"), node) &&
           (scan_is(sign, "+=") || scan_is(sign, "-="));
}

/* One step up from NODE. False: its value goes nowhere else. */
static bool step(struct climb *climb, TSNode *node)
{
    TSNode parent = ts_node_parent(*node), whole;
    bool goes_on;

    if (scan_is(parent, "parenthesized_expression")) {
    } else if (adds(climb, parent, *node, &goes_on)) {
        climb->shifted = true;
        if (!goes_on) {
            climb->candidate->shifted = true;
            return false;
        }
    } else if (scan_is(parent, "cast_expression")) {
        meet_cast(climb, parent);
    } else if (scan_is(parent, "assignment_expression") && scan_is(scan_child(parent, "operator"), "=") &&
               ts_node_eq(scan_child(parent, "right"), *node)) {
        meet_assignment(climb, parent);
    } else if (scan_is(parent, "init_declarator") && ts_node_eq(scan_child(parent, "value"), *node)) {
        meet_initialiser(climb, parent);
        return false;
    } else if (scan_is(parent, "initializer_pair")) {
        meet_member(climb, parent, ts_node_parent(parent));
        return false;
    } else if (scan_is(parent, "return_statement")) {
        ask(climb, EVIDENCE_RETURN, 0, must_strdup("int \001;"));
        return false;
    } else if (scan_is(parent, "argument_list")) {
        TSNode call = ts_node_parent(parent);
        if (!scan_is(call, "call_expression") || !meet_argument(climb, *node, parent, call)) {
            return false;
        }
        parent = call;
    } else if (scan_is(parent, "conditional_expression")) {
        if (ts_node_eq(scan_child(parent, "condition"), *node)) {
            return false;
        }
    } else if (scan_is(parent, "comma_expression")) {
        if (!ts_node_eq(scan_child(parent, "right"), *node)) {
            return false;
        }
    } else if (scan_is(parent, "expression_statement") && is_value_of_block(parent, &whole)) {
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
    if (scan_is(node, "identifier") && *left && scan_reads(scan, node, variable)) {
        struct climb climb = { .scan = scan,
                               .candidate = candidate,
                               .start = start_of(scan, node),
                               .end = end_of(scan, node),
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
    TSNode list = scan_child(call, "arguments"), none = { 0 };

    for (uint32_t i = 0; !ts_node_is_null(list) && i < ts_node_named_child_count(list); i++) {
        TSNode plain = without_casts(ts_node_named_child(list, i)), variable = scan_child(plain, "argument");
        if (scan_is(plain, "pointer_expression") && scan_is(scan_child(plain, "operator"), "&") &&
            scan_is(variable, "identifier")) {
            return variable;
        }
    }
    return none;
}

void scan_evidence(struct scan *scan, struct candidate *candidate, TSNode call)
{
    struct climb climb = { .scan = scan,
                           .candidate = candidate,
                           .start = start_of(scan, call),
                           .end = end_of(scan, call),
                           .role = EVIDENCE_TARGET };
    unsigned flows = FLOWS;

    read_arguments(scan, candidate, call);
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
