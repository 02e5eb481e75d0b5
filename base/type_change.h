/*
 * A patch's manifest in words for people: what becomes of changed types, and what is not known about the
 * program's memory.
 *
 * An entry of the manifest's "types" is {"name": "struct conn", "unit", "file", "line", "reason", "change":
 * [{"name", "from", "how", "policy"?, "why"?}], "policy": "generated" or "FILE:LINE", "validations"?:
 * ["FILE:LINE"], "invertible", "why_not"?, "stops"?, and "new_name" if it has another one}, its "sites"
 * {"typed", "bytes", "wrapper", "unknown": [{"file", "line", "function", "reason"}]}.
 */
#ifndef MOLT_BASE_TYPE_CHANGE_H
#define MOLT_BASE_TYPE_CHANGE_H

#include <jansson.h>
#include <stddef.h>

#include "base/text.h"

/* The members of TYPE, an entry of "types". Borrowed. */
const json_t *type_change_members(const json_t *type);

/* Where MEMBER (an entry of "members") has its value from: "as it was", "was count, converted: it must
 * fit". Appended. */
void type_change_source(struct text *text, const json_t *member);

/* TYPE (an entry of "types") on several lines: its policy, a line per member, what cannot be undone. Each
 * begins with INDENT spaces. */
void type_change_write(struct text *text, const json_t *type, unsigned indent);

/* The C that was generated for TYPE, out of SOURCE, all that was generated: one function, its lines behind
 * INDENT spaces. Nothing if it is not there. */
void type_change_function(struct text *text, const json_t *type, const char *source, unsigned indent);

/* A line: "allocation calls: 412 with a type, 3 of buffers, 2 not understood" for the manifest's "sites",
 * then a line for each that is not known. Nothing without any. */
void type_sites_write(struct text *text, const json_t *sites, unsigned indent);

#endif
