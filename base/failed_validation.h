/*
 * A failed validation for people: what the engine says of it (link/protocol.h), with the patch's manifest,
 * which knows the members of the instance that failed.
 */
#ifndef MOLT_BASE_FAILED_VALIDATION_H
#define MOLT_BASE_FAILED_VALIDATION_H

#include <jansson.h>

#include "base/text.h"

/*
 * A new object of VALIDATION and MANIFEST (both borrowed, MANIFEST may be NULL):
 *
 *   {"title": "validation of struct conn", "kind", "name", "file", "line", "type", "instance", "message",
 *    "rehearsal": bool,
 *    "values": [{"member": "length", "old": "12" or null, "new": "13" or null}]}
 *
 * `file` is "" and `line` 0 if the user wrote no code for it. Values are in the order of the new type, a
 * renamed member in one line with the one that it was; those that only the old one has come last. NULL
 * without memory.
 */
json_t *failed_validation_explain(const json_t *validation, const json_t *manifest);

/* Adds the table of VALUES, as explained, to TEXT: a line for each member, indented; what differs is marked.
 */
void failed_validation_write_values(struct text *text, const json_t *values);

#endif
