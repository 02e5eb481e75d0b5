/* The types of a file, by their place. */
#include "support.h"

static void check(const char *source, const char *expected)
{
    struct recorder *recorder = NULL;
    json_t *types, *type, *member;
    struct text text = { 0 };
    size_t i, k;

    assert_ok(recorder_create("/nowhere", NULL, &recorder));
    assert_ok(recorder_open(recorder, "/nowhere/a.h", source, strlen(source)));
    types = recorder_types(recorder, "/nowhere/a.h");
    text_puts(&text, "");
    json_array_foreach(types, i, type)
    {
        text_printf(&text, "%s@%d %d-%d:", json_string_value(json_object_get(type, "name")),
                    (int)json_integer_value(json_object_get(type, "line")),
                    (int)json_integer_value(json_object_get(type, "first")),
                    (int)json_integer_value(json_object_get(type, "last")));
        json_array_foreach(json_object_get(type, "members"), k, member)
            text_printf(&text, " %s@%d", json_string_value(json_object_get(member, "name")),
                        (int)json_integer_value(json_object_get(member, "line")));
        text_puts(&text, "\n");
    }
    assert_string_equal(text.bytes, expected);
    text_deinit(&text);
    json_decref(types);
    recorder_destroy(recorder);
}

static void test_types(void **state)
{
    check("/* a comment */\nstruct conn {\n    int fd, *next;\n    struct {\n        int x;\n    } at;\n    "
          "char name[10];\n};\n",
          "struct conn@2 2-8: fd@3 next@3 at@6 at.x@5 name@7\n");
    check("typedef struct {\n    int x;\n} point;\ntypedef struct node {\n    point p;\n} node_t;\n",
          "point@3 1-3: x@2\nstruct node@4 4-6: p@5\n");
    check("union u { int i; float f; } variable;\nenum e { A };\nstruct forward;\nint f(void)\n{\n    return "
          "1;\n}\n",
          "union u@1 1-1: i@1 f@1\n");
    check("static const struct table { int a; } __attribute__((packed)) x;", "struct table@1 1-1: a@1\n");
    check("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_types) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
