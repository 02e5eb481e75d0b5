/*
 * The review's part about types: what becomes of their members, by which policies, and what of the program's
 * memory is not understood.
 */
#ifndef MOLT_LSP_SERVER_REVIEW_TYPES_H
#define MOLT_LSP_SERVER_REVIEW_TYPES_H

#include <jansson.h>

#include "base/text.h"

struct workspace;

/* The plan's types for clients: a new array, as docs/protocol.md has it. */
json_t *review_types(const struct workspace *workspace);

/* The same as a section of the document, if there are any. TYPES (review_types) learn their rows. */
void review_write_types(struct text *text, const struct workspace *workspace, json_t *types);

/* The number of lines in TEXT. */
size_t review_lines(const struct text *text);

#endif
