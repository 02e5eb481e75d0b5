/*
 * Work-done progress: one per update, from begin to end.
 */
#ifndef MOLT_LSP_SERVER_PROGRESS_H
#define MOLT_LSP_SERVER_PROGRESS_H

#include <stdbool.h>

struct progress;
struct server;

/* Begins one with TITLE. NULL if the client shows none, or without memory; the other functions accept that.
 */
struct progress *progress_begin(struct server *server, const char *title);

/* MESSAGE replaces the one before; nothing is sent if it is the same. */
void progress_report(struct progress *progress, const char *message);

/* Ends it with one line and frees it. */
void progress_end(struct progress *progress, const char *message);

/* Whether TOKEN, as the client gave it, is this one's. */
bool progress_is(const struct progress *progress, const char *token);

#endif
