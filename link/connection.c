/*
 * What a client may make the engine hold is bounded here: one message under assembly, LINK_PENDING_MAX
 * requests, one upload, LINK_UNSENT_MAX bytes unsent. The rate limit is an allowance of time: each request
 * costs one interval, the clock pays it back, and at most a second's worth is saved up.
 */
#include "link/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/protocol.h"

#define SECOND_US 1000000u

void link_connection_init(struct link_connection *connection, uint64_t number,
                          const struct link_limits *limits)
{
    *connection = (struct link_connection){
        .number = number,
        .limits = limits,
        .allowance_us = SECOND_US,
    };
}

static void upload_drop(struct link_upload *upload)
{
    json_decref(upload->id);
    free(upload->bytes);
    *upload = (struct link_upload){ 0 };
}

void link_connection_deinit(struct link_connection *connection)
{
    struct jsonrpc_message message;
    struct link_outgoing *outgoing;

    while (link_connection_next(connection, &message)) {
        jsonrpc_message_deinit(&message);
    }
    while ((outgoing = link_connection_outgoing(connection))) {
        free(outgoing);
    }
    upload_drop(&connection->upload);
    text_deinit(&connection->message);
}

void link_connection_send(struct link_connection *connection, char *message)
{
    size_t size = message ? strlen(message) : 0;
    struct link_outgoing *outgoing = message ? malloc(sizeof(*outgoing) + LINK_OUTGOING_ROOM + size) : NULL;
    struct link_outgoing **last = &connection->outgoing;

    if (!outgoing || connection->unsent + size > LINK_UNSENT_MAX) {
        connection->overrun = true;
        free(outgoing);
        free(message);
        return;
    }
    outgoing->next = NULL;
    outgoing->size = size;
    memcpy(outgoing->bytes + LINK_OUTGOING_ROOM, message, size);
    free(message);
    while (*last) {
        last = &(*last)->next;
    }
    *last = outgoing;
    connection->unsent += size;
}

struct link_outgoing *link_connection_outgoing(struct link_connection *connection)
{
    struct link_outgoing *outgoing = connection->outgoing;

    if (outgoing) {
        connection->outgoing = outgoing->next;
        connection->unsent -= outgoing->size;
    }
    return outgoing;
}

static void fail(struct link_connection *connection, json_t *id, int code, const char *message)
{
    link_connection_send(connection, jsonrpc_error(id, code, message, NULL));
}

/* Whether the rate limit has room for one more request. */
static bool may_ask(struct link_connection *connection, uint64_t now_us)
{
    unsigned rate = connection->limits->requests_per_second;
    uint64_t price = rate ? SECOND_US / rate : 0;

    if (now_us > connection->last_us) {
        connection->allowance_us += now_us - connection->last_us;
    }
    if (connection->allowance_us > SECOND_US) {
        connection->allowance_us = SECOND_US;
    }
    connection->last_us = now_us;
    if (connection->allowance_us < price) {
        return false;
    }
    connection->allowance_us -= price;
    return true;
}

static void upload_finish(struct link_connection *connection)
{
    struct link_upload *upload = &connection->upload;

    if (!upload->id || upload->received < upload->size) {
        return;
    }
    if (upload->bytes) {
        json_t *result = json_pack("{s:I}", link_method_name(LINK_METHOD_UPLOAD), upload->number);

        link_connection_send(connection, jsonrpc_result(upload->id, result));
    }
    json_decref(upload->id);
    upload->id = NULL;
}

/* An upload that is refused is answered at once, and its bytes, which may be on their way, are swallowed. */
static void upload_begin(struct link_connection *connection, const struct jsonrpc_message *message)
{
    struct link_upload *upload = &connection->upload;
    json_t *size = json_object_get(message->params, "size");

    if (upload->id) {
        fail(connection, message->id, JSONRPC_INVALID_REQUEST, "another upload is under way");
        return;
    }
    upload_drop(upload);
    if (!json_is_integer(size) || json_integer_value(size) <= 0) {
        fail(connection, message->id, JSONRPC_INVALID_PARAMS, "an upload needs its size in bytes");
        return;
    }
    upload->number = ++connection->uploads;
    upload->size = (size_t)json_integer_value(size);
    upload->id = json_incref(message->id);
    if (upload->size > connection->limits->upload) {
        fail(connection, message->id, LINK_ERROR_TOO_LARGE, "the patch is larger than the engine takes");
        return;
    }
    upload->bytes = malloc(upload->size);
    if (!upload->bytes) {
        fail(connection, message->id, LINK_ERROR_NO_MEMORY, "no memory for the patch");
    }
}

static void enqueue(struct link_connection *connection, struct jsonrpc_message *message)
{
    struct link_request **last = &connection->requests;
    struct link_request *request = malloc(sizeof(*request));

    if (!request) {
        connection->overrun = true;
        jsonrpc_message_deinit(message);
        return;
    }
    *request = (struct link_request){ .message = *message };
    while (*last) {
        last = &(*last)->next;
    }
    *last = request;
    connection->request_count++;
}

static void take_message(struct link_connection *connection, uint64_t now_us)
{
    struct jsonrpc_message message = { 0 };
    const char *bytes = connection->message.bytes ? connection->message.bytes : "";
    int result = jsonrpc_parse(bytes, connection->message.length, &message);

    if (result) {
        fail(connection, NULL, result == -EPROTO ? JSONRPC_INVALID_REQUEST : JSONRPC_PARSE_ERROR,
             result == -EPROTO ? "not a JSON-RPC 2.0 request" : "not JSON");
    } else if (message.kind != JSONRPC_REQUEST) {
        /* the engine asks nothing and knows no notification from its clients */
    } else if (!may_ask(connection, now_us) || connection->request_count >= LINK_PENDING_MAX) {
        fail(connection, message.id, LINK_ERROR_TOO_MANY, "too many requests");
    } else if (message.params && !json_is_object(message.params)) {
        fail(connection, message.id, JSONRPC_INVALID_PARAMS, "params must be an object");
    } else if (link_method_of(message.method) == LINK_METHOD_UPLOAD) {
        upload_begin(connection, &message);
    } else {
        enqueue(connection, &message);
        return;
    }
    jsonrpc_message_deinit(&message);
}

int link_connection_text(struct link_connection *connection, const void *bytes, size_t count, bool complete,
                         uint64_t now_us)
{
    if (count > connection->limits->text || connection->message.length > connection->limits->text - count) {
        return -EMSGSIZE;
    }
    text_append(&connection->message, bytes, count);
    if (text_failed(&connection->message)) {
        return -ENOMEM;
    }
    if (complete) {
        take_message(connection, now_us);
        text_clear(&connection->message);
    }
    return 0;
}

int link_connection_binary(struct link_connection *connection, const void *bytes, size_t count)
{
    struct link_upload *upload = &connection->upload;

    if (!count) {
        return 0;
    }
    if (!upload->id || count > upload->size - upload->received) {
        return -EPROTO;
    }
    if (upload->bytes) {
        memcpy(upload->bytes + upload->received, bytes, count);
    }
    upload->received += count;
    upload_finish(connection);
    return 0;
}

bool link_connection_next(struct link_connection *connection, struct jsonrpc_message *ret_message)
{
    struct link_request *request = connection->requests;

    if (!request) {
        return false;
    }
    connection->requests = request->next;
    connection->request_count--;
    *ret_message = request->message;
    free(request);
    return true;
}

void *link_connection_take_upload(struct link_connection *connection, json_int_t number, size_t *ret_size)
{
    struct link_upload *upload = &connection->upload;
    void *bytes = upload->bytes;

    if (!bytes || upload->id || upload->number != number) {
        return NULL;
    }
    *ret_size = upload->size;
    *upload = (struct link_upload){ 0 };
    return bytes;
}
