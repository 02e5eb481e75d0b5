/*
 * A failed validation: a state of the workspace of its own, from the update that failed until the next
 * attempt.
 */
#ifndef MOLT_LSP_SERVER_VALIDATION_H
#define MOLT_LSP_SERVER_VALIDATION_H

#include <jansson.h>

#include "base/diagnostic.h"
#include "base/text.h"

struct workspace;

/* Takes note that the delivery with RESULT (delivery_run) of the patch with MANIFEST failed a validation,
 * and publishes it as a diagnostic, together with what the builder said (DIAGNOSTICS). All are borrowed. */
void validation_failed(struct workspace *workspace, const json_t *result, const json_t *manifest,
                       const struct molt_diagnostics *diagnostics);

/* Another attempt begins, or the changes are given up: forgets it, diagnostic included. Nothing happens
 * without one. */
void validation_clear(struct workspace *workspace);

/* Tells the user of it in a message. */
void validation_show(const struct workspace *workspace);

/* "validation of struct conn (molt/conn.c:12), instance 0x5581 (3 of 9): it returned 0" for VALIDATION as
 * in molt/status. */
void validation_say(struct text *text, const json_t *validation);

/* Its section of the review. */
void validation_write(struct text *text, const json_t *validation);

#endif
