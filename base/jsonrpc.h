/*
 * JSON-RPC 2.0 without I/O: messages are parsed from bytes and built into strings, and nothing here knows
 * where the bytes come from. The websocket carries one message per text frame; the language server's standard
 * input carries them behind Content-Length headers, which is the framing at the end of this page.
 */
#ifndef MOLT_BASE_JSONRPC_H
#define MOLT_BASE_JSONRPC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* name, value: the specification's error codes, then LSP's, then Molt's own (see link/protocol.h) */
#define JSONRPC_ERROR_CODES(X)                                                                               \
    X(PARSE_ERROR, -32700)                                                                                   \
    X(INVALID_REQUEST, -32600)                                                                               \
    X(METHOD_NOT_FOUND, -32601)                                                                              \
    X(INVALID_PARAMS, -32602)                                                                                \
    X(INTERNAL_ERROR, -32603)                                                                                \
    X(SERVER_NOT_INITIALIZED, -32002)                                                                        \
    X(REQUEST_CANCELLED, -32800)                                                                             \
    X(CONTENT_MODIFIED, -32801)                                                                              \
    X(REQUEST_FAILED, -32803)

enum jsonrpc_error_code {
#define X(name, value) JSONRPC_##name = (value),
    JSONRPC_ERROR_CODES(X)
#undef X
};

enum jsonrpc_kind {
    JSONRPC_REQUEST = 1,  /* method, params, id */
    JSONRPC_NOTIFICATION, /* method, params */
    JSONRPC_RESULT,       /* id, result */
    JSONRPC_ERROR,        /* id (JSON null if the other side could not tell), error_* */
};

/* One message. All pointers lead into `root`, which the message owns. */
struct jsonrpc_message {
    enum jsonrpc_kind kind;
    json_t *root;
    json_t *id;                /* integer, string or null; NULL for a notification */
    const char *method;        /* NULL for a result or an error */
    json_t *params;            /* object or array, or NULL */
    json_t *result;            /* any value */
    json_int_t error_code;     /* of an error */
    const char *error_message; /* "" if it has none */
    json_t *error_data;        /* or NULL */
};

#define JSONRPC_DEPTH_MAX 128 /* of brackets in brackets: the engine's stack is small */

/*
 * Parses one message of LENGTH bytes. Returns 0; -EBADMSG: not JSON (answer PARSE_ERROR); -EPROTO: JSON but
 * no JSON-RPC 2.0 message, batches included, or nested too deeply (answer INVALID_REQUEST). Strings may hold
 * NUL characters: see json_string_length.
 */
int jsonrpc_parse(const char *bytes, size_t length, struct jsonrpc_message *ret);

/* Drops what the message holds; fine on a zeroed one. */
void jsonrpc_message_deinit(struct jsonrpc_message *message);

/* Builders. PARAMS, RESULT and DATA are taken, even on failure, and may be NULL (no params, a null result, no
 * data); ID is borrowed, NULL becomes null. The string belongs to the caller; NULL without memory or if a
 * string is not UTF-8. */
char *jsonrpc_request(json_int_t id, const char *method, json_t *params);
char *jsonrpc_notification(const char *method, json_t *params);
char *jsonrpc_result(json_t *id, json_t *result);
char *jsonrpc_error(json_t *id, enum jsonrpc_error_code code, const char *message, json_t *data);

/*
 * LSP's framing: "Content-Length: N\r\n", other header lines, "\r\n", N bytes. Bytes go in as they arrive,
 * bodies come out.
 *
 *     jsonrpc_framing_feed(&framing, bytes, count);
 *     while (!(error = jsonrpc_framing_next(&framing, &body, &length))) { ... }
 *     if (error < 0) the stream is broken for good
 */
struct jsonrpc_framing {
    struct text buffer;
    size_t start;     /* where the unread part of the buffer begins */
    size_t limit;     /* largest body in bytes, 0: JSONRPC_BODY_MAX */
    size_t body;      /* of the message whose header has been read */
    bool have_header; /* `body` is known */
    int error;        /* sticks */
};

#define JSONRPC_BODY_MAX ((size_t)256 << 20)
#define JSONRPC_HEADER_MAX 4096
#define JSONRPC_MORE 1 /* the next message is not complete yet */

/* Takes COUNT more bytes (copied). What went wrong is told by the next jsonrpc_framing_next. */
void jsonrpc_framing_feed(struct jsonrpc_framing *framing, const void *bytes, size_t count);

/* Hands out the next body, which stays valid until the next feed or deinit and is not NUL-terminated. Returns
 * 0, JSONRPC_MORE, or for good: -EBADMSG (broken header), -EMSGSIZE (body or header beyond the limit),
 * -ENOMEM. */
int jsonrpc_framing_next(struct jsonrpc_framing *framing, const char **ret_body, size_t *ret_length);

void jsonrpc_framing_deinit(struct jsonrpc_framing *framing);

/* Appends MESSAGE to OUT behind its header. */
void jsonrpc_frame(struct text *out, const char *message);

#endif
