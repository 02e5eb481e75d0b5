/*
 * The instances of a program's types for people: what the engine counted and copied (`instances`,
 * link/protocol.h), with what the builder knows of types and allocation calls (patch/query.h).
 */
#ifndef MOLT_BASE_CENSUS_H
#define MOLT_BASE_CENSUS_H

#include <jansson.h>
#include <stddef.h>

#include "base/text.h"

/*
 * Completes ANSWER. TYPES and SITES are the query's, borrowed. Places, sites and instances in blocks get a
 * "function"; sites without a type the "reason" why. Each instance gets, instead of "bytes" and "pointers",
 * "type" and "values": [{"member", "value", "leads"?}], where `leads` says what a pointer leads to. Of a type
 * that was asked for only sites whose blocks are large enough for it stay in "unknown".
 */
void census_explain(json_t *answer, const json_t *types, const json_t *sites);

/* One type of an explained answer (an entry of its "types"): "struct conn: 128 instances, 62.5 kB", then a
 * line per place. Files below ROOT (may be NULL) are named as seen from there. */
void census_write_type(struct text *text, const json_t *type, const char *root);

/* What an explained answer says of blocks without a type, and of what an update would meet; nothing if
 * there is neither. */
void census_write_unknown(struct text *text, const json_t *answer, const char *root);

/* The instances of an explained answer, each with its values. */
void census_write_instances(struct text *text, const json_t *answer, const char *root);

/* All types as a table, by bytes, at most LIMIT of them. */
void census_write_table(struct text *text, const json_t *answer, const char *root, size_t limit);

#endif
