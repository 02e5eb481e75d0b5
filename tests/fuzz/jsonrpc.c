/*
 * Bytes from an editor, in pieces of any size: the framing hands out bodies or breaks for good, each body is
 * a message or is refused, and what was built from a message parses as the same again.
 */
#include "base/jsonrpc.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void check_message(const char *body, size_t length)
{
    struct jsonrpc_message message = { 0 }, again = { 0 };
    char *text;

    fuzz_touch(body, length);
    if (jsonrpc_parse(body, length, &message) != 0)
        return;
    switch (message.kind) {
    case JSONRPC_REQUEST:
    case JSONRPC_NOTIFICATION:
        fuzz_touch_string(message.method);
        text = jsonrpc_notification(message.method, json_incref(message.params));
        break;
    case JSONRPC_RESULT:
        text = jsonrpc_result(message.id, json_incref(message.result));
        break;
    default:
        fuzz_touch_string(message.error_message);
        text = jsonrpc_error(message.id, JSONRPC_INTERNAL_ERROR, message.error_message,
                             json_incref(message.error_data));
    }
    if (text && jsonrpc_parse(text, strlen(text), &again) != 0)
        abort();
    free(text);
    jsonrpc_message_deinit(&again);
    jsonrpc_message_deinit(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct jsonrpc_framing framing = { .limit = 1 << 16 };
    const char *body;
    size_t length, piece = size ? 1 + bytes[0] : 1;

    for (size_t at = 0; at < size; at += piece) {
        jsonrpc_framing_feed(&framing, bytes + at, size - at < piece ? size - at : piece);
        while (jsonrpc_framing_next(&framing, &body, &length) == 0)
            check_message(body, length);
    }
    jsonrpc_framing_deinit(&framing);
    check_message((const char *)bytes, size);
    return 0;
}
