/* Changed types and allocation sites in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/type_change.h"

static void check(void (*write)(struct text *, const json_t *, unsigned), const char *json,
                  const char *expected)
{
    json_t *entry = json_loads(json, 0, NULL);
    struct text text = { 0 };

    assert_non_null(entry);
    write(&text, entry, 2);
    assert_string_equal(text.bytes ? text.bytes : "", expected);
    text_deinit(&text);
    json_decref(entry);
}

static void test_types(void **state)
{
    check(type_change_write,
          "{\"name\": \"struct conn\", \"reason\": \"member 'a' added\", \"policy\": \"generated\", "
          "\"invertible\": true,"
          "\"change\": [{\"name\": \"a\", \"from\": null, \"how\": \"new\"}, {\"name\": \"length\", "
          "\"from\": \"length\", \"how\": \"same\"}]}",
          "  struct conn, migrated by name\n      member 'a' added\n      a       zero\n      length  as it "
          "was\n");
    check(type_change_write,
          "{\"name\": \"struct v\", \"new_name\": \"struct w\", \"policy\": \"molt/v.c:3\", \"validations\": "
          "[\"molt/v.c:9\"], "
          "\"invertible\": false, \"why_not\": \"'y' is dropped\","
          "\"change\": [{\"name\": \"r\", \"from\": null, \"how\": \"custom\", \"policy\": \"molt/v.c:3\"},"
          "{\"name\": \"n\", \"from\": \"m\", \"how\": \"checked\"}, {\"name\": "
          "\"k\", \"from\": \"j\", \"how\": \"renamed\"},"
          "{\"name\": \"p\", \"from\": \"p\", \"how\": \"impossible\", \"why\": \"a float is no pointer\"},"
          "{\"name\": null, \"from\": \"y\", \"how\": \"gone\"}, {\"name\": \"z\", \"how\": \"sideways\"}]}",
          "  struct v becomes struct w, migrated by molt/v.c:3\n      validated by molt/v.c:9\n      r  set "
          "by the policy "
          "(molt/v.c:3)\n"
          "      n  was m, converted: it must fit\n      k  was j\n      p  needs a policy: a float is no "
          "pointer\n"
          "      y  dropped\n      z  sideways\n      no way back: 'y' is dropped\n");
    check(type_change_write, "{}", "  , migrated by name\n");
}

static void test_sites(void **state)
{
    check(type_sites_write, "{\"typed\": 12, \"bytes\": 3, \"unknown\": []}",
          "  allocation calls: 12 with a type, 3 of buffers\n");
    check(type_sites_write,
          "{\"typed\": 1, \"bytes\": 0, \"unknown\": [{\"file\": \"slabs.c\", \"line\": 7, \"function\": "
          "\"grow\", \"reason\": \"a pool\"}]}",
          "  allocation calls: 1 with a type, 0 of buffers, 1 not understood:\n      "
          "slabs.c:7 in grow: a pool\n");
    check(type_sites_write, "[]", "");
}

static void test_function(void **state)
{
    static const char source[] =
        "void molt_migrate_conn(const int *old, int *new);\nvoid molt_migrate_conn_2(void)\n{\n}\n\n"
        "void molt_migrate_conn(const int *old, int *new)\n{\n    molt_migrate_conn(old, new);\n\n    *new = "
        "1;\n}\n\nint x;\n";
    json_t *type = json_pack("{s:s}", "function", "molt_migrate_conn"), *other = json_object();
    struct text text = { 0 };

    type_change_function(&text, type, source, 2);
    assert_string_equal(text.bytes, "  void molt_migrate_conn(const int *old, int *new)\n  {\n      "
                                    "molt_migrate_conn(old, new);\n\n      *new = 1;\n  }\n");
    text_deinit(&text);
    type_change_function(&text, other, source, 2);
    type_change_function(&text, type, "", 2);
    type_change_function(&text, type, "void molt_migrate_conn(int x)", 2);
    assert_string_equal(text.bytes, "  void molt_migrate_conn(int x)\n");
    text_deinit(&text);
    json_decref(type);
    json_decref(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_types), cmocka_unit_test(test_sites),
                                        cmocka_unit_test(test_function) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
