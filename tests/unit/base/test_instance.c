/* Instances and failed validations in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/failed_validation.h"
#include "base/instance.h"

struct sample {
    int32_t number;
    uint8_t flags;
    char letter;
    char name[10];
    double ratio;
    float narrow;
    int state;
    void *next;
    uint16_t counts[12];
    long double wide;
};

static const char shape_text[] =
    "{\"size\": 96, \"members\": ["
    "{\"path\": \"number\", \"offset\": 0, \"size\": 4, \"kind\": \"int\"},"
    "{\"path\": \"low\", \"offset\": 4, \"size\": 1, \"kind\": \"int\", \"bit\": 0, \"bits\": 3},"
    "{\"path\": \"high\", \"offset\": 4, \"size\": 1, \"kind\": \"unsigned\", \"bit\": 3, \"bits\": 5},"
    "{\"path\": \"letter\", \"offset\": 5, \"size\": 1, \"kind\": \"int\"},"
    "{\"path\": \"name\", \"offset\": 6, \"size\": 10, \"kind\": \"text\"},"
    "{\"path\": \"ratio\", \"offset\": 16, \"size\": 8, \"kind\": \"float\"},"
    "{\"path\": \"narrow\", \"offset\": 24, \"size\": 4, \"kind\": \"float\"},"
    "{\"path\": \"state\", \"offset\": 28, \"size\": 4, \"kind\": \"enum\", \"names\": {\"-1\": \"GONE\", "
    "\"2\": \"BUSY\"}},"
    "{\"path\": \"next\", \"offset\": 32, \"size\": 8, \"kind\": \"pointer\"},"
    "{\"path\": \"counts\", \"offset\": 40, \"size\": 2, \"count\": 12, \"kind\": \"unsigned\"},"
    "{\"path\": \"wide\", \"offset\": 64, \"size\": 16, \"kind\": \"float\"},"
    "{\"path\": \"raw\", \"offset\": 0, \"size\": 20, \"kind\": \"bytes\"}]}";

static json_t *values_of(const struct sample *sample, size_t size)
{
    json_t *shape = json_loads(shape_text, 0, NULL), *values;

    assert_non_null(shape);
    values = instance_values(shape, (const uint8_t *)sample, size);
    json_decref(shape);
    return values;
}

static void assert_value(const json_t *values, const char *path, const char *expected)
{
    const char *value = json_string_value(json_object_get(values, path));

    assert_non_null(value);
    assert_string_equal(value, expected);
}

static void test_values(void **state)
{
    struct sample sample = { .number = -7,
                             .flags = 0xff,
                             .letter = 'A',
                             .name = "a\"b\n",
                             .ratio = 0.1,
                             .narrow = 0.1f,
                             .state = -1,
                             .counts = { 1, 2, 65535 },
                             .wide = 1.5L };
    json_t *values = values_of(&sample, sizeof sample);

    assert_value(values, "number", "-7");
    assert_value(values, "low", "-1");
    assert_value(values, "high", "31");
    assert_value(values, "letter", "65 'A'");
    assert_value(values, "name", "\"a\\\"b\\n\"");
    assert_value(values, "ratio", "0.1");
    assert_value(values, "narrow", "0.1");
    assert_value(values, "state", "GONE");
    assert_value(values, "next", "NULL");
    assert_value(values, "counts", "{1, 2, 65535, 0, 0, 0, 0, 0, ... 4 more}");
    assert_value(values, "wide", "1.5");
    assert_value(values, "raw", "f9 ff ff ff ff 41 61 22 62 0a 00 00 00 00 00 00 ...");
    json_decref(values);
    sample.state = 3;
    sample.ratio = 1.0 / 3;
    memset(sample.name, 'x', sizeof sample.name);
    values = values_of(&sample, sizeof sample);
    assert_value(values, "state", "3");
    assert_value(values, "ratio", "0.3333333333333333");
    assert_value(values, "name", "\"xxxxxxxxxx\"");
    json_decref(values);
}

static void test_short_instance(void **state)
{
    struct sample sample = { .number = 5 };
    json_t *values = values_of(&sample, 8);

    assert_int_equal(json_object_size(values), 4);
    assert_value(values, "letter", "0");
    json_decref(values);
}

/* Whatever a damaged patch says, only the instance's own bytes are read. */
static void test_bad_shapes(void **state)
{
    static const char *const members[] = {
        "{\"path\": \"m\", \"offset\": -1, \"size\": 4, \"kind\": \"int\"}",
        "{\"path\": \"m\", \"offset\": 9223372036854775807, \"size\": 4, \"kind\": \"int\"}",
        "{\"path\": \"m\", \"offset\": 0, \"size\": 9223372036854775807, \"kind\": \"text\"}",
        "{\"path\": \"m\", \"offset\": 4, \"size\": 4, \"count\": 4611686018427387904, \"kind\": \"int\"}",
        "{\"path\": \"m\", \"offset\": 0, \"size\": 4, \"kind\": \"int\", \"bit\": 70, \"bits\": 3}",
        "{\"path\": \"m\", \"offset\": 0, \"size\": 4, \"kind\": \"int\", \"bit\": 3, \"bits\": 64}",
        "{\"path\": 3, \"offset\": 0, \"size\": 4, \"kind\": \"int\"}",
        "7",
    };
    uint8_t bytes[8] = { 0 };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *shape = json_pack("{s:[o]}", "members", json_loads(members[i], JSON_DECODE_ANY, NULL));
        json_t *values = instance_values(shape, bytes, sizeof bytes);

        assert_int_equal(json_object_size(values), 0);
        json_decref(values);
        json_decref(shape);
    }
}

static json_t *explain(const char *validation_text, const char *manifest_text)
{
    json_t *validation = json_loads(validation_text, 0, NULL);
    json_t *manifest = manifest_text ? json_loads(manifest_text, 0, NULL) : NULL, *explained;

    assert_non_null(validation);
    explained = failed_validation_explain(validation, manifest);
    json_decref(validation);
    json_decref(manifest);
    return explained;
}

static void assert_row(const json_t *explained, size_t index, const char *member, const char *old,
                       const char *new)
{
    const json_t *row = json_array_get(json_object_get(explained, "values"), index);
    const char *was = json_string_value(json_object_get(row, "old")),
               *is = json_string_value(json_object_get(row, "new"));

    assert_string_equal(json_string_value(json_object_get(row, "member")), member);
    assert_true(old ? was && !strcmp(was, old) : !was);
    assert_true(new ? is && !strcmp(is, new) : !is);
}

static void test_side_by_side(void **state)
{
    json_t *explained =
        explain("{\"kind\": \"validation\", \"file\": \"molt/v.c\", \"line\": 12, \"type\": \"struct v\", "
                "\"message\": \"it returned 0\","
                " \"instance\": \"0x10 (2 of 3)\", \"old\": {\"bytes\": \"01000000 02000000\"}, \"new\": "
                "{\"bytes\": \"0300000004000000\"}}",
                "{\"types\": [{\"name\": \"struct u\"}, {\"name\": \"struct v\", \"change\": [{\"name\": "
                "\"r\", \"from\": \"x\", \"how\": \"renamed\"},"
                "{\"name\": \"t\", \"from\": null, \"how\": \"new\"}],"
                "\"old\": {\"members\": [{\"path\": \"x\", \"offset\": 0, \"size\": 4, \"kind\": \"int\"}, "
                "{\"path\": \"y\", \"offset\": 4, \"size\": 4, \"kind\": \"int\"}]},"
                "\"new\": {\"members\": [{\"path\": \"t\", \"offset\": 0, \"size\": 4, \"kind\": \"int\"}, "
                "{\"path\": \"r\", \"offset\": 4, \"size\": 4, \"kind\": \"int\"}]}}]}");

    assert_string_equal(json_string_value(json_object_get(explained, "title")), "validation of struct v");
    assert_int_equal(json_integer_value(json_object_get(explained, "line")), 12);
    assert_int_equal(json_array_size(json_object_get(explained, "values")), 3);
    assert_row(explained, 0, "t", NULL, "3");
    assert_row(explained, 1, "r (was x)", "1", "4");
    assert_row(explained, 2, "y", "2", NULL);
    json_decref(explained);
}

/* Of a type that the manifest does not know, bytes are shown; values that the engine has put in words are. */
static void test_without_manifest(void **state)
{
    json_t *explained =
        explain("{\"kind\": \"policy\", \"type\": \"struct v\", \"old\": {\"bytes\": \"0102\"}}", NULL);

    assert_string_equal(json_string_value(json_object_get(explained, "title")), "migration of struct v");
    assert_row(explained, 0, "bytes", "0102", NULL);
    json_decref(explained);
    explained = explain("{\"kind\": \"invariant\", \"name\": \"named\", \"type\": \"struct v\", \"old\": "
                        "null, \"new\": {\"x\": \"7\"}}",
                        "{}");
    assert_string_equal(json_string_value(json_object_get(explained, "title")),
                        "invariant named of struct v");
    assert_row(explained, 0, "x", NULL, "7");
    json_decref(explained);
    explained = explain("{}", "[]");
    assert_string_equal(json_string_value(json_object_get(explained, "title")), "validation");
    json_decref(explained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),           cmocka_unit_test(test_short_instance),
        cmocka_unit_test(test_bad_shapes),       cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_without_manifest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
