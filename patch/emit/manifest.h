/*
 * The manifest: what a patch holds, as JSON for people, tools and reviews.
 *
 *   {"format": 1, "id": hex, "after": [ids], "title", "created": ISO 8601,
 *    "modules": [{"path", "build_id"}],
 *    "functions": [{"name", "unit", "line", "reason", "module"}],
 *         reason: "changed", "new", "removed", "inlines helper (util.h:12)", "changed; inlines ...",
 *                 "calls f, too short for a jump" ...
 *    "data": [{"name", "unit", "kind": "new" | "constant" | "kept", "size"}],
 *    "operands": [{"name", "unit", "operands"}]: variables that move, and how many operands in code that
 *         stays are led to their new places
 *    "transfers": [{"name", "unit", "calls", "transferable", "waits": [{"callee", "line", "reason"}]}],
 *         functions that were there before and call others: how many of these calls a suspended activation
 *         can go on from
 *    "changes": [structural changes of the recorder], "warnings": [{"file", "line", "code", "message"}]}
 *
 * The id is a hash over the patch's code, data and tables: the same sources and flags give the same id.
 */
#ifndef MOLT_PATCH_MANIFEST_H
#define MOLT_PATCH_MANIFEST_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

/* Reads the manifest out of the patch file at PATH, for `molt inspect`. The caller owns *RET. */
struct molt_error *patch_manifest_load(const char *path, json_t **ret);

/* The generated migration policies in the patch of SIZE bytes at BYTES, as C: a new string, "" if it has
 * none. NULL if that is no patch. */
char *patch_source_of(const void *bytes, size_t size);

/* The same of the patch file at PATH. The caller owns *RET. */
struct molt_error *patch_source_load(const char *path, char **ret);

#endif
