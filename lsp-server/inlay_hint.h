/*
 * Inlay hints: behind each member of a structure that changes, where its value comes from.
 */
#ifndef MOLT_LSP_SERVER_INLAY_HINT_H
#define MOLT_LSP_SERVER_INLAY_HINT_H

struct server;

/* Has the client ask for them again, if it can. */
void inlay_hint_refresh(struct server *server);

#endif
