/* Checking a revision out of a real repository, made here with git. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/revisions.h"

static char repository[] = "/tmp/molt-test-revisions-XXXXXX";

static int setup(void **state)
{
    char command[1024];

    if (!mkdtemp(repository)) {
        return -1;
    }
    snprintf(command, sizeof(command),
             "cd %s && exec >/dev/null 2>&1 && git init -q && mkdir -p src/deep && echo 1 >src/deep/a.c && "
             "git add . && "
             "git -c user.name=t -c user.email=t@t commit -qm one && git tag v1 && echo 2 >src/deep/a.c && "
             "git -c user.name=t -c user.email=t@t commit -qam two && git tag v2 && echo 3 >src/deep/a.c",
             repository);
    return system(command);
}

static int teardown(void **state)
{
    revisions_remove(strdup(repository));
    return access(repository, F_OK) == 0;
}

static int read_number(const char *directory, const char *name)
{
    char path[PATH_MAX];
    int number = -1;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    if (file) {
        assert_int_equal(fscanf(file, "%d", &number), 1);
        fclose(file);
    }
    return number;
}

/* ROOT stands for itself in the checkout, wherever in the repository it lies. */
static void check(const char *below, const char *revision, const char *name, int expected)
{
    char root[PATH_MAX];
    char *directory = NULL;

    snprintf(root, sizeof(root), "%s%s", repository, below);
    assert_null(revisions_make_directory(&directory));
    assert_null(revisions_check_out(root, revision, directory));
    assert_int_equal(read_number(directory, name), expected);
    assert_int_equal(read_number(repository, "src/deep/a.c"), 3); /* the working tree is not touched */
    char *copy = strdup(directory);
    revisions_remove(directory);
    assert_int_equal(access(copy, F_OK), -1);
    free(copy);
}

static void test_check_out(void **state)
{
    check("", "v1", "src/deep/a.c", 1);
    check("", "HEAD", "src/deep/a.c", 2);
    check("", "HEAD~1", "src/deep/a.c", 1);
    check("/src", "v1", "deep/a.c", 1);
    check("/src/deep", "v2", "a.c", 2);
}

static void check_refused(const char *root, const char *revision)
{
    struct molt_error *error = revisions_check_out(root, revision, "/nonexistent");

    assert_non_null(error);
    assert_int_equal(error->code, MOLT_ERROR_USAGE);
    molt_error_destroy(error);
}

static void test_what_is_not_there(void **state)
{
    check_refused(repository, "v3");
    check_refused("/proc", "HEAD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_out),
        cmocka_unit_test(test_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
