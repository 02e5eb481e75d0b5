/* The server's parts: bytes between libwebsockets and connections, calls, and the loop. */
#ifndef MOLT_LINK_SERVER_PRIVATE_H
#define MOLT_LINK_SERVER_PRIVATE_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "link/connection.h"
#include "link/listener.h"
#include "link/server.h"

struct client {
    struct link_connection connection;
    struct link_descriptor descriptor; /* libwebsockets owns it; here for comparison */
    struct lws *wsi;
    struct link_outgoing *sending; /* the message of which a part has been sent */
    size_t sent;
    bool clogged;         /* libwebsockets holds bytes that the peer has no room for */
    uint64_t deadline_us; /* for the handshake */
    bool used;
    bool open;   /* the handshake is done */
    bool doomed; /* to be closed, without waiting for what the peer thinks of it */
    bool gone;   /* to be reaped at the next step */
};

struct link_server {
    struct link_handler handler;
    struct link_limits limits;
    struct link_listener listener;
    struct lws_context *lws; /* NULL while nobody is connected */
    struct client clients[LINK_CONNECTIONS_MAX];
    uint64_t connections; /* ever made */
    uint64_t accept_second;
    unsigned accepts; /* within that second */
};

static inline uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* server_bytes.c: a context for no clients yet; NULL without memory. */
struct lws_context *server_start_lws(void);

/* Lets libwebsockets do what can be done now. */
void server_service(struct link_server *server);

/* Sends what can be sent without waiting; the loop sends the rest. */
void server_flush(struct link_server *server);
bool client_has_unsent(const struct client *client);

/* server_calls.c: one request of each client in turn, until none is left: nobody waits behind another's
 * whole queue. */
void server_carry_out(struct link_server *server);

/* server.c: finds out whether the program has closed or replaced any of our descriptors. If so, those of
 * libwebsockets that we do not know of must be thought lost, too. 0, or negative errno: nobody can connect
 * any more. */
int server_recover(struct link_server *server);

/* Takes the connection that waits. 0, or negative errno if the listening socket is of no more use. */
int server_accept(struct link_server *server);

#endif
