/* What of TOML is read, and what is refused on which line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/toml.h"

static const struct {
    const char *toml, *json;
} accepted[] = {
    { "", "{}" },
    { "# only a comment", "{}" },
    { "a = 1\nb = -2_000 # c\r\nc = 5.5\nd = true\ne = false",
      "{\"a\":1,\"b\":-2000,\"c\":5.5,\"d\":true,\"e\":false}" },
    { "s = \"a\\tb\\u00e9\\\\\"\nl = 'C:\\n'", "{\"s\":\"a\\tb\xc3\xa9\\\\\",\"l\":\"C:\\\\n\"}" },
    { "a = [\n  \"x\", # one\n  \"y\",\n]\nb = [[1], []]", "{\"a\":[\"x\",\"y\"],\"b\":[[1],[]]}" },
    { "a = [{ b = 1, \"c d\" = 'e' }, {}]", "{\"a\":[{\"b\":1,\"c d\":\"e\"},{}]}" },
    { "a = 1\n[hints]\n\"x y\" = 2\n'z' = 1e3", "{\"a\":1,\"hints\":{\"x y\":2,\"z\":1000.0}}" },
};

static const struct {
    const char *toml;
    unsigned line;
} refused[] = {
    { "a", 1 },
    { "a = ", 1 },
    { "\n\na = b", 3 },
    { "a = 1 2", 1 },
    { "a = 1\na = 2", 2 },
    { "a = \"x", 1 },
    { "a = \"\\q\"", 1 },
    { "a = \"\\ud800\"", 1 },
    { "a = [1,\n2", 2 },
    { "a = [1 2]", 1 },
    { "a = { b = 1", 1 },
    { "a = { b = 1, }", 1 },
    { "a = { b = 1\n}", 1 },
    { "a = { b = 1 c = 2 }", 1 },
    { "a = { b = 1, b = 2 }", 1 },
    { "a.b = 1", 1 },
    { "[[a]]", 1 },
    { "[a", 1 },
    { "a = 2026-01-01", 1 },
    { "a = \"\"\"x\"\"\"", 1 },
    { "a = [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", 1 },
};

static void test_accepted(void **state)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        json_t *got, *expected = json_loads(accepted[i].json, 0, NULL);
        unsigned line;
        const char *reason;

        assert_non_null(expected);
        assert_int_equal(toml_parse(accepted[i].toml, strlen(accepted[i].toml), &got, &line, &reason), 0);
        if (!json_equal(got, expected))
            fail_msg("%s became %s", accepted[i].toml, json_dumps(got, 0));
        json_decref(got);
        json_decref(expected);
    }
}

static void test_refused(void **state)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        json_t *got;
        unsigned line = 0;
        const char *reason = NULL;

        if (!toml_parse(refused[i].toml, strlen(refused[i].toml), &got, &line, &reason))
            fail_msg("accepted: %s", refused[i].toml);
        assert_non_null(reason);
        if (line != refused[i].line)
            fail_msg("%s: line %u", refused[i].toml, line);
    }
}

/* Every prefix ends in an answer, and reads nothing behind its end. */
static void test_truncated(void **state)
{
    const char *whole = "a = [\"x\\u0041\", 'y', 1.5]\n[t]\n\"k\" = true # c\n";

    for (size_t length = 0; length <= strlen(whole); length++) {
        char *copy = malloc(length ? length : 1);
        json_t *got = NULL;
        unsigned line;
        const char *reason;

        memcpy(copy, whole, length);
        if (!toml_parse(copy, length, &got, &line, &reason))
            json_decref(got);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
