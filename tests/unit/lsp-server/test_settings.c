/* molt.toml, the editor's options over it, and where the compile database is looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "lsp-server/files.h"
#include "lsp-server/settings.h"

static char root[64];

static void put(const char *name, const char *text)
{
    char *path = path_join(root, name);

    assert_int_equal(files_write(path, text, strlen(text)), 0);
    free(path);
}

static int make_root(void **state)
{
    strcpy(root, "/tmp/molt-settings-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    return files_remove_tree(root);
}

static void assert_in_root(const char *path, const char *name)
{
    char *expected = path_join(root, name);

    assert_non_null(path);
    assert_string_equal(path, expected);
    free(expected);
}

static void assert_error(struct molt_error *error, const char *words)
{
    assert_non_null(error);
    if (!strstr(error->message, words))
        fail_msg("\"%s\" lacks \"%s\"", error->message, words);
    molt_error_destroy(error);
}

static void test_defaults(void **state)
{
    struct settings settings;

    assert_null(settings_read(root, NULL, &settings));
    assert_null(settings.build);
    assert_int_equal(settings.save, SAVE_MANUAL);
    assert_int_equal(settings.timeout_ms, 5000);
    assert_false(settings.rehearse);
    assert_false(settings.strict);
    assert_false(settings.known_stacks);
    assert_int_equal(settings.transfer_ms, 200);
    settings_deinit(&settings);
}

static void test_overridden(void **state)
{
    json_t *options = json_pack("{s:s,s:f}", "save", "all", "timeout", 0.5);
    struct settings settings;

    put("out/compile_commands.json", "[]");
    put("molt.toml", "build = \"out\"\nroot = \"src\"\nbinaries = [\"out/server\"]\nsave = "
                     "\"never\"\ntimeout = 2\nrehearse = true\nstrict = true\n"
                     "transferAfter = 0.05\nknownStacks = true\n");
    assert_null(settings_read(root, options, &settings));
    assert_in_root(settings.build, "out");
    assert_in_root(settings.root, "src");
    assert_int_equal(settings_binary_count(&settings), 1);
    assert_in_root(settings.binaries[0], "out/server");
    assert_int_equal(settings.save, SAVE_ALL);
    assert_int_equal(settings.timeout_ms, 500);
    assert_true(settings.rehearse);
    assert_true(settings.strict);
    assert_true(settings.known_stacks);
    assert_int_equal(settings.transfer_ms, 50);
    settings_deinit(&settings);
    json_decref(options);
}

static void test_search(void **state)
{
    struct settings settings;
    char *file = path_join(root, "src/deep/a.c"), *folder;

    put("build-b/compile_commands.json", "[]");
    put("build-a/compile_commands.json", "[]");
    {
        char *path = path_join(root, "build-a/compile_commands.json");
        struct timespec times[2] = { { 1000, 0 }, { 1000, 0 } };

        utimensat(0, path, times, 0);
        free(path);
    }
    assert_null(settings_read(root, NULL, &settings));
    assert_in_root(settings.build, "build-b");
    settings_deinit(&settings);
    folder = settings_find_folder(file);
    assert_string_equal(folder, root);
    free(folder);
    put("compile_commands.json", "[]");
    assert_null(settings_read(root, NULL, &settings));
    assert_string_equal(settings.build, root);
    settings_deinit(&settings);
    free(file);
}

/* What is wrong is said, and the rest is taken. */
static void test_wrong(void **state)
{
    static const struct {
        const char *toml, *words;
    } cases[] = {
        { "save = \"sometimes\"", "manualIfDirty" },
        { "timeout = -1", "seconds" },
        { "binaries = \"x\"", "list" },
        { "binaries = [1]", "list" },
        { "build = 3", "build" },
        { "build = \"nowhere\"", "no compile_commands.json" },
        { "save = manual", "quotes" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings settings;

        put("molt.toml", cases[i].toml);
        assert_error(settings_read(root, NULL, &settings), cases[i].words);
        assert_int_equal(settings.save, SAVE_MANUAL);
        settings_deinit(&settings);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = { CASE(test_defaults), CASE(test_overridden), CASE(test_search),
                                        CASE(test_wrong) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
