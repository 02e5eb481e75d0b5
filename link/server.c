/*
 * The service loop. It waits by a poll of its own over the listening socket and the clients, without a
 * time-out, and lets libwebsockets work (never wait) when there is something to do: so nothing inside
 * libwebsockets can wake the process up. Requests are collected in libwebsockets' callbacks (server_bytes.c)
 * and carried out afterwards, outside of it (server_calls.c); that is why a long call may let the loop work
 * in between to send its progress.
 */
#include "link/server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "link/memory.h"
#include "link/protocol.h"
#include "link/server_private.h"

#define DOOMED_MS 100

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
        server->lws = server_start_lws();
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

int server_accept(struct link_server *server)
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

int server_recover(struct link_server *server)
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
            short events = client->clogged ? POLLOUT : client_has_unsent(client) ? POLLIN | POLLOUT : POLLIN;

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
    int error = server_recover(server);

    reap(server);
    if (!error && !count_clients(server)) {
        if (server->lws) {
            lws_context_destroy(server->lws);
            server->lws = NULL;
        }
        if (timeout_ms < 0) {
            error = server_accept(server);
        }
    }
    if (error) {
        return error;
    }
    const struct link_descriptor polled = server->listener.descriptor;
    int ready = wait_for_events(server, fds, timeout_ms < 0 && !count_clients(server) ? 0 : timeout_ms);
    error = server_recover(server);
    if (!error && ready > 0 && (fds[0].revents & POLLIN) &&
        polled.inode == server->listener.descriptor.inode) {
        error = server_accept(server);
    }
    if (server->lws) {
        close_the_late(server);
        server_service(server);
        server_carry_out(server);
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
