/*
 * The declarations of one segment: what it declares, where the names stand, and hashes that tell whether the
 * type or the value of a declaration differs from another version's.
 */
#ifndef MOLT_RECORDER_DECLARATIONS_H
#define MOLT_RECORDER_DECLARATIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <tree_sitter/api.h>

#include "base/error.h"
#include "base/text.h"
#include "recorder/change_set.h"
#include "recorder/segment.h"

/* A stretch of text. Offsets count from the segment's first token, unless said otherwise. */
struct range {
    uint32_t start, end;
};

struct declaration {
    uint8_t kind; /* enum declaration_kind */
    bool prototype;
    int32_t owner;       /* index of the declaration that holds it (always a lower one), or -1 */
    uint32_t name;       /* offset in declarations.names */
    struct range extent; /* all of it */
    struct range label;  /* its name; empty where it has none */
    uint32_t head_end;   /* where the part worth showing ends: before a body, a value, members */
    uint64_t type_hash;  /* of its type or signature, names of its own and of parameters left out */
    uint64_t value_hash; /* of the rest: body, value, what was not understood */
    uint64_t names_hash; /* of a defined function's parameter names; of all that a type holds */
};

enum conditional_kind { CONDITIONAL_NONE, CONDITIONAL_IF, CONDITIONAL_ELSE, CONDITIONAL_END };

struct declarations {
    struct declaration *items;
    uint32_t count, capacity;
    struct text names;         /* strings, one after the other */
    uint8_t conditional;       /* enum conditional_kind, if the segment is one */
    uint64_t conditional_hash; /* of its tokens */
};

/* Memory and parser for extraction, reused from segment to segment. */
struct extractor {
    TSParser *parser;
    struct text skeleton;
    struct segment_region *regions;
    uint32_t region_count, region_capacity;
    struct segment_ending ending;
    uint32_t length; /* of the segment: the skeleton may have closing braces more */
    bool has_error;  /* the skeleton has a syntax error */
    bool failed;     /* memory ran out */
};

struct molt_error *extractor_init(struct extractor *extractor);
void extractor_deinit(struct extractor *extractor);

/* Extracts the declarations of the segment SPAN of TEXT. */
struct molt_error *declarations_extract(struct extractor *extractor, const char *text,
                                        const struct segment_span *span, struct declarations *ret);
void declarations_deinit(struct declarations *declarations);

static inline const char *declaration_name(const struct declarations *declarations, uint32_t index)
{
    return declarations->names.bytes + declarations->items[index].name;
}

/* For the extraction's own files: appends a declaration called NAME; its index, or -1 without memory. */
int32_t declarations_add(struct declarations *declarations, enum declaration_kind kind, const char *name,
                         uint32_t name_length, int32_t owner);

/* Where in the segment NODE of the skeleton's tree stands. */
struct range extractor_range(const struct extractor *extractor, TSNode node);

/* From the tree of the skeleton, the declarations of C. SEGMENT is the whole segment's text, LENGTH its
 * length. Returns the hash of what is no declaration, 0 if there is nothing. */
uint64_t declarations_from_tree(struct extractor *extractor, TSNode root, const char *segment,
                                uint32_t length, struct declarations *ret);

#endif
