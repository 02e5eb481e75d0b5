/*
 * Requests are carried out one at a time, and answered by whoever is asked. A long call takes turns of the
 * loop by itself, to send its progress: then it answers what others ask, if that is quick.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "link/protocol.h"
#include "link/server_private.h"

struct answering {
    struct link_call call;
    struct link_server *server;
    struct client *client;
    json_t *id;
    bool answered;
};

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
    if (server_recover(server) || (somebody_waits(server) && server_accept(server)) || !server->lws) {
        return;
    }
    server_service(server);
    carry_out_quick(server, answering->client);
    server_flush(server);
}

void server_carry_out(struct link_server *server)
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
                server_flush(server);
                more = true;
            }
        }
    }
}
