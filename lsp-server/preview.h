/*
 * What the builder makes of pending changes before they are saved: while types are changing, a patch is built
 * in the background at quiet moments, from the editor's buffers, and never delivered. The review and the
 * editor's hints are taken from it.
 */
#ifndef MOLT_LSP_SERVER_PREVIEW_H
#define MOLT_LSP_SERVER_PREVIEW_H

#include <jansson.h>

#include "recorder/change_set.h"

struct patch_result;
struct workspace;

/* The change set is SET (borrowed, NULL: empty) with the number REVISION now: plans a preview of it, if it
 * is worth one. */
void preview_consider(struct workspace *workspace, const struct change_set *set, int revision);

/* Makes the preview that is due, if nothing stands in the way; else it is tried again when update or
 * warm-up end. */
void preview_resume(struct workspace *workspace);

/* What a build of the files themselves came to is better than a preview. */
void preview_take(struct workspace *workspace, const struct patch_result *result);

/* The entry of the type NAME ("struct conn") in the plan, or NULL. Borrowed. */
const json_t *preview_type(const struct workspace *workspace, const char *name);

#endif
