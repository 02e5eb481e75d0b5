/*
 * The review of what is pending, and the text that the running program was made from.
 */
#ifndef MOLT_LSP_SERVER_REVIEW_H
#define MOLT_LSP_SERVER_REVIEW_H

#include <jansson.h>

struct workspace;

/* The result of molt/review: a new object, NULL without memory. */
json_t *review_to_json(struct workspace *workspace);

/* Asks the client to read the review document again, if it shows it. */
void review_refresh(struct workspace *workspace);

/* Tells the client that the running text of FILES (array of {"path"} relative to the root; NULL: of all that
 * are open) is another one now. */
void review_running_changed(struct workspace *workspace, const json_t *files);

#endif
