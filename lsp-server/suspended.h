/*
 * Functions that wait for a call in the running programs while their source changes: whether the update would
 * take them over there, or would wait for them, and why. Said in the review, and before the save at the
 * function's definition.
 */
#ifndef MOLT_LSP_SERVER_SUSPENDED_H
#define MOLT_LSP_SERVER_SUSPENDED_H

#include <jansson.h>
#include <stdbool.h>

#include "base/text.h"
#include "lsp-server/delivery.h"
#include "patch/session.h"

struct workspace;

/* What is suspended in TARGETS, which were built by SESSION as REQUEST->from has it, now: a new array, see
 * patch/transfer/suspended.h. Empty if they cannot be asked. Blocking; on a job's thread with the session
 * lent to it. */
json_t *suspended_ask(struct patch_session *session, const struct patch_request *request,
                      const struct delivery_target *targets, size_t target_count);

/* Whether one of them is changed by CHANGES, as change_set_to_json has it. */
bool suspended_changes(const json_t *suspended, const json_t *changes);

/* Of the plan: a new array of {"function", "unit", "line" (0-based, of the call in the running source),
 * "callee", "transferable", "reason": or null, "policy": the MOLT_TRANSFER that counts there, or null,
 * "local" and "of": what another could give, and of which function, or null} of those functions that the
 * update would replace. */
json_t *suspended_of_plan(const struct workspace *workspace);

/* Writes ITEMS, of suspended_of_plan, for people. */
void suspended_write(struct text *text, const json_t *items);

/* The item of suspended_of_plan for the function that is defined in the lines FIRST to LAST (from 0) of the
 * file at PATH, if the update would wait for it: a new reference; its line is then *RET_LINE. NULL: there is
 * none. */
json_t *suspended_at(struct workspace *workspace, const char *path, unsigned first, unsigned last,
                     unsigned *ret_line);

/* Says at their definitions which of them would be waited for; or takes that back. */
void suspended_publish(struct workspace *workspace);

#endif
