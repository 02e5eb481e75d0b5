/*
 * One walk over the function in the order of its text, which is the order in which names come into scope:
 * what each block declares is forgotten at its end, and a use means the innermost name that is known then.
 * Uses are judged by what stands around them, so the way down to a node is kept (tree-sitter looks for a
 * parent from the root each time).
 */
#include "recorder/loop/private.h"

static void walk(struct loop_work *work, TSNode node);

/* ---- names ----------------------------------------------------------------------------------------- */

static bool named(const struct loop_work *work, const struct name *name, uint32_t start, uint32_t end)
{
    return same_words(text_at(work, name->start), name->end - name->start, text_at(work, start), end - start);
}

static bool in_turn(const struct loop_work *work, TSNode node)
{
    return node_holds(work->turn, node);
}

static void declare(struct loop_work *work, enum name_kind kind, TSNode label, TSNode declaration,
                    TSNode declarator)
{
    LOOP_ADD(work, &work->names,
             (struct name){ .kind = kind,
                            .start = node_start(work, label),
                            .end = node_end(work, label),
                            .declaration = declaration,
                            .declarator = declarator,
                            .alive = true,
                            .inside = in_turn(work, label),
                            .conditional = work->conditions > 0 });
}

/* What the word from START to END means here; UINT32_MAX: nothing of the function. */
static uint32_t find_name(const struct loop_work *work, uint32_t start, uint32_t end)
{
    for (uint32_t i = work->names.count; i-- > 0;) {
        if (work->names.items[i].alive && named(work, &work->names.items[i], start, end))
            return i;
    }
    return UINT32_MAX;
}

/* Notes what every name means where the loop stands. */
static void note_visible(struct loop_work *work)
{
    for (uint32_t i = 0; i < work->names.count; i++) {
        struct name *name = &work->names.items[i];
        name->visible = name->alive && find_name(work, name->start, name->end) == i;
    }
}

/* ---- uses ------------------------------------------------------------------------------------------ */

/* The node COUNT levels above the one that is walked, parentheses passed over. */
static TSNode around(const struct loop_work *work, uint32_t count, TSNode *ret_below)
{
    uint32_t at = work->depth - 1;

    for (;;) {
        *ret_below = work->path[at];
        if (at == 0)
            return (TSNode){ 0 };
        at--;
        if (!node_is(work->path[at], "parenthesized_expression") && count-- == 0)
            return work->path[at];
    }
}

static bool has_small_letter(const char *word, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        if (word[i] >= 'a' && word[i] <= 'z')
            return true;
    }
    return false;
}

static uint32_t argument_index(TSNode list, TSNode argument)
{
    for (uint32_t i = 0; i < ts_node_named_child_count(list); i++) {
        if (ts_node_eq(ts_node_named_child(list, i), argument))
            return i;
    }
    return 0;
}

/* A name is an argument, as it is: a macro may do anything with it. */
static void judge_argument(struct loop_work *work, struct name *name, TSNode list, TSNode argument, bool turn)
{
    static const char *const known[] = { "va_start", "va_arg", "va_copy", "va_end" };
    TSNode below, call = around(work, 1, &below), callee = node_field(call, "function");
    uint32_t start = node_start(work, callee), length = node_end(work, callee) - start, index;

    if (!node_is(call, "call_expression") || !node_is(callee, "identifier"))
        return;
    const struct macro *macro = loop_macro(work, text_at(work, start), length);
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (node_reads(work, callee, known[i])) {
            name->addressed = true;
            return;
        }
    }
    index = argument_index(list, argument);
    if (macro && macro->has_parameters) {
        name->is_argument |= turn && loop_macro_measures(work, macro);
        name->addressed |= loop_macro_writes(work, macro, index);
        name->spelled |= turn && loop_macro_spells(macro, index) && !node_reads(work, callee, "assert");
    } else if (!macro && !has_small_letter(text_at(work, start), length)) {
        name->is_argument |= turn;
        name->addressed = true;
    }
}

/* Whether a macro around the node that is walked may leave its argument, and the node with it, out. */
static bool may_be_dropped(const struct loop_work *work)
{
    for (uint32_t i = work->depth; i-- > 2;) {
        TSNode list = work->path[i - 1], callee = node_field(work->path[i - 2], "function");
        if (!node_is(list, "argument_list") || !node_is(callee, "identifier"))
            continue;
        uint32_t start = node_start(work, callee), length = node_end(work, callee) - start;
        const struct macro *macro = loop_macro(work, text_at(work, start), length);
        if (macro && macro->has_parameters &&
            loop_macro_may_drop(work, macro, argument_index(list, work->path[i])))
            return true;
    }
    return false;
}

/* What is done with NAME at the node that is walked. */
static void judge(struct loop_work *work, struct name *name, bool turn)
{
    TSNode below, parent = around(work, 0, &below);

    if (node_is(parent, "pointer_expression") && node_reads(work, node_field(parent, "operator"), "&"))
        name->addressed = true;
    else if (node_is(parent, "argument_list"))
        judge_argument(work, name, parent, below, turn);
    if (!turn)
        return;
    name->used = true;
    name->needed |= !work->conditions && !may_be_dropped(work);
    if (node_is(parent, "update_expression") || work->assembly ||
        (node_is(parent, "assignment_expression") && ts_node_eq(node_field(parent, "left"), below)))
        name->changed = true;
    else if (node_is(parent, "sizeof_expression") || node_is(parent, "type_descriptor") ||
             strstr(ts_node_type(parent), "typeof") || node_is(parent, "alignof_expression"))
        name->measured = true;
    else if (node_is(parent, "field_expression") && node_reads(work, node_field(parent, "operator"), "."))
        name->has_members = true;
}

/* Whether `*x` may stand for the name at NODE without parentheses: what is around binds less tightly, and
 * what is in front of it does not run into the star. */
static bool is_bare(const struct loop_work *work, TSNode node)
{
    static const char *const around_it[] = {
        "assignment_expression", "return_statement",       "init_declarator",          "expression_statement",
        "binary_expression",     "comma_expression",       "parenthesized_expression", "initializer_list",
        "initializer_pair",      "conditional_expression", "subscript_expression"
    };
    TSNode parent = work->depth > 1 ? work->path[work->depth - 2] : work->function;
    uint32_t start = node_start(work, node);
    char before = start ? *text_at(work, start - 1) : ' ';
    bool list = node_is(parent, "argument_list");

    if (!strchr(" \t\n([", before))
        return false;
    if (node_is(parent, "subscript_expression"))
        return ts_node_eq(node_field(parent, "index"), node);
    if (list && work->depth > 2) {
        TSNode callee = node_field(work->path[work->depth - 3], "function");
        uint32_t at = ts_node_is_null(callee) ? 0 : node_start(work, callee);
        uint32_t length = ts_node_is_null(callee) ? 0 : node_end(work, callee) - at;
        const struct macro *macro = loop_macro(work, text_at(work, at), length);
        return length && has_small_letter(text_at(work, at), length) &&
               (!macro || loop_macro_wraps(macro, argument_index(parent, node)));
    }
    for (size_t i = 0; i < sizeof(around_it) / sizeof(*around_it); i++) {
        if (node_is(parent, around_it[i]))
            return true;
    }
    return false;
}

static void add_use(struct loop_work *work, TSNode node, uint32_t index)
{
    TSNode parent = work->depth > 1 ? work->path[work->depth - 2] : work->function;
    struct use use = { .name = index, .start = node_start(work, node), .end = node_end(work, node) };

    use.whole_start = use.start;
    use.whole_end = use.end;
    use.bare = is_bare(work, node);
    if (node_is(parent, "pointer_expression") && node_reads(work, node_field(parent, "operator"), "&"))
        use.whole_start = node_start(work, parent);
    if (node_is(parent, "field_expression") && node_reads(work, node_field(parent, "operator"), "."))
        use.dot = node_start(work, node_field(parent, "operator"));
    LOOP_ADD(work, &work->uses, use);
}

/* The word at NODE is used. */
static void use_name(struct loop_work *work, TSNode node)
{
    uint32_t index = find_name(work, node_start(work, node), node_end(work, node));
    bool turn = in_turn(work, node);

    if (index == UINT32_MAX)
        return;
    struct name *name = &work->names.items[index];
    bool outer = turn && !name->inside;
    if (name->kind == NAME_OTHER) {
        name->used |= outer;
        return;
    }
    if (node_is(node, "type_identifier") && !node_is(work->path[work->depth - 2], "type_descriptor")) {
        if (outer)
            loop_refuse(work, node_start(work, node), "`%.*s` is taken for a type",
                        (int)(name->end - name->start), text_at(work, name->start));
        return;
    }
    judge(work, name, outer);
    if (outer)
        add_use(work, node, index);
}

/* ---- declarations ---------------------------------------------------------------------------------- */

/* The name in DECLARATOR, and whether it is a function's. */
static TSNode declared(TSNode declarator, bool *ret_function)
{
    *ret_function = false;
    for (int depth = 0; depth < 64 && !ts_node_is_null(declarator); depth++) {
        TSNode inner = node_field(declarator, "declarator");
        if (node_is(declarator, "identifier") || node_is(declarator, "type_identifier") ||
            node_is(declarator, "primitive_type"))
            return declarator;
        if (node_is(declarator, "function_declarator"))
            *ret_function = true;
        else if (!node_is(declarator, "parenthesized_declarator"))
            *ret_function = false;
        for (uint32_t i = 0; ts_node_is_null(inner) && i < ts_node_named_child_count(declarator); i++) {
            TSNode child = ts_node_named_child(declarator, i);
            if (strstr(ts_node_type(child), "declarator") || strstr(ts_node_type(child), "identifier"))
                inner = child;
        }
        declarator = inner;
    }
    return (TSNode){ 0 };
}

/* Declares what DECLARATOR of DECLARATION does, then looks at sizes and initial value, where the name is
 * known already. */
static void walk_declarator(struct loop_work *work, TSNode declaration, TSNode declarator,
                            enum name_kind kind)
{
    TSNode inner = node_is(declarator, "init_declarator") ? node_field(declarator, "declarator") : declarator;
    bool function;
    TSNode label = declared(inner, &function);

    if (!ts_node_is_null(label))
        declare(work, function && kind == NAME_VARIABLE ? NAME_OTHER : kind, label, declaration, inner);
    walk(work, declarator);
}

/* DECLARATION with its specifiers, then its declarators. */
static void walk_declaration(struct loop_work *work, TSNode declaration, enum name_kind kind)
{
    TSTreeCursor cursor = ts_tree_cursor_new(declaration);

    for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
         more = ts_tree_cursor_goto_next_sibling(&cursor)) {
        const char *name = ts_tree_cursor_current_field_name(&cursor);
        TSNode child = ts_tree_cursor_current_node(&cursor);
        if (name && strcmp(name, "declarator") == 0)
            walk_declarator(work, declaration, child, kind);
        else if (ts_node_is_named(child))
            walk(work, child);
    }
    ts_tree_cursor_delete(&cursor);
}

/* `struct a { ... }`: the tag is a name of the function, too. */
static void walk_type(struct loop_work *work, TSNode node)
{
    TSNode body = node_field(node, "body"), name = node_field(node, "name");

    if (ts_node_is_null(body)) {
        if (!ts_node_is_null(name)) {
            uint32_t index = find_name(work, node_start(work, name), node_end(work, name));
            if (index != UINT32_MAX && work->names.items[index].kind == NAME_OTHER && in_turn(work, node) &&
                !work->names.items[index].inside)
                work->names.items[index].used = true;
        }
        return;
    }
    if (!ts_node_is_null(name))
        declare(work, NAME_OTHER, name, node, node);
    walk(work, body);
}

/* ---- the walk -------------------------------------------------------------------------------------- */

/* The children of NODE; of a directive, its condition is none. */
static void walk_children(struct loop_work *work, TSNode node)
{
    TSTreeCursor cursor = ts_tree_cursor_new(node);

    for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
         more = ts_tree_cursor_goto_next_sibling(&cursor)) {
        const char *name = is_directive(node) ? ts_tree_cursor_current_field_name(&cursor) : NULL;
        TSNode child = ts_tree_cursor_current_node(&cursor);
        if (ts_node_is_named(child) && !(name && (!strcmp(name, "condition") || !strcmp(name, "name"))))
            walk(work, child);
    }
    ts_tree_cursor_delete(&cursor);
}

/* NODE's children, in a scope of their own. */
static void walk_scope(struct loop_work *work, TSNode node)
{
    uint32_t outer = work->names.count;

    walk_children(work, node);
    for (uint32_t i = outer; i < work->names.count; i++)
        work->names.items[i].alive = false;
}

static void walk_kind(struct loop_work *work, TSNode node)
{
    if (node_is(node, "identifier") || node_is(node, "type_identifier")) {
        use_name(work, node);
    } else if (node_is(node, "declaration")) {
        walk_declaration(work, node, NAME_VARIABLE);
    } else if (node_is(node, "parameter_declaration")) {
        walk_declaration(work, node, NAME_PARAMETER);
    } else if (node_is(node, "type_definition") || node_is(node, "enumerator")) {
        if (node_is(node, "enumerator"))
            declare(work, NAME_OTHER, node_field(node, "name"), node, node);
        walk_declaration(work, node, NAME_OTHER);
    } else if (node_is(node, "struct_specifier") || node_is(node, "union_specifier") ||
               node_is(node, "enum_specifier")) {
        walk_type(work, node);
    } else if (node_is(node, "compound_statement") || node_is(node, "for_statement") ||
               node_is(node, "parameter_list")) {
        walk_scope(work, node);
    } else if (node_is(node, "function_definition")) {
        loop_refuse(work, node_start(work, node), "a function is defined inside of the function");
    } else if (node_is(node, "gnu_asm_expression")) {
        work->assembly++;
        walk_children(work, node);
        work->assembly--;
    } else if (is_directive(node)) {
        work->conditions++;
        walk_children(work, node);
        work->conditions--;
    } else if (!node_is(node, "attribute_specifier") && !node_is(node, "attribute_declaration") &&
               !node_is(node, "goto_statement")) {
        walk_children(work, node);
    }
}

static void walk(struct loop_work *work, TSNode node)
{
    if (work->depth == LOOP_DEPTH_MAX) {
        loop_refuse(work, node_start(work, node), "it is nested too deeply");
        return;
    }
    work->path[work->depth++] = node;
    if (ts_node_eq(node, work->turn)) {
        note_visible(work);
        if (work->conditions)
            loop_refuse(work, node_start(work, node), "it stands under an #if of the function");
    }
    walk_kind(work, node);
    work->depth--;
}

/* The parameters of the function are in scope in its body. */
static void walk_parameters(struct loop_work *work)
{
    TSNode declarator = node_field(work->function, "declarator");

    while (!ts_node_is_null(declarator) && !node_is(declarator, "function_declarator"))
        declarator = node_is(declarator, "parenthesized_declarator") ? ts_node_named_child(declarator, 0)
                                                                     : node_field(declarator, "declarator");
    if (ts_node_is_null(declarator))
        return;
    TSNode parameters = node_field(declarator, "parameters");
    for (uint32_t i = 0; i < ts_node_named_child_count(parameters); i++)
        walk(work, ts_node_named_child(parameters, i));
}

void loop_read_names(struct loop_work *work)
{
    uint32_t rest = ts_node_named_child_count(work->function);

    for (uint32_t i = 0; i < rest; i++) {
        TSNode child = ts_node_named_child(work->function, i);
        if (node_is(child, "declaration"))
            loop_refuse(work, node_start(work, child), "parameters are declared in the old style");
    }
    work->path[work->depth++] = work->function;
    walk_parameters(work);
    walk(work, work->body);
    work->depth--;
}
