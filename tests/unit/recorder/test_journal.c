/* The journal: what is there again after a crash, and what is not after damage. */
#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "recorder/journal.h"

static char root[64], state[80], journal[96];

static int setup(void **unused)
{
    strcpy(root, "/tmp/molt-journal-XXXXXX");
    if (!mkdtemp(root)) {
        return -1;
    }
    snprintf(state, sizeof(state), "%s/.molt", root);
    snprintf(journal, sizeof(journal), "%s/journal", state);
    return 0;
}

static void remove_in(const char *directory, const char *name)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    unlink(path);
}

static int teardown(void **unused)
{
    remove_in(state, "journal");
    remove_in(state, "journal.new");
    remove_in(state, "journal.lock");
    rmdir(state);
    remove_in(root, "a.c");
    remove_in(root, "b.c");
    return rmdir(root);
}

static struct recorder *start(void)
{
    struct recorder *recorder = NULL;

    assert_ok(recorder_create(root, state, &recorder));
    return recorder;
}

static const char before[] = "struct s {\n    int hits;\n};\nint f(void)\n{\n    return 1;\n}\n";

static void apply(struct recorder *recorder, const char *path, struct recorder_edit edit)
{
    assert_ok(recorder_apply(recorder, path, POSITION_UTF16, &edit, 1));
}

static void write_source(const char *name, const char *text)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *stream = fopen(path, "w");
    fputs(text, stream);
    fclose(stream);
}

static size_t file_size(const char *path)
{
    struct stat status;

    return stat(path, &status) < 0 ? 0 : (size_t)status.st_size;
}

static const char renamed[] = "renamed member s.total <- hits\nmodified function f\n";

/* Opens and edits a.c: a rename, typed over, and a body. */
static struct recorder *edit_something(void)
{
    struct recorder *recorder = start();

    assert_ok(recorder_set_baseline(recorder, "a.c", before, strlen(before)));
    assert_ok(recorder_open(recorder, "a.c", before, strlen(before)));
    apply(recorder, "a.c", (struct recorder_edit)EDIT(1, 8, 1, 12, "t"));
    apply(recorder, "a.c", (struct recorder_edit)EDIT(1, 9, 1, 9, "otal"));
    apply(recorder, "a.c", (struct recorder_edit)EDIT(5, 11, 5, 12, "2"));
    assert_changes(recorder, renamed);
    return recorder;
}

static void test_unsaved_edits_survive(void **unused)
{
    recorder_destroy(edit_something());
    struct recorder *recorder = start();
    assert_changes(recorder, renamed);
    assert_ok(
        recorder_set_baseline(recorder, "a.c", before, strlen(before))); /* as the server does at start */
    assert_changes(recorder, renamed);

    const char *text;
    size_t length;
    assert_true(recorder_text(recorder, "a.c", &text, &length));
    char *again = strdup(text);
    assert_ok(recorder_open(recorder, "a.c", again, length));
    free(again);
    struct change_set *set;
    assert_ok(recorder_changes(recorder, &set));
    assert_string_equal(set->items[0].evidence, "name edited in place");
    change_set_destroy(set);
    apply(recorder, "a.c", (struct recorder_edit)EDIT(1, 8, 1, 13, "hits"));
    apply(recorder, "a.c", (struct recorder_edit)EDIT(5, 11, 5, 12, "1"));
    assert_changes(recorder, "");
    recorder_destroy(recorder);
}

static void test_killed_process(void **unused)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        edit_something();
        _exit(0); /* nothing is closed */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    struct recorder *recorder = start();
    assert_changes(recorder, renamed);
    recorder_destroy(recorder);
}

static void test_settle_takes_the_disk(void **unused)
{
    write_source("a.c", before);
    recorder_destroy(edit_something());
    struct recorder *recorder = start();
    assert_changes(recorder, renamed);
    assert_ok(recorder_settle(recorder)); /* no editor came back with the unsaved text */
    assert_changes(recorder, "");
    recorder_destroy(recorder);
    recorder = start();
    assert_changes(recorder, "");
    recorder_destroy(recorder);
}

static void test_commit_forgets(void **unused)
{
    struct recorder *recorder = edit_something();
    const char *text;
    size_t length;

    assert_true(recorder_text(recorder, "a.c", &text, &length));
    char *copy = strdup(text);
    assert_ok(recorder_set_baseline(recorder, "a.c", copy, length));
    free(copy);
    recorder_destroy(recorder);
    recorder = start();
    assert_changes(recorder, "");
    recorder_destroy(recorder);
}

/* At whatever byte the journal ends, what is whole counts and recording goes on. */
static void test_torn_at_every_byte(void **unused)
{
    recorder_destroy(edit_something());
    size_t size = file_size(journal);
    char *bytes = malloc(size + 1);
    int file = open(journal, O_RDONLY);
    assert_int_equal(read(file, bytes, size), size);
    close(file);
    for (size_t cut = size; cut-- > 0;) {
        file = open(journal, O_WRONLY | O_TRUNC);
        assert_int_equal(write(file, bytes, cut), cut);
        close(file);
        struct recorder *recorder = start();
        assert_ok(recorder_set_baseline(recorder, "a.c", before, strlen(before)));
        assert_ok(recorder_open(recorder, "a.c", before, strlen(before)));
        apply(recorder, "a.c", (struct recorder_edit)EDIT(5, 11, 5, 12, "3"));
        recorder_destroy(recorder);
        recorder = start();
        assert_changes(recorder, "modified function f\n");
        recorder_destroy(recorder);
    }
    free(bytes);
}

/* A flipped bit is found out, whereever it is, and never more than what follows is lost. */
static void test_flipped_bits(void **unused)
{
    recorder_destroy(edit_something());
    size_t size = file_size(journal);
    char *bytes = malloc(size + 1);
    int file = open(journal, O_RDONLY);
    assert_int_equal(read(file, bytes, size), size);
    close(file);
    for (size_t at = 0; at < size; at += 3) {
        bytes[at] ^= 0x10;
        file = open(journal, O_WRONLY | O_TRUNC);
        assert_int_equal(write(file, bytes, size), size);
        close(file);
        bytes[at] ^= 0x10;
        struct recorder *recorder = start();
        struct change_set *set;
        assert_ok(recorder_changes(recorder, &set));
        assert_true(set->count < 3);
        change_set_destroy(set);
        recorder_destroy(recorder);
    }
    free(bytes);
}

static void test_two_recorders(void **unused)
{
    struct recorder *first = start(), *second = NULL;

    struct molt_error *error = recorder_create(root, state, &second);
    assert_non_null(error);
    assert_null(second);
    assert_int_equal(error->code, MOLT_ERROR_REFUSED);
    char pid[32];
    snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    assert_non_null(strstr(error->message, pid));
    molt_error_destroy(error);
    recorder_destroy(first);
    recorder_destroy(start());
}

static void test_does_not_grow(void **unused)
{
    struct recorder *recorder = edit_something();
    char *big = malloc(300000);

    memset(big, ' ', 300000);
    for (int i = 0; i < 60; i++) {
        struct recorder_edit edit = { .whole = true, .text = big, .length = 300000 };
        apply(recorder, "a.c", edit);
        edit.text = before;
        edit.length = strlen(before);
        apply(recorder, "a.c", edit);
    }
    apply(recorder, "a.c", (struct recorder_edit)EDIT(5, 11, 5, 12, "2"));
    assert_true(file_size(journal) < 6 << 20); /* 18 MB went through it */
    free(big);
    recorder_destroy(recorder);
    recorder = start();
    assert_changes(recorder, "modified function f\n");
    recorder_destroy(recorder);
}

static void test_unusable_directory(void **unused)
{
    struct recorder *recorder = NULL;

    struct molt_error *error = recorder_create(root, "/proc/nowhere/molt", &recorder);
    assert_non_null(error);
    assert_null(recorder);
    assert_non_null(strstr(error->message, "/proc/nowhere/molt"));
    molt_error_destroy(error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unsaved_edits_survive), TEST(test_killed_process),     TEST(test_settle_takes_the_disk),
        TEST(test_commit_forgets),        TEST(test_torn_at_every_byte), TEST(test_flipped_bits),
        TEST(test_two_recorders),         TEST(test_does_not_grow),      TEST(test_unusable_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
