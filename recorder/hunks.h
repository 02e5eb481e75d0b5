/*
 * What became of the bytes of a text: which stretches were replaced, so that a place in the old text can be
 * found in the new one. Made from edits as they come, or by comparing two texts.
 */
#ifndef MOLT_RECORDER_HUNKS_H
#define MOLT_RECORDER_HUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes [old_start, old_end) of the old text became [new_start, new_end) of the new one. */
struct hunk {
    uint32_t old_start, old_end, new_start, new_end;
};

/* In order, with at least one untouched byte between two. */
struct hunks {
    struct hunk *items;
    uint32_t count, capacity;
};

void hunks_deinit(struct hunks *hunks);

/* Adds an edit to the text as the hunks so far have left it: LENGTH bytes take the place of [start, end). */
struct molt_error *hunks_edit(struct hunks *hunks, uint32_t start, uint32_t end, uint32_t length);

/* Adds the replacement of the OLD_LENGTH bytes OLD at START by NEW as what really differs, found by comparing
 * lines and then tokens: a rename that arrives as one range over four lines still touches names only. */
struct molt_error *hunks_replace(struct hunks *hunks, uint32_t start, const char *old_text,
                                 uint32_t old_length, const char *new_text, uint32_t new_length);

/* Where a stretch that began (ended) at OLD begins (ends) now; what was put in at its edge belongs to it. */
uint32_t hunks_map_start(const struct hunks *hunks, uint32_t old);
uint32_t hunks_map_end(const struct hunks *hunks, uint32_t old);

/* How many bytes of the old [start, end) were replaced or removed. */
uint32_t hunks_lost(const struct hunks *hunks, uint32_t start, uint32_t end);

/* Index of the first hunk that ends at or behind old offset OLD. */
uint32_t hunks_find(const struct hunks *hunks, uint32_t old);

#endif
