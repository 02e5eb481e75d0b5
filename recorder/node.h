/* Nodes of syntax trees: what tree-sitter's names are asked for. Null nodes are nothing, and have no fields.
 */
#ifndef MOLT_RECORDER_NODE_H
#define MOLT_RECORDER_NODE_H

#include <stdbool.h>
#include <string.h>
#include <tree_sitter/api.h>

static inline bool node_is(TSNode node, const char *type)
{
    return !ts_node_is_null(node) && strcmp(ts_node_type(node), type) == 0;
}

static inline TSNode node_field(TSNode node, const char *name)
{
    return ts_node_is_null(node) ? node : ts_node_child_by_field_name(node, name, (uint32_t)strlen(name));
}

#endif
