/* Text and paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/text.h"

static void test_append_and_consume(void **state)
{
    struct text text = { 0 };

    text_puts(&text, "hello");
    text_printf(&text, ", %s %d", "world", 42);
    assert_string_equal(text.bytes, "hello, world 42");
    text_consume(&text, 7);
    assert_string_equal(text.bytes, "world 42");
    text_consume(&text, 1000);
    assert_int_equal(text.length, 0);
    char *stolen = text_steal(&text);
    assert_string_equal(stolen, "");
    free(stolen);
}

static void test_failure_is_remembered(void **state)
{
    struct text text = { 0 };

    text_puts(&text, "kept");
    text_append(&text, "x", SIZE_MAX / 2);
    assert_true(text_failed(&text));
    text_puts(&text, "after");
    assert_null(text_steal(&text));
}

static void test_paths(void **state)
{
    static const struct {
        const char *directory, *path, *expected;
    } cases[] = {
        { "/a/b", "c", "/a/b/c" },         { "/a/b", "../c", "/a/c" }, { "/a/b", "/x//y/./z/", "/x/y/z" },
        { "/a", "../../..", "/" },         { "/", "a", "/a" },         { "/a/b", ".", "/a/b" },
        { "/a/b/", "./c/../d", "/a/b/d" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = path_normalise(cases[i].directory, cases[i].path);
        assert_string_equal(path, cases[i].expected);
        free(path);
    }
    assert_string_equal(path_below("/a/b", "/a/b/c"), "c");
    assert_string_equal(path_below("/a/b", "/a/b"), "");
    assert_string_equal(path_below("/", "/a"), "a");
    assert_null(path_below("/a/b", "/a/bc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_consume),
        cmocka_unit_test(test_failure_is_remembered),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
