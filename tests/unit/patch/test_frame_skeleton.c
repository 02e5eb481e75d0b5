/* Policy files for locals of suspended functions, from what a manifest tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "patch/transfer/frame_policy.h"

static const char transfers[] =
    "[{'name': 'main', 'waits': ["
    "  {'callee': 'next', 'line': 9, 'reason': 'local `most` is alive and new', 'local': 'most', 'of': "
    "'serve'},"
    "  {'callee': 'reply', 'line': 14, 'reason': 'local `most` is alive and new', 'local': 'most', 'of': "
    "'serve'},"
    "  {'callee': 'last', 'line': 15, 'reason': 'local `window` is alive and new', 'local': 'window', 'of': "
    "'serve'},"
    "  {'callee': 'last', 'line': 16, 'reason': 'local `sum` is alive and optimised out', 'local': 'sum', "
    "'of': 'serve'},"
    "  {'callee': 'gone', 'line': 20, 'reason': 'no call in the new version is surely the same'}],"
    "  'differ': {'serve': [{'local': 'turns', 'how': 'type', 'value': 'old->turns'},"
    "    {'local': 'most', 'how': 'new', 'value': '0'}, {'local': 'window', 'how': 'new'}]}},"
    " {'name': 'other', 'waits': [{'callee': '', 'line': 1, 'reason': 'the running version uses the stack in "
    "a way'}],"
    "  'differ': {}}]";

static void test_skeleton(void **state)
{
    char *text = strdup(transfers);

    for (char *at = text; (at = strchr(at, '\'')); at++)
        *at = '"';
    json_t *json = json_loads(text, 0, NULL), *skeletons = frame_skeletons(json);
    assert_int_equal(json_object_size(skeletons), 1);
    assert_string_equal(
        json_string_value(json_object_get(skeletons, "serve()")),
        "/* What locals of serve get that Molt cannot tell, where it waits while it is updated. See "
        "<molt/policy.h>. */\n"
        "#include <molt/policy.h>\n"
        "\n"
        "/* `old` has the locals as they are. What is not given here keeps its value. */\n"
        "MOLT_TRANSFER(serve, old, new)\n"
        "{\n"
        "    new->most = 0; /* next, line 9: local `most` is alive and new */\n"
        "    //  new->window = ...; /* last, line 15: local `window` is alive and new */\n"
        "    new->sum = 0; /* last, line 16: local `sum` is alive and optimised out */\n"
        "    //  new->turns = old->turns; /* has another type */\n"
        "}\n");
    json_decref(skeletons);
    json_decref(json);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_skeleton) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
