/*
 * The code lens "2 pending changes - 1 process".
 */
#ifndef MOLT_LSP_SERVER_CODE_LENS_H
#define MOLT_LSP_SERVER_CODE_LENS_H

#include <jansson.h>

struct workspace;

/* Asks the client for new lenses if their words are others under STATUS than under the status sent last. */
void code_lens_status_changed(struct workspace *workspace, const json_t *status);

#endif
