/*
 * What a call's arguments say about the size: `sizeof` and how it is multiplied and added, lengths of
 * strings, the function's own parameters; behind a variable, what it was defined as.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/calls.h"

#define SUBSTITUTIONS 3 /* variables looked behind, one after another */

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

void scan_add_evidence(struct candidate *candidate, struct evidence evidence, char *question)
{
    evidence.question = question;
    LIST_ADD(&candidate->evidence, evidence);
}

size_t scan_start(const struct scan *scan, TSNode node)
{
    return scan->base + ts_node_start_byte(node);
}

size_t scan_end(const struct scan *scan, TSNode node)
{
    return scan->base + ts_node_end_byte(node);
}

TSNode scan_inside(TSNode node)
{
    while (node_is(node, "parenthesized_expression") && ts_node_named_child_count(node) == 1) {
        node = ts_node_named_child(node, 0);
    }
    return node;
}

static void read_size(struct sizing *sizing, TSNode node, bool product);

static void add_sized(struct sizing *sizing, enum evidence_role role, TSNode operand, bool product)
{
    char *text = scan_text(sizing->scan, operand);

    sizing->facts->sized = true;
    scan_add_evidence(sizing->candidate,
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
    TSNode operand = node_field(node, "type");

    if (ts_node_is_null(operand)) {
        operand = scan_inside(node_field(node, "value"));
    }
    if (!ts_node_is_null(operand)) {
        add_sized(sizing, EVIDENCE_SIZEOF, operand, product);
    }
}

static bool is_one(const struct scan *scan, TSNode node)
{
    node = scan_inside(node);
    return scan_reads(scan, node, "1") || scan_reads(scan, node, "1u") || scan_reads(scan, node, "1UL");
}

static void read_binary(struct sizing *sizing, TSNode node, bool product)
{
    TSNode left = node_field(node, "left"), right = node_field(node, "right");
    TSNode sign = node_field(node, "operator");

    if (node_is(sign, "*")) {
        bool more = !is_one(sizing->scan, left) && !is_one(sizing->scan, right);
        sizing->facts->product = sizing->facts->product || more;
        read_size(sizing, left, product || more);
        read_size(sizing, right, product || more);
    } else if (node_is(sign, "+")) {
        read_size(sizing, left, product);
        sizing->term++;
        read_size(sizing, right, product);
    } else if (node_is(sign, "<<")) {
        sizing->facts->product = true;
        read_size(sizing, left, true);
    } else {
        read_size(sizing, left, product); /* rounding up and the like */
    }
}

/* What the local variable NAME is defined as: its initialiser, or the value of the only assignment. Null
 * if that is not plain. */
static void find_definition_of(const struct scan *scan, TSNode node, TSNode name, unsigned *count,
                               TSNode *ret)
{
    TSNode left = { 0 }, value = { 0 };

    if (node_is(node, "init_declarator")) {
        left = node_field(node, "declarator");
        value = node_field(node, "value");
    } else if (node_is(node, "assignment_expression")) {
        left = node_field(node, "left");
        value = node_field(node, "right");
    }
    if (node_is(left, "identifier")) {
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
    TSNode function = scan_inside(node_field(node, "function")), list = node_field(node, "arguments");
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
    node = scan_inside(node);
    if (node_is(node, "sizeof_expression")) {
        read_sizeof(sizing, node, product);
    } else if (node_is(node, "offsetof_expression")) {
        add_sized(sizing, EVIDENCE_OFFSETOF, node_field(node, "type"), product);
    } else if (node_is(node, "binary_expression")) {
        read_binary(sizing, node, product);
    } else if (node_is(node, "cast_expression")) {
        read_size(sizing, node_field(node, "value"), product);
    } else if (node_is(node, "conditional_expression")) {
        read_size(sizing, node_field(node, "consequence"), product);
        read_size(sizing, node_field(node, "alternative"), product);
    } else if (node_is(node, "identifier")) {
        read_identifier(sizing, node, product);
    } else if (node_is(node, "call_expression")) {
        read_call(sizing, node, product);
    } else if (node_is(node, "number_literal") && !sizing->depth) {
        sizing->facts->constant = true;
        sizing->facts->one = is_one(sizing->scan, node);
    } else if (node_is(node, "comma_expression")) {
        read_size(sizing, node_field(node, "right"), product);
    }
}

bool scan_is_address(TSNode node)
{
    return node_is(node, "pointer_expression") && node_is(node_field(node, "operator"), "&");
}

bool scan_is_lasting(const struct scan *scan, TSNode declaration)
{
    bool lasting = false;

    for (uint32_t i = 0; i < ts_node_named_child_count(declaration); i++) {
        TSNode child = ts_node_named_child(declaration, i);
        lasting = lasting || (node_is(child, "storage_class_specifier") &&
                              (scan_reads(scan, child, "static") || scan_reads(scan, child, "extern")));
    }
    return lasting;
}

bool scan_same_text(const struct scan *scan, TSNode one, TSNode other)
{
    char *left = scan_text(scan, one), *right = scan_text(scan, other);
    bool same = strcmp(left, right) == 0;

    free(left);
    free(right);
    return same;
}

TSNode scan_without_casts(TSNode node)
{
    node = scan_inside(node);
    while (node_is(node, "cast_expression")) {
        node = scan_inside(node_field(node, "value"));
    }
    return node;
}

/* What the arguments that are pointers say: the block to be resized, the place of the new one. */
static void read_pointer(struct scan *scan, struct candidate *candidate, TSNode call, TSNode node)
{
    TSNode plain = scan_without_casts(node);
    bool out = scan_is_address(plain);

    if (!out && !node_is(plain, "identifier") && !node_is(plain, "field_expression") &&
        !node_is(plain, "subscript_expression")) {
        return;
    }
    char *text = scan_text(scan, out ? node_field(plain, "argument") : plain);
    scan_add_evidence(candidate,
                      (struct evidence){ .role = out ? EVIDENCE_OUT : EVIDENCE_POINTER,
                                         .argument = candidate->arguments.count,
                                         .start = scan_start(scan, call),
                                         .end = scan_end(scan, call) },
                      must_printf("__typeof__(%s) \001;", text));
    free(text);
}

void scan_arguments(struct scan *scan, struct candidate *candidate, TSNode call)
{
    TSNode list = node_field(call, "arguments");

    for (uint32_t i = 0; !ts_node_is_null(list) && i < ts_node_named_child_count(list); i++) {
        TSNode node = ts_node_named_child(list, i);
        struct candidate_argument facts = { 0 };
        struct sizing sizing = { .scan = scan,
                                 .candidate = candidate,
                                 .facts = &facts,
                                 .argument = candidate->arguments.count + 1,
                                 .start = scan_start(scan, call),
                                 .end = scan_end(scan, call) };
        if (node_is(node, "comment")) {
            continue;
        }
        read_size(&sizing, node, false);
        LIST_ADD(&candidate->arguments, facts);
        read_pointer(scan, candidate, call, node);
    }
}
