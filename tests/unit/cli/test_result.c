/* Results of updates as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "cli/result.h"

/* What is printed of the RESULT of a patch with MANIFEST. */
static void check(const char *result_text, const char *manifest_text, const char *expected)
{
    json_t *result = json_loads(result_text, 0, NULL), *manifest = json_loads(manifest_text, 0, NULL);
    FILE *kept = stdout;
    char *printed = NULL;
    size_t size = 0;

    assert_non_null(result);
    stdout = open_memstream(&printed, &size);
    result_explain(result, manifest);
    result_print(result);
    fclose(stdout);
    stdout = kept;
    assert_string_equal(printed, expected);
    free(printed);
    json_decref(result);
    json_decref(manifest);
}

static void test_done(void **state)
{
    check("{\"result\": \"updated\", \"functions\": 2, \"types\": 1, \"instances\": 12408, \"moved\": 312, "
          "\"pause_ms\": 0.8, "
          "\"total_ms\": 41.2, \"warnings\": [\"'limit' has another initial value; the program keeps 7\"]}",
          "{}",
          "updated: 2 functions, 1 type, 12408 instances (312 moved) in 41 ms, paused 0.8 ms\n"
          "warning: 'limit' has another initial value; the program keeps 7\n");
    check(
        "{\"result\": \"rolled-back\", \"functions\": 1, \"types\": 0, \"pause_ms\": 0.1, \"total_ms\": 2.0}",
        "{}", "rolled back: 1 function in 2.0 ms, paused 0.1 ms\n");
    check("{\"result\": \"updated\", \"functions\": 1, \"types\": 0, \"pause_ms\": 0.5, \"total_ms\": 20.0, "
          "\"rehearsal\": {\"passed\": true, \"pause_ms\": 0.25, \"total_ms\": 12.0}}",
          "{}", "updated: 1 function in 20 ms, paused 0.5 ms (rehearsed in 12 ms, paused 0.25 ms)\n");
    check("{\"result\": \"no-safe-point\", \"reason\": \"thread 7 is in serve()\"}", "{}",
          "no safe point: thread 7 is in serve()\n"
          "  The program is as it was. If the function returns later, wait longer: --timeout SECONDS. If it "
          "never "
          "does, make the\n  body of its loop a function of its own: updates of that need not wait for the "
          "loop.\n");
}

static void test_failed_validation(void **state)
{
    check("{\"result\": \"validation\", \"reason\": \"all of it\", \"warnings\": [], \"validation\": "
          "{\"kind\": \"validation\", "
          "\"file\": \"molt/v.c\", \"line\": 12, \"type\": \"struct v\", \"instance\": \"0x5581 (2 of 3)\", "
          "\"message\": \"it returned 0\", "
          "\"old\": {\"bytes\": \"0100000002000000\"}, \"new\": {\"bytes\": \"01000000\"}}}",
          "{\"types\": [{\"name\": \"struct v\", "
          "\"old\": {\"members\": [{\"path\": \"x\", \"offset\": 0, \"size\": 4, \"kind\": \"int\"}, "
          "{\"path\": \"height\", \"offset\": 4, \"size\": 4, \"kind\": \"int\"}]}, "
          "\"new\": {\"members\": [{\"path\": \"x\", \"offset\": 0, \"size\": 4, \"kind\": \"int\"}]}}]}",
          "discarded, a validation failed\n"
          "  validation of struct v, molt/v.c:12: it returned 0\n"
          "  instance 0x5581 (2 of 3)\n"
          "      member  old  new\n"
          "      x       1    1\n"
          "    * height  2    -\n"
          "  The program is as it was.\n");
    check("{\"result\": \"validation\", \"reason\": \"a pointer leads nowhere\", \"validation\": {\"kind\": "
          "\"system\", \"type\": \"struct v\"}}",
          "{}",
          "discarded, a validation failed\n  Molt's own check of struct v: a pointer leads nowhere\n  The "
          "program is as it was.\n");
    check(
        "{\"result\": \"validation\", \"validation\": {\"kind\": \"policy\", \"type\": \"struct v\", "
        "\"message\": \"it called exit\", \"rehearsal\": true}}",
        "{}",
        "discarded, a validation failed\n  migration of struct v: it called exit\n  That was the rehearsal, "
        "in a copy of the process: the program has not noticed.\n");
    check("{\"result\": \"validation\", \"reason\": \"it crashed\"}", "{}",
          "discarded, a validation failed: it crashed\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_done),
                                        cmocka_unit_test(test_failed_validation) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
