/*
 * Which loop is meant. With the cursor on a loop, the innermost one whose head it is on; with the name of a
 * function that is waited in, the outermost loop around a call of it, since that is the one that does not
 * end.
 */
#include "recorder/loop/private.h"

static bool is_loop(TSNode node)
{
    return node_is(node, "for_statement") || node_is(node, "while_statement") ||
           node_is(node, "do_statement");
}

/* `1` or `true`, in any parentheses. */
static bool is_true(const struct loop_work *work, TSNode condition)
{
    while (node_is(condition, "parenthesized_expression"))
        condition = ts_node_named_child(condition, 0);
    return node_reads(work, condition, "1") || node_reads(work, condition, "true") ||
           node_reads(work, condition, "TRUE");
}

static bool is_endless(const struct loop_work *work, TSNode loop)
{
    TSNode condition = node_field(loop, "condition");

    return ts_node_is_null(condition) ? node_is(loop, "for_statement") : is_true(work, condition);
}

/* Whether NODE calls the function CALLEE somewhere. */
static bool calls(const struct loop_work *work, TSNode node, const char *callee, unsigned depth)
{
    if (node_is(node, "call_expression") && node_reads(work, node_field(node, "function"), callee))
        return true;
    for (uint32_t i = 0; i < ts_node_named_child_count(node) && depth < LOOP_DEPTH_MAX; i++) {
        if (calls(work, ts_node_named_child(node, i), callee, depth + 1))
            return true;
    }
    return false;
}

/* Whether the lines of WISH touch the head of LOOP, up to its body's brace; of `do`, also its last line. */
static bool at_head(TSNode loop, const struct loop_wish *wish, uint32_t first_row)
{
    uint32_t first = first_row + ts_node_start_point(loop).row;
    uint32_t last = first_row + ts_node_start_point(node_field(loop, "body")).row;
    uint32_t end = first_row + ts_node_end_point(loop).row;

    if (node_is(loop, "do_statement") && wish->first_line <= end && wish->last_line >= end)
        return true;
    return wish->first_line <= last && wish->last_line >= first;
}

struct search {
    struct loop_work *work;
    const struct loop_wish *wish;
    uint32_t first_row;
    unsigned rank; /* of the one found; the highest wins */
};

/* How well LOOP is what is wished for; 0: not at all. */
static unsigned rank(const struct search *search, TSNode loop, unsigned nesting)
{
    bool endless = is_endless(search->work, loop);

    if (!search->wish->callee)
        return (endless || search->wish->any) && at_head(loop, search->wish, search->first_row) ? nesting : 0;
    if (*search->wish->callee && calls(search->work, loop, search->wish->callee, 0))
        return 2 * LOOP_DEPTH_MAX + (endless ? LOOP_DEPTH_MAX : 0) - nesting;
    return endless ? LOOP_DEPTH_MAX - nesting : 0;
}

static void search_in(struct search *search, TSNode node, unsigned depth, unsigned nesting)
{
    if (is_loop(node)) {
        unsigned found = rank(search, node, ++nesting);
        if (found > search->rank && !ts_node_is_null(node_field(node, "body"))) {
            search->rank = found;
            search->work->loop = node;
            search->work->turn = node_field(node, "body");
        }
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(node) && depth < LOOP_DEPTH_MAX; i++)
        search_in(search, ts_node_named_child(node, i), depth + 1, nesting);
}

static uint32_t rows_before(const char *text, uint32_t offset)
{
    uint32_t rows = 0;

    for (uint32_t i = 0; i < offset; i++)
        rows += text[i] == '\n';
    return rows;
}

bool loop_find(struct loop_work *work, const struct loop_wish *wish)
{
    TSNode root = ts_tree_root_node(work->tree);
    struct search search = { work, wish, rows_before(work->source->text, work->source->lead), 0 };

    work->function = work->body = work->loop = work->turn = (TSNode){ 0 };
    for (uint32_t i = 0; i < ts_node_named_child_count(root); i++) {
        TSNode child = ts_node_named_child(root, i);
        if (node_is(child, "function_definition")) {
            work->function = child;
            work->body = node_field(child, "body");
            break;
        }
    }
    if (ts_node_is_null(work->function) || ts_node_is_null(work->body))
        return false;
    search_in(&search, work->body, 0, 0);
    return search.rank > 0;
}
