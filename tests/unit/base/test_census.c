/* A census in words: what the engine counted, with what the builder knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/census.h"

static const char types_text[] =
    "[{\"layout\": 3, \"name\": \"struct item\", \"unit\": \"\", \"file\": \"/s/a.h\", \"line\": 4, "
    "\"shape\": {\"size\": 24,"
    "\"members\": [{\"path\": \"next\", \"offset\": 0, \"size\": 8, \"kind\": \"pointer\"},"
    "{\"path\": \"name\", \"offset\": 8, \"size\": 8, \"kind\": \"pointer\"},"
    "{\"path\": \"event\", \"offset\": 24, \"size\": 8, \"kind\": \"pointer\"},"
    "{\"path\": \"state\", \"offset\": 16, \"size\": 4, \"kind\": \"enum\", \"names\": {\"1\": "
    "\"BUSY\"}}]}}]";

static const char sites_text[] =
    "{\"functions\": {\"/s/a.c:7\": \"add\"}, \"code\": {\"1:64\": \"on_event\"},"
    "\"unknown\": [{\"file\": \"/s/b.c\", \"line\": 9, \"function\": \"pool\","
    "\"reason\": \"a char * that is cast twice\"}]}";

static const char answer_text[] =
    "{\"tracked\": true, \"obstacle\": \"\", \"types\": [{\"layout\": 3, \"name\": \"struct item\", "
    "\"unit\": \"\","
    "\"size\": 24, \"count\": 5, \"bytes\": 72, \"place_count\": 4, \"places\": ["
    "{\"kind\": \"heap\", \"count\": 2, \"blocks\": 2, \"bytes\": 48, \"guessed\": false, \"file\": "
    "\"/s/a.c\", \"line\": 7},"
    "{\"kind\": \"member\", \"count\": 2, \"owner\": \"struct list\", \"name\": \"ends\"},"
    "{\"kind\": \"variable\", \"count\": 1, \"bytes\": 24, \"name\": \"first\", \"file\": \"/s/a.c\", "
    "\"line\": 3}]}],"
    "\"unknown\": {\"blocks\": 3, \"bytes\": 110, \"site_count\": 2, \"sites\": ["
    "{\"blocks\": 2, \"bytes\": 100, \"largest\": 50, \"file\": \"/s/b.c\", \"line\": 9},"
    "{\"blocks\": 1, \"bytes\": 10, \"largest\": 10, \"file\": \"/s/b.c\", \"line\": 11}]},"
    "\"buffers\": {\"blocks\": 1, \"bytes\": 64, \"site_count\": 1, \"sites\": ["
    "{\"blocks\": 1, \"bytes\": 64, \"largest\": 64, \"file\": \"/s/c.c\", \"line\": 1}]},"
    "\"instances\": [{\"address\": 4096, \"layout\": 3, \"path\": \"\", \"file\": \"/s/a.c\", \"line\": 7,"
    "\"bytes\": \"0020000000000000003000000000000001000000000000004060000000000000\", \"pointers\": ["
    "{\"offset\": 0, \"type\": \"struct item\", \"file\": \"/s/a.c\", \"line\": 7, \"distance\": 8},"
    "{\"offset\": 8, \"file\": \"/s/c.c\", \"line\": 1, \"text\": \"Ann\"},"
    "{\"offset\": 24, \"module\": 1, \"code\": 64}]}]}";

static json_t *explained(void)
{
    json_t *answer = json_loads(answer_text, 0, NULL), *types = json_loads(types_text, 0, NULL);
    json_t *sites = json_loads(sites_text, 0, NULL);

    assert_non_null(answer);
    assert_non_null(types);
    assert_non_null(sites);
    census_explain(answer, types, sites);
    json_decref(types);
    json_decref(sites);
    return answer;
}

static void a_type_with_its_places(void **state)
{
    json_t *answer = explained();
    struct text text = { 0 };

    census_write_type(&text, json_array_get(json_object_get(answer, "types"), 0), "/s");
    assert_string_equal(text.bytes, "struct item: 5 instances of 24 bytes\n"
                                    "         2  heap blocks                  add, a.c:7\n"
                                    "         2  members                      ends of struct list\n"
                                    "         1  variable                     first, a.c:3\n"
                                    "            and 1 more place\n");
    text_deinit(&text);
    json_decref(answer);
}

static void none_at_all(void **state)
{
    json_t *type = json_loads("{\"name\": \"struct s\", \"count\": 0, \"size\": 4, \"places\": []}", 0, NULL);
    struct text text = { 0 };

    census_write_type(&text, type, NULL);
    assert_string_equal(text.bytes, "struct s: no instances\n");
    text_deinit(&text);
    json_decref(type);
}

/* A block that is too small for the type that was asked for is left out. */
static void what_has_no_type(void **state)
{
    json_t *answer = explained();
    struct text text = { 0 };

    census_write_unknown(&text, answer, "/s");
    assert_string_equal(text.bytes, "Of unknown type: 2 blocks, 100 B\n"
                                    "         2  100 B     pool, b.c:9: a char * that is cast twice\n"
                                    "  Say in molt.toml what such a call makes, and ask again:\n"
                                    "      [heap]\n"
                                    "      types = { \"b.c:9\" = \"struct ...\" }\n");
    text_deinit(&text);
    json_decref(answer);
}

static void instances_with_values(void **state)
{
    json_t *answer = explained();
    struct text text = { 0 };

    census_write_instances(&text, answer, "/s");
    assert_string_equal(text.bytes, "\nstruct item at 0x1000, heap block of add, a.c:7\n"
                                    "    next   0x2000 -> struct item + 8\n"
                                    "    name   0x3000 -> \"Ann\"\n"
                                    "    event  0x6040 -> on_event\n"
                                    "    state  BUSY\n");
    text_deinit(&text);
    json_decref(answer);
}

static void all_types_as_a_table(void **state)
{
    json_t *answer = explained();
    struct text text = { 0 };

    census_write_table(&text, answer, "/s", 2);
    assert_non_null(strstr(text.bytes, "    100 B          2  (unknown)"));
    assert_non_null(strstr(text.bytes, "     72 B          5  struct item"));
    assert_null(strstr(text.bytes, "(buffers)"));
    assert_non_null(strstr(text.bytes, "     64 B             1 more\n"));
    assert_non_null(strstr(text.bytes, "    236 B             in all"));
    text_deinit(&text);
    json_decref(answer);
}

/* Whatever is missing or of another kind: nothing is read that is not there. */
static void malformed(void **state)
{
    static const char *const answers[] = {
        "{}", "{\"types\": 3, \"instances\": [{}], \"unknown\": []}",
        "{\"types\": [{}], \"instances\": [{\"bytes\": \"0g\", \"layout\": 3}], \"unknown\": {\"sites\": "
        "[{}], \"blocks\": 1}}"
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        json_t *answer = json_loads(answers[i], 0, NULL), *types = json_loads(types_text, 0, NULL);
        struct text text = { 0 };
        census_explain(answer, types, NULL);
        census_write_table(&text, answer, NULL, 10);
        census_write_unknown(&text, answer, NULL);
        census_write_instances(&text, answer, NULL);
        assert_false(text_failed(&text));
        text_deinit(&text);
        json_decref(types);
        json_decref(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_type_with_its_places), cmocka_unit_test(none_at_all),
        cmocka_unit_test(what_has_no_type),       cmocka_unit_test(instances_with_values),
        cmocka_unit_test(all_types_as_a_table),   cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
