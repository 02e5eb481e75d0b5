/*
 * Bytes from the editor become messages, messages become bytes. uv_try_write goes first: most messages fit
 * into the pipe and then need no request of their own, and they are out before anything else happens.
 */
#include "lsp-server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tty_t tty;
    } in, out;
    struct connection_events events;
    void *context;
    struct jsonrpc_framing framing;
    unsigned open_handles;
    bool ended;  /* closed was called */
    bool broken; /* the editor does not read any more */
    char buffer[65536];
};

struct write {
    uv_write_t request;
    struct text bytes;
};

static void end(struct connection *connection, const char *reason)
{
    if (connection->ended)
        return;
    connection->ended = true;
    uv_read_stop(&connection->in.stream);
    connection->events.closed(connection->context, reason);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct connection *connection = handle->data;

    *ret = uv_buf_init(connection->buffer, sizeof connection->buffer);
}

/* A body that is no message is answered, as the specification asks, and the stream goes on. */
static void handle_body(struct connection *connection, const char *body, size_t length)
{
    struct jsonrpc_message message = { 0 };
    int error = jsonrpc_parse(body, length, &message);

    if (error == -EBADMSG)
        connection_send(connection, jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, "not JSON", NULL));
    else if (error)
        connection_send(connection,
                        jsonrpc_error(NULL, JSONRPC_INVALID_REQUEST, "not a JSON-RPC 2.0 message", NULL));
    else
        connection->events.message(connection->context, &message);
    jsonrpc_message_deinit(&message);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    const char *body;
    size_t length;
    int error = 0;

    if (count < 0) {
        end(connection, count == UV_EOF ? NULL : uv_strerror((int)count));
        return;
    }
    jsonrpc_framing_feed(&connection->framing, buffer->base, (size_t)count);
    while (!connection->ended && !(error = jsonrpc_framing_next(&connection->framing, &body, &length)))
        handle_body(connection, body, length);
    if (error < 0)
        end(connection, "the editor sent a broken message header");
}

static int open_stream(uv_loop_t *loop, int fd, uv_handle_t *handle)
{
    int error;

    if (uv_guess_handle(fd) == UV_TTY)
        return uv_tty_init(loop, (uv_tty_t *)handle, fd, 0);
    error = uv_pipe_init(loop, (uv_pipe_t *)handle, 0);
    if (error)
        return error;
    return uv_pipe_open((uv_pipe_t *)handle, fd);
}

struct molt_error *connection_create(uv_loop_t *loop, int in, int out, const struct connection_events *events,
                                     void *context, struct connection **ret)
{
    struct connection *connection = calloc(1, sizeof *connection);
    int error;

    if (!connection)
        return molt_error_nomem();
    connection->events = *events;
    connection->context = context;
    error = open_stream(loop, in, &connection->in.handle);
    if (!error)
        error = open_stream(loop, out, &connection->out.handle);
    connection->in.handle.data = connection->out.handle.data = connection;
    connection->open_handles = 2;
    if (!error)
        error = uv_read_start(&connection->in.stream, lend_buffer, received);
    if (error) /* the process ends now: half-open handles are left to it */
        return molt_error_errno(error, "cannot talk to the editor over standard input and output");
    *ret = connection;
    return NULL;
}

static void written(uv_write_t *request, int status)
{
    struct write *write = (struct write *)request;
    struct connection *connection = request->handle->data;

    if (status < 0 && status != UV_ECANCELED)
        connection->broken = true;
    text_deinit(&write->bytes);
    free(write);
}

static void write_later(struct connection *connection, struct text *bytes)
{
    struct write *write = calloc(1, sizeof *write);
    uv_buf_t buffer;

    if (!write) {
        connection->broken = true; /* half a message is out: the stream cannot be mended */
        return;
    }
    write->bytes = *bytes;
    *bytes = (struct text){ 0 };
    buffer = uv_buf_init(write->bytes.bytes, (unsigned)write->bytes.length);
    if (uv_write(&write->request, &connection->out.stream, &buffer, 1, written)) {
        connection->broken = true;
        text_deinit(&write->bytes);
        free(write);
    }
}

void connection_send(struct connection *connection, char *message)
{
    struct text bytes = { 0 };
    uv_buf_t buffer;
    int count;

    if (!message) {
        molt_log(MOLT_LOG_ERROR, "a message to the editor was dropped: out of memory");
        return;
    }
    jsonrpc_frame(&bytes, message);
    free(message);
    if (connection->broken || text_failed(&bytes)) {
        text_deinit(&bytes);
        return;
    }
    buffer = uv_buf_init(bytes.bytes, (unsigned)bytes.length);
    count = uv_stream_get_write_queue_size(&connection->out.stream)
                ? UV_EAGAIN
                : uv_try_write(&connection->out.stream, &buffer, 1);
    if (count == UV_EAGAIN)
        count = 0;
    if (count < 0)
        connection->broken = true;
    else if ((size_t)count < bytes.length) {
        text_consume(&bytes, (size_t)count);
        write_later(connection, &bytes);
    }
    text_deinit(&bytes);
}

static void closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    if (--connection->open_handles)
        return;
    jsonrpc_framing_deinit(&connection->framing);
    free(connection);
}

void connection_destroy(struct connection *connection)
{
    if (!connection)
        return;
    connection->ended = true;
    uv_close(&connection->in.handle, closed);
    uv_close(&connection->out.handle, closed);
}
