/* Edits as editors send them: what they do to the text, and what is recognised in them. */
#include "support.h"

#include <unistd.h>

struct step {
    struct recorder_edit edits[6];
    size_t count;
};

struct story {
    const char *name, *before;
    struct step steps[12];
    const char *expected;
    const char *evidence; /* of the first entry, or NULL */
    double confidence;
};

static const char counters[] = "struct stats {\n"
                               "    int hits;\n"
                               "    int misses;\n"
                               "};\n"
                               "\n"
                               "static int rate(struct stats *s)\n"
                               "{\n"
                               "    return s->hits * 100 / (s->hits + s->misses);\n"
                               "}\n";

static const struct story stories[] = {
    {
        .name = "clangd's rename in VS Code: pieces of tokens, from the end",
        .before = counters,
        .steps = { { { EDIT(7, 31, 7, 32, "al"), EDIT(7, 28, 7, 30, "to"), EDIT(7, 14, 7, 15, "al"),
                       EDIT(7, 11, 7, 13, "to"), EDIT(1, 11, 1, 12, "al"), EDIT(1, 8, 1, 10, "to") },
                     6 } },
        .expected = "renamed member stats.total <- hits\nmodified function rate\n",
        .evidence = "name edited in place",
        .confidence = 0.95,
    },
    {
        .name = "the same in Neovim: whole tokens, bottom up",
        .before = counters,
        .steps = { { { EDIT(7, 31, 7, 35, "total"), EDIT(7, 14, 7, 18, "total"), EDIT(1, 8, 1, 12, "total") },
                     3 } },
        .expected = "renamed member stats.total <- hits\nmodified function rate\n",
        .evidence = "name edited in place",
        .confidence = 0.95,
    },
    {
        .name = "Neovim's :%s, one range over several lines",
        .before = counters,
        .steps = { { { EDIT(1, 0, 8, 0,
                            "    int total;\n    int misses;\n};\n\nstatic int rate(struct stats *s)\n{\n"
                            "    return s->total * 100 / (s->total + s->misses);\n") },
                     1 } },
        .expected = "renamed member stats.total <- hits\nmodified function rate\n",
        .evidence = "name edited in place",
        .confidence = 0.95,
    },
    {
        .name = "a name deleted and typed anew, key by key",
        .before = "struct s {\n    int ab;\n    int c;\n};\n",
        .steps = { { { EDIT(1, 9, 1, 10, "") }, 1 },
                   { { EDIT(1, 8, 1, 9, "") }, 1 },
                   { { EDIT(1, 8, 1, 8, "x") }, 1 },
                   { { EDIT(1, 9, 1, 9, "y") }, 1 },
                   { { EDIT(1, 10, 1, 10, "z") }, 1 } },
        .expected = "renamed member s.xyz <- ab\n",
        .evidence = "name edited in place",
        .confidence = 0.95,
    },
    {
        .name = "a line removed, another one typed: no rename",
        .before = "struct s {\n    int ab;\n    int c;\n};\n",
        .steps = { { { EDIT(1, 0, 2, 0, "") }, 1 }, { { EDIT(1, 0, 1, 0, "    int xyz;\n") }, 1 } },
        .expected = "removed member s.ab\nadded member s.xyz\n",
    },
    {
        .name = "move-line: the other line is removed and put in",
        .before = "struct s {\n    int a;\n    int b;\n};\n",
        .steps = { { { EDIT(2, 0, 3, 0, ""), EDIT(1, 0, 1, 0, "    int b;\n") }, 2 } },
        .expected = "moved member s.b\n",
        .evidence = "name",
        .confidence = 1,
    },
    {
        .name = "cut, then pasted further down",
        .before = "int a(void) { return 1; }\nint b(void) { return 2; }\nint c(void) { return 3; }\n",
        .steps = { { { EDIT(0, 0, 1, 0, "") }, 1 },
                   { { EDIT(2, 0, 2, 0, "int a(void) { return 1; }\n") }, 1 } },
        .expected = "moved function a\n",
    },
    {
        .name = "pasted first, cut afterwards",
        .before = "int a(void) { return 1; }\nint b(void) { return 2; }\nint c(void) { return 3; }\n",
        .steps = { { { EDIT(3, 0, 3, 0, "int a(void) { return 1; }\n") }, 1 },
                   { { EDIT(0, 0, 1, 0, "") }, 1 } },
        .expected = "moved function a\n",
    },
    {
        .name = "renamed and back",
        .before = counters,
        .steps = { { { EDIT(1, 8, 1, 12, "total") }, 1 }, { { EDIT(1, 8, 1, 13, "hits") }, 1 } },
        .expected = "",
    },
    {
        .name = "renamed after its struct was renamed",
        .before = "struct s {\n    int a;\n};\n",
        .steps = { { { EDIT(0, 7, 0, 8, "t") }, 1 }, { { EDIT(1, 8, 1, 9, "b") }, 1 } },
        .expected = "renamed type t <- s\nrenamed member t.b <- a\n",
    },
    {
        .name = "half-typed struct: what follows stays what it is",
        .before = "int a;\n\nint f(void)\n{\n    return 1;\n}\n",
        .steps = { { { EDIT(1, 0, 1, 0, "struct fresh {\n    int x") }, 1 } },
        .expected = "added type fresh\nadded member fresh.x\n",
    },
    {
        .name = "half-typed statement: one function differs",
        .before = "int f(void)\n{\n    return 1;\n}\n\nint g(void)\n{\n    return 2;\n}\n",
        .steps = { { { EDIT(2, 4, 2, 4, "if (x) {\n    ") }, 1 } },
        .expected = "modified function f\n",
    },
    {
        .name = "a brace too many",
        .before = "int f(void)\n{\n    return 1;\n}\n\nint g(void)\n{\n    return 2;\n}\n",
        .steps = { { { EDIT(2, 4, 2, 4, "}\n    ") }, 1 } },
        .expected = "modified function f\n",
    },
    {
        .name = "half-typed member",
        .before = "struct s {\n    int a;\n    int b;\n};\nint x;\n",
        .steps = { { { EDIT(2, 0, 2, 0, "    unsigned\n") }, 1 }, { { EDIT(2, 12, 2, 12, " long c;") }, 1 } },
        .expected = "added member s.c\n",
    },
    {
        .name = "the whole document sent again",
        .before = counters,
        .steps = { { { { .whole = true, .text = "int a;\n", .length = 7 },
                       { .whole = true, .text = counters, .length = sizeof(counters) - 1 } },
                     2 } },
        .expected = "",
    },
    {
        .name = "positions beyond the end",
        .before = "int a;\n",
        .steps = { { { EDIT(90, 1, 99, 9, "int b;\n"), EDIT(0, 99, 0, 100, " int c;") }, 2 } },
        .expected = "added variable c\nadded variable b\n",
    },
};

static void test_stories(void **state)
{
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
        const struct story *story = &stories[i];
        struct recorder *recorder;
        struct change_set *set;
        assert_ok(recorder_create("/nowhere", NULL, &recorder));
        assert_ok(recorder_set_baseline(recorder, "a.c", story->before, strlen(story->before)));
        assert_ok(recorder_open(recorder, "a.c", story->before, strlen(story->before)));
        for (size_t k = 0; k < 12 && story->steps[k].count; k++) {
            assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF16, story->steps[k].edits,
                                     story->steps[k].count));
            assert_ok(recorder_changes(recorder, &set));
            change_set_destroy(set);
        }
        assert_ok(recorder_changes(recorder, &set));
        char *found = describe(set);
        if (strcmp(found, story->expected) != 0) {
            fail_msg("%s: found\n%sinstead of\n%s", story->name, found, story->expected);
        }
        free(found);
        if (story->evidence) {
            assert_string_equal(set->items[0].evidence, story->evidence);
            assert_true(set->items[0].confidence > story->confidence - 0.001);
            assert_true(set->items[0].confidence < story->confidence + 0.001);
        }
        change_set_destroy(set);
        recorder_destroy(recorder);
    }
}

static void test_encodings(void **state)
{
    /* two bytes, one unit; three bytes, one unit; four bytes, two units in UTF-16 */
    static const char before[] = "char *s = \"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80|\";\n";
    static const struct {
        enum position_encoding encoding;
        uint32_t character;
    } cases[] = { { POSITION_UTF8, 20 }, { POSITION_UTF16, 15 }, { POSITION_UTF32, 14 } };

    for (size_t i = 0; i < 3; i++) {
        struct recorder *recorder;
        struct recorder_edit edit = EDIT(0, 0, 0, 0, "!");
        const char *text;
        size_t length;
        assert_ok(recorder_create("/nowhere", NULL, &recorder));
        assert_ok(recorder_open(recorder, "a.c", before, strlen(before)));
        edit.start_character = cases[i].character;
        edit.end_character = cases[i].character + 1;
        assert_ok(recorder_apply(recorder, "a.c", cases[i].encoding, &edit, 1));
        assert_true(recorder_text(recorder, "a.c", &text, &length));
        assert_string_equal(text, "char *s = \"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!\";\n");
        recorder_destroy(recorder);
    }
}

static void test_all_or_none(void **state)
{
    static const struct recorder_edit edits[] = { EDIT(0, 0, 0, 0, "int b;\n"), EDIT(1, 3, 1, 1, "x") };
    struct recorder *recorder;
    const char *text;
    size_t length;

    assert_ok(recorder_create("/nowhere", NULL, &recorder));
    assert_ok(recorder_set_baseline(recorder, "a.c", "int a;\n", 7));
    struct molt_error *error = recorder_apply(recorder, "a.c", POSITION_UTF8, edits, 1);
    assert_non_null(error); /* not open */
    assert_int_equal(error->code, MOLT_ERROR_USAGE);
    molt_error_destroy(error);
    assert_ok(recorder_open(recorder, "a.c", "int a;\n", 7));
    error = recorder_apply(recorder, "a.c", POSITION_UTF8, edits, 2);
    assert_non_null(error);
    molt_error_destroy(error);
    assert_true(recorder_text(recorder, "a.c", &text, &length));
    assert_string_equal(text, "int a;\n");
    assert_changes(recorder, "");
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, edits, 1));
    assert_changes(recorder, "added variable b\n");
    recorder_destroy(recorder);
}

static void test_cut_and_paste_into_another_file(void **state)
{
    static const char a[] = "int one(int x)\n{\n    return x * 17 + 4;\n}\nint two(void) { return 2; }\n";
    static const struct recorder_edit cut = EDIT(0, 0, 4, 0, "");
    static const struct recorder_edit paste =
        EDIT(0, 0, 0, 0, "int one(int x)\n{\n    return x * 17 + 4;\n}\n");
    static const struct recorder_edit other = EDIT(0, 4, 0, 7, "uno");
    struct recorder *recorder;

    assert_ok(recorder_create("/nowhere", NULL, &recorder));
    assert_ok(recorder_open(recorder, "a.c", "", 0));
    assert_ok(recorder_open(recorder, "b.c", "", 0));
    assert_ok(recorder_set_baseline(recorder, "a.c", a, strlen(a)));
    assert_ok(recorder_set_baseline(recorder, "b.c", "int b;\n", 7));
    assert_ok(recorder_open(recorder, "a.c", a, strlen(a)));
    assert_ok(recorder_open(recorder, "b.c", "int b;\n", 7));
    assert_changes(recorder, "");
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &cut, 1));
    assert_changes(recorder, "removed function one\n");
    assert_ok(recorder_apply(recorder, "b.c", POSITION_UTF8, &paste, 1));
    assert_changes(recorder, "moved function one b.c <- a.c\n");
    assert_ok(recorder_apply(recorder, "b.c", POSITION_UTF8, &other, 1));
    assert_changes(recorder,
                   "renamed function uno <- one b.c <- a.c\nmoved function uno <- one b.c <- a.c\n");
    recorder_destroy(recorder);
}

static void test_ids_are_stable(void **state)
{
    static const struct recorder_edit rename = EDIT(1, 8, 1, 12, "total");
    static const struct recorder_edit spoil = EDIT(1, 13, 1, 14, "");
    static const struct recorder_edit mend = EDIT(1, 13, 1, 13, ";");
    struct recorder *recorder;
    struct change_set *set;

    assert_ok(recorder_create("/nowhere", NULL, &recorder));
    assert_ok(recorder_set_baseline(recorder, "a.c", counters, strlen(counters)));
    assert_ok(recorder_open(recorder, "a.c", counters, strlen(counters)));
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &rename, 1));
    assert_ok(recorder_changes(recorder, &set));
    uint64_t id = set->items[0].id;
    change_set_destroy(set);
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &spoil, 1));
    assert_ok(recorder_changes(recorder, &set));
    assert_int_equal(set->file_count, 1);
    assert_true(set->files[0].has_error);
    assert_int_equal(set->files[0].error_line, 2);
    change_set_destroy(set);
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &mend, 1));
    assert_ok(recorder_changes(recorder, &set));
    assert_int_equal(set->items[0].id, id);
    assert_string_equal(set->items[0].name, "total");
    assert_false(set->files[0].has_error);
    change_set_destroy(set);
    recorder_destroy(recorder);
}

static void test_committed(void **state)
{
    static const struct recorder_edit first = EDIT(0, 0, 0, 0, "int b;\n"),
                                      second = EDIT(0, 0, 0, 0, "int c;\n");
    struct recorder *recorder;

    assert_ok(recorder_create("/nowhere", NULL, &recorder));
    assert_ok(recorder_set_baseline(recorder, "/nowhere/a.c", "int a;\n", 7));
    assert_ok(recorder_open(recorder, "a.c", "int a;\n", 7));
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &first, 1));
    assert_changes(recorder, "added variable b\n");
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &second, 1)); /* while the update is made */
    assert_ok(recorder_set_baseline(recorder, "a.c", "int b;\nint a;\n", 14));
    assert_changes(recorder, "added variable c\n");
    assert_ok(recorder_set_baseline(recorder, "a.c", "int c;\nint b;\nint a;\n", 21));
    assert_changes(recorder, "");
    recorder_destroy(recorder);
}

static void write_file(const char *path, const char *text)
{
    FILE *stream = fopen(path, "w");

    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static void test_disk(void **state)
{
    char root[] = "/tmp/molt-recorder-XXXXXX", path[64];
    static const struct recorder_edit edit = EDIT(0, 0, 0, 0, "int b;\n");
    struct recorder *recorder;

    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/a.c", root);
    write_file(path, "int a;\n");
    assert_ok(recorder_create(root, NULL, &recorder));
    assert_ok(recorder_set_baseline(recorder, "a.c", "int a;\n", 7));
    write_file(path, "int a;\nint z;\n");
    assert_ok(recorder_disk_changed(recorder, "a.c"));
    assert_changes(recorder, "added variable z\n");
    assert_ok(recorder_open(recorder, "a.c", "int a;\nint z;\n", 14));
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &edit, 1));
    assert_changes(recorder, "added variable b\nadded variable z\n");
    write_file(path, "int a;\n");
    assert_ok(recorder_disk_changed(recorder, path)); /* open: the editor decides */
    assert_changes(recorder, "added variable b\nadded variable z\n");
    assert_ok(recorder_close(recorder, "a.c")); /* without saving */
    assert_changes(recorder, "");
    assert_ok(recorder_open(recorder, "a.c", "int q;\n", 7)); /* :edit! is close and open */
    assert_changes(recorder, "renamed variable q <- a\n");
    assert_ok(recorder_close(recorder, "a.c"));
    unlink(path);
    assert_ok(recorder_disk_changed(recorder, "a.c"));
    assert_changes(recorder, "removed variable a\n");
    assert_ok(recorder_disk_changed(recorder, "unknown.c"));
    recorder_destroy(recorder);
    rmdir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_all_or_none),    cmocka_unit_test(test_cut_and_paste_into_another_file),
        cmocka_unit_test(test_ids_are_stable), cmocka_unit_test(test_committed),
        cmocka_unit_test(test_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
