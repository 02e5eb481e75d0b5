/*
 * Memory runs out at the n-th allocation, for every n, in the middle of a session: whatever was being done
 * reports it, nothing leaks (the sanitizer build sees to that), and afterwards the recorder is as if it had
 * not happened. tree-sitter itself ends the process when it gets no memory, so its own allocations are left
 * alone.
 */
#include "support.h"

#include <unistd.h>

static long countdown = -1; /* allocations until one fails; negative: none does */

static bool fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

#define WRAP(type, name, parameters, arguments)                                                              \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return fails() ? NULL : __real_##name arguments;                                                     \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *memory, size_t size), (memory, size))
WRAP(char *, strdup, (const char *string), (string))
WRAP(char *, strndup, (const char *string, size_t size), (string, size))

static const char before[] = "#include <a.h>\nstruct s { int hits; int misses; };\n#define A 1\n"
                             "int f(struct s *s)\n{\n    return s->hits;\n}\nint x, y;\n";

/* One session up to the failure. Returns whether all went well. */
static bool play(struct recorder *recorder)
{
    static const struct recorder_edit rename[] = { EDIT(5, 14, 5, 18, "total"), EDIT(1, 15, 1, 19, "total") };
    static const struct recorder_edit whole = { .whole = true, .text = "int q;\n", .length = 7 };
    struct change_set *set = NULL;
    struct molt_error *errors[] = {
        recorder_set_baseline(recorder, "a.c", before, strlen(before)),
        recorder_open(recorder, "a.c", before, strlen(before)),
        recorder_apply(recorder, "a.c", POSITION_UTF16, rename, 2),
        recorder_changes(recorder, &set),
        recorder_apply(recorder, "a.c", POSITION_UTF16, &whole, 1),
        recorder_set_baseline(recorder, "a.c", "int z;\n", 7),
    };
    bool good = true;

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        good = good && !errors[i];
        molt_error_destroy(errors[i]);
    }
    json_t *json = set ? change_set_to_json(set) : NULL;
    json_decref(json);
    change_set_destroy(set);
    return good;
}

/* With memory again, the recorder gives the right answers. */
static void check(struct recorder *recorder)
{
    static const struct recorder_edit edit = EDIT(7, 4, 7, 5, "z");

    assert_ok(recorder_set_baseline(recorder, "a.c", before, strlen(before)));
    assert_ok(recorder_open(recorder, "a.c", before, strlen(before)));
    assert_changes(recorder, "");
    assert_ok(recorder_apply(recorder, "a.c", POSITION_UTF8, &edit, 1));
    assert_changes(recorder, "renamed variable z <- x\n");
}

static void play_with_failures(const char *state, const char *what)
{
    long failures = 0;
    char journal[96];

    for (bool good = false; !good; failures++) {
        struct recorder *recorder = NULL;
        countdown = failures;
        struct molt_error *error = recorder_create("/nowhere", state, &recorder);
        good = !error && play(recorder) && countdown >= 0;
        countdown = -1;
        assert_true((recorder == NULL) == (error != NULL));
        molt_error_destroy(error);
        if (recorder) {
            check(recorder);
        }
        recorder_destroy(recorder);
        if (state) {
            snprintf(journal, sizeof(journal), "%s/journal", state);
            unlink(journal);
        }
    }
    printf("%s: each of %ld allocations failed once\n", what, failures - 1);
    assert_true(failures > 100);
}

static void test_every_allocation(void **unused)
{
    play_with_failures(NULL, "without a journal");
}

static void test_every_allocation_with_journal(void **unused)
{
    char directory[] = "/tmp/molt-memory-XXXXXX", command[96];

    assert_non_null(mkdtemp(directory));
    play_with_failures(directory, "with a journal");
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

static const char loop[] = "#define STOP 3\nint f(int a[])\n{\n    int n = 0;\n    for (;;) {\n        n++;\n"
                           "        if (a[n] > STOP)\n            return n;\n    }\n}\n";

/* An extraction that lacks memory somewhere says so, and gives nothing. */
static void test_extraction(void **unused)
{
    const struct loop_wish wish = { .first_line = 4, .last_line = 4 };
    struct recorder *recorder = NULL;
    long failures = 0;

    assert_ok(recorder_create("/nowhere", NULL, &recorder));
    assert_ok(recorder_open(recorder, "loop.c", loop, strlen(loop)));
    for (bool good = false; !good; failures++) {
        struct loop_extraction extraction;
        countdown = failures;
        struct molt_error *error = recorder_extract_loop(recorder, "loop.c", &wish, NULL, &extraction);
        good = countdown >= 0;
        countdown = -1;
        assert_true(!error || !extraction.found);
        assert_true(extraction.found ? extraction.edits[1].text != NULL : !extraction.edits[1].text);
        molt_error_destroy(error);
        loop_extraction_deinit(&extraction);
    }
    recorder_destroy(recorder);
    assert_true(failures > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extraction),
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_every_allocation_with_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
