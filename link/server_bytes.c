/* libwebsockets' callbacks: they move bytes between it and the connections and decide nothing. */
#include <stdlib.h>
#include <sys/socket.h>

#include "link/idle.h"
#include "link/memory.h"
#include "link/protocol.h"
#include "link/server_private.h"

_Static_assert(LINK_OUTGOING_ROOM >= LWS_PRE, "libwebsockets writes its header before the bytes");

#define RECEIVE_SIZE 65536
#define SEND_PIECE 32768
#define SERVICE_ROUNDS 16

static int receive(struct client *client, struct lws *wsi, const void *bytes, size_t count)
{
    int error;

    if (lws_frame_is_binary(wsi)) {
        error = link_connection_binary(&client->connection, bytes, count);
    } else {
        bool complete = lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi);

        error = link_connection_text(&client->connection, bytes, count, complete, now_us());
    }
    client->doomed |= error || client->connection.overrun; /* closed by the loop: see shut_down_doomed */
    if (client->connection.outgoing) {
        lws_callback_on_writable(wsi);
    }
    return 0;
}

/*
 * libwebsockets 4.1 spins when it sees the end of a connection of which it still has bytes to send. So it is
 * not allowed to read while it holds any: then it meets the end as a hang-up, which it handles.
 */
static void read_unless_clogged(struct client *client, struct lws *wsi)
{
    bool clogged = lws_partial_buffered(wsi);

    if (clogged != client->clogged) {
        client->clogged = clogged;
        lws_rx_flow_control(wsi, !clogged);
    }
}

/* Sends a piece of the oldest message. */
static int send_next(struct client *client, struct lws *wsi)
{
    int written = 0;

    if (!client->sending) {
        client->sending = link_connection_outgoing(&client->connection);
        client->sent = 0;
    }
    if (client->sending) {
        size_t left = client->sending->size - client->sent;
        size_t size = left < SEND_PIECE ? left : SEND_PIECE;
        int flags = lws_write_ws_flags(LWS_WRITE_TEXT, client->sent == 0, size == left);

        written = lws_write(wsi, client->sending->bytes + LINK_OUTGOING_ROOM + client->sent, size,
                            (enum lws_write_protocol)flags);
        client->sent += size;
        if (size == left) {
            free(client->sending);
            client->sending = NULL;
        }
    }
    client->doomed |= written < 0 || client->connection.overrun;
    read_unless_clogged(client, wsi);
    if (client->sending || client->connection.outgoing) {
        lws_callback_on_writable(wsi);
    }
    return 0;
}

/* Protocol 0: what is not an upgrade to our subprotocol is closed without a word. */
static int on_other(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct client *client = lws_get_opaque_user_data(wsi);

    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_ESTABLISHED:
        return -1;
    case LWS_CALLBACK_WSI_DESTROY:
        if (client) {
            client->gone = true;
            client->wsi = NULL;
        }
        return 0;
    default:
        return 0;
    }
}

static int on_molt(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct client *client = lws_get_opaque_user_data(wsi);

    if (!client || client->gone) {
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        client->open = true;
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return client->doomed ? 0 : receive(client, wsi, in, length);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return send_next(client, wsi);
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL: /* libwebsockets has begun to close it */
        client->doomed = true;
        return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        client->gone = true;
        client->wsi = NULL;
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    { .name = "http-only", .callback = on_other },
    { .name = LINK_SUBPROTOCOL,
      .callback = on_molt,
      .per_session_data_size = 1,
      .rx_buffer_size = RECEIVE_SIZE },
    { 0 },
};

struct lws_context *server_start_lws(void)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .options = LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME | LWS_SERVER_OPTION_DISABLE_IPV6,
        .fd_limit_per_thread = LINK_CONNECTIONS_MAX + 4,
        .max_http_header_pool = LINK_CONNECTIONS_MAX,
        .pt_serv_buf_size = RECEIVE_SIZE,
        .retry_and_idle_policy = &link_idle_policy,
    };

    link_memory_init();
    return lws_create_context(&info);
}

/* Ends the doomed ones: with the socket shut down, libwebsockets cannot wait for the peer to agree. */
static bool shut_down_doomed(struct link_server *server)
{
    bool any = false;

    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        struct client *client = &server->clients[i];

        if (client->used && client->doomed && !client->gone && link_descriptor_intact(&client->descriptor)) {
            shutdown(client->descriptor.fd, SHUT_RDWR);
            any = true;
        }
    }
    return any;
}

void server_service(struct link_server *server)
{
    int rounds = 0;
    bool more;

    do {
        lws_service(server->lws, -1);
        more = shut_down_doomed(server) || !lws_service_adjust_timeout(server->lws, 1, 0);
    } while (++rounds < SERVICE_ROUNDS && more);
}

bool client_has_unsent(const struct client *client)
{
    return client->sending || client->connection.outgoing;
}

void server_flush(struct link_server *server)
{
    for (int round = 0; round < SERVICE_ROUNDS; round++) {
        bool unsent = false;

        for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
            struct client *client = &server->clients[i];

            if (client->used && client->open && !client->doomed && !client->gone &&
                client_has_unsent(client)) {
                lws_callback_on_writable(client->wsi);
                unsent = true;
            }
        }
        if (!unsent) {
            return;
        }
        lws_service(server->lws, -1);
    }
}
