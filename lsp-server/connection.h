/*
 * The two pipes to the editor. Knows framing and JSON-RPC, and nothing of LSP.
 */
#ifndef MOLT_LSP_SERVER_CONNECTION_H
#define MOLT_LSP_SERVER_CONNECTION_H

#include <uv.h>

#include "base/error.h"
#include "base/jsonrpc.h"

struct connection;

struct connection_events {
    /* MESSAGE is borrowed for the call. */
    void (*message)(void *context, const struct jsonrpc_message *message);
    /* The editor is gone, or sent what is no message; REASON is NULL at a plain end of input. Called once;
     * nothing is read any more. */
    void (*closed)(void *context, const char *reason);
};

/* Reads from IN and writes to OUT, which it takes: pipes, sockets, terminals or files. */
struct molt_error *connection_create(uv_loop_t *loop, int in, int out, const struct connection_events *events,
                                     void *context, struct connection **ret);

/* Queues one message behind its header. MESSAGE is taken; NULL (a builder without memory) is logged. Written
 * in order, as fast as the editor reads; before the loop is left, what is queued is written as far as it goes
 * without waiting. */
void connection_send(struct connection *connection, char *message);

/* Closes both ends; the loop must run once more. */
void connection_destroy(struct connection *connection);

#endif
