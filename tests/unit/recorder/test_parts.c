/* The parts on their own: tokens, where segments end, lines and offsets, hunks, comparison, order. */
#include "support.h"

#include "recorder/changes.h"
#include "recorder/compare.h"
#include "recorder/document.h"
#include "recorder/hunks.h"
#include "recorder/segment.h"
#include "recorder/token.h"

static uint64_t hash(const char *text)
{
    return token_hash(0, text, 0, (uint32_t)strlen(text), NULL, 0);
}

static void test_tokens(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        { "a+b", "a + /* and */ b", true },
        { "a+ +b", "a++b", false },
        { "1.5e+3", "1.5e +3", false },
        { "\"a b\"", "\"a  b\"", false },
        { "'\\''", "'\\'' ", true },
        { "a->b", "a- >b", false },
        { "a // x\nb", "a b", true },
        { "a \\\n b", "a b", true },
        { "#define A\nb", "#define A b", false },
        { "#define A(x)", "#define A (x)", false },
        { "f(x)", "f (x)", true },
        { "x>>=1", "x>> =1", false },
        { "/* open", "", true },
        { "...", ". ..", false },
        { "0x1p-3f", "0x1p-3f", true },
        { "\"open", "\"open\n", true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if ((hash(cases[i].a) == hash(cases[i].b)) != cases[i].same) {
            fail_msg("'%s' and '%s'", cases[i].a, cases[i].b);
        }
    }
    assert_true(token_hash(0, "f(n - 1)", 0, 8, "f", 1) == token_hash(0, "g(n - 1)", 0, 8, "g", 1));
    assert_true(token_hash(0, "f(n - 1)", 0, 8, "f", 1) != token_hash(0, "f(n - 2)", 0, 8, "f", 1));
}

/* The cuts of TEXT as text with '|' between the segments. */
static char *cut(const char *text)
{
    struct text result = { 0 };
    struct segment_span span = { 0 };

    while (segment_cut(text, (uint32_t)strlen(text), span.end, &span)) {
        text_append(&result, text + span.start, span.end - span.start);
        text_puts(&result, "|");
    }
    return text_steal(&result);
}

static void test_hash_of_bytes(void **state)
{
    for (uint64_t seed = 0; seed < 64; seed++) {
        for (unsigned first = 0; first < 256; first++) {
            char bytes[] = { (char)first, 'x', 'y' };
            bool same = hash_bytes(seed, bytes, sizeof(bytes)) == hash_bytes(1, "#xy", 3);
            assert_int_equal(same, seed == 1 && first == '#');
        }
    }
}

static void test_segments(void **state)
{
    static const struct {
        const char *text, *cuts;
    } cases[] = {
        { "int a;\nint b;\n", "int a;\n|int b;\n|" },
        { "int a; int b;", "int a;| int b;|" },
        { "int f(void)\n{\n  g();\n}\nint a;\n", "int f(void)\n{\n  g();\n}\n|int a;\n|" },
        { "struct s {\n  int a;\n} x;\nint b;\n", "struct s {\n  int a;\n} x;\n|int b;\n|" },
        { "struct s f(void)\n{\n}\nint b;\n", "struct s f(void)\n{\n}\n|int b;\n|" },
        { "struct __attribute__((packed)) s { int a; };\nint b;\n",
          "struct __attribute__((packed)) s { int a; };\n|int b;\n|" },
        { "struct s x = { 1 };\nint b;\n", "struct s x = { 1 };\n|int b;\n|" },
        { "enum e { A } f(void) { }\nint b;\n", "enum e { A } f(void) { }\n|int b;\n|" },
        { "#if A\nint a;\n#else\nint b;\n#endif\n", "#if A\n|int a;\n|#else\n|int b;\n|#endif\n|" },
        { "int f(int a)\n#ifdef X\n  __attribute__((x))\n#endif\n{ }\nint b;\n",
          "int f(int a)\n#ifdef X\n  __attribute__((x))\n#endif\n{ }\n|int b;\n|" },
        { "int f(void)\n{\n#if A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n}\nint b;\n",
          "int f(void)\n{\n#if A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n}\n|int b;\n|" },
        { "#ifdef A\nint f(int a)\n{\n#else\nint f(long a)\n{\n#endif\n  g();\n}\nint b;\n",
          "#ifdef A\n|int f(int a)\n{\n|#else\n|int f(long a)\n{\n|#endif\n|  g();\n|}\n|int b;\n|" },
        { "extern \"C\" {\nint a;\n}\n", "extern \"C\" {\n|int a;\n|}\n|" },
        { "int f(a) int a; { }\nint b;\n", "int f(a) int a; { }\n|int b;\n|" },
        { "/* one */ int a; // two\n/* three */\n", "/* one */ int a;| // two\n/* three */\n|" },
        { "MODULE(x)\n#if A\nint a;\n#endif\n", "MODULE(x)\n|#if A\n|int a;\n|#endif\n|" },
        { "#define A \\\n  1\nint a;\n", "#define A \\\n  1\n|int a;\n|" },
        { "char *s = \"}\"; char c = '{';\nint b;\n", "char *s = \"}\";| char c = '{';\n|int b;\n|" },
        { "int f(int a)\n{\n  switch (a) {\n    case 1:\n{\n  g();\n}\n    break;\n  }\n}\nint b;\n",
          "int f(int a)\n{\n  switch (a) {\n    case 1:\n{\n  g();\n}\n    break;\n  }\n}\n|int b;\n|" },
        /* half-typed */
        { "int f(void)\n{\n  if (a) {\n  g();\n}\n\nint b;\n",
          "int f(void)\n{\n  if (a) {\n  g();\n}\n|\nint b;\n|" },
        { "int f(void)\n{\n  g();\n\nint h(int a)\n{\n  g();\n}\n",
          "int f(void)\n{\n  g();\n\n|int h(int a)\n{\n  g();\n}\n|" },
        { "int f(void)\n{\n  g();\n  }\n  h();\n}\nint b;\n",
          "int f(void)\n{\n  g();\n  }\n  h();\n}\n|int b;\n|" },
        { "int f(void) {\n  g();\n  }\nint h(void) {\n  }\n",
          "int f(void) {\n  g();\n  }\n|int h(void) {\n  }\n|" },
        { "int a\n#define X 1\nint b;\n", "int a\n|#define X 1\n|int b;\n|" },
        { "int a = 5\nstatic int b;\n", "int a = 5\n|static int b;\n|" },
        { "void f(void) {\nif (a) {\nb();\n}\nc();\n}\nint b;\n",
          "void f(void) {\nif (a) {\nb();\n}\nc();\n}\n|int b;\n|" },
        { "", "" },
        { "}", "}|" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *cuts = cut(cases[i].text);
        assert_string_equal(cuts, cases[i].cuts);
        free(cuts);
    }
}

static void test_document(void **state)
{
    struct document document = { 0 };

    assert_ok(document_splice(&document, 0, 0, "ab\ncd\r\nef", 9));
    assert_int_equal(document.line_count, 3);
    assert_int_equal(document_offset(&document, 1, 1, POSITION_UTF8), 4);
    assert_int_equal(document_offset(&document, 1, 9, POSITION_UTF8), 5); /* before the line's end */
    assert_int_equal(document_offset(&document, 2, 9, POSITION_UTF8), 9);
    assert_int_equal(document_offset(&document, 7, 0, POSITION_UTF8), 9);
    assert_int_equal(document_line(&document, 3), 1);
    assert_int_equal(document_line(&document, 9), 2);
    assert_ok(document_splice(&document, 1, 4, "x\n\ny", 4));
    assert_string_equal(document.text, "ax\n\nyd\r\nef");
    assert_int_equal(document.line_count, 4);
    assert_int_equal(document_line(&document, 3), 1);
    assert_int_equal(document_line(&document, 4), 2);
    assert_int_equal(document_line(&document, 8), 3);
    assert_ok(document_splice(&document, 0, document.length, NULL, 0));
    assert_int_equal(document.line_count, 1);
    document_deinit(&document);
}

/* Hunks composed from edits, against the texts themselves: the stretches between them are equal. */
static void test_hunks(void **state)
{
    struct hunks hunks = { 0 };

    assert_ok(hunks_edit(&hunks, 10, 12, 5)); /* 10-12 -> 10-15 */
    assert_ok(hunks_edit(&hunks, 2, 2, 1));   /* shifts it by one */
    assert_int_equal(hunks.count, 2);
    assert_int_equal(hunks.items[1].old_start, 10);
    assert_int_equal(hunks.items[1].new_start, 11);
    assert_int_equal(hunks_map_start(&hunks, 20), 24);
    assert_int_equal(hunks_map_start(&hunks, 5), 6);
    assert_ok(hunks_edit(&hunks, 14, 18, 0)); /* the rest of the first one's text and two bytes more */
    assert_int_equal(hunks.count, 2);
    assert_int_equal(hunks.items[1].old_end, 14);
    assert_int_equal(hunks.items[1].new_end, 14);
    assert_int_equal(hunks_map_end(&hunks, 20), 20);
    assert_int_equal(hunks_lost(&hunks, 0, 20), 4);
    assert_int_equal(hunks_lost(&hunks, 11, 12), 1);
    assert_ok(hunks_edit(&hunks, 0, 17, 3));
    assert_int_equal(hunks.count, 1);
    assert_int_equal(hunks.items[0].old_end, 17);
    hunks_deinit(&hunks);
}

static void test_replacements_are_narrowed(void **state)
{
    static const char before[] = "int hits;\nint misses;\nint rate = hits;\n";
    static const char after[] = "int total;\nint misses;\nint rate = total;\n";
    struct hunks hunks = { 0 };

    assert_ok(hunks_replace(&hunks, 100, before, sizeof(before) - 1, after, sizeof(after) - 1));
    assert_int_equal(hunks.count, 2);
    assert_int_equal(hunks.items[0].old_start, 104);
    assert_int_equal(hunks.items[0].old_end, 108);
    assert_int_equal(hunks.items[0].new_end, 109);
    assert_int_equal(hunks.items[1].old_end - hunks.items[1].old_start, 4);
    hunks_deinit(&hunks);
}

static void test_compare_sequences(void **state)
{
    static const uint64_t a[] = { 1, 2, 3, 4, 5, 6 }, b[] = { 1, 9, 3, 4, 7, 8, 6 };
    static const int32_t expected[] = { 0, -1, 2, 3, -1, 6 };
    int32_t match[6];

    assert_true(compare_sequences(a, 6, b, 7, 100, match));
    assert_memory_equal(match, expected, sizeof(expected));
    assert_true(compare_sequences(a, 6, b, 7, 1, match)); /* too many differences: both ends only */
    static const int32_t ends[] = { 0, -1, -1, -1, -1, 6 };
    assert_memory_equal(match, ends, sizeof(ends));
}

static void test_order(void **state)
{
    static const int32_t numbers[] = { 3, 0, 1, 2, 9, 4 };
    static const bool expected[] = { true, false, false, false, true, false };
    bool moved[6];

    assert_true(changes_out_of_order(numbers, 6, moved));
    assert_memory_equal(moved, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_hash_of_bytes),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_hunks),
        cmocka_unit_test(test_replacements_are_narrowed),
        cmocka_unit_test(test_compare_sequences),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
