/*
 * tree-sitter wants to be told an edit in bytes and in rows and columns. Both are found by comparing the text
 * that the tree stands for with the one to be parsed: common beginning, common end, and what lies between.
 * With an error in it, the tree of an incremental parse may differ from that of a parse from scratch; what
 * the user sees must not depend on the way he came, so such a tree is made again from scratch.
 */
#include "recorder/syntax.h"

#include <stdlib.h>
#include <string.h>

void syntax_deinit(struct syntax *syntax)
{
    if (syntax->tree) {
        ts_tree_delete(syntax->tree);
    }
    free(syntax->text);
    *syntax = (struct syntax){ 0 };
}

void syntax_inherit(struct syntax *new_syntax, struct syntax *old_syntax)
{
    if (new_syntax->known || new_syntax->tree || !old_syntax->tree) {
        return;
    }
    new_syntax->tree = old_syntax->tree;
    new_syntax->text = old_syntax->text;
    new_syntax->length = old_syntax->length;
    old_syntax->tree = NULL;
    old_syntax->text = NULL;
}

static TSPoint point_after(TSPoint point, const char *text, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            point.row++;
            point.column = 0;
        } else {
            point.column++;
        }
    }
    return point;
}

/* Tells the tree how its text became TEXT. */
static void edit_tree(struct syntax *syntax, const char *text, uint32_t length)
{
    uint32_t least = length < syntax->length ? length : syntax->length, begin = 0, end = 0;

    while (begin < least && text[begin] == syntax->text[begin]) {
        begin++;
    }
    while (end < least - begin && text[length - end - 1] == syntax->text[syntax->length - end - 1]) {
        end++;
    }
    TSPoint start = point_after((TSPoint){ 0 }, text, begin);
    uint32_t old_end = syntax->length - end, new_end = length - end;
    TSInputEdit edit = {
        .start_byte = begin,
        .old_end_byte = old_end,
        .new_end_byte = new_end,
        .start_point = start,
        .old_end_point = point_after(start, syntax->text + begin, old_end - begin),
        .new_end_point = point_after(start, text + begin, new_end - begin),
    };
    ts_tree_edit(syntax->tree, &edit);
}

static uint32_t first_error(TSNode node)
{
    for (;;) {
        if (ts_node_is_missing(node) || strcmp(ts_node_type(node), "ERROR") == 0) {
            return ts_node_start_byte(node);
        }
        uint32_t count = ts_node_child_count(node), i = 0;
        while (i < count && !ts_node_has_error(ts_node_child(node, i)) &&
               !ts_node_is_missing(ts_node_child(node, i))) {
            i++;
        }
        if (i == count) {
            return ts_node_start_byte(node);
        }
        node = ts_node_child(node, i);
    }
}

static TSTree *parse(struct syntax *syntax, TSParser *parser, const char *text, uint32_t length)
{
    if (!syntax->tree) {
        return ts_parser_parse_string(parser, NULL, text, length);
    }
    edit_tree(syntax, text, length);
    TSTree *tree = ts_parser_parse_string(parser, syntax->tree, text, length);
    if (tree && ts_node_has_error(ts_tree_root_node(tree))) {
        ts_tree_delete(tree);
        tree = ts_parser_parse_string(parser, NULL, text, length);
    }
    return tree;
}

struct molt_error *syntax_check(struct syntax *syntax, TSParser *parser, const char *text, uint32_t length,
                                bool keep)
{
    if (syntax->known) {
        return NULL;
    }
    TSTree *tree = parse(syntax, parser, text, length);
    char *copy = keep && tree ? malloc(length + 1) : NULL;
    if (!tree || (keep && !copy)) {
        syntax_deinit(syntax);
        if (tree) {
            ts_tree_delete(tree);
        }
        return molt_error_nomem();
    }
    TSNode root = ts_tree_root_node(tree);
    bool has_error = ts_node_has_error(root);
    uint32_t offset = has_error ? first_error(root) : 0;
    syntax_deinit(syntax);
    *syntax = (struct syntax){ .known = true, .has_error = has_error, .error_offset = offset };
    if (keep) {
        memcpy(copy, text, length);
        syntax->text = copy;
        syntax->length = length;
        syntax->tree = tree;
    } else {
        ts_tree_delete(tree);
    }
    return NULL;
}
