/*
 * Lists of free memory look alike, whether they hold blocks that were given back or pieces that a large block
 * was cut into. What tells is who fills them:
 *
 *     char *large = malloc(COUNT * SIZE);
 *     for (i = 0; i < COUNT; i++)
 *         put(pool, large + i * SIZE);         passed: an address inside of a block
 *
 *     void put(struct pool *pool, void *slot)
 *     {
 *         *(void **)slot = pool->free;
 *         pool->free = slot;                   kept: what it was given
 *     }
 *
 * or both in one: an address inside of a block is listed.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/origins.h"

/* Whether NODE, to whose value something was ADDED already or not, is an address inside of a block, which the
 * function has from an allocator, or inside of a variable that lasts. */
static bool is_inside(struct trace *trace, TSNode node, bool added)
{
    bool inside = false;

    node = trace_value(trace, node);
    if (ts_node_is_null(node)) {
        return false;
    }
    if (trace_is_fresh_call(trace, node)) {
        return added;
    }
    if (trace_is_sum(trace, node)) {
        return is_inside(trace, node_field(node, "left"), true) ||
               is_inside(trace, node_field(node, "right"), true);
    }
    if (scan_is_address(node)) {
        TSNode element = scan_inside(node_field(node, "argument"));
        return node_is(element, "subscript_expression") &&
               is_inside(trace, node_field(element, "argument"), true);
    }
    if (!trace_is_local(trace, node)) {
        return added && trace_is_fresh(trace, node);
    }
    if (trace_meet(trace, node, added)) {
        return false;
    }
    for (size_t i = 0; i < trace->stores.count; i++) {
        const struct store *store = &trace->stores.items[i];
        added = added || (store->counts && scan_reads(trace->scan, node, store->text));
    }
    for (size_t i = 0; !inside && i < trace->stores.count; i++) {
        struct store store = trace->stores.items[i];
        inside = !ts_node_is_null(store.right) && scan_reads(trace->scan, node, store.text) &&
                 is_inside(trace, store.right, added);
    }
    return inside;
}

/* Whether NODE is what the function was given, as it was. */
static bool is_given(struct trace *trace, TSNode node)
{
    bool given = false;

    node = trace_value(trace, node);
    if (!node_is(node, "identifier") || trace_meet(trace, node, false)) {
        return false;
    }
    given = trace_is_parameter(trace, node);
    for (size_t i = 0; !given && trace_is_local(trace, node) && i < trace->stores.count; i++) {
        struct store store = trace->stores.items[i];
        given = !ts_node_is_null(store.right) && scan_reads(trace->scan, node, store.text) &&
                is_given(trace, store.right);
    }
    return given;
}

static bool asks(struct trace *trace, bool (*question)(struct trace *trace, TSNode node), TSNode node)
{
    trace_forget_met(trace);
    bool answer = question(trace, node);
    trace_forget_met(trace);
    return answer;
}

static bool is_piece(struct trace *trace, TSNode node)
{
    return is_inside(trace, node, false);
}

/* What is given to others below NODE. */
static void find_passed(struct trace *trace, TSNode node)
{
    TSNode function = scan_inside(node_field(node, "function")), list = node_field(node, "arguments");

    if (node_is(node, "call_expression") && node_is(function, "identifier") &&
        !trace_is_fresh_call(trace, node)) {
        for (uint32_t i = 0; i < ts_node_named_child_count(list); i++) {
            if (asks(trace, is_piece, ts_node_named_child(list, i))) {
                trace_add(trace, ORIGIN_PASSED, node, scan_text(trace->scan, function), NULL);
                break;
            }
        }
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        find_passed(trace, ts_node_named_child(node, i));
    }
}

void trace_pieces(struct trace *trace)
{
    for (size_t i = 0; i < trace->stores.count; i++) {
        struct store store = trace->stores.items[i];
        if (!store.name || ts_node_is_null(store.right)) {
            continue;
        }
        if (asks(trace, is_piece, store.right)) {
            trace_add(trace, ORIGIN_LISTED, store.left, NULL, must_strdup(store.name));
        } else if (asks(trace, is_given, store.right)) {
            trace_add(trace, ORIGIN_KEPT, store.left, NULL, must_strdup(store.name));
        }
    }
    find_passed(trace, trace->scan->definition);
}

static bool is_passed(const struct probe *probe, const char *function)
{
    bool passed = false;

    for (size_t i = 0; !passed && i < probe->origins.count; i++) {
        const struct origin *origin = &probe->origins.items[i];
        passed = origin->kind == ORIGIN_PASSED && strcmp(origin->callee, function) == 0;
    }
    return passed;
}

bool probe_has_pieces(const struct probe *probe, const char *place)
{
    bool pieces = false;

    for (size_t i = 0; !pieces && i < probe->origins.count; i++) {
        const struct origin *origin = &probe->origins.items[i];
        bool here = origin->place && strcmp(origin->place, place) == 0;
        pieces = here && (origin->kind == ORIGIN_LISTED ||
                          (origin->kind == ORIGIN_KEPT && is_passed(probe, origin->function)));
    }
    return pieces;
}
