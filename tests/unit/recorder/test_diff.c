/* Unified diffs of texts, and of the declarations in a change set. */
#include "support.h"

#include "recorder/text_diff.h"

static char *diff_of(const char *old_text, unsigned old_first, const char *new_text, unsigned new_first)
{
    struct text_piece old_piece = { old_text, strlen(old_text), old_first };
    struct text_piece new_piece = { new_text, strlen(new_text), new_first };
    struct text text = { 0 };

    assert_ok(text_diff_unified(&old_piece, &new_piece, &text));
    return text.bytes ? text_steal(&text) : strdup("");
}

static void test_unified(void **state)
{
    static const struct {
        const char *old_text, *new_text, *diff;
    } cases[] = {
        { "a\nb\n", "a\nb\n", "" },
        { "", "", "" },
        { "a\r\n", "a\n", "" },
        { "a\n", "b\n", "@@ -11 +21 @@\n-a\n+b\n" },
        { "a", "b", "@@ -11 +21 @@\n-a\n+b\n" },
        { "", "a\nb\n", "@@ -0,0 +21,2 @@\n+a\n+b\n" },
        { "a\nb\n", "", "@@ -11,2 +0,0 @@\n-a\n-b\n" },
        { "a\nb\n", "a\nx\nb\n", "@@ -11,2 +21,3 @@\n a\n+x\n b\n" },
        { "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n6\n7\n8\n9\n",
          "@@ -12,7 +22,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n" },
        /* six lines between two differences: one hunk */
        { "a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
          "@@ -11,8 +21,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n" },
        /* seven: two */
        { "a\n1\n2\n3\n4\n5\n6\n7\nb\n", "1\n2\n3\n4\n5\n6\n7\nB\n",
          "@@ -11,4 +21,3 @@\n-a\n 1\n 2\n 3\n@@ -16,4 +25,4 @@\n 5\n 6\n 7\n-b\n+B\n" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *diff = diff_of(cases[i].old_text, 11, cases[i].new_text, 21);
        assert_string_equal(diff, cases[i].diff);
        free(diff);
    }
}

static const char *next_line(const char *at)
{
    return strchr(at, '\n') + 1;
}

/* What DIFF, which counts from 1, makes of TEXT, as patch(1) would; fails the test where a line does not
 * agree. */
static char *applied(const char *text, const char *diff)
{
    struct text ret = { 0 };
    unsigned line = 1, start, count;

    text_puts(&ret, "");
    while (*diff) {
        int fields = sscanf(diff, "@@ -%u,%u", &start, &count);
        for (start += fields == 2 && !count; line < start && *text; line++, text = next_line(text)) {
            text_append(&ret, text, (size_t)(next_line(text) - text));
        }
        for (diff = next_line(diff); *diff && *diff != '@'; diff = next_line(diff)) {
            size_t length = (size_t)(next_line(diff) - diff) - 1;
            if (*diff != '+') {
                assert_memory_equal(diff + 1, text, length);
                text = next_line(text);
                line++;
            }
            if (*diff != '-') {
                text_append(&ret, diff + 1, length);
            }
        }
    }
    text_puts(&ret, text);
    return text_steal(&ret);
}

static void test_random_texts(void **state)
{
    srandom(7);
    for (unsigned round = 0; round < 3000; round++) {
        struct text texts[2] = { 0 };
        for (unsigned i = 0; i < 2; i++) {
            text_puts(&texts[i], "");
            for (long lines = random() % 40; lines > 0; lines--) {
                text_printf(&texts[i], "%c\n", (char)('a' + random() % (round % 7 + 1)));
            }
        }
        char *diff = diff_of(texts[0].bytes, 1, texts[1].bytes, 1), *result = applied(texts[0].bytes, diff);
        assert_string_equal(result, texts[1].bytes);
        free(result);
        free(diff);
        text_deinit(&texts[0]);
        text_deinit(&texts[1]);
    }
}

/* Asserts what becomes of the lines of each change, one text after the other. */
static void assert_diffs(struct recorder *recorder, const char *expected)
{
    struct change_set *set = NULL;
    struct text text = { 0 };

    assert_ok(recorder_changes(recorder, &set));
    text_puts(&text, "");
    for (size_t i = 0; i < set->count; i++) {
        text_printf(&text, "%s %s\n", change_action_word(set->items[i].action), set->items[i].name);
        assert_ok(recorder_diff(recorder, &set->items[i], &text));
    }
    assert_string_equal(text.bytes, expected);
    text_deinit(&text);
    change_set_destroy(set);
}

static void set_text(struct recorder *recorder, const char *name, const char *old_text, const char *new_text)
{
    assert_ok(recorder_set_baseline(recorder, name, old_text, strlen(old_text)));
    assert_ok(recorder_open(recorder, name, new_text, strlen(new_text)));
}

static void test_declarations(void **state)
{
    struct recorder *recorder = NULL;

    assert_ok(recorder_create("/nowhere", NULL, &recorder));
    set_text(recorder, "a.c",
             "struct s {\n    int a;\n};\n\nint f(void)\n{\n    return 1;\n}\n\nint gone;\n\nint travels(int "
             "way)\n{\n"
             "    return way * 2;\n}\n",
             "/* caf\xe9 */\nstruct s {\n    long a;\n    int b;\n};\n\nint f(void)\n{\n    return 2;\n}\n");
    set_text(
        recorder, "b.c", "int other;\n",
        "int other;\nint travels(int way)\n{\n    return way * 3;\n}\n#ifdef NEW\nint brand_new;\n#endif\n");
    assert_diffs(recorder,
                 "retyped a\n@@ -2 +3 @@\n-    int a;\n+    long a;\n"
                 "added b\n@@ -0,0 +4 @@\n+    int b;\n"
                 "modified f\n@@ -5,4 +7,4 @@\n int f(void)\n {\n-    return 1;\n+    return 2;\n }\n"
                 "removed gone\n@@ -10 +0,0 @@\n-int gone;\n"
                 "moved travels\n@@ -12,4 +2,4 @@\n int travels(int way)\n {\n-    return way * 2;\n"
                 "+    return way * 3;\n }\n"
                 "modified travels\n@@ -12,4 +2,4 @@\n int travels(int way)\n {\n-    return way * 2;\n"
                 "+    return way * 3;\n }\n"
                 "added brand_new\n@@ -0,0 +7 @@\n+int brand_new;\n");
    recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unified),
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_declarations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
