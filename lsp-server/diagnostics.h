/*
 * Diagnostics, pushed: what stood in the way of the last update, at its place.
 */
#ifndef MOLT_LSP_SERVER_DIAGNOSTICS_H
#define MOLT_LSP_SERVER_DIAGNOSTICS_H

#include "base/diagnostic.h"
#include "base/error.h"

struct workspace;

/* Publishes LIST, and ERROR (may be NULL) under CODE (a static word) if it names a place that LIST does
 * not; what was published before and is not in them is cleared. Both are borrowed. */
void diagnostics_publish(struct workspace *workspace, const struct molt_diagnostics *list,
                         const struct molt_error *error, const char *code);

/* Publishes NOTES (borrowed) beside these, in place of the notes before. */
void diagnostics_publish_notes(struct workspace *workspace, const struct molt_diagnostics *notes);

#endif
