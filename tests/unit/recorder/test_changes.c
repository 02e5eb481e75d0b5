/* What counts as which change, between two texts. */
#include "support.h"

struct pair {
    const char *before, *after, *expected;
};

static void check(const struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_between(pairs[i].before, pairs[i].after, pairs[i].expected);
        assert_between(pairs[i].before, pairs[i].before, "");
        assert_between(pairs[i].after, pairs[i].after, "");
    }
}

#define CHECK(pairs) check(pairs, sizeof(pairs) / sizeof((pairs)[0]))

static void test_nothing(void **state)
{
    static const struct pair pairs[] = {
        { "int f(void)\n{\n  return 1;\n}\n", "int f( void ) {\n    /* one */ return 1; // yes\n}\n", "" },
        { "int a;\nint b;\n", "/* first */ int a; int b;", "" },
        { "#define A 1 /* one */\n", "#define A \\\n    1\n", "" },
        { "struct s { int a; int b; };\n", "struct s\n{\n    int a; /* x */\n\n    int b;\n};\n", "" },
        { "", "\n\n// comment only\n", "" },
        { "#ifndef A_H\n#define A_H\nint a;\n#endif\n",
          "#ifndef A_H\n#define A_H\n\n  int a;\n#endif /* A_H */\n", "" },
        { "int f(int a);\n", "int f(int b);\n", "" },
    };
    CHECK(pairs);
}

static void test_functions(void **state)
{
    static const struct pair pairs[] = {
        { "int f(void) { return 1; }\n", "int f(void) { return 2; }\n", "modified function f\n" },
        { "int f(void) { return 1; }\n", "long f(void) { return 1; }\n", "retyped function f\n" },
        { "int f(int a) { return a; }\n", "int f(int a, int b) { return a; }\n", "retyped function f\n" },
        { "int f(int a) { return a; }\n", "int f(int b) { return b; }\n", "modified function f\n" },
        { "int f(int n) { return n ? f(n - 1) : 0; }\n", "int g(int n) { return n ? g(n - 1) : 0; }\n",
          "renamed function g <- f\n" },
        { "", "static void f(void)\n{\n}\n", "added function f\n" },
        { "static void f(void)\n{\n}\n", "", "removed function f\n" },
        { "int f(void);\n", "int f(void);\nint g(char *);\n", "added function* g\n" },
        { "char *(*f(int a))(int) { return 0; }\n", "char *(*f(int a))(int) { return g; }\n",
          "modified function f\n" },
        { "int f(a, b) int a; char b; { return a; }\n", "int f(a, b) int a; char b; { return b; }\n",
          "modified function f\n" },
        { "static inline __attribute__((always_inline)) int f(void) { return 1; }\n",
          "static inline __attribute__((noinline)) int f(void) { return 1; }\n", "retyped function f\n" },
        { "int f(int a, int b) { return a - b; }\n", "int f(int b, int a) { return a - b; }\n",
          "modified function f\n" },
        { "API number f(void) { return 1; }\n", "API number g(void) { return 1; }\n",
          "renamed function g <- f\n" },
        { "API number f(void) { return 1; }\n", "API number f(void) { return 2; }\n",
          "modified function f\n" },
        { "TEST(one) { a(); }\nTEST(two) { b(); }\n", "TEST(one) { a(); }\nTEST(two) { c(); }\n",
          "modified function two\n" },
        { "int a(void) { return 1; }\nint b(void) { return 2; }\nint c(void) { return 3; }\n",
          "int c(void) { return 3; }\nint a(void) { return 1; }\nint b(void) { return 2; }\n",
          "moved function c\n" },
        { "int f(void)\n{\n#ifdef A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n  return 1;\n}\nint g;\n",
          "int f(void)\n{\n#ifdef A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n  return 2;\n}\nint g;\n",
          "modified function f\n" },
    };
    CHECK(pairs);
}

static void test_types(void **state)
{
    static const struct pair pairs[] = {
        { "struct s { int a; };\n", "struct s { int a; int b; };\n", "added member s.b\n" },
        { "struct s { int a; int b; };\n", "struct s { int b; };\n", "removed member s.a\n" },
        { "struct s { int a; int b; };\n", "struct s { long a; int b; };\n", "retyped member s.a\n" },
        { "struct s { unsigned a : 3, b : 4; };\n", "struct s { unsigned a : 3, b : 5; };\n",
          "retyped member s.b\n" },
        { "struct s { int a, *b; };\n", "struct s { int b, *a; };\n",
          "retyped member s.a\nmoved member s.b\nretyped member s.b\n" },
        { "struct s { int a; int b; };\n", "struct s { int a; int c; };\n", "renamed member s.c <- b\n" },
        { "struct s { int a; };\n", "struct s { int a; } __attribute__((packed));\n", "retyped type s\n" },
        { "struct s { struct { int x; } pos; };\n", "struct s { struct { int x, y; } pos; };\n",
          "added member s.pos.y\n" },
        { "struct s { union { int x; }; };\n", "struct s { union { int x; long y; }; };\n",
          "added member s.y\n" },
        { "typedef struct { int x; } point;\n", "typedef struct { int x; int y; } point;\n",
          "added member point.y\n" },
        { "static GLOBAL struct s { int a; } one = { 1 };\n",
          "static GLOBAL struct s { long a; } one = { 1 };\n", "retyped member s.a\n" },
        { "static GLOBAL struct s { int a; } one;\n", "static LOCAL struct s { int a; } one;\n",
          "modified variable one\n" },
        { "typedef int number;\n", "typedef long number;\n", "retyped typedef number\n" },
        { "enum e { A, B };\n", "enum e { A, B, C };\n", "added enumerator e.C\n" },
        { "enum { A, B };\n", "enum { A, B = 5 };\n", "modified enumerator B\n" },
        { "struct s { int a;\n#ifdef X\n int b;\n#endif\n};\n",
          "struct s { int a;\n#ifdef Y\n int b;\n#endif\n};\n", "modified type s\n" },
        { "struct s;\nint f(struct s *);\n", "struct s;\nint f(struct s *);\nunion u;\n", "added type* u\n" },
        { "struct a { int x; int y; };\nstruct b { int z; };\n",
          "struct a { int y; };\nstruct b { int z; int x; };\n", "moved member b.x\n" },
        { "struct s { int a; int b; int c; };\n", "struct s { int c; int a; int b; };\n",
          "moved member s.c\n" },
    };
    CHECK(pairs);
}

static void test_variables_and_directives(void **state)
{
    static const struct pair pairs[] = {
        { "int a = 1, b = 2;\n", "int a = 1, b = 3;\n", "modified variable b\n" },
        { "static int a[] = { 1, 2 };\n", "static int a[] = { 1, 2, 3 };\n", "modified variable a\n" },
        { "static int a[2];\n", "static int a[3];\n", "retyped variable a\n" },
        { "int (*hook)(int);\n", "int (*hook)(long);\n", "retyped variable hook\n" },
        { "extern int a;\n", "extern int a;\nextern int b;\n", "added variable* b\n" },
        { "#define A 1\n", "#define A 2\n", "modified macro A\n" },
        { "#define A(x) x\n", "#define A (x) x\n", "modified macro A\n" },
        { "#define A 1\n", "#undef A\n", "removed macro A\nadded macro #undef A\n" },
        { "#include <a.h>\n", "#include <a.h>\n#include \"b.h\"\n", "added include \"b.h\"\n" },
        { "#pragma pack(1)\nint a;\n", "#pragma pack(2)\nint a;\n",
          "removed macro #pragma pack(1)\nadded macro #pragma pack(2)\n" },
        { "#ifdef A\nint a;\n#endif\nint b;\n", "#ifdef B\nint a;\n#endif\nint b;\n",
          "modified variable a\n" },
        { "#if 0\nint f(void) { return 1; }\n#endif\n", "#if 1\nint f(void) { return 1; }\n#endif\n",
          "modified function f\n" },
        { "#ifdef A\nint a;\n#else\nlong a;\n#endif\n", "#ifdef A\nint a;\n#else\nshort a;\n#endif\n",
          "retyped variable a\n" },
        { "extern \"C\" {\nint f(void);\nint a;\n}\n", "extern \"C\" {\nint f(void);\nlong a;\n}\n",
          "retyped variable a\n" },
        { "STAILQ_HEAD(head, one);\n", "STAILQ_HEAD(head, two);\n",
          "removed macro STAILQ_HEAD(head, one);\nadded macro STAILQ_HEAD(head, two);\n" },
        { "int f(void)\n{\n#define X 1\n  return X;\n}\n", "int f(void)\n{\n#define X 2\n  return X;\n}\n",
          "modified function f\nmodified macro X\n" },
    };
    CHECK(pairs);
}

static void test_moves_within_a_file(void **state)
{
    static const char body[] = "int %s(int a, int b)\n{\n    int c = a * b;\n    return c + a + b + 17;\n}\n";
    struct text before = { 0 }, after = { 0 };

    text_printf(&before, body, "first");
    text_puts(&before, "int x;\nint y;\n");
    text_puts(&after, "int x;\nint y;\n");
    text_printf(&after, body, "second");
    assert_between(before.bytes, after.bytes,
                   "renamed function second <- first\nmoved function second <- first\n");
    text_deinit(&before);
    text_deinit(&after);
}

static void test_files_that_come_and_go(void **state)
{
    assert_between(NULL, "int a;\n", "added variable a\n");
    assert_between("int a;\n", NULL, "removed variable a\n");
    assert_between(NULL, NULL, "");
}

static void test_json(void **state)
{
    const char *before = "struct s { int hits; };\n", *after = "struct s { long hits; int misses; };\n";
    struct change_set *set = NULL;

    assert_ok(change_set_between("src/a.c", before, strlen(before), after, strlen(after), &set));
    json_t *json = change_set_to_json(set);
    assert_int_equal(json_array_size(json), 2);
    const char *kind, *action, *owner, *name, *file, *declaration;
    int line, old_line;
    assert_int_equal(json_unpack(json_array_get(json, 0), "{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i}", "kind",
                                 &kind, "action", &action, "owner", &owner, "name", &name, "file", &file,
                                 "declaration", &declaration, "line", &line, "old_line", &old_line),
                     0);
    assert_string_equal(kind, "member");
    assert_string_equal(action, "retyped");
    assert_string_equal(owner, "s");
    assert_string_equal(name, "hits");
    assert_string_equal(file, "src/a.c");
    assert_string_equal(declaration, "long hits");
    assert_int_equal(line, 1);
    assert_int_equal(old_line, 1);
    json_decref(json);
    change_set_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_variables_and_directives),
        cmocka_unit_test(test_moves_within_a_file),
        cmocka_unit_test(test_files_that_come_and_go),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
