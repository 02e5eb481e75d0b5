/*
 * The service loop. It waits by a poll of its own over the listening socket and the clients, without a
 * time-out, and lets libwebsockets work (never wait) when there is something to do: so nothing inside
 * libwebsockets can wake the process up. Requests are collected in libwebsockets' callbacks and carried out
 * afterwards, outside of it; that is why a long call may let the loop work in between to send its progress.
 */
#include "link/server.h"

#include <errno.h>
#include <libwebsockets.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "link/connection.h"
#include "link/listener.h"
#include "link/memory.h"
#include "link/protocol.h"

_Static_assert(LINK_OUTGOING_ROOM >= LWS_PRE, "libwebsockets writes its header before the bytes");

#define RECEIVE_SIZE 65536
#define SEND_PIECE 32768
#define SERVICE_ROUNDS 16
#define DOOMED_MS 100

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

struct answering {
    struct link_call call;
    struct link_server *server;
    struct client *client;
    json_t *id;
    bool answered;
};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

int link_server_create(const struct link_handler *handler, struct link_server **ret_server, char *reason,
                       size_t reason_size)
{
    struct link_server *server = calloc(1, sizeof(*server));

    if (!server) {
        snprintf(reason, reason_size, "no memory");
        return -ENOMEM;
    }
    server->handler = *handler;
    server->limits = (struct link_limits){
        .upload = LINK_UPLOAD_MAX,
        .text = LINK_TEXT_MAX,
        .connections = LINK_CONNECTIONS_MAX,
        .requests_per_second = LINK_REQUESTS_PER_SECOND,
    };
    int error = link_listener_open(&server->listener, reason, reason_size);
    if (error) {
        free(server);
        return error;
    }
    *ret_server = server;
    return 0;
}

const char *link_server_path(const struct link_server *server)
{
    return server->listener.path;
}

void link_server_set_limits(struct link_server *server, const struct link_limits *limits)
{
    server->limits = *limits;
    if (server->limits.connections > LINK_CONNECTIONS_MAX) {
        server->limits.connections = LINK_CONNECTIONS_MAX;
    }
}

void link_server_unlink(const struct link_server *server)
{
    link_listener_unlink(&server->listener);
}

/* libwebsockets' callbacks: they move bytes between it and the connection and decide nothing. */

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

static struct lws_context *start_lws(void)
{
    static const lws_retry_bo_t no_pings = { .secs_since_valid_ping = UINT16_MAX,
                                             .secs_since_valid_hangup = UINT16_MAX };
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .options = LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME | LWS_SERVER_OPTION_DISABLE_IPV6,
        .fd_limit_per_thread = LINK_CONNECTIONS_MAX + 4,
        .max_http_header_pool = LINK_CONNECTIONS_MAX,
        .pt_serv_buf_size = RECEIVE_SIZE,
        .retry_and_idle_policy = &no_pings,
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

/* Lets libwebsockets do what can be done now. */
static void service(struct link_server *server)
{
    int rounds = 0;
    bool more;

    do {
        lws_service(server->lws, -1);
        more = shut_down_doomed(server) || !lws_service_adjust_timeout(server->lws, 1, 0);
    } while (++rounds < SERVICE_ROUNDS && more);
}

static bool has_unsent(const struct client *client)
{
    return client->sending || client->connection.outgoing;
}

/* Sends what can be sent without waiting; the loop sends the rest. */
static void flush(struct link_server *server)
{
    for (int round = 0; round < SERVICE_ROUNDS; round++) {
        bool unsent = false;

        for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
            struct client *client = &server->clients[i];

            if (client->used && client->open && !client->doomed && !client->gone && has_unsent(client)) {
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

/* Connections come and go. */

static void client_deinit(struct client *client)
{
    link_connection_deinit(&client->connection);
    free(client->sending);
    *client = (struct client){ 0 };
}

static void reap(struct link_server *server)
{
    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        struct client *client = &server->clients[i];

        if (client->used && client->gone) {
            server->handler.closed(server->handler.context, client->connection.number);
            client_deinit(client);
        }
    }
}

static unsigned count_clients(const struct link_server *server)
{
    unsigned count = 0;

    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        count += server->clients[i].used;
    }
    return count;
}

/* Drops everything libwebsockets has without speaking to anyone. Descriptors that are still ours are closed.
 */
static void abandon(struct link_server *server)
{
    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        struct client *client = &server->clients[i];

        if (client->used && !client->gone) {
            link_descriptor_close(&client->descriptor);
            client->gone = true;
            client->wsi = NULL;
        }
    }
    if (server->lws) {
        link_memory_drop();
        server->lws = NULL;
    }
}

static struct client *free_slot(struct link_server *server)
{
    for (size_t i = 0; i < server->limits.connections; i++) {
        if (!server->clients[i].used) {
            return &server->clients[i];
        }
    }
    return NULL;
}

static bool too_many_accepts(struct link_server *server)
{
    uint64_t second = now_us() / 1000000u;

    if (second != server->accept_second) {
        server->accept_second = second;
        server->accepts = 0;
    }
    return ++server->accepts > LINK_ACCEPTS_PER_SECOND;
}

static void adopt(struct link_server *server, struct link_descriptor *descriptor)
{
    struct client *client = too_many_accepts(server) ? NULL : free_slot(server);

    if (client && !server->lws) {
        server->lws = start_lws();
    }
    if (!client || !server->lws) {
        link_descriptor_close(descriptor);
        return;
    }
    *client = (struct client){
        .descriptor = *descriptor,
        .used = true,
        .deadline_us = now_us() + LINK_HANDSHAKE_MS * 1000u,
    };
    link_connection_init(&client->connection, ++server->connections, &server->limits);
    struct lws_adopt_desc adoption = {
        .vh = lws_get_vhost_by_name(server->lws, "default"),
        .type = LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET,
        .fd.sockfd = descriptor->fd,
        .opaque = client,
    };
    client->wsi = lws_adopt_descriptor_vhost_via_info(&adoption);
    client->gone = client->wsi == NULL;
}

static int reopen_listener(struct link_server *server)
{
    char reason[128];

    return link_descriptor_intact(&server->listener.descriptor)
               ? 0
               : link_listener_open(&server->listener, reason, sizeof(reason));
}

/* Takes the connection that waits. 0, or negative errno if the listening socket is of no more use. */
static int accept_one(struct link_server *server)
{
    static const struct timespec a_while = { .tv_nsec = 100000000 };
    struct link_descriptor descriptor;
    int error = link_listener_accept(&server->listener, &descriptor);

    switch (error) {
    case 0:
        error = reopen_listener(server); /* the program may have closed it while we waited */
        adopt(server, &descriptor);
        return error;
    case -EPERM:
    case -EAGAIN:
        return 0;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
        nanosleep(&a_while, NULL); /* somebody waits at the door; do not spin until there is room */
        return 0;
    default:
        return link_descriptor_intact(&server->listener.descriptor) ? error : 0;
    }
}

/* Finds out whether the program has closed or replaced any of our descriptors. If so, those of libwebsockets that we do
 * not know of must be thought lost, too. */
static int recover(struct link_server *server)
{
    bool lost = !link_descriptor_intact(&server->listener.descriptor);

    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        struct client *client = &server->clients[i];

        lost |= client->used && !client->gone && !link_descriptor_intact(&client->descriptor);
    }
    if (lost) {
        abandon(server);
    }
    return reopen_listener(server);
}

/* Requests. */

static void send_message(struct link_server *server, struct client *client, char *message)
{
    if (client->gone) {
        free(message);
        return;
    }
    link_connection_send(&client->connection, message);
    client->doomed |= client->connection.overrun;
}

void link_call_result(struct link_call *call, json_t *result)
{
    struct answering *answering = (struct answering *)call;

    send_message(answering->server, answering->client, jsonrpc_result(answering->id, result));
    answering->answered = true;
}

void link_call_fail(struct link_call *call, int code, const char *format, ...)
{
    struct answering *answering = (struct answering *)call;
    char message[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    send_message(answering->server, answering->client, jsonrpc_error(answering->id, code, message, NULL));
    answering->answered = true;
}

bool link_call_abandoned(const struct link_call *call)
{
    const struct client *client = ((const struct answering *)call)->client;

    return client->gone || client->doomed;
}

void *link_call_take_upload(struct link_call *call, json_int_t upload, size_t *ret_size)
{
    return link_connection_take_upload(&((struct answering *)call)->client->connection, upload, ret_size);
}

void link_server_broadcast(struct link_server *server, const char *method)
{
    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        if (server->clients[i].used && server->clients[i].open) {
            send_message(server, &server->clients[i], jsonrpc_notification(method, NULL));
        }
    }
}

static void carry_out(struct link_server *server, struct client *client, struct jsonrpc_message *message)
{
    struct answering answering = {
        .call = { .method = message->method,
                  .params = message->params,
                  .connection = client->connection.number },
        .server = server,
        .client = client,
        .id = message->id,
    };

    server->handler.call(server->handler.context, &answering.call);
    if (!answering.answered) {
        link_call_fail(&answering.call, JSONRPC_INTERNAL_ERROR, "no answer");
    }
    jsonrpc_message_deinit(message);
}

/* Answers the others' questions that need not wait for the end of the call under way. */
static void carry_out_quick(struct link_server *server, const struct client *busy)
{
    for (size_t i = 0; server->handler.quick && i < LINK_CONNECTIONS_MAX; i++) {
        struct client *client = &server->clients[i];
        struct link_request *request = client->connection.requests;
        struct jsonrpc_message message;

        if (client->used && client != busy && !client->doomed && !client->gone && request &&
            server->handler.quick(request->message.method) &&
            link_connection_next(&client->connection, &message)) {
            carry_out(server, client, &message);
        }
    }
}

static bool somebody_waits(const struct link_server *server)
{
    struct pollfd fd = { .fd = server->listener.descriptor.fd, .events = POLLIN };

    return poll(&fd, 1, 0) > 0 && (fd.revents & POLLIN);
}

/* The call's own turn of the loop: it lets newcomers in, sends and receives, and answers quick questions. */
void link_call_notify(struct link_call *call, const char *method, json_t *params)
{
    struct answering *answering = (struct answering *)call;
    struct link_server *server = answering->server;

    send_message(server, answering->client, jsonrpc_notification(method, params));
    if (recover(server) || (somebody_waits(server) && accept_one(server)) || !server->lws) {
        return;
    }
    service(server);
    carry_out_quick(server, answering->client);
    flush(server);
}

/* One request of each client in turn, until none is left: nobody waits behind another's whole queue. */
static void carry_out_all(struct link_server *server)
{
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
            struct client *client = &server->clients[i];
            struct jsonrpc_message message;

            if (client->used && !client->doomed && !client->gone &&
                link_connection_next(&client->connection, &message)) {
                carry_out(server, client, &message);
                flush(server);
                more = true;
            }
        }
    }
}

/* The loop. */

/* A time limit only while a handshake or an end is under way. */
static int remaining_ms(const struct link_server *server, int timeout_ms)
{
    uint64_t now = now_us();

    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        const struct client *client = &server->clients[i];

        if (client->used && (!client->open || client->doomed)) {
            int left = client->deadline_us > now ? (int)((client->deadline_us - now) / 1000u) + 1 : DOOMED_MS;

            timeout_ms = timeout_ms < 0 || left < timeout_ms ? left : timeout_ms;
        }
    }
    return timeout_ms;
}

/* Waits for the listening socket (the first of FDS) and the clients. Returns poll's result. */
static int wait_for_events(struct link_server *server, struct pollfd *fds, int timeout_ms)
{
    nfds_t count = 1;

    fds[0] = (struct pollfd){ .fd = server->listener.descriptor.fd, .events = POLLIN };
    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        const struct client *client = &server->clients[i];

        if (client->used && !client->gone && !client->doomed) {
            short events = client->clogged ? POLLOUT : has_unsent(client) ? POLLIN | POLLOUT : POLLIN;

            fds[count++] = (struct pollfd){ .fd = client->descriptor.fd, .events = events };
        }
    }
    return poll(fds, count, remaining_ms(server, timeout_ms));
}

static void close_the_late(struct link_server *server)
{
    uint64_t now = now_us();

    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        struct client *client = &server->clients[i];

        if (client->used && !client->gone && !client->open && client->deadline_us <= now) {
            client->doomed = true;
        }
    }
}

/*
 * While nobody is connected the wait is a plain accept, not a poll: accept keeps hold of the socket even when
 * the program closes the descriptor meanwhile, so the next client still gets in, and the socket is made anew
 * after him.
 */
int link_server_step(struct link_server *server, int timeout_ms)
{
    struct pollfd fds[1 + LINK_CONNECTIONS_MAX];
    int error = recover(server);

    reap(server);
    if (!error && !count_clients(server)) {
        if (server->lws) {
            lws_context_destroy(server->lws);
            server->lws = NULL;
        }
        if (timeout_ms < 0) {
            error = accept_one(server);
        }
    }
    if (error) {
        return error;
    }
    const struct link_descriptor polled = server->listener.descriptor;
    int ready = wait_for_events(server, fds, timeout_ms < 0 && !count_clients(server) ? 0 : timeout_ms);
    error = recover(server);
    if (!error && ready > 0 && (fds[0].revents & POLLIN) &&
        polled.inode == server->listener.descriptor.inode) {
        error = accept_one(server);
    }
    if (server->lws) {
        close_the_late(server);
        service(server);
        carry_out_all(server);
    }
    return error;
}

void link_server_destroy(struct link_server *server)
{
    if (!server) {
        return;
    }
    if (server->lws) {
        lws_context_destroy(server->lws);
        server->lws = NULL;
    }
    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        server->clients[i].gone = true;
    }
    reap(server);
    link_listener_close(&server->listener);
    free(server);
}

void link_server_fork_prepare(void)
{
    link_memory_lock();
}

void link_server_fork_parent(void)
{
    link_memory_unlock();
}

void link_server_fork_child(struct link_server *server)
{
    link_memory_lock_reset();
    if (!server) {
        return;
    }
    abandon(server);
    link_descriptor_close(&server->listener.descriptor);
    for (size_t i = 0; i < LINK_CONNECTIONS_MAX; i++) {
        if (server->clients[i].used) {
            client_deinit(&server->clients[i]);
        }
    }
    free(server);
}
