/* URIs as editors write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lsp-server/lsp.h"
#include "lsp-server/outcome.h"

static void test_uri_to_path(void **state)
{
    static const struct {
        const char *uri, *path;
    } cases[] = {
        { "file:///a/b.c", "/a/b.c" },
        { "file:///a%20b/%C3%A9.c", "/a b/\xc3\xa9.c" },
        { "FILE:///a/./c/../b.c", "/a/b.c" },
        { "file://localhost/a", "/a" },
        { "file:/a", "/a" },
        { "file:///a%2", "/a%2" },
        { "file:///a%00b", "/ab" },
        { "file:///a?q#f", "/a" },
        { "file://host/a", NULL },
        { "untitled:1", NULL },
        { "", NULL },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = uri_to_path(cases[i].uri);

        if (cases[i].path)
            assert_string_equal(path, cases[i].path);
        else
            assert_null(path);
        free(path);
    }
}

static void test_round_trip(void **state)
{
    const char *path = "/a b/\xc3\xa9#?%.c";
    char *uri = uri_from_path("file", path), *back = uri_to_path(uri);

    assert_string_equal(uri, "file:///a%20b/%C3%A9%23%3F%25.c");
    assert_string_equal(back, path);
    free(back);
    free(uri);
}

static void test_held(void **state)
{
    struct molt_diagnostics list = { 0 };
    char *held = outcome_held(&list);

    assert_null(held);
    molt_diagnostics_add(&list, MOLT_SEVERITY_WARNING, "/x/a.c", 1, 1, "compile", "w");
    molt_diagnostics_add(&list, MOLT_SEVERITY_ERROR, "/x/a.c", 1, 1, "compile", "e");
    held = outcome_held(&list);
    assert_string_equal(held, "1 error in a.c");
    free(held);
    molt_diagnostics_add(&list, MOLT_SEVERITY_ERROR, "/x/a.c", 2, 1, "compile", "e");
    molt_diagnostics_add(&list, MOLT_SEVERITY_ERROR, "/x/b.c", 2, 1, "compile", "e");
    held = outcome_held(&list);
    assert_string_equal(held, "2 errors in a.c, 1 elsewhere");
    free(held);
    molt_diagnostics_deinit(&list);
}

static void test_message(void **state)
{
    json_t *delivery = json_pack("{s:i,s:i,s:i,s:i,s:f}", "functions", 2, "types", 1, "instances", 12408,
                                 "moved", 312, "pause_ms", 0.8);
    struct outcome outcome = { .result = "updated", .delivery = delivery, .total_ms = 41 };
    json_t *json = outcome_to_json(&outcome);

    assert_string_equal(json_text(json, "message", ""),
                        "updated: 2 functions, 1 type, 12408 instances (312 moved) in 41 ms, paused 0.8 ms");
    json_decref(json);
    json_decref(delivery);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_to_path),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
