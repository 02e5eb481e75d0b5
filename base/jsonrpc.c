/*
 * JSON-RPC 2.0 messages and LSP's framing. A message is judged once, in jsonrpc_parse: whoever gets one need
 * not ask again whether the method is a string or the params are an object or array.
 */
#include "base/jsonrpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_string_without_nul(const json_t *value)
{
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

static bool read_call(struct jsonrpc_message *message, json_t *method)
{
    json_t *params = json_object_get(message->root, "params");

    if (!is_string_without_nul(method) || json_is_null(message->id) ||
        (params && !json_is_object(params) && !json_is_array(params) && !json_is_null(params))) {
        return false;
    }
    message->kind = message->id ? JSONRPC_REQUEST : JSONRPC_NOTIFICATION;
    message->method = json_string_value(method);
    message->params = json_is_null(params) ? NULL : params;
    return true;
}

static bool read_error(struct jsonrpc_message *message, json_t *error)
{
    json_t *code = json_object_get(error, "code");
    json_t *text = json_object_get(error, "message");

    if (!json_is_integer(code) || (text && !json_is_string(text))) {
        return false;
    }
    message->kind = JSONRPC_ERROR;
    message->error_code = json_integer_value(code);
    message->error_message = text ? json_string_value(text) : "";
    message->error_data = json_object_get(error, "data");
    return true;
}

static bool read_message(struct jsonrpc_message *message)
{
    json_t *version = json_object_get(message->root, "jsonrpc");
    json_t *method = json_object_get(message->root, "method");
    json_t *error = json_object_get(message->root, "error");

    if (!json_is_string(version) || strcmp(json_string_value(version), "2.0")) {
        return false;
    }
    message->id = json_object_get(message->root, "id");
    if (message->id && !json_is_integer(message->id) && !json_is_string(message->id) &&
        !json_is_null(message->id)) {
        return false;
    }
    if (method) {
        return read_call(message, method);
    }
    if (!message->id) {
        return false;
    }
    message->result = json_object_get(message->root, "result");
    if (error && !json_is_null(error)) {
        return !message->result && read_error(message, error);
    }
    message->kind = JSONRPC_RESULT;
    return message->result != NULL;
}

/* Whether brackets nest so deeply that parsing them could overflow a small stack. Words in strings do not
 * count. */
static bool nests_too_deep(const char *bytes, size_t length)
{
    unsigned depth = 0;
    bool string = false;

    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];

        if (string) {
            i += c == '\\';
            string = c != '"';
        } else if (c == '"') {
            string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSONRPC_DEPTH_MAX) {
                return true;
            }
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        }
    }
    return false;
}

int jsonrpc_parse(const char *bytes, size_t length, struct jsonrpc_message *ret)
{
    if (nests_too_deep(bytes, length)) {
        return -EPROTO;
    }
    struct jsonrpc_message message = { .root = json_loadb(bytes, length, JSON_ALLOW_NUL, NULL) };

    if (!message.root) {
        return -EBADMSG;
    }
    if (!read_message(&message)) {
        json_decref(message.root);
        return -EPROTO;
    }
    *ret = message;
    return 0;
}

void jsonrpc_message_deinit(struct jsonrpc_message *message)
{
    json_decref(message->root);
    *message = (struct jsonrpc_message){ 0 };
}

/* Turns the message into a string and drops it; NULL comes from a failed json_pack. */
static char *dump(json_t *message)
{
    char *string = message ? json_dumps(message, JSON_COMPACT) : NULL;

    json_decref(message);
    return string;
}

char *jsonrpc_request(json_int_t id, const char *method, json_t *params)
{
    return dump(
        json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0", "id", id, "method", method, "params", params));
}

char *jsonrpc_notification(const char *method, json_t *params)
{
    return dump(json_pack("{s:s, s:s, s:o*}", "jsonrpc", "2.0", "method", method, "params", params));
}

char *jsonrpc_result(json_t *id, json_t *result)
{
    return dump(json_pack("{s:s, s:O?, s:o?}", "jsonrpc", "2.0", "id", id, "result", result));
}

char *jsonrpc_error(json_t *id, enum jsonrpc_error_code code, const char *message, json_t *data)
{
    return dump(json_pack("{s:s, s:O?, s:{s:i, s:s, s:o*}}", "jsonrpc", "2.0", "id", id, "error", "code",
                          (int)code, "message", message, "data", data));
}

void jsonrpc_framing_feed(struct jsonrpc_framing *framing, const void *bytes, size_t count)
{
    if (framing->start) {
        text_consume(&framing->buffer, framing->start);
        framing->start = 0;
    }
    text_append(&framing->buffer, bytes, count);
    if (text_failed(&framing->buffer)) {
        framing->error = -ENOMEM;
    }
}

/* Reads "Content-Length: N" out of one header line. Other headers are well-formed and ignored. */
static bool read_header_line(const char *line, size_t length, bool *known, size_t *ret_body)
{
    static const char name[] = "content-length:";
    size_t value = 0;
    const char *at = line + sizeof(name) - 1;
    const char *end = line + length;

    if (length < sizeof(name) - 1 || strncasecmp(line, name, sizeof(name) - 1)) {
        return memchr(line, ':', length) != NULL;
    }
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    if (at == end || end - at > 15) {
        return false;
    }
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        value = value * 10 + (size_t)(*at - '0');
    }
    *known = true;
    *ret_body = value;
    return true;
}

/* Reads header lines up to the empty one. Returns 0, JSONRPC_MORE or an error. */
static int read_header(struct jsonrpc_framing *framing)
{
    size_t left = framing->buffer.length - framing->start;
    bool known = false;

    if (!left) {
        return JSONRPC_MORE;
    }
    const char *bytes = framing->buffer.bytes + framing->start;
    const char *end = memmem(bytes, left, "\r\n\r\n", 4);
    if (!end || end - bytes > JSONRPC_HEADER_MAX) {
        return end || left > JSONRPC_HEADER_MAX ? -EMSGSIZE : JSONRPC_MORE;
    }
    for (size_t at = 0; bytes + at < end + 2;) {
        const char *line = bytes + at;
        size_t length = strcspn(line, "\r"); /* ends at `end` at the latest */

        if (memcmp(line + length, "\r\n", 2) || !read_header_line(line, length, &known, &framing->body)) {
            return -EBADMSG;
        }
        at += length + 2;
    }
    if (!known) {
        return -EBADMSG;
    }
    if (framing->body > (framing->limit ? framing->limit : JSONRPC_BODY_MAX)) {
        return -EMSGSIZE;
    }
    framing->start += (size_t)(end + 4 - bytes);
    framing->have_header = true;
    return 0;
}

int jsonrpc_framing_next(struct jsonrpc_framing *framing, const char **ret_body, size_t *ret_length)
{
    if (!framing->error && !framing->have_header) {
        int result = read_header(framing);

        if (result > 0) {
            return result;
        }
        framing->error = result;
    }
    if (framing->error) {
        return framing->error;
    }
    if (framing->buffer.length - framing->start < framing->body) {
        return JSONRPC_MORE;
    }
    *ret_body = framing->buffer.bytes + framing->start;
    *ret_length = framing->body;
    framing->start += framing->body;
    framing->have_header = false;
    return 0;
}

void jsonrpc_framing_deinit(struct jsonrpc_framing *framing)
{
    text_deinit(&framing->buffer);
    *framing = (struct jsonrpc_framing){ 0 };
}

void jsonrpc_frame(struct text *out, const char *message)
{
    text_printf(out, "Content-Length: %zu\r\n\r\n", strlen(message));
    text_puts(out, message);
}
