/* The code action that makes a loop's body a function of its own, so that a function which never returns need
 * not change with it. */
#ifndef MOLT_LSP_SERVER_LOOP_ACTION_H
#define MOLT_LSP_SERVER_LOOP_ACTION_H

#include <jansson.h>

struct workspace;

/* Appends to ACTIONS what can be done with loops in the lines FIRST to LAST (from 0) of the file at PATH: an
 * endless loop whose head is there, or the loop that a function waits in, if the function is defined there
 * and an update would wait for it. */
void loop_actions(struct workspace *workspace, const char *path, unsigned first, unsigned last,
                  json_t *actions);

#endif
