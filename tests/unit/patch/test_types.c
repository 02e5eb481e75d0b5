/* test_types COMPILER FLAGS: the model of types says the same, whoever compiled and in whatever DWARF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiled.h"
#include "patch/memory.h"

static const char *compiler = "gcc", *flags = "-O0";

static void add_member(const struct type_member *member, struct text *ret)
{
    text_printf(ret, " %s ", member->name ? member->name : "-");
    type_describe(member->type, ret);
    text_printf(ret, " @%lu", (unsigned long)member->bit_offset / 8);
    if (member->bit_size) {
        text_printf(ret, ".%lu:%u", (unsigned long)member->bit_offset % 8, member->bit_size);
    }
    text_puts(ret, ";");
}

/* A type in a line. */
static char *dump(const struct type *type)
{
    struct text text = { 0 };

    type_describe(type, &text);
    text_printf(&text, " %lu/%u%s%s:", (unsigned long)type->size, type->alignment,
                type->flexible ? " flexible" : "", type->incomplete ? " incomplete" : "");
    for (size_t i = 0; i < type->member_count; i++) {
        add_member(&type->members[i], &text);
    }
    for (size_t i = 0; i < type->enumerator_count; i++) {
        text_printf(&text, " %s=%ld", type->enumerators[i].name, (long)type->enumerators[i].value);
    }
    return text_steal(&text);
}

/* Checks what NAME is in the model of TEXT. */
static void check(const char *text, const char *name, const char *expected)
{
    struct object *object = compile_text(compiler, flags, text);
    struct type_model *model = model_of(object);
    const struct type *type = type_model_find(model, name, NULL, NULL);

    assert_non_null(type);
    char *dumped = dump(type_strip(type));
    assert_string_equal(dumped, expected);
    free(dumped);
    type_model_destroy(model);
    object_destroy(object);
}

static void members(void **state)
{
    check("struct s { char c; int i; long l; double d; const char *text; unsigned short u[3]; _Bool b; } x;",
          "struct s",
          "struct s 40/8: c char @0; i int @4; l long @8; d double @16; text char * @24;"
          " u unsigned short [3] @32; b _Bool @38;");
    check("typedef unsigned long ulong_t; struct s { ulong_t a; long long b; unsigned char c; signed char d; "
          "long double e; float f; unsigned g; } x;",
          "struct s",
          "struct s 64/16: a ulong_t @0; b long long @8; c unsigned char @16; d signed char @17;"
          " e long double @32; f float @48; g unsigned int @52;");
    check("struct s { int (*f)(struct s *, int); void *p; int grid[2][3]; void (*table[4])(void); } x;",
          "struct s",
          "struct s 72/8: f int (*)(struct s *, int) @0; p void * @8; grid int [2][3] @16;"
          " table void (*[4])(void) @40;");
}

static void aggregates(void **state)
{
    check("struct s { int kind; union { int i; char *p; }; struct { short a, b; } pair; } x;", "struct s",
          "struct s 24/8: kind int @0; - union {...} @8; pair struct {...} @16;");
    check("typedef struct { int x, y; } point; point p;", "point", "point 8/4: x int @0; y int @4;");
    check("union u { char c[5]; int i; } x;", "union u", "union u 8/4: c char [5] @0; i int @0;");
    check("struct in { char c; }; struct s { struct in a[3]; struct in b; } x;", "struct s",
          "struct s 4/1: a struct in [3] @0; b struct in @3;");
}

static void bit_fields(void **state)
{
    check("struct s { int a : 3; unsigned b : 13; unsigned long c : 40; char d; _Bool e : 1; } x;",
          "struct s",
          "struct s 16/8: a int @0.0:3; b unsigned int @0.3:13; c unsigned long @2.0:40; d char @7;"
          " e _Bool @8.0:1;");
    check("struct s { int a : 30; int b : 5; int : 0; int c : 2; } x;", "struct s",
          "struct s 12/4: a int @0.0:30; b int @4.0:5; c int @8.0:2;");
}

static void flexible(void **state)
{
    check("struct s { int count; long items[]; }; struct s *x;", "struct s",
          "struct s 8/8 flexible: count int @0; items long [0] @8;");
    check("struct s { int count; char text[0]; }; struct s *x;", "struct s",
          "struct s 4/4 flexible: count int @0; text char [0] @4;");
    check("struct s { int count; char text[1]; }; struct s *x;", "struct s",
          "struct s 8/4: count int @0; text char [1] @4;");
}

static void packed(void **state)
{
    check("struct __attribute__((packed)) s { char c; int i; long l; } x;", "struct s",
          "struct s 13/1: c char @0; i int @1; l long @5;");
    check("#pragma pack(4)\nstruct s { int i; long l; } x;", "struct s",
          "struct s 12/4: i int @0; l long @4;");
    if (strstr(flags, "strict")) { /* does not tell */
        return;
    }
    check("struct s { char c; } __attribute__((aligned(32))); struct s x;", "struct s",
          "struct s 32/32: c char @0;");
    check("struct s { char c; _Alignas(16) int i; } x;", "struct s", "struct s 32/16: c char @0; i int @16;");
}

static void enumerations(void **state)
{
    check("enum e { A, B = 200, C = -5 } x;", "enum e", "enum e 4/4: A=0 B=200 C=-5");
    check("enum __attribute__((packed)) e { A, B = 200 } x;", "enum e", "enum e 1/1: A=0 B=200");
    check("typedef enum { L = 0x100000000, M } e; e x;", "e", "e 8/8: L=4294967296 M=4294967297");
}

/* Recursion through pointers ends, and a declaration is taken for its definition. */
static void recursion(void **state)
{
    struct object *object =
        compile_text(compiler, flags,
                     "typedef struct node node; struct tree { node *root; struct hidden *h; };"
                     "struct node { node *next, **all; struct tree *owner; } x; struct tree t;");
    struct type_model *model = model_of(object);
    const struct type *node = type_model_find(model, "struct node", NULL, NULL);
    const struct type *tree = type_model_find(model, "struct tree", NULL, NULL);

    assert_ptr_equal(type_strip(node->members[0].type->inner), node);
    assert_ptr_equal(type_strip(node->members[1].type->inner->inner), node);
    assert_ptr_equal(node->members[2].type->inner, tree);
    assert_ptr_equal(type_strip(tree->members[0].type->inner), node);
    assert_true(tree->members[1].type->inner->incomplete);
    assert_ptr_equal(type_strip(type_model_find(model, "node", NULL, NULL)), node);
    assert_true(type_has_pointers(node));
    type_model_destroy(model);
    object_destroy(object);
}

/* Two units: what both declare alike is one type, what they do not are two, and so is what points to
 * these. */
static void several_units(void **state)
{
    const char *common = "struct same { int a; struct same *next; };"
                         "struct user { struct local *it; }; struct far { struct user *u; };";
    char *one = must_printf("%s struct local { int a; }; struct same s; struct far f; struct local l;"
                            "struct opened { int z; } o; struct user u;",
                            common);
    char *two = must_printf("%s struct local { char *b; }; struct same s; struct far f; struct local l;"
                            "struct opened; struct opened *o; struct user u;",
                            common);
    struct object *a = compile_text(compiler, flags, one), *b = compile_text(compiler, flags, two);
    struct type_model *model = type_model_create();
    bool ambiguous;

    type_model_add_all(model, object_dwarf(a), "a.c");
    type_model_add_all(model, object_dwarf(b), "b.c");
    assert_ptr_equal(type_model_find(model, "struct same", "a.c", &ambiguous),
                     type_model_find(model, "struct same", "b.c", NULL));
    assert_false(ambiguous);
    const struct type *here = type_model_find(model, "struct local", "a.c", &ambiguous);
    assert_false(ambiguous);
    const struct type *there = type_model_find(model, "struct local", "b.c", NULL);
    assert_ptr_not_equal(here, there);
    assert_true(here->ambiguous && there->ambiguous);
    assert_string_equal(there->unit, "b.c");
    (void)type_model_find(model, "struct local", NULL, &ambiguous);
    assert_true(ambiguous);
    assert_ptr_equal(type_model_find(model, "struct user", "a.c", NULL)->members[0].type->inner, here);
    assert_ptr_equal(type_model_find(model, "struct user", "b.c", NULL)->members[0].type->inner, there);
    assert_ptr_not_equal(type_model_find(model, "struct far", "a.c", NULL),
                         type_model_find(model, "struct far", "b.c", NULL));
    const struct type *opened = type_model_find(model, "struct opened", "b.c", NULL);
    assert_false(opened->incomplete);
    assert_string_equal(opened->unit, "a.c");
    type_model_destroy(model);
    object_destroy(a);
    object_destroy(b);
    free(one);
    free(two);
}

/* Hashes are of what lies in an object: equal for the same declarations in two models, and for no others. */
static void hashes(void **state)
{
    static const char *const texts[] = {
        "struct s { int a; struct t *p; }; struct s x;",
        "typedef struct t t_t; typedef int integer; struct s { integer a; t_t *p; }; struct s x;",
        "struct s { int a; struct u *p; }; struct s x;",
        "struct s { int b; struct t *p; }; struct s x;",
        "struct s { unsigned a; struct t *p; }; struct s x;",
        "struct s { int a; struct t *p; char c; }; struct s x;",
        "struct s { float a; struct t *p; }; struct s x;",
    };
    uint64_t first = 0;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct object *object = compile_text(compiler, flags, texts[i]);
        struct type_model *model = model_of(object);
        uint64_t hash = type_model_find(model, "struct s", NULL, NULL)->hash;
        first = i == 0 ? hash : first;
        assert_int_equal(hash == first, i <= 1);
        type_model_destroy(model);
        object_destroy(object);
    }
}

static void words(void **state)
{
    struct object *object =
        compile_text(compiler, flags,
                     "#include <stdint.h>\ntypedef uintptr_t handle; struct s { handle h; }; "
                     "struct t { unsigned long n; char c[64]; }; struct s x; struct t y;");
    struct type_model *model = model_of(object);

    assert_true(type_has_pointers(type_model_find(model, "struct s", NULL, NULL)));
    assert_false(type_has_pointers(type_model_find(model, "struct t", NULL, NULL)));
    assert_null(type_model_find(model, "struct nothing", NULL, NULL));
    type_model_destroy(model);
    object_destroy(object);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),   cmocka_unit_test(aggregates),    cmocka_unit_test(bit_fields),
        cmocka_unit_test(flexible),  cmocka_unit_test(packed),        cmocka_unit_test(enumerations),
        cmocka_unit_test(recursion), cmocka_unit_test(several_units), cmocka_unit_test(hashes),
        cmocka_unit_test(words),
    };

    if (argc == 3) {
        compiler = argv[1];
        flags = argv[2];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
