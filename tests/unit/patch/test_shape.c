/* test_shape COMPILER FLAGS: a compiled type's shape reads its instances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/instance.h"
#include "compiled.h"
#include "patch/types/shape.h"

static const char *compiler = "gcc", *flags = "-O0";

/* The values of INSTANCE, of the type NAME in TEXT, as "path=value; ...". */
static void check(const char *text, const char *name, const void *instance, size_t size, const char *expected)
{
    struct object *object = compile_text(compiler, flags, text);
    struct type_model *model = model_of(object);
    const struct type *type = type_strip(type_model_find(model, name, NULL, NULL));
    json_t *shape = type_shape(type), *values = instance_values(shape, instance, size), *value;
    struct text found = { 0 };
    const char *path;

    json_object_foreach(values, path, value) text_printf(&found, "%s=%s; ", path, json_string_value(value));
    assert_string_equal(found.bytes, expected);
    assert_int_equal(json_integer_value(json_object_get(shape, "size")), size);
    text_deinit(&found);
    json_decref(values);
    json_decref(shape);
    type_model_destroy(model);
    object_destroy(object);
}

/* Both the text of a declaration, and the declaration. */
#define BOTH(...)                                                                                            \
    static const char source[] = #__VA_ARGS__ " x;";                                                         \
    __VA_ARGS__

static void values(void **state)
{
    BOTH(struct s {
        enum state { IDLE, BUSY = 5 } state;
        unsigned low : 3, high : 7;
        int negative : 4;
        char name[6];
        struct {
            double x, y;
        } at[2];
        union {
            int number;
            float ratio;
        };
        struct s *next;
        void (*call)(void);
        unsigned char bytes[3];
        _Bool set;
        int grid[2][2];
    });
    struct s s = { BUSY,  6,    100,  -3,          "Ann", { { 1, 2.5 }, { -3, 4 } },
                   { 7 }, NULL, NULL, { 1, 2, 3 }, 1,     { { 1, 2 }, { 3, 4 } } };

    check(
        source, "struct s", &s, sizeof(s),
        "state=BUSY; low=6; high=100; negative=-3; name=\"Ann\"; at[0].x=1; at[0].y=2.5; at[1].x=-3; "
        "at[1].y=4; "
        "number=7; ratio=9.80909e-45; next=NULL; call=NULL; bytes={1, 2, 3}; set=true; grid={1, 2, 3, 4}; ");
}

static void tails(void **state)
{
    BOTH(struct t {
        long length;
        struct {
            short a;
        } one;
        char text[];
    });
    struct t t = { 4, { 2 } };

    check(source, "struct t", &t, sizeof(t), "length=4; one.a=2; ");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(tails) };

    if (argc > 2) {
        compiler = argv[1];
        flags = argv[2];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
