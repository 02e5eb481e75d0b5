/*
 * Where functions that allocate take what they return from, if not from an allocator. Pools do both:
 *
 *     void *get(struct pool *pool, size_t size)
 *     {
 *         void *slot = pool->free;             taken: a list, of which it is the first
 *         if (slot && size <= pool->size) {
 *             pool->free = *(void **)slot;
 *             return slot;
 *         }
 *         return malloc(size);
 *     }
 *
 * Each returned value is followed backwards through the function's local variables, to a call, a constant, a
 * parameter, or a place in memory. What lies there was somebody's before; if the function changes that place
 * too, it hands out what it found, bit by bit if it counts the address up. A place that it only reads may be
 * anything. What a local variable got from an allocator is fresh, with whatever is added to its address.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/probe/origins.h"
#include "patch/sites/allocators.h"

#define DEEP 40 /* expressions inside of each other, variables followed through each other */

/* ---- what the function does ------------------------------------------------------------------------ */

bool trace_is_sum(const struct trace *trace, TSNode node)
{
    TSNode sign = node_field(node, "operator");

    return node_is(node, "binary_expression") &&
           (scan_reads(trace->scan, sign, "+") || scan_reads(trace->scan, sign, "-"));
}

static void note_store(struct trace *trace, TSNode left, TSNode right, bool counts)
{
    left = scan_inside(left);
    LIST_ADD(&trace->stores,
             (struct store){
                 .left = left, .right = right, .text = scan_text(trace->scan, left), .counts = counts });
}

static void note_assignment(struct trace *trace, TSNode node)
{
    TSNode right = node_field(node, "right"), none = { 0 };
    bool plain = scan_reads(trace->scan, node_field(node, "operator"), "=");

    note_store(trace, node_field(node, "left"), plain ? right : none,
               !plain || trace_is_sum(trace, scan_without_casts(right)));
}

static void note_declaration(struct trace *trace, TSNode declaration)
{
    bool lasting = scan_is_lasting(trace->scan, declaration);

    for (uint32_t i = 0; i < ts_node_named_child_count(declaration); i++) {
        TSNode child = ts_node_named_child(declaration, i);
        bool initialised = node_is(child, "init_declarator");
        TSNode name = initialised || node_is(child, "identifier") || strstr(ts_node_type(child), "declarator")
                          ? scan_declared(child)
                          : (TSNode){ 0 };
        if (ts_node_is_null(name) || lasting) {
            continue;
        }
        LIST_ADD(&trace->locals, scan_text(trace->scan, name));
        if (initialised) {
            note_store(trace, name, node_field(child, "value"), false);
        }
    }
}

/* Whether NODE, the address of something, is given to a function that adds to it atomically. */
static bool adds(const struct trace *trace, TSNode node)
{
    TSNode call = ts_node_parent(ts_node_parent(node));
    char *name = scan_text(trace->scan, node_field(call, "function"));
    bool adds = strstr(name, "fetch_add") || strstr(name, "fetch_sub") || strstr(name, "add_fetch") ||
                strstr(name, "sub_fetch");

    free(name);
    return adds;
}

/* Notes all below NODE. */
static void note_all(struct trace *trace, TSNode node)
{
    TSNode none = { 0 };

    if (node_is(node, "assignment_expression")) {
        note_assignment(trace, node);
    } else if (node_is(node, "update_expression")) {
        note_store(trace, node_field(node, "argument"), none, true);
    } else if (node_is(node, "declaration")) {
        note_declaration(trace, node);
    } else if (scan_is_address(node) && node_is(ts_node_parent(node), "argument_list")) {
        note_store(trace, node_field(node, "argument"), none, adds(trace, node));
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        note_all(trace, ts_node_named_child(node, i));
    }
}

/* ---- what is known of places ----------------------------------------------------------------------- */

static bool is_named(const struct trace *trace, TSNode node, char *const *names, size_t count)
{
    bool found = false;

    for (size_t i = 0; !found && i < count; i++) {
        found = scan_reads(trace->scan, node, names[i]);
    }
    return found;
}

bool trace_is_parameter(const struct trace *trace, TSNode name)
{
    return is_named(trace, name, trace->scan->parameters.items, trace->scan->parameters.count);
}

bool trace_is_local(const struct trace *trace, TSNode name)
{
    return node_is(name, "identifier") && (is_named(trace, name, trace->locals.items, trace->locals.count) ||
                                           trace_is_parameter(trace, name));
}

/* The member or lasting variable that the place NODE is, or an element of. Null: what a pointer leads to. */
static TSNode name_of_place(const struct trace *trace, TSNode node)
{
    while (node_is(node, "subscript_expression")) {
        node = scan_inside(node_field(node, "argument"));
    }
    return node_is(node, "field_expression")                             ? node_field(node, "field")
           : node_is(node, "identifier") && !trace_is_local(trace, node) ? node
                                                                         : (TSNode){ 0 };
}

static bool is_place(TSNode node)
{
    return node_is(node, "field_expression") || node_is(node, "subscript_expression") ||
           node_is(node, "pointer_expression") || node_is(node, "identifier");
}

/* Whether NODE, which reads TEXT, reads what STORE writes to. */
static bool reads(const struct trace *trace, TSNode node, const char *text, const struct store *store)
{
    TSNode name = name_of_place(trace, node);

    return strcmp(text, store->text) == 0 ||
           (!ts_node_is_null(name) && store->name && scan_reads(trace->scan, name, store->name));
}

static bool is_allocation(const struct trace *trace, TSNode function)
{
    char *name = scan_text(trace->scan, function);
    bool is = scan_is_wanted(trace->scan, name) || allocator_find(name);

    free(name);
    return is;
}

TSNode trace_plain_value(const struct trace *trace, TSNode node)
{
    while (!ts_node_is_null(node)) {
        node = scan_without_casts(node);
        TSNode function = node_field(node, "function"), list = node_field(node, "arguments");
        TSNode name = node_is(function, "parenthesized_expression") ? scan_inside(function) : (TSNode){ 0 };
        if (!node_is(name, "identifier") || trace_is_local(trace, name) || is_allocation(trace, name) ||
            ts_node_named_child_count(list) != 1) {
            break;
        }
        node = ts_node_named_child(list, 0);
    }
    return node;
}

TSNode trace_value(const struct trace *trace, TSNode node)
{
    node = trace_plain_value(trace, node);
    while (node_is(node, "assignment_expression")) {
        node = trace_plain_value(trace, node_field(node, "right"));
    }
    return node;
}

bool trace_is_fresh_call(const struct trace *trace, TSNode node)
{
    TSNode function = scan_inside(node_field(node, "function"));

    return node_is(node, "call_expression") &&
           (!node_is(function, "identifier") || trace_is_local(trace, function) ||
            is_allocation(trace, function));
}

bool trace_is_fresh(const struct trace *trace, TSNode node)
{
    bool any = false, other = false;

    for (size_t i = 0; i < trace->stores.count; i++) {
        const struct store *store = &trace->stores.items[i];
        if (!scan_reads(trace->scan, node, store->text)) {
            continue;
        }
        TSNode right = trace_value(trace, store->right);
        bool fresh = trace_is_fresh_call(trace, right);
        any = any || fresh;
        other = other || (store->counts && !trace_is_local(trace, node)) ||
                (!ts_node_is_null(right) && !fresh && !node_is(right, "null") &&
                 !node_is(right, "number_literal"));
    }
    return any && !other;
}

/* How the function changes what an expression reads. */
struct changes {
    bool any, counts;
    LIST(char *) met; /* local variables in it */
};

static void find_changes_below(struct trace *trace, TSNode node, struct changes *changes);

/* What NODE, a local variable, was given counts, too. */
static void find_changes_of_local(struct trace *trace, TSNode node, struct changes *changes)
{
    if (is_named(trace, node, changes->met.items, changes->met.count) || trace_is_fresh(trace, node)) {
        return;
    }
    LIST_ADD(&changes->met, scan_text(trace->scan, node));
    for (size_t i = 0; i < trace->stores.count; i++) {
        const struct store *store = &trace->stores.items[i];
        if (!ts_node_is_null(store->right) && scan_reads(trace->scan, node, store->text)) {
            find_changes_below(trace, store->right, changes);
        }
    }
}

static void find_changes_of_place(struct trace *trace, TSNode node, struct changes *changes)
{
    char *text = scan_text(trace->scan, node);

    for (size_t i = 0; i < trace->stores.count; i++) {
        const struct store *store = &trace->stores.items[i];
        if (reads(trace, node, text, store)) {
            changes->any = true;
            changes->counts = changes->counts || store->counts;
        }
    }
    free(text);
}

static void find_changes_below(struct trace *trace, TSNode node, struct changes *changes)
{
    if (trace_is_fresh_call(trace, node)) {
        return;
    }
    if (trace_is_local(trace, node)) {
        find_changes_of_local(trace, node, changes);
    } else if (is_place(node)) {
        find_changes_of_place(trace, node, changes);
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        find_changes_below(trace, ts_node_named_child(node, i), changes);
    }
}

/* How the function changes what is read below NODE, through the local variables in it. */
static void find_changes(struct trace *trace, TSNode node, bool *ret_changes, bool *ret_counts)
{
    struct changes changes = { 0 };

    find_changes_below(trace, node, &changes);
    *ret_changes = changes.any;
    *ret_counts = changes.counts;
    for (size_t i = 0; i < changes.met.count; i++) {
        free(changes.met.items[i]);
    }
    LIST_FREE(&changes.met);
}

/* ---- following a value ----------------------------------------------------------------------------- */

void trace_add(struct trace *trace, enum origin_kind kind, TSNode at, char *callee, char *place)
{
    struct scan *scan = trace->scan;
    const char *file;
    unsigned line = preprocessed_line(scan->source, scan_start(scan, at), &file);

    LIST_ADD(&scan->probe->origins, (struct origin){ .kind = kind,
                                                     .function = must_strdup(scan->function),
                                                     .callee = callee           ? callee
                                                               : trace->through ? must_strdup(trace->through)
                                                                                : NULL,
                                                     .place = place,
                                                     .file = must_strdup(file),
                                                     .line = line,
                                                     .cast = trace->cast });
}

bool trace_meet(struct trace *trace, TSNode variable, bool added)
{
    char *name = scan_text(trace->scan, variable), *key = must_printf("%s%s", name, added ? "+" : "");
    bool met = false;

    for (size_t i = 0; !met && i < trace->met.count; i++) {
        met = strcmp(trace->met.items[i], key) == 0;
    }
    if (met) {
        free(key);
    } else {
        LIST_ADD(&trace->met, key);
    }
    free(name);
    return met;
}

void trace_forget_met(struct trace *trace)
{
    for (size_t i = 0; i < trace->met.count; i++) {
        free(trace->met.items[i]);
    }
    trace->met.count = 0;
}

static void follow_value(struct trace *trace, TSNode node);

/* The variable at the bottom of the place NODE; null if there is none. */
static TSNode base_of(TSNode node)
{
    while (!ts_node_is_null(node) && !node_is(node, "identifier")) {
        node = scan_without_casts(node_field(node, "argument"));
    }
    return node;
}

/* The value comes out of memory, at the place NODE. */
static void follow_place(struct trace *trace, TSNode node)
{
    TSNode base = base_of(node);
    bool changes = false, counts = false;

    if ((!ts_node_is_null(base) && !ts_node_eq(base, node) && trace_is_fresh(trace, base)) ||
        trace_is_fresh(trace, node)) {
        return; /* it has just made that itself */
    }
    find_changes(trace, node, &changes, &counts);
    bool element = node_is(node, "subscript_expression") || node_is(node, "pointer_expression");
    if (changes || !node_is(node, "identifier")) {
        TSNode name = name_of_place(trace, node);
        trace_add(trace,
                  !changes             ? ORIGIN_FOUND
                  : counts && !element ? ORIGIN_CARVED
                                       : ORIGIN_TAKEN,
                  node, NULL, ts_node_is_null(name) ? NULL : scan_text(trace->scan, name));
    }
}

/* What NODE, an identifier, was given. */
static void follow_variable(struct trace *trace, TSNode node)
{
    if (!trace_is_local(trace, node)) {
        follow_place(trace, node);
        return;
    }
    if (trace_meet(trace, node, false)) {
        return;
    }
    if (trace_is_parameter(trace, node) && !trace->through) {
        trace_add(trace, ORIGIN_PARAMETER, node, NULL, NULL);
    }
    for (size_t i = 0; i < trace->stores.count; i++) {
        struct store store = trace->stores.items[i];
        if (!ts_node_is_null(store.right) && scan_reads(trace->scan, node, store.text)) {
            follow_value(trace, store.right);
        }
    }
}

/* An address that is computed: NODE, a sum, or the element or member whose address it is. */
static void follow_sum(struct trace *trace, TSNode node)
{
    bool changes = false, counts = false;
    size_t before = trace->scan->probe->origins.count;

    if (trace_is_sum(trace, node)) {
        TSNode left = trace_plain_value(trace, node_field(node, "left"));
        if (node_is(left, "identifier") && trace_is_fresh(trace, left)) {
            return;
        }
        if (node_is(left, "identifier") || node_is(left, "call_expression") || trace_is_sum(trace, left)) {
            follow_value(trace, left);
        }
    } else {
        TSNode base = base_of(node);
        if (ts_node_is_null(base) || trace_is_fresh(trace, base)) {
            return;
        }
    }
    find_changes(trace, node, &changes, &counts);
    if (changes && counts && trace->scan->probe->origins.count == before) {
        trace_add(trace, ORIGIN_CARVED, node, NULL, NULL);
    }
}

/* What the function NAME is given, for the case that it gives that back. */
static void follow_arguments(struct trace *trace, TSNode list, const char *name)
{
    const char *before = trace->through;

    trace->through = name;
    for (uint32_t i = 0; i < ts_node_named_child_count(list); i++) {
        follow_value(trace, ts_node_named_child(list, i));
    }
    trace->through = before;
}

static void follow_call(struct trace *trace, TSNode call)
{
    TSNode function = scan_inside(node_field(call, "function")), list = node_field(call, "arguments");
    char *name = scan_text(trace->scan, function);

    if (scan_returns_first_argument(name) && ts_node_named_child_count(list)) {
        follow_value(trace, ts_node_named_child(list, 0));
    } else if (node_is(function, "identifier") && !trace_is_local(trace, function) && !allocator_find(name)) {
        trace_add(trace, ORIGIN_CALL, call, must_strdup(name), NULL);
        if (!scan_is_wanted(trace->scan, name)) {
            follow_arguments(trace, list, name);
        }
    }
    free(name);
}

/* The last statement of ({ ... }). */
static TSNode value_of_block(TSNode node)
{
    TSNode block = ts_node_named_child_count(node) ? ts_node_named_child(node, 0) : (TSNode){ 0 };
    uint32_t count = node_is(block, "compound_statement") ? ts_node_named_child_count(block) : 0;
    TSNode last = count ? ts_node_named_child(block, count - 1) : (TSNode){ 0 };

    return node_is(last, "expression_statement") && ts_node_named_child_count(last)
               ? ts_node_named_child(last, 0)
               : (TSNode){ 0 };
}

static void follow_kind(struct trace *trace, TSNode node)
{
    if (node_is(node, "identifier")) {
        follow_variable(trace, node);
    } else if (node_is(node, "call_expression")) {
        follow_call(trace, node);
    } else if (node_is(node, "conditional_expression")) {
        follow_value(trace, node_field(node, "consequence"));
        follow_value(trace, node_field(node, "alternative"));
    } else if (node_is(node, "comma_expression") || node_is(node, "assignment_expression")) {
        follow_value(trace, node_field(node, "right"));
    } else if (node_is(node, "parenthesized_expression")) {
        follow_value(trace, value_of_block(node));
    } else if (scan_is_address(node)) {
        follow_sum(trace, scan_inside(node_field(node, "argument")));
    } else if (node_is(node, "pointer_expression") || node_is(node, "field_expression") ||
               node_is(node, "subscript_expression")) {
        follow_place(trace, node);
    } else if (trace_is_sum(trace, node)) {
        follow_sum(trace, node);
    } else if (node_is(node, "update_expression")) {
        follow_value(trace, node_field(node, "argument"));
    }
}

static void follow_value(struct trace *trace, TSNode node)
{
    TSNode plain = trace_plain_value(trace, node);
    bool before = trace->cast;

    if (!ts_node_is_null(plain) && trace->depth < DEEP) {
        trace->depth++;
        trace->cast = before || !ts_node_eq(scan_inside(node), plain);
        follow_kind(trace, plain);
        trace->cast = before;
        trace->depth--;
    }
}

/* Follows what the return statements below NODE return. */
static void follow_returns(struct trace *trace, TSNode node)
{
    if (node_is(node, "return_statement") && ts_node_named_child_count(node)) {
        follow_value(trace, ts_node_named_child(node, 0));
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        follow_returns(trace, ts_node_named_child(node, i));
    }
}

void scan_origins(struct scan *scan, bool returns)
{
    struct trace trace = { .scan = scan };

    note_all(&trace, scan->definition);
    for (size_t i = 0; i < trace.stores.count; i++) {
        TSNode name = name_of_place(&trace, trace.stores.items[i].left);
        trace.stores.items[i].name = ts_node_is_null(name) ? NULL : scan_text(scan, name);
    }
    if (returns) {
        follow_returns(&trace, scan->definition);
    }
    trace_pieces(&trace);
    for (size_t i = 0; i < trace.locals.count; i++) {
        free(trace.locals.items[i]);
    }
    trace_forget_met(&trace);
    for (size_t i = 0; i < trace.stores.count; i++) {
        free(trace.stores.items[i].text);
        free(trace.stores.items[i].name);
    }
    LIST_FREE(&trace.stores);
    LIST_FREE(&trace.locals);
    LIST_FREE(&trace.met);
}
