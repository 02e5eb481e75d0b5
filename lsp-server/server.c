/*
 * Dispatch: a message comes in, the table in handlers.h says who handles it. The rules of the protocol that
 * hold for every message are here: nothing before initialize, nothing but exit after shutdown, an unknown
 * request is answered with -32601, an unknown notification ignored.
 */
#include "lsp-server/server.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lsp-server/connection.h"
#include "lsp-server/engines.h"
#include "lsp-server/handlers.h"
#include "lsp-server/workspace.h"

struct pending_request {
    struct pending_request *next;
    json_int_t id;
    server_answer *answered;
    void *context;
};

static const struct {
    const char *method;
    server_request *handle;
} requests[] = {
#define X(method, handler) { method, handler },
    SERVER_REQUESTS(X)
#undef X
};

static const struct {
    const char *method;
    server_notification *handle;
} notifications[] = {
#define X(method, handler) { method, handler },
    SERVER_NOTIFICATIONS(X)
#undef X
};

void reply_result(struct reply *reply, json_t *result)
{
    connection_send(reply->server->connection, jsonrpc_result(reply->id, result));
    json_decref(reply->id);
    free(reply);
}

void reply_error(struct reply *reply, enum jsonrpc_error_code code, const char *message)
{
    connection_send(reply->server->connection, jsonrpc_error(reply->id, code, message, NULL));
    json_decref(reply->id);
    free(reply);
}

void server_notify(struct server *server, const char *method, json_t *params)
{
    connection_send(server->connection, jsonrpc_notification(method, params));
}

void server_ask(struct server *server, const char *method, json_t *params, server_answer *answered,
                void *context)
{
    struct pending_request *pending = calloc(1, sizeof *pending);

    if (!pending) {
        json_decref(params);
        molt_log(MOLT_LOG_ERROR, "a request to the editor was dropped: out of memory");
        return;
    }
    *pending = (struct pending_request){ server->asked, ++server->last_id, answered, context };
    server->asked = pending;
    connection_send(server->connection, jsonrpc_request(pending->id, method, params));
}

void server_show(struct server *server, int type, const char *format, ...)
{
    struct text text = { 0 };
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    if (!text_failed(&text))
        server_notify(server, "window/showMessage",
                      json_pack("{s:i,s:s}", "type", type, "message", text.bytes));
    text_deinit(&text);
}

static void handle_request(struct server *server, const struct jsonrpc_message *message)
{
    struct reply *reply = malloc(sizeof *reply);

    if (!reply) {
        connection_send(server->connection,
                        jsonrpc_error(message->id, JSONRPC_INTERNAL_ERROR, "out of memory", NULL));
        return;
    }
    *reply = (struct reply){ server, json_incref(message->id) };
    if (server->phase == SERVER_NEW && strcmp(message->method, "initialize")) {
        reply_error(reply, JSONRPC_SERVER_NOT_INITIALIZED, "initialize comes first");
        return;
    }
    if (server->phase == SERVER_SHUT_DOWN) {
        reply_error(reply, JSONRPC_INVALID_REQUEST, "the server has been shut down");
        return;
    }
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (!strcmp(requests[i].method, message->method)) {
            requests[i].handle(server, message->params, reply);
            return;
        }
    }
    reply_error(reply, JSONRPC_METHOD_NOT_FOUND, "molt-lsp does not know this request");
}

static void leave(struct server *server)
{
    server->leaving = true;
    uv_stop(server->loop);
}

static void handle_notification(struct server *server, const struct jsonrpc_message *message)
{
    if (!strcmp(message->method, "exit")) {
        server->exit_status = server->phase == SERVER_SHUT_DOWN ? 0 : 1;
        leave(server);
        return;
    }
    if (server->phase != SERVER_INITIALIZED)
        return;
    for (size_t i = 0; i < sizeof notifications / sizeof notifications[0]; i++) {
        if (!strcmp(notifications[i].method, message->method)) {
            notifications[i].handle(server, message->params);
            return;
        }
    }
}

static void handle_answer(struct server *server, const struct jsonrpc_message *message)
{
    struct pending_request **at = &server->asked;

    while (*at && !(json_is_integer(message->id) && (*at)->id == json_integer_value(message->id)))
        at = &(*at)->next;
    if (*at) {
        struct pending_request *pending = *at;

        *at = pending->next;
        if (message->kind == JSONRPC_ERROR)
            molt_log(MOLT_LOG_DEBUG, "the editor refused a request: %s", message->error_message);
        if (pending->answered)
            pending->answered(server, pending->context,
                              message->kind == JSONRPC_RESULT ? message->result : NULL);
        free(pending);
    }
}

static void received(void *context, const struct jsonrpc_message *message)
{
    struct server *server = context;

    switch (message->kind) {
    case JSONRPC_REQUEST:
        handle_request(server, message);
        break;
    case JSONRPC_NOTIFICATION:
        handle_notification(server, message);
        break;
    case JSONRPC_RESULT:
    case JSONRPC_ERROR:
        handle_answer(server, message);
        break;
    }
}

/* The editor is gone, killed perhaps. All that must survive is on disk already. */
static void closed(void *context, const char *reason)
{
    struct server *server = context;

    if (reason)
        molt_log(MOLT_LOG_ERROR, "connection to the editor: %s", reason);
    server->exit_status = server->phase == SERVER_SHUT_DOWN ? 0 : 1;
    leave(server);
}

struct log_line {
    struct server *server;
    enum molt_log_level level;
    char text[];
};

static void send_log_line(void *context)
{
    static const int types[] = {
        [MOLT_LOG_ERROR] = 1, [MOLT_LOG_WARNING] = 2, [MOLT_LOG_INFO] = 3, [MOLT_LOG_DEBUG] = 4
    };
    struct log_line *line = context;

    if (line->server->phase == SERVER_INITIALIZED)
        server_notify(line->server, "window/logMessage",
                      json_pack("{s:i,s:s}", "type", types[line->level], "message", line->text));
    free(line);
}

/* From any thread: only the loop's may write to the editor. */
static void log_sink(enum molt_log_level level, const char *text, void *context)
{
    struct server *server = context;
    struct log_line *line = malloc(sizeof *line + strlen(text) + 1);

    if (!line)
        return;
    line->server = server;
    line->level = level;
    memcpy(line->text, text, strlen(text) + 1);
    if (jobs_post(server->jobs, send_log_line, line))
        free(line);
}

struct molt_error *server_create(uv_loop_t *loop, int in, int out, struct server **ret)
{
    static const struct connection_events events = { received, closed };
    struct server *server = calloc(1, sizeof *server);
    struct molt_error *error;

    if (!server)
        return molt_error_nomem();
    server->loop = loop;
    server->encoding = POSITION_UTF16;
    server->exit_status = 1;
    error = jobs_create(loop, &server->jobs);
    if (!error)
        error = connection_create(loop, in, out, &events, server, &server->connection);
    if (error) {
        jobs_destroy(server->jobs);
        free(server);
        return error;
    }
    molt_log_to(log_sink, server, MOLT_LOG_INFO);
    *ret = server;
    return NULL;
}

void server_stop(struct server *server)
{
    workspaces_destroy(server);
}

void server_destroy(struct server *server)
{
    if (!server)
        return;
    molt_log_to(NULL, NULL, MOLT_LOG_ERROR);
    engines_destroy(server->engines);
    connection_destroy(server->connection);
    jobs_destroy(server->jobs);
    while (server->asked) {
        struct pending_request *pending = server->asked;

        server->asked = pending->next;
        free(pending);
    }
    json_decref(server->options);
    free(server);
}
