/* Change sets of two directories: what one of them lacks may have been there when the program was built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "cli/changes.h"
#include "cli/revisions.h"

static char directory[] = "/tmp/molt-test-changes-XXXXXX";
static char from[64], to[64];

/* Written at second 100, 200 and 300: with the build, before it, after it. */
static int setup(void **state)
{
    char command[1024];

    if (!mkdtemp(directory)) {
        return -1;
    }
    snprintf(from, sizeof(from), "%s/from", directory);
    snprintf(to, sizeof(to), "%s/to", directory);
    snprintf(command, sizeof(command),
             "cd %s && mkdir from to && echo 'int f(void) { return 1; }' >from/a.c && "
             "echo 'int f(void) { return 2; }' >to/a.c && touch -d @100 to/a.c && "
             "echo '#define GENERATED 1' >to/config.h && touch -d @200 to/config.h && "
             "echo '#define NEW 1' >to/new.h && touch -d @300 to/new.h",
             directory);
    return system(command);
}

static int teardown(void **state)
{
    revisions_remove(strdup(directory));
    return 0;
}

static bool has(const json_t *changes, const char *name)
{
    const json_t *change;
    size_t i;

    json_array_foreach(changes, i, change)
    {
        const char *found = json_string_value(json_object_get(change, "name"));
        if (found && strcmp(found, name) == 0) {
            return true;
        }
    }
    return false;
}

static void check(const struct timespec *built, bool generated)
{
    json_t *changes = NULL;

    assert_null(changes_between(from, to, built, &changes));
    assert_true(has(changes, "f"));
    assert_true(has(changes, "NEW"));
    assert_int_equal(has(changes, "GENERATED"), generated);
    json_decref(changes);
}

static void test_generated(void **state)
{
    check(NULL, true);
    check(&(struct timespec){ .tv_sec = 200 }, false);
    check(&(struct timespec){ .tv_sec = 199 }, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
