/*
 * Extraction. What tree-sitter's grammar is good at is left to it: types, members, declarators. It sees a
 * skeleton of the segment, without the insides of bodies and initialisers (which declare nothing and are
 * where half-typed code stands) and without directives (which may stand anywhere in C, but not in its
 * grammar). Directives are read from tokens; so is the name of a function whose head the grammar does not
 * understand.
 */
#include "recorder/declarations.h"

#include <stdlib.h>
#include <string.h>

#include "recorder/token.h"

enum { TITLE_MAX = 60 };

extern const TSLanguage *tree_sitter_c(void);

struct molt_error *extractor_init(struct extractor *extractor)
{
    *extractor = (struct extractor){ .parser = ts_parser_new() };
    if (!extractor->parser || !ts_parser_set_language(extractor->parser, tree_sitter_c())) {
        extractor_deinit(extractor);
        return molt_error_new(MOLT_ERROR_INTERNAL, "tree-sitter does not take the grammar of C");
    }
    return NULL;
}

void extractor_deinit(struct extractor *extractor)
{
    if (extractor->parser) {
        ts_parser_delete(extractor->parser);
    }
    text_deinit(&extractor->skeleton);
    free(extractor->regions);
    *extractor = (struct extractor){ 0 };
}

void declarations_deinit(struct declarations *declarations)
{
    free(declarations->items);
    text_deinit(&declarations->names);
    *declarations = (struct declarations){ 0 };
}

int32_t declarations_add(struct declarations *declarations, enum declaration_kind kind, const char *name,
                         uint32_t name_length, int32_t owner)
{
    if (declarations->count == declarations->capacity) {
        uint32_t capacity = declarations->capacity ? declarations->capacity * 2 : 1;
        struct declaration *items = realloc(declarations->items, capacity * sizeof(*items));
        if (!items) {
            declarations->names.failed = true;
            return -1;
        }
        declarations->items = items;
        declarations->capacity = capacity;
    }
    declarations->items[declarations->count] = (struct declaration){
        .kind = (uint8_t)kind,
        .owner = owner,
        .name = (uint32_t)declarations->names.length,
    };
    text_append(&declarations->names, name, name_length);
    text_append(&declarations->names, "", 1);
    return declarations->names.failed ? -1 : (int32_t)declarations->count++;
}

/* Appends TEXT[start, end) to OUT with each run of space as one blank, at most TITLE_MAX bytes. */
static void append_title(struct text *out, const char *text, uint32_t start, uint32_t end)
{
    struct token_reader reader = token_reader_at(text, end, start);
    uint32_t last = start;

    while (out->length < TITLE_MAX) {
        struct token token = token_next(&reader);
        if (token.kind == TOKEN_END) {
            return;
        }
        uint32_t left = TITLE_MAX - (uint32_t)out->length, size = token.end - token.start;
        if (token.start > last && out->length) {
            text_puts(out, " ");
        }
        text_append(out, text + token.start, size < left ? size : left);
        last = token.end;
    }
    for (size_t i = 0; i < out->length; i++) {
        out->bytes[i] = out->bytes[i] == '\n' ? ' ' : out->bytes[i];
    }
}

/* A declaration known by its text only: kind MACRO, called by (the beginning of) that text. */
static void add_titled(struct declarations *ret, const char *segment, uint32_t start, uint32_t end)
{
    struct text title = { 0 };

    append_title(&title, segment, start, end);
    text_puts(&title, "");
    if (title.failed) {
        ret->names.failed = true;
    } else {
        int32_t index = declarations_add(ret, DECLARATION_MACRO, title.bytes, (uint32_t)title.length, -1);
        if (index >= 0) {
            struct declaration *item = &ret->items[index];
            item->extent = (struct range){ start, end };
            item->head_end = end;
            item->value_hash = token_hash(2, segment, start, end, NULL, 0);
        }
    }
    text_deinit(&title);
}

static void add_define(struct declarations *ret, const char *segment, struct token_reader *reader,
                       struct range extent)
{
    struct token name = token_next(reader);

    if (name.kind != TOKEN_WORD) {
        add_titled(ret, segment, extent.start, extent.end);
        return;
    }
    int32_t index = declarations_add(ret, DECLARATION_MACRO, segment + name.start, name.end - name.start, -1);
    if (index < 0) {
        return;
    }
    struct declaration *item = &ret->items[index];
    bool has_parameters = name.end < extent.end && segment[name.end] == '(';
    item->extent = extent;
    item->label = (struct range){ name.start, name.end };
    item->head_end = extent.end;
    item->value_hash = token_hash(3 + has_parameters, segment, name.end, extent.end, segment + name.start,
                                  name.end - name.start);
}

static void add_include(struct declarations *ret, const char *segment, struct token_reader *reader,
                        struct range extent)
{
    struct range path = { 0 };

    for (;;) {
        struct token token = token_next(reader);
        if (token.kind == TOKEN_END || token.kind == TOKEN_NEWLINE) {
            break;
        }
        path.start = path.end ? path.start : token.start;
        path.end = token.end;
    }
    int32_t index =
        declarations_add(ret, DECLARATION_INCLUDE, segment + path.start, path.end - path.start, -1);
    if (index >= 0) {
        struct declaration *item = &ret->items[index];
        item->extent = extent;
        item->label = path;
        item->head_end = extent.end;
    }
}

static enum conditional_kind conditional_of(const char *segment, const struct token *word)
{
    if (token_is(segment, word, "if") || token_is(segment, word, "ifdef") ||
        token_is(segment, word, "ifndef")) {
        return CONDITIONAL_IF;
    }
    if (token_is(segment, word, "else") || token_is(segment, word, "elif")) {
        return CONDITIONAL_ELSE;
    }
    return token_is(segment, word, "endif") ? CONDITIONAL_END : CONDITIONAL_NONE;
}

/* The directive that stands in SEGMENT[start, end). INSIDE: within a declaration, whose hash covers it. */
static void extract_directive(struct declarations *ret, const char *segment, uint32_t start, uint32_t end,
                              bool inside)
{
    struct token_reader reader = token_reader_at(segment, end, start);

    reader.line_start = true;
    token_next(&reader); /* the '#' */
    struct token word = token_next(&reader);
    enum conditional_kind conditional = conditional_of(segment, &word);
    while (end > start && (segment[end - 1] == '\n' || segment[end - 1] == '\r')) {
        end--;
    }
    reader.length = end;
    struct range extent = { start, end };
    if (token_is(segment, &word, "define")) {
        add_define(ret, segment, &reader, extent);
    } else if (token_is(segment, &word, "include") || token_is(segment, &word, "include_next")) {
        add_include(ret, segment, &reader, extent);
    } else if (!inside && conditional) {
        ret->conditional = (uint8_t)conditional;
        ret->conditional_hash = token_hash(1, segment, start, end, NULL, 0);
    } else if (!inside && word.kind != TOKEN_NEWLINE && word.kind != TOKEN_END) {
        add_titled(ret, segment, start, end);
    }
}

static void collect_region(const struct segment_region *region, void *context)
{
    struct extractor *extractor = context;

    if (extractor->region_count == extractor->region_capacity) {
        uint32_t capacity = extractor->region_capacity ? extractor->region_capacity * 2 : 16;
        struct segment_region *regions = realloc(extractor->regions, capacity * sizeof(*regions));
        if (!regions) {
            extractor->failed = true;
            return;
        }
        extractor->regions = regions;
        extractor->region_capacity = capacity;
    }
    extractor->regions[extractor->region_count++] = *region;
}

/* Keeps the outermost regions only, in order: what the skeleton lacks. */
static void keep_outermost(struct extractor *extractor)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < extractor->region_count; i++) {
        struct segment_region region = extractor->regions[i];
        while (kept && extractor->regions[kept - 1].start >= region.start) {
            kept--;
        }
        extractor->regions[kept++] = region;
    }
    extractor->region_count = kept;
}

/* Whether the segment ends inside of a body or initialiser. */
static bool has_open_body(const struct extractor *extractor, uint32_t length)
{
    if (!extractor->region_count) {
        return false;
    }
    const struct segment_region *last = &extractor->regions[extractor->region_count - 1];
    return last->kind != REGION_DIRECTIVE && last->end == length;
}

static void build_skeleton(struct extractor *extractor, const char *segment, uint32_t length)
{
    uint32_t from = 0;

    extractor->length = length;
    keep_outermost(extractor);
    text_clear(&extractor->skeleton);
    for (uint32_t i = 0; i < extractor->region_count; i++) {
        text_append(&extractor->skeleton, segment + from, extractor->regions[i].start - from);
        from = extractor->regions[i].end;
    }
    text_append(&extractor->skeleton, segment + from, length - from);
    for (uint32_t i = 0; i < extractor->ending.aggregate; i++) {
        text_puts(&extractor->skeleton, ";};");
    }
    if (has_open_body(extractor, length)) {
        text_puts(&extractor->skeleton, "};");
    }
}

/* The offset in the segment of OFFSET in the skeleton, which is where something begins, or ENDS. */
static uint32_t map_offset(const struct extractor *extractor, uint32_t offset, bool ends)
{
    for (uint32_t i = 0; i < extractor->region_count; i++) {
        const struct segment_region *region = &extractor->regions[i];
        if (offset < region->start + ends) {
            break;
        }
        offset += region->end - region->start;
    }
    return offset < extractor->length ? offset : extractor->length;
}

struct range extractor_range(const struct extractor *extractor, TSNode node)
{
    uint32_t start = map_offset(extractor, ts_node_start_byte(node), false);
    uint32_t end = map_offset(extractor, ts_node_end_byte(node), true);

    return (struct range){ start, end < start ? start : end };
}

/* The name of a function whose head the grammar does not understand is the first word before a parenthesis
 * outside of all others that is not the very first word; in "TEST(name)" it is all of the head. */
static void add_function_by_tokens(const struct extractor *extractor, struct declarations *ret,
                                   const char *segment, uint32_t length)
{
    const struct segment_region *body = &extractor->regions[extractor->region_count - 1];
    struct token_reader reader = token_reader_at(segment, body->start - 1, 0);
    struct token before = { 0 }, name = { 0 };
    struct text title = { 0 };
    int parens = 0;

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token.first == '(' && parens++ == 0 && before.kind == TOKEN_WORD &&
            !token_is(segment, &before, "__attribute__") && name.start == 0) {
            name = before;
        }
        parens -= token.first == ')';
        before = token;
    }
    if (!name.end) {
        add_titled(ret, segment, 0, length); /* no function at all */
        return;
    }
    struct range label = { name.start, name.start ? name.end : body->start - 1 };
    append_title(&title, segment, label.start, label.end);
    text_puts(&title, "");
    int32_t index =
        title.failed ? -1
                     : declarations_add(ret, DECLARATION_FUNCTION, title.bytes, (uint32_t)title.length, -1);
    if (index >= 0) {
        struct declaration *item = &ret->items[index];
        item->extent = (struct range){ 0, length };
        item->label = label;
        item->head_end = body->start - 1;
        item->type_hash = token_hash(token_hash(5, segment, 0, label.start, NULL, 0), segment, label.end,
                                     body->start, NULL, 0);
        item->value_hash =
            token_hash(6, segment, body->start, body->end, title.bytes, (uint32_t)title.length);
    }
    ret->names.failed |= title.failed;
    text_deinit(&title);
}

static bool has_root(const struct declarations *declarations, uint32_t from, bool function)
{
    for (uint32_t i = from; i < declarations->count; i++) {
        const struct declaration *item = &declarations->items[i];
        if (!function || (item->kind == DECLARATION_FUNCTION && !item->prototype)) {
            return true;
        }
    }
    return false;
}

static bool parse_skeleton(struct extractor *extractor, const char *segment, uint32_t length,
                           struct declarations *ret, uint64_t *leftover)
{
    build_skeleton(extractor, segment, length);
    if (extractor->failed || extractor->skeleton.failed) {
        return false;
    }
    TSTree *tree = ts_parser_parse_string(extractor->parser, NULL, extractor->skeleton.bytes,
                                          (uint32_t)extractor->skeleton.length);
    if (!tree) {
        return false;
    }
    extractor->has_error = ts_node_has_error(ts_tree_root_node(tree));
    *leftover = declarations_from_tree(extractor, ts_tree_root_node(tree), segment, length, ret);
    ts_tree_delete(tree);
    return true;
}

static bool ends_with_body(const struct extractor *extractor)
{
    return extractor->ending.function && extractor->region_count &&
           extractor->regions[extractor->region_count - 1].kind == REGION_BODY;
}

static bool extract_declaration(struct extractor *extractor, const char *segment, uint32_t length,
                                struct declarations *ret)
{
    uint64_t leftover = 0;

    extractor->region_count = 0;
    extractor->ending = segment_regions(segment, 0, length, collect_region, extractor);
    for (uint32_t i = 0; i < extractor->region_count; i++) {
        const struct segment_region *region = &extractor->regions[i];
        if (region->kind == REGION_DIRECTIVE) {
            extract_directive(ret, segment, region->start, region->end, true);
        }
    }
    uint32_t first = ret->count;
    if (!parse_skeleton(extractor, segment, length, ret, &leftover)) {
        return false;
    }
    if (ends_with_body(extractor) && (extractor->has_error || !has_root(ret, first, true))) {
        ret->count = first;
        leftover = 0;
        add_function_by_tokens(extractor, ret, segment, length);
    } else if (!has_root(ret, first, false)) {
        add_titled(ret, segment, 0, length);
    }
    if (leftover && ret->count > first) {
        ret->items[first].value_hash = hash_mix(ret->items[first].value_hash, leftover);
    }
    return true;
}

/* Notes in each owner what it holds, to tell two of one name apart. */
static void hash_holdings(struct declarations *declarations)
{
    for (uint32_t i = declarations->count; i-- > 0;) {
        const struct declaration *item = &declarations->items[i];
        if (item->owner >= 0) {
            struct declaration *owner = &declarations->items[item->owner];
            const char *name = declaration_name(declarations, i);
            owner->names_hash = hash_mix(hash_bytes(owner->names_hash, name, strlen(name)),
                                         item->type_hash ^ item->value_hash ^ item->names_hash);
        }
    }
}

struct molt_error *declarations_extract(struct extractor *extractor, const char *text,
                                        const struct segment_span *span, struct declarations *ret)
{
    struct declarations found = { 0 };
    const char *segment = text + span->lead;
    uint32_t length = span->end - span->lead;
    bool done = true;

    extractor->failed = false;
    if (span->kind == SEGMENT_DIRECTIVE) {
        extract_directive(&found, segment, 0, length, false);
    } else if (span->kind == SEGMENT_LINKAGE) {
        add_titled(&found, segment, 0, length);
    } else if (span->kind == SEGMENT_DECLARATION) {
        done = extract_declaration(extractor, segment, length, &found);
    }
    if (!done || found.names.failed) {
        declarations_deinit(&found);
        return molt_error_nomem();
    }
    hash_holdings(&found);
    *ret = found;
    return NULL;
}
