/* JSON-RPC 2.0 as tables: bytes in, message or verdict out; and the framing, fed in pieces of every size. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/jsonrpc.h"

static const struct {
    const char *input;
    int result;
    enum jsonrpc_kind kind;
    const char *method;
} messages[] = {
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}", 0, JSONRPC_REQUEST, "status" },
    { "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"m\",\"params\":[1]}", 0, JSONRPC_REQUEST, "m" },
    { "{\"jsonrpc\":\"2.0\",\"method\":\"changed\",\"params\":{}}", 0, JSONRPC_NOTIFICATION, "changed" },
    { "{\"jsonrpc\":\"2.0\",\"method\":\"exit\",\"params\":null}", 0, JSONRPC_NOTIFICATION, "exit" },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}", 0, JSONRPC_RESULT, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7,\"error\":null}", 0, JSONRPC_RESULT, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-1,\"message\":\"no\"}}", 0, JSONRPC_ERROR, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700}}", 0, JSONRPC_ERROR, NULL },
    { "", -EBADMSG, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",", -EBADMSG, 0, NULL },
    { "{} {}", -EBADMSG, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}", -EBADMSG, 0, NULL },
    { "1", -EBADMSG, 0, NULL },
    { "[]", -EPROTO, 0, NULL },
    { "{}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"status\"}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":2,\"id\":1,\"method\":\"status\"}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"m\"}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\"}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\u0000b\"}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":3}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"result\":1}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{\"code\":1}}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}", -EPROTO, 0, NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":2}}", -EPROTO, 0, NULL },
};

static void test_messages(void **state)
{
    for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        struct jsonrpc_message message = { 0 };
        int result = jsonrpc_parse(messages[i].input, strlen(messages[i].input), &message);

        if (result != messages[i].result || message.kind != messages[i].kind) {
            fail_msg("%s: result %d, kind %d", messages[i].input, result, (int)message.kind);
        }
        if (messages[i].method) {
            assert_string_equal(message.method, messages[i].method);
        } else {
            assert_null(message.method);
        }
        jsonrpc_message_deinit(&message);
    }
}

static void test_null_params_are_none(void **state)
{
    const char input[] = "{\"jsonrpc\":\"2.0\",\"method\":\"exit\",\"params\":null}";
    struct jsonrpc_message message = { 0 };

    assert_int_equal(jsonrpc_parse(input, sizeof(input) - 1, &message), 0);
    assert_null(message.params);
    jsonrpc_message_deinit(&message);
}

/* Every truncation of a message is refused, and none reads beyond its end (run under the sanitizers). */
static void test_truncations(void **state)
{
    const char *whole = messages[6].input;

    for (size_t length = 0; length < strlen(whole); length++) {
        char *part = malloc(length + 1);
        struct jsonrpc_message message;

        memcpy(part, whole, length);
        assert_int_equal(jsonrpc_parse(part, length, &message), -EBADMSG);
        free(part);
    }
}

static void test_nesting(void **state)
{
    static const struct {
        size_t depth;
        int result;
    } cases[] = {
        { 1, 0 }, { JSONRPC_DEPTH_MAX - 1, 0 }, { JSONRPC_DEPTH_MAX, -EPROTO }, { 100000, -EPROTO }
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct text text = { 0 };
        struct jsonrpc_message message = { 0 };

        text_puts(&text, "{\"jsonrpc\":\"2.0\",\"method\":\"[[[[\\\"{{{{\",\"params\":");
        for (size_t k = 0; k < cases[i].depth; k++) {
            text_puts(&text, "[");
        }
        for (size_t k = 0; k < cases[i].depth; k++) {
            text_puts(&text, "]");
        }
        text_puts(&text, "}");
        assert_int_equal(jsonrpc_parse(text.bytes, text.length, &message), cases[i].result);
        jsonrpc_message_deinit(&message);
        text_deinit(&text);
    }
}

static void check_string(char *string, const char *expected)
{
    assert_non_null(string);
    assert_string_equal(string, expected);
    free(string);
}

static void test_builders(void **state)
{
    json_t *id = json_string("x");

    check_string(jsonrpc_request(7, "commit", json_pack("{s:i}", "update", 1)),
                 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"commit\",\"params\":{\"update\":1}}");
    check_string(jsonrpc_request(7, "status", NULL), "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"status\"}");
    check_string(jsonrpc_notification("changed", NULL), "{\"jsonrpc\":\"2.0\",\"method\":\"changed\"}");
    check_string(jsonrpc_result(id, json_true()), "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":true}");
    check_string(jsonrpc_result(id, NULL), "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":null}");
    check_string(jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, "no", NULL),
                 "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"no\"}}");
    check_string(
        jsonrpc_error(id, JSONRPC_INVALID_PARAMS, "no", json_integer(3)),
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32602,\"message\":\"no\",\"data\":3}}");
    assert_null(jsonrpc_notification("\xff", NULL));
    json_decref(id);
}

/* Bodies of the good messages, separated by "|", then the verdict at the end. */
static const struct {
    const char *input;
    const char *bodies;
    int last;
} streams[] = {
    { "", "", JSONRPC_MORE },
    { "Content-Length: 2\r\n\r\n{}", "{}", JSONRPC_MORE },
    { "Content-Length: 2\r\n\r\n{}Content-Length: 3\r\n\r\n[1]", "{}|[1]", JSONRPC_MORE },
    { "content-length:2\r\nContent-Type: application/json\r\n\r\n{}", "{}", JSONRPC_MORE },
    { "Content-Length: 0\r\n\r\nContent-Length: 1\r\n\r\n1", "|1", JSONRPC_MORE },
    { "Content-Length: 9\r\n\r\n{}", "", JSONRPC_MORE },
    { "Content-Length: 2", "", JSONRPC_MORE },
    { "Content-Length: 65\r\n\r\n", "", -EMSGSIZE },
    { "Content-Length: 99999999999999999999\r\n\r\n", "", -EBADMSG },
    { "Content-Length: 2\r\n\r\n{}Content-Length: -2\r\n\r\n{}", "{}", -EBADMSG },
    { "Content-Length: \r\n\r\n", "", -EBADMSG },
    { "Content-Length: 2x\r\n\r\n{}", "", -EBADMSG },
    { "Content-Type: x\r\n\r\n{}", "", -EBADMSG },
    { "garbage\r\n\r\n{}", "", -EBADMSG },
    { "\r\n\r\n{}", "", -EBADMSG },
};

static int drain(struct jsonrpc_framing *framing, struct text *bodies, bool *first)
{
    const char *body;
    size_t length;
    int result;

    while (!(result = jsonrpc_framing_next(framing, &body, &length))) {
        text_puts(bodies, *first ? "" : "|");
        text_append(bodies, body, length);
        *first = false;
    }
    return result;
}

static void check_stream(const char *input, size_t step, const char *expected, int last)
{
    struct jsonrpc_framing framing = { .limit = 64 };
    struct text bodies = { 0 };
    bool first = true;
    int result = drain(&framing, &bodies, &first);

    for (size_t at = 0; at < strlen(input); at += step) {
        size_t count = strlen(input) - at < step ? strlen(input) - at : step;

        jsonrpc_framing_feed(&framing, input + at, count);
        result = drain(&framing, &bodies, &first);
        if (result < 0) {
            break;
        }
    }
    if (result != last || strcmp(bodies.bytes ? bodies.bytes : "", expected)) {
        fail_msg("%s by %zu: result %d, bodies %s", input, step, result, bodies.bytes);
    }
    text_deinit(&bodies);
    jsonrpc_framing_deinit(&framing);
}

static void test_streams_in_pieces_of_every_size(void **state)
{
    for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++) {
        for (size_t step = 1; step < 80; step++) {
            check_stream(streams[i].input, step, streams[i].bodies, streams[i].last);
        }
    }
}

static void test_an_endless_header_is_refused(void **state)
{
    struct jsonrpc_framing framing = { 0 };
    const char *body;
    size_t length;

    for (size_t i = 0; i <= JSONRPC_HEADER_MAX; i++) {
        jsonrpc_framing_feed(&framing, "x", 1);
    }
    assert_int_equal(jsonrpc_framing_next(&framing, &body, &length), -EMSGSIZE);
    jsonrpc_framing_feed(&framing, "Content-Length: 0\r\n\r\n", 21);
    assert_int_equal(jsonrpc_framing_next(&framing, &body, &length), -EMSGSIZE);
    jsonrpc_framing_deinit(&framing);
}

static void test_what_is_framed_is_read_back(void **state)
{
    struct jsonrpc_framing framing = { 0 };
    struct text out = { 0 };
    const char *body;
    size_t length;

    jsonrpc_frame(&out, "{\"a\":1}");
    jsonrpc_framing_feed(&framing, out.bytes, out.length);
    assert_int_equal(jsonrpc_framing_next(&framing, &body, &length), 0);
    assert_int_equal(length, 7);
    assert_memory_equal(body, "{\"a\":1}", 7);
    text_deinit(&out);
    jsonrpc_framing_deinit(&framing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_null_params_are_none),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_builders),
        cmocka_unit_test(test_streams_in_pieces_of_every_size),
        cmocka_unit_test(test_an_endless_header_is_refused),
        cmocka_unit_test(test_what_is_framed_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
