/*
 * How many instances of each type live in the programs of a workspace: asked for when somebody wants to know,
 * in the background, and kept until the programs change.
 */
#ifndef MOLT_LSP_SERVER_INSTANCES_H
#define MOLT_LSP_SERVER_INSTANCES_H

#include <jansson.h>
#include <stdbool.h>

#include "lsp-server/server.h"

struct workspace;

/* How many instances of the type NAME there were when that was last asked, in all programs. False: it is
 * not known, or out of date. */
bool instances_known(const struct workspace *workspace, const char *name, double *ret_count);

/* What is known of all types (lsp-server/census.h), or NULL. */
const json_t *instances_census(const struct workspace *workspace);

/* Sees to it that it becomes known; the review and the lenses are refreshed then. Nothing happens without
 * a program, or if the user does not want it. */
void instances_want(struct workspace *workspace);

/* The same for the lens whose other members are LENS (taken): REPLY is answered with it, its words
 * completed. */
void instances_resolve_lens(struct workspace *workspace, json_t *lens, struct reply *reply);

/* Command molt.instances: ARGUMENT is {"type"?: "struct conn"}. The result is {"uri", "text"}, a document. */
void instances_show(struct workspace *workspace, const json_t *argument, struct reply *reply);

/* The text of the document URI that instances_show has made; NULL if there is none. Borrowed. */
const char *instances_document(const struct workspace *workspace, const char *uri);

/* Starts what is due, when nothing else needs the session. */
void instances_resume(struct workspace *workspace);

/* The programs of WORKSPACE are others, or run other code: nothing is known any more. */
void instances_forget(struct workspace *workspace);

/* Whoever still waits is told that it will not be; frees everything. */
void instances_destroy(struct workspace *workspace);

#endif
