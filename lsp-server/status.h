/*
 * molt/status: the state of a workspace in one object, sent when it has changed.
 */
#ifndef MOLT_LSP_SERVER_STATUS_H
#define MOLT_LSP_SERVER_STATUS_H

#include <jansson.h>

struct workspace;

/* Sends it if it differs from the last one sent. */
void status_send(struct workspace *workspace);

/* The same a moment later: after an edit, of which many come. */
void status_send_soon(struct workspace *workspace);

/* A new object; NULL without memory. */
json_t *status_to_json(struct workspace *workspace);

#endif
