/* What the source root is taken to be, and trees in its place where the build directory lies above it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patch/compile/compile_db.h"
#include "patch/compile/tree.h"

static char directory[64];

static char *below(const char *name)
{
    return must_printf("%s%s%s", directory, *name ? "/" : "", name);
}

static void write_file(const char *name, const char *text)
{
    char *path = below(name), *command = must_printf("mkdir -p \"$(dirname '%s')\"", path);

    assert_int_equal(system(command), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(command);
    free(path);
}

/* Compiles all sources in DIRECTORY/proj/src with FLAGS, as noted in BUILD. */
static void write_database(const char *build, const char *flags)
{
    char *name = must_printf("%s/compile_commands.json", build);
    char *text = must_printf(
        "[{\"directory\": \"%1$s/proj/src\", \"file\": \"a.c\", \"command\": \"cc %2$s -c a.c\"},"
        " {\"directory\": \"%1$s/proj/src\", \"file\": \"in/b.c\", \"command\": \"cc %2$s -c in/b.c\"}]",
        directory, flags);

    write_file(name, text);
    free(text);
    free(name);
}

/* TREE: NULL for none. */
static void expect_root_for(const char *build, const char *flags, const char *tree, const char *expected)
{
    struct compile_db db;
    char *path = below(build), *root = below(expected), *there = tree ? below(tree) : NULL;

    write_database(build, flags);
    assert_null(compile_db_load(path, NULL, there, &db));
    assert_string_equal(db.root, root);
    compile_db_deinit(&db);
    free(path);
    free(root);
    free(there);
}

static void expect_root(const char *build, const char *flags, const char *expected)
{
    expect_root_for(build, flags, NULL, expected);
}

static int make_project(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/molt-root-XXXXXX");
    assert_non_null(mkdtemp(directory));
    write_file("proj/src/a.c", "int a;\n");
    write_file("proj/src/in/b.c", "int b;\n");
    write_file("proj/include/a.h", "\n");
    write_file("other/include/o.h", "\n");
    return 0;
}

static int remove_project(void **state)
{
    char *command = must_printf("rm -rf '%s'", directory);

    (void)state;
    assert_int_equal(system(command), 0);
    free(command);
    return 0;
}

static void test_database_above_the_files(void **state)
{
    (void)state;
    expect_root("proj", "", "proj");
}

static void test_include_directories(void **state)
{
    (void)state;
    expect_root("proj/build", "", "proj/src");
    expect_root("proj/build", "-I../include", "proj");
    expect_root("proj/build", "-iquote ../include -I/usr/include", "proj");
    expect_root("elsewhere", "-I ../include", "proj");
    expect_root("proj/build", "-I../build -I../none -Iin", "proj/src");
}

/* What belongs to another project is outside, unless one repository holds both. */
static void test_include_directories_of_others(void **state)
{
    (void)state;
    expect_root("proj/build", "-I../../other/include", "proj/src");
    write_file(".git/HEAD", "ref: refs/heads/main\n");
    expect_root("proj/build", "-I../../other/include", "");
}

/* Who names a copy of the C files' directory means that; who names one of the project means that. */
static void test_a_tree_tells(void **state)
{
    struct compile_db db;
    char *build = below("proj"), *nothing = below("other");

    (void)state;
    write_file("files/a.c", "int a;\n");
    write_file("whole/src/a.c", "int a;\n");
    expect_root_for("proj", "", "files", "proj/src");
    expect_root_for("proj", "", "whole", "proj");
    expect_root_for("proj/build", "-I../include", "files", "proj/src");
    expect_root_for("proj/build", "-I../include", "whole", "proj");
    struct molt_error *error = compile_db_load(build, NULL, nothing, &db);
    assert_non_null(error);
    assert_non_null(strstr(error->message, "holds none of the C files"));
    molt_error_destroy(error);
    free(build);
    free(nothing);
}

/* Each directory that is searched once, however it is named. */
static void test_searched_directories(void **state)
{
    struct compile_db db;
    char *path = below("proj/build"), *first = below("proj/include"), *second = below("proj/src/own");

    (void)state;
    write_database("proj/build", "-I../include -I ../include -isystem own -iquote own -Dx=-I");
    assert_null(compile_db_load(path, NULL, NULL, &db));
    json_t *list = compile_db_include_directories(&db);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_array_get(list, 0)), first);
    assert_string_equal(json_string_value(json_array_get(list, 1)), second);
    json_decref(list);
    compile_db_deinit(&db);
    free(path);
    free(first);
    free(second);
}

static void expect_text(const struct tree *tree, const char *name, const char *expected)
{
    char *path = below(name), *mirrored = tree_mirror_path(tree, path), text[64] = "";
    FILE *file = fopen(mirrored, "r");

    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_string_equal(text, expected);
    fclose(file);
    free(mirrored);
    free(path);
}

/* The build directory is mirrored around the tree, and does not put its own files in the tree's place. */
static void test_mirror_below_the_build(void **state)
{
    struct compile_db db;
    struct tree tree;
    char *build = below("proj"), *root = below("proj/src"), *old = below("old"),
         *cache = below("proj/src/.molt/cache");

    (void)state;
    write_file("old/a.c", "int a_before;\n");
    write_database("proj", "");
    assert_null(compile_db_load(build, root, NULL, &db));
    for (int i = 0; i < 2; i++) {
        assert_null(tree_init(&tree, &db, old, cache));
        assert_null(tree_make_mirror(&tree));
        expect_text(&tree, "proj/src/a.c", "int a_before;\n");
        expect_text(&tree, "proj/src/in/b.c", "int b;\n");
        expect_text(&tree, "proj/include/a.h", "\n");
        tree_deinit(&tree);
    }
    compile_db_deinit(&db);
    free(build);
    free(root);
    free(old);
    free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_database_above_the_files, make_project, remove_project),
        cmocka_unit_test_setup_teardown(test_include_directories, make_project, remove_project),
        cmocka_unit_test_setup_teardown(test_include_directories_of_others, make_project, remove_project),
        cmocka_unit_test_setup_teardown(test_searched_directories, make_project, remove_project),
        cmocka_unit_test_setup_teardown(test_a_tree_tells, make_project, remove_project),
        cmocka_unit_test_setup_teardown(test_mirror_below_the_build, make_project, remove_project),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
