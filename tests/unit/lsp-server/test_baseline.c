/* The baseline through updates, rollbacks, and a server killed between any two steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "lsp-server/baseline.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"

static char root[64];

static void ok(struct molt_error *error)
{
    if (error)
        fail_msg("%s", error->message);
}

static void put(const char *name, const char *text)
{
    char *path = path_join(root, name);

    assert_int_equal(files_write(path, text, strlen(text)), 0);
    free(path);
}

static void assert_holds(const char *name, const char *expected)
{
    char *path = path_join(root, name), *text = NULL;
    size_t length;
    int error = files_read(path, &text, &length);

    if (!expected)
        assert_int_equal(error, -2);
    else
        assert_string_equal(text, expected);
    free(text);
    free(path);
}

static int make_root(void **state)
{
    strcpy(root, "/tmp/molt-baseline-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    return files_remove_tree(root);
}

/* A baseline with a.c "1" and b.c "1", and the same files in the root. */
static struct baseline *fresh(void)
{
    json_t *ids = json_pack("[s,s]", "aa", "bb");
    struct baseline *baseline;
    char *directory, *path;

    put("a.c", "1");
    put("sub/b.c", "1");
    ok(baseline_load(root, &baseline));
    assert_false(baseline_fits(baseline, ids));
    ok(baseline_begin(baseline, &directory));
    path = path_join(directory, "a.c");
    files_write(path, "1", 1);
    free(path);
    path = path_join(directory, "sub/b.c");
    files_write(path, "1", 1);
    free(path);
    ok(baseline_finish(baseline, ids));
    assert_true(baseline_fits(baseline, ids));
    free(directory);
    json_decref(ids);
    return baseline;
}

static json_t *stage(struct baseline *baseline, const char *extra)
{
    json_t *names = extra ? json_pack("[s]", extra) : NULL, *files;

    ok(baseline_stage(baseline, names, &files));
    json_decref(names);
    return files;
}

static void publish(struct baseline *baseline, const char *id, const char *extra)
{
    json_t *files = stage(baseline, extra);

    assert_true(baseline_stage_current(baseline, files));
    ok(baseline_publish(baseline, id, "title", "patch", 5, files));
    json_decref(files);
}

static enum baseline_follow follow(struct baseline *baseline, json_t *updates)
{
    enum baseline_follow result;

    ok(baseline_follow(baseline, updates, &result));
    json_decref(updates);
    return result;
}

static void test_nothing_differs(void **state)
{
    struct baseline *baseline = fresh();
    json_t *files = stage(baseline, NULL);

    assert_int_equal(json_array_size(files), 0);
    json_decref(files);
    baseline_destroy(baseline);
}

static void test_update_and_back(void **state)
{
    struct baseline *baseline = fresh();
    json_t *files, *patches;

    put("a.c", "2");
    put("new.c", "n");
    publish(baseline, "x1", "new.c");
    ok(baseline_commit(baseline, "x1"));
    assert_holds(".molt/baseline/a.c", "2");
    assert_holds(".molt/baseline/new.c", "n");
    assert_holds(".molt/updates/0001-x1/before/a.c", "1");
    patches = baseline_patches(baseline);
    assert_non_null(
        strstr(json_string_value(json_array_get(patches, 0)), "/.molt/updates/0001-x1/patch.molt"));
    json_decref(patches);

    put("a.c", "1"); /* half an undo is none */
    files = stage(baseline, NULL);
    assert_false(baseline_stage_undoes(baseline, files));
    json_decref(files);
    {
        char *path = path_join(root, "new.c");

        unlink(path);
        free(path);
    }
    files = stage(baseline, NULL);
    assert_true(baseline_stage_undoes(baseline, files));
    json_decref(files);
    ok(baseline_roll_back(baseline));
    assert_holds(".molt/baseline/a.c", "1");
    assert_holds(".molt/baseline/new.c", NULL);
    assert_holds(".molt/updates/0001-x1/patch.molt", NULL);
    baseline_destroy(baseline);
}

/* Killed after the update was named: what the program says decides. */
static void test_killed_before_commit(void **state)
{
    struct baseline *baseline = fresh();

    put("a.c", "2");
    publish(baseline, "x1", NULL);
    baseline_destroy(baseline);
    ok(baseline_load(root, &baseline));
    assert_int_equal(follow(baseline, json_array()), BASELINE_SAME);
    assert_holds(".molt/baseline/a.c", "1");
    assert_int_equal(follow(baseline, json_pack("[s]", "x1")), BASELINE_MOVED);
    assert_holds(".molt/baseline/a.c", "2");
    baseline_destroy(baseline);
    ok(baseline_load(root, &baseline));
    assert_int_equal(follow(baseline, json_pack("[s]", "x1")), BASELINE_SAME);
    assert_int_equal(follow(baseline, json_pack("[s,s]", "x1", "foreign")), BASELINE_UNKNOWN);
    assert_holds(".molt/baseline/a.c", "2");
    baseline_destroy(baseline);
}

/* The program was started anew: its updates are gone, the edits are pending again. */
static void test_restarted(void **state)
{
    struct baseline *baseline = fresh();
    json_t *files;

    put("a.c", "2");
    publish(baseline, "x1", NULL);
    ok(baseline_commit(baseline, "x1"));
    put("sub/b.c", "2");
    publish(baseline, "x2", NULL);
    ok(baseline_commit(baseline, "x2"));
    assert_int_equal(follow(baseline, json_array()), BASELINE_MOVED);
    files = stage(baseline, NULL);
    assert_int_equal(json_array_size(files), 2);
    json_decref(files);
    baseline_destroy(baseline);
}

static void test_withdrawn(void **state)
{
    struct baseline *baseline = fresh();

    put("a.c", "2");
    publish(baseline, "x1", NULL);
    baseline_withdraw(baseline, "x1");
    assert_int_equal(follow(baseline, json_pack("[s]", "x1")), BASELINE_UNKNOWN);
    baseline_destroy(baseline);
}

static void test_changed_while_compiling(void **state)
{
    struct baseline *baseline = fresh();
    json_t *files;

    put("a.c", "2");
    files = stage(baseline, NULL);
    put("a.c", "3");
    assert_false(baseline_stage_current(baseline, files));
    ok(baseline_absorb(baseline, files));
    assert_holds(".molt/baseline/a.c", "2");
    json_decref(files);
    baseline_destroy(baseline);
}

/* Killed between baseline.json's removal and its return: there is no baseline, and a new one can be taken. */
static void test_no_key(void **state)
{
    struct baseline *baseline = fresh();
    json_t *ids = json_pack("[s,s]", "bb", "aa");
    char *path = path_join(root, ".molt/baseline.json");

    assert_true(baseline_fits(baseline, ids));
    baseline_destroy(baseline);
    assert_int_equal(files_write(path, "{\"build_ids\": [\"a", 16), 0);
    ok(baseline_load(root, &baseline));
    assert_false(baseline_fits(baseline, ids));
    baseline_destroy(baseline);
    unlink(path);
    baseline_destroy(fresh());
    free(path);
    json_decref(ids);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_differs), CASE(test_update_and_back), CASE(test_killed_before_commit),
        CASE(test_restarted),       CASE(test_withdrawn),       CASE(test_changed_while_compiling),
        CASE(test_no_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
