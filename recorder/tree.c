/*
 * From the syntax tree of a segment's skeleton to its declarations. One walk over the nodes that can declare
 * something; whatever else stands at the level of the file goes into a hash, so that no change is lost only
 * because the grammar has no name for it.
 *
 *     struct stats { int hits; } *all, one = {};
 *     `--- type ---'               type stats, member hits of stats
 *                    `- declarator -'  variables all and one, each with the type's hash mixed into its own
 */
#include <string.h>

#include "recorder/declarations.h"
#include "recorder/node.h"
#include "recorder/token.h"

enum { EXCLUDED_MAX = 64, DEPTH_MAX = 64 };

struct walk {
    struct extractor *extractor;
    const char *segment;
    uint32_t length;
    struct declarations *ret;
    uint64_t leftover;
};

/* Stretches that do not count in a hash: names. In order. */
struct excluded {
    struct range ranges[EXCLUDED_MAX];
    uint32_t count;
};

static uint64_t hash_range(const struct walk *walk, uint64_t seed, uint32_t start, uint32_t end)
{
    return start < end ? token_hash(seed, walk->segment, start, end, NULL, 0) : seed;
}

/* Hash of RANGE without what EXCLUDED names. */
static uint64_t hash_without(const struct walk *walk, uint64_t seed, struct range range,
                             const struct excluded *excluded)
{
    for (uint32_t i = 0; i < excluded->count; i++) {
        struct range hole = excluded->ranges[i];
        if (hole.start >= range.start && hole.end <= range.end) {
            seed = hash_mix(hash_range(walk, seed, range.start, hole.start), 0x686f6c65);
            range.start = hole.end;
        }
    }
    return hash_range(walk, seed, range.start, range.end);
}

static uint64_t hash_node(const struct walk *walk, uint64_t seed, TSNode node)
{
    struct range range = extractor_range(walk->extractor, node);

    return hash_range(walk, seed, range.start, range.end);
}

static bool is_aggregate(TSNode node)
{
    return !ts_node_is_null(node) && (node_is(node, "struct_specifier") || node_is(node, "union_specifier") ||
                                      node_is(node, "enum_specifier"));
}

static bool is_name(TSNode node)
{
    return node_is(node, "identifier") || node_is(node, "field_identifier") ||
           node_is(node, "type_identifier") || node_is(node, "primitive_type");
}

/* The declarator inside of DECLARATOR, one level in; null at the name. */
static TSNode inner_declarator(TSNode declarator)
{
    TSNode inner = node_field(declarator, "declarator");

    if (!ts_node_is_null(inner) || is_name(declarator)) {
        return inner;
    }
    for (uint32_t i = 0; i < ts_node_named_child_count(declarator); i++) {
        TSNode child = ts_node_named_child(declarator, i);
        if (is_name(child) || strstr(ts_node_type(child), "declarator")) {
            return child;
        }
    }
    return inner; /* null: an abstract or broken declarator */
}

/* The name that DECLARATOR declares (null if none), and the function declarator right around it (null if the
 * name is not a function's). */
static TSNode declared_name(TSNode declarator, TSNode *ret_function)
{
    TSNode function = { 0 };

    for (int depth = 0; depth < DEPTH_MAX && !ts_node_is_null(declarator); depth++) {
        if (is_name(declarator)) {
            *ret_function = function;
            return declarator;
        }
        if (node_is(declarator, "function_declarator")) {
            function = declarator;
        } else if (!node_is(declarator, "parenthesized_declarator") &&
                   !node_is(declarator, "attributed_declarator")) {
            function = (TSNode){ 0 };
        }
        declarator = inner_declarator(declarator);
    }
    return (TSNode){ 0 };
}

static void exclude(struct excluded *excluded, struct range range)
{
    if (excluded->count < EXCLUDED_MAX && range.start < range.end) {
        excluded->ranges[excluded->count++] = range;
    }
}

/* Excludes the names of the parameters of FUNCTION, a function declarator. */
static void exclude_parameters(const struct walk *walk, TSNode function, struct excluded *excluded)
{
    TSNode parameters = node_field(function, "parameters"), unused;

    for (uint32_t i = 0; !ts_node_is_null(parameters) && i < ts_node_named_child_count(parameters); i++) {
        TSNode name = declared_name(node_field(ts_node_named_child(parameters, i), "declarator"), &unused);
        if (!ts_node_is_null(name)) {
            exclude(excluded, extractor_range(walk->extractor, name));
        }
    }
}

/* Adds what the node NAME names; NULL without memory. */
static struct declaration *add(struct walk *walk, enum declaration_kind kind, TSNode name,
                               struct range extent, int32_t owner)
{
    struct range label = { extent.start, extent.start };

    if (!ts_node_is_null(name)) {
        label = extractor_range(walk->extractor, name);
    }
    int32_t index =
        declarations_add(walk->ret, kind, walk->segment + label.start, label.end - label.start, owner);
    if (index < 0) {
        return NULL;
    }
    struct declaration *item = &walk->ret->items[index];
    item->extent = extent;
    item->label = label;
    item->head_end = extent.end;
    return item;
}

/* Hash of the type that the declarators of NODE share: all its children but declarators and bodies. */
static uint64_t hash_specifiers(const struct walk *walk, TSNode node)
{
    uint64_t hash = 11;
    TSTreeCursor cursor = ts_tree_cursor_new(node);

    for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
         more = ts_tree_cursor_goto_next_sibling(&cursor)) {
        TSNode child = ts_tree_cursor_current_node(&cursor);
        const char *name = ts_tree_cursor_current_field_name(&cursor);
        if ((name && strcmp(name, "declarator") == 0) || node_is(child, ",") || node_is(child, ";") ||
            node_is(child, "comment") || node_is(child, "bitfield_clause") ||
            node_is(child, "compound_statement")) {
            continue;
        }
        TSNode body = is_aggregate(child) ? node_field(child, "body") : (TSNode){ 0 };
        if (ts_node_is_null(body)) {
            hash = hash_node(walk, hash, child);
        } else {
            struct range head = extractor_range(walk->extractor, child);
            hash = hash_range(walk, hash, head.start, extractor_range(walk->extractor, body).start);
        }
    }
    ts_tree_cursor_delete(&cursor);
    return hash;
}

static bool has_storage(const struct walk *walk, TSNode node, const char *word)
{
    for (uint32_t i = 0; i < ts_node_named_child_count(node); i++) {
        TSNode child = ts_node_named_child(node, i);
        struct range range = extractor_range(walk->extractor, child);
        if (node_is(child, "storage_class_specifier") && range.end - range.start == strlen(word) &&
            memcmp(walk->segment + range.start, word, strlen(word)) == 0) {
            return true;
        }
    }
    return false;
}

static void walk_type(struct walk *walk, TSNode node, int32_t owner, TSNode fallback_name);

/* One declarator of NODE, declaring a variable, a function, a typedef or a member. Returns its index or -1.
 */
static int32_t walk_declarator(struct walk *walk, TSNode node, TSNode declarator, uint64_t specifiers,
                               enum declaration_kind kind, int32_t owner)
{
    TSNode function = { 0 }, value = node_field(declarator, "value");
    struct excluded excluded = { 0 };

    if (node_is(declarator, "init_declarator")) {
        declarator = node_field(declarator, "declarator");
    }
    TSNode name = declared_name(declarator, &function);
    if (ts_node_is_null(name)) {
        return -1;
    }
    bool is_function = kind == DECLARATION_VARIABLE && !ts_node_is_null(function);
    struct declaration *item = add(walk, is_function ? DECLARATION_FUNCTION : kind, name,
                                   extractor_range(walk->extractor, node), owner);
    if (!item) {
        return -1;
    }
    exclude(&excluded, item->label);
    if (!ts_node_is_null(function)) {
        exclude_parameters(walk, function, &excluded);
    }
    struct range range = extractor_range(walk->extractor, declarator);
    item->prototype = is_function || (kind == DECLARATION_VARIABLE && ts_node_is_null(value) &&
                                      has_storage(walk, node, "extern"));
    item->type_hash = hash_without(walk, specifiers, range, &excluded);
    item->head_end = range.end;
    item->value_hash = 0;
    if (!ts_node_is_null(value)) {
        struct range text = extractor_range(walk->extractor, value);
        item->value_hash = token_hash(13, walk->segment, text.start, text.end,
                                      walk->segment + item->label.start, item->label.end - item->label.start);
    }
    return (int32_t)(item - walk->ret->items);
}

/* The width of a bit-field counts as part of its type. */
static void add_width(struct walk *walk, int32_t member, TSNode clause)
{
    if (member >= 0) {
        struct declaration *item = &walk->ret->items[member];
        item->type_hash = hash_node(walk, item->type_hash, clause);
        item->head_end = extractor_range(walk->extractor, clause).end;
    }
}

/* All declarators of NODE, then the type that it defines, if any. */
static void walk_declarators(struct walk *walk, TSNode node, enum declaration_kind kind, int32_t owner)
{
    uint64_t specifiers = hash_specifiers(walk, node);
    TSNode type = node_field(node, "type"), first_name = { 0 }, unused;
    TSTreeCursor cursor = ts_tree_cursor_new(node);
    int32_t first = -1, last = -1;

    for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
         more = ts_tree_cursor_goto_next_sibling(&cursor)) {
        TSNode child = ts_tree_cursor_current_node(&cursor);
        const char *name = ts_tree_cursor_current_field_name(&cursor);
        if (node_is(child, "bitfield_clause")) {
            add_width(walk, last, child);
        } else if (name && strcmp(name, "declarator") == 0) {
            last = walk_declarator(walk, node, child, specifiers, kind, owner);
            if (first < 0 && last >= 0) {
                first = last;
                first_name = declared_name(child, &unused);
            }
        }
    }
    ts_tree_cursor_delete(&cursor);
    if (!is_aggregate(type)) {
        return;
    }
    if (kind == DECLARATION_TYPEDEF) {
        walk_type(walk, type, -1, first_name);
    } else {
        walk_type(walk, type, first >= 0 ? first : owner, (TSNode){ 0 });
    }
}

static void walk_enumerator(struct walk *walk, TSNode node, int32_t owner)
{
    struct declaration *item = add(walk, DECLARATION_ENUMERATOR, node_field(node, "name"),
                                   extractor_range(walk->extractor, node), owner);
    TSNode value = node_field(node, "value");

    if (item && !ts_node_is_null(value)) {
        item->value_hash = hash_node(walk, 17, value);
    }
}

/* Members and enumerators in BODY, those in broken or conditional parts included. Returns the hash of all
 * else that stands there. */
static uint64_t walk_members(struct walk *walk, TSNode body, int32_t owner, int depth)
{
    uint64_t leftover = 0;
    TSTreeCursor cursor = ts_tree_cursor_new(body);

    for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
         more = ts_tree_cursor_goto_next_sibling(&cursor)) {
        TSNode child = ts_tree_cursor_current_node(&cursor);
        if (node_is(child, "field_declaration")) {
            walk_declarators(walk, child, DECLARATION_MEMBER, owner);
        } else if (node_is(child, "enumerator")) {
            walk_enumerator(walk, child, owner);
        } else if (node_is(child, "ERROR") && depth < DEPTH_MAX) {
            leftover = hash_mix(leftover, hash_node(walk, 19, child));
            walk_members(walk, child, owner, depth + 1);
        } else if (ts_node_is_named(child) && !node_is(child, "comment")) {
            leftover = hash_mix(leftover, hash_node(walk, 19, child));
        }
    }
    ts_tree_cursor_delete(&cursor);
    return leftover;
}

/* Directives between START and END, which the skeleton lacks. */
static uint64_t hash_directives(const struct walk *walk, uint64_t hash, struct range range)
{
    for (uint32_t i = 0; i < walk->extractor->region_count; i++) {
        const struct segment_region *region = &walk->extractor->regions[i];
        if (region->kind == REGION_DIRECTIVE && region->start >= range.start && region->end <= range.end) {
            hash = hash_range(walk, hash_mix(hash, 0x6966), region->start, region->end);
        }
    }
    return hash;
}

/* A struct, union or enum. OWNER: the declaration that holds its members if it has no name of its own;
 * FALLBACK_NAME: the typedef that names it then, or null. */
static void walk_type(struct walk *walk, TSNode node, int32_t owner, TSNode fallback_name)
{
    TSNode name = node_field(node, "name"), body = node_field(node, "body");
    struct range extent = extractor_range(walk->extractor, node);

    if (ts_node_is_null(name)) {
        name = fallback_name;
    }
    if (ts_node_is_null(body)) {
        return;
    }
    struct range inside = extractor_range(walk->extractor, body);
    struct declaration *item = NULL;
    if (!ts_node_is_null(name)) {
        item = add(walk, DECLARATION_TYPE, name, extent, -1);
        if (!item) {
            return;
        }
        struct excluded excluded = { .ranges = { item->label }, .count = 1 };
        item->head_end = inside.start;
        item->type_hash = hash_without(walk, 23, (struct range){ extent.start, inside.start }, &excluded);
        item->type_hash = hash_range(walk, item->type_hash, inside.end, extent.end);
        owner = (int32_t)(item - walk->ret->items);
    }
    uint64_t leftover = hash_directives(walk, walk_members(walk, body, owner, 0), inside);
    if (item) {
        walk->ret->items[owner].value_hash = leftover;
    } else if (owner >= 0) {
        walk->ret->items[owner].type_hash = hash_mix(walk->ret->items[owner].type_hash, leftover);
    } else {
        walk->leftover = hash_mix(walk->leftover, leftover);
    }
}

/* "struct a;" */
static void walk_forward(struct walk *walk, TSNode node)
{
    TSNode name = node_field(node, "name");

    if (!ts_node_is_null(name)) {
        struct declaration *item =
            add(walk, DECLARATION_TYPE, name, extractor_range(walk->extractor, node), -1);
        if (item) {
            item->prototype = true;
        }
    }
}

static void walk_function(struct walk *walk, TSNode node)
{
    TSNode function = { 0 }, declarator = node_field(node, "declarator"), body = node_field(node, "body");
    TSNode name = declared_name(declarator, &function);

    if (ts_node_is_null(name) || ts_node_is_null(body)) {
        return;
    }
    struct range extent = extractor_range(walk->extractor, node);
    struct declaration *item = add(walk, DECLARATION_FUNCTION, name, extent, -1);
    if (!item) {
        return;
    }
    struct range inside = extractor_range(walk->extractor, body);
    struct excluded excluded = { 0 };
    exclude(&excluded, item->label);
    if (!ts_node_is_null(function)) {
        exclude_parameters(walk, function, &excluded);
    }
    item->head_end = inside.start;
    item->type_hash = hash_without(walk, 29, (struct range){ extent.start, inside.start }, &excluded);
    for (uint32_t i = 1; i < excluded.count; i++) {
        item->names_hash =
            hash_range(walk, item->names_hash, excluded.ranges[i].start, excluded.ranges[i].end);
    }
    item->value_hash = token_hash(31, walk->segment, inside.start, inside.end,
                                  walk->segment + item->label.start, item->label.end - item->label.start);
    if (is_aggregate(node_field(node, "type"))) {
        walk_type(walk, node_field(node, "type"), -1, (TSNode){ 0 });
    }
}

/* Everything that NODE declares at the level of the file; what declares nothing is added to the leftover. */
static void walk_file_level(struct walk *walk, TSNode node, int depth)
{
    uint32_t before = walk->ret->count;

    if (node_is(node, "function_definition")) {
        walk_function(walk, node);
    } else if (node_is(node, "declaration")) {
        walk_declarators(walk, node, DECLARATION_VARIABLE, -1);
    } else if (node_is(node, "type_definition")) {
        walk_declarators(walk, node, DECLARATION_TYPEDEF, -1);
    } else if (is_aggregate(node)) {
        if (ts_node_is_null(node_field(node, "body"))) {
            walk_forward(walk, node);
        } else {
            walk_type(walk, node, -1, (TSNode){ 0 });
        }
    } else if (node_is(node, "linkage_specification")) {
        walk_file_level(walk, node_field(node, "body"), depth + 1);
    } else if (node_is(node, "ERROR") && depth < DEPTH_MAX) {
        for (uint32_t i = 0; i < ts_node_child_count(node); i++) {
            walk_file_level(walk, ts_node_child(node, i), depth + 1);
        }
        walk->leftover = hash_mix(walk->leftover, hash_node(walk, 37, node));
        return;
    }
    if (walk->ret->count == before && !node_is(node, "comment") && !node_is(node, ";")) {
        walk->leftover = hash_mix(walk->leftover, hash_node(walk, 37, node));
    }
}

/* Macros that the skeleton lacks. */
static uint64_t hash_macros(const struct walk *walk)
{
    uint64_t hash = 0;

    for (uint32_t i = 0; i < walk->extractor->region_count; i++) {
        const struct segment_region *region = &walk->extractor->regions[i];
        if (region->kind == REGION_MACRO) {
            hash = hash_range(walk, hash_mix(hash, 43), region->start, region->end);
        }
    }
    return hash;
}

uint64_t declarations_from_tree(struct extractor *extractor, TSNode root, const char *segment,
                                uint32_t length, struct declarations *ret)
{
    struct walk walk = { .extractor = extractor, .segment = segment, .length = length, .ret = ret };

    walk.leftover = hash_macros(&walk);
    if (node_is(root, "ERROR")) {
        walk_file_level(&walk, root, 0);
    } else {
        for (uint32_t i = 0; i < ts_node_child_count(root); i++) {
            walk_file_level(&walk, ts_node_child(root, i), 0);
        }
    }
    if (ts_node_has_error(root)) {
        walk.leftover = hash_mix(walk.leftover, token_hash(41, extractor->skeleton.bytes, 0,
                                                           (uint32_t)extractor->skeleton.length, NULL, 0));
    }
    return walk.leftover;
}
