/*
 * Which variable a place in the source is in, for the flows of numbers. What a pointer leads to is taken for
 * one thing with its members by name: `cfg->size` and `cfg->in.size` are not told from each other.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/flows.h"

const char *flow_keep(struct flowing *flowing, char *text)
{
    LIST_ADD(&flowing->owned, text);
    return text;
}

/* ---- variables ------------------------------------------------------------------------------------- */

static struct flow_variable *find_variable(struct flowing *flowing, TSNode name)
{
    for (size_t i = flowing->variables.count; i > 0; i--) {
        struct flow_variable *variable = &flowing->variables.items[i - 1];
        if (scan_reads(flowing->scan, name, variable->name)) {
            return variable;
        }
    }
    return NULL;
}

/* Whether something of KIND is in DECLARATOR, around the name. */
static bool declares(TSNode declarator, const char *kind)
{
    while (!ts_node_is_null(declarator) && !node_is(declarator, "identifier")) {
        if (node_is(declarator, kind)) {
            return true;
        }
        TSNode inner = node_field(declarator, "declarator");
        declarator = ts_node_is_null(inner) && ts_node_named_child_count(declarator) > 0
                         ? ts_node_named_child(declarator, 0)
                         : inner;
    }
    return false;
}

static void add_variable(struct flowing *flowing, TSNode name, TSNode declarator, bool parameter)
{
    struct flow_variable *known = find_variable(flowing, name);
    bool array = declares(declarator, "array_declarator");

    if (!known) {
        struct flow_variable variable = { .name = flow_keep(flowing, scan_text(flowing->scan, name)) };
        LIST_ADD(&flowing->variables, variable);
        known = &flowing->variables.items[flowing->variables.count - 1];
    }
    known->array = known->array || (array && !parameter);
    known->pointer = known->pointer || declares(declarator, "pointer_declarator") ||
                     (parameter && (array || declares(declarator, "function_declarator")));
}

/* The variables of DECLARATION. */
static void read_declaration(struct flowing *flowing, TSNode declaration)
{
    bool lasting = scan_is_lasting(flowing->scan, declaration);

    for (uint32_t i = 0; !lasting && i < ts_node_named_child_count(declaration); i++) {
        TSNode child = ts_node_named_child(declaration, i);
        bool one = node_is(child, "init_declarator") || node_is(child, "identifier") ||
                   strstr(ts_node_type(child), "_declarator");
        TSNode name = one ? scan_declared(child) : (TSNode){ 0 };
        if (!ts_node_is_null(name)) {
            add_variable(flowing, name, child, false);
        }
    }
}

/* Declarations below NODE, and what is done with variables as with pointers. */
static void read_uses(struct flowing *flowing, TSNode node, bool declarations)
{
    if (declarations && node_is(node, "declaration")) {
        read_declaration(flowing, node);
    }
    TSNode argument = scan_inside(node_field(node, "argument"));
    if (!declarations && node_is(argument, "identifier") &&
        (node_is(node, "subscript_expression") ||
         (node_is(node, "pointer_expression") && node_is(node_field(node, "operator"), "*")) ||
         (node_is(node, "field_expression") && node_is(node_field(node, "operator"), "->")))) {
        struct flow_variable *variable = find_variable(flowing, argument);
        if (variable) {
            variable->pointer = variable->pointer || !variable->array;
        }
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        read_uses(flowing, ts_node_named_child(node, i), declarations);
    }
}

static void read_parameters(struct flowing *flowing)
{
    TSNode declarator = node_field(flowing->scan->definition, "declarator");

    while (!ts_node_is_null(declarator) && !node_is(declarator, "function_declarator")) {
        declarator = node_field(declarator, "declarator");
    }
    TSNode list = node_field(declarator, "parameters");
    for (uint32_t i = 0; !ts_node_is_null(list) && i < ts_node_named_child_count(list); i++) {
        TSNode item = ts_node_named_child(list, i);
        TSNode name = node_is(item, "identifier") ? item : scan_declared(node_field(item, "declarator"));
        if (!ts_node_is_null(name)) {
            add_variable(flowing, name, node_field(item, "declarator"), true);
        }
    }
}

/* Names the ends: "p:1" is the second parameter, a pointer; "q:x" another one; "v:x" what is none. */
static void name_ends(struct flowing *flowing)
{
    const struct scan *scan = flowing->scan;

    for (size_t i = 0; i < flowing->variables.count; i++) {
        struct flow_variable *variable = &flowing->variables.items[i];
        variable->end =
            flow_keep(flowing, must_printf("%c:%s", variable->pointer ? 'q' : 'v', variable->name));
        for (size_t k = 0; k < scan->parameters.count; k++) {
            if (strcmp(scan->parameters.items[k], variable->name) != 0) {
                continue;
            }
            const char *end = flow_keep(flowing, must_printf("p:%zu", k));
            if (variable->pointer) {
                variable->end = end;
            } else { /* a copy that is the function's own */
                LIST_ADD(&flowing->drafts, (struct flow_draft){ end, "", variable->end, "", 0, 0 });
            }
        }
    }
}

void flow_read_variables(struct flowing *flowing)
{
    read_parameters(flowing);
    read_uses(flowing, flowing->scan->definition, true);
    read_uses(flowing, flowing->scan->definition, false);
    name_ends(flowing);
}

/* ---- places ---------------------------------------------------------------------------------------- */

static bool find_member(struct flowing *flowing, TSNode node, const char **ret_end, const char **ret_member)
{
    TSNode whole = scan_without_casts(node_field(node, "argument"));
    const char *in = "";

    if (!flow_find_place(flowing, whole, ret_end, &in) ||
        (*in && node_is(node_field(node, "operator"), "->"))) {
        return false;
    }
    *ret_member = flow_keep(flowing, scan_text(flowing->scan, node_field(node, "field")));
    return true;
}

bool flow_find_place(struct flowing *flowing, TSNode node, const char **ret_end, const char **ret_member)
{
    node = scan_inside(node);
    if (node_is(node, "identifier")) {
        const struct flow_variable *variable = find_variable(flowing, node);
        *ret_end = variable ? variable->end : NULL;
        *ret_member = "";
        return variable != NULL;
    }
    if (node_is(node, "field_expression")) {
        return find_member(flowing, node, ret_end, ret_member);
    }
    TSNode inner = scan_without_casts(node_field(node, "argument"));
    if (node_is(node, "subscript_expression") && node_is(inner, "identifier")) {
        const struct flow_variable *variable = find_variable(flowing, inner);
        *ret_end = variable ? variable->end : NULL;
        *ret_member = variable && variable->array ? "" : "*";
        return variable != NULL;
    }
    return node_is(node, "pointer_expression") && node_is(node_field(node, "operator"), "*") &&
           flow_find_target(flowing, inner, ret_end, ret_member);
}

bool flow_find_target(struct flowing *flowing, TSNode node, const char **ret_end, const char **ret_member)
{
    node = scan_without_casts(node);
    if (scan_is_address(node)) {
        return flow_find_place(flowing, node_field(node, "argument"), ret_end, ret_member);
    }
    const struct flow_variable *variable = node_is(node, "identifier") ? find_variable(flowing, node) : NULL;
    *ret_end = variable ? variable->end : NULL;
    *ret_member = variable && variable->array ? "" : "*";
    return variable != NULL;
}
