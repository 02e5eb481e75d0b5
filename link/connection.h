/*
 * One client as the engine sees it: what has arrived of a message, which requests wait for their turn, the
 * upload under way, what is still to be sent, and whether any of it goes beyond the limits. No I/O: bytes in,
 * messages out.
 */
#ifndef MOLT_LINK_CONNECTION_H
#define MOLT_LINK_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/jsonrpc.h"
#include "base/text.h"
#include "link/server.h"

/* A message to be sent. libwebsockets wants room before the bytes. */
struct link_outgoing {
    struct link_outgoing *next;
    size_t size;
    unsigned char bytes[]; /* LINK_OUTGOING_ROOM of room, then `size` */
};

#define LINK_OUTGOING_ROOM 32

struct link_request {
    struct link_request *next;
    struct jsonrpc_message message;
};

struct link_upload {
    json_t *id; /* of the request, answered when the last byte has come; NULL: none under way */
    json_int_t number;
    uint8_t *bytes; /* NULL while bytes are swallowed: the upload has been refused */
    size_t size;
    size_t received;
};

struct link_connection {
    uint64_t number;
    const struct link_limits *limits; /* borrowed */
    struct text message;
    struct link_request *requests; /* oldest first */
    unsigned request_count;
    struct link_outgoing *outgoing; /* oldest first */
    size_t unsent;
    bool overrun; /* the client does not read, or memory ran out: to be closed */
    struct link_upload upload;
    json_int_t uploads;    /* how many were announced: each number is used once */
    uint64_t allowance_us; /* what is left to the rate limit, in time */
    uint64_t last_us;
};

void link_connection_init(struct link_connection *connection, uint64_t number,
                          const struct link_limits *limits);
void link_connection_deinit(struct link_connection *connection);

/* Takes COUNT bytes of a text message, COMPLETE with them or not, at the time NOW_US (monotonic
 * microseconds). 0, or negative errno: the connection must be closed (-EMSGSIZE, -ENOMEM). */
int link_connection_text(struct link_connection *connection, const void *bytes, size_t count, bool complete,
                         uint64_t now_us);

/* Takes COUNT bytes of a patch. 0, or -EPROTO: more bytes than were announced. */
int link_connection_binary(struct link_connection *connection, const void *bytes, size_t count);

/* Takes the oldest request that waits, or returns false. */
bool link_connection_next(struct link_connection *connection, struct jsonrpc_message *ret_message);

/* Queues MESSAGE, from malloc, taken (NULL: memory ran out). */
void link_connection_send(struct link_connection *connection, char *message);

/* Takes the oldest message to be sent, to be freed by the caller; NULL: none. */
struct link_outgoing *link_connection_outgoing(struct link_connection *connection);

/* The bytes of upload NUMBER if it is complete, now the caller's. */
void *link_connection_take_upload(struct link_connection *connection, json_int_t number, size_t *ret_size);

#endif
