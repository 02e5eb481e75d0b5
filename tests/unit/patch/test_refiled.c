/*
 * test_refiled COMPILER: definitions that go from one file to another. What becomes of them is played by
 * fixtures/other-file; here is what is refused, and told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/memory.h"
#include "project.h"

static const char *compiler = "gcc";

#define MAIN "int value(int x);\nint main(int c, char **v) { return value(c); }\n"

/* What a.c and b.c define; b.c has main, too. */
static void change(struct project *project, const char *flags, const char *old_a, const char *old_b,
                   const char *new_a, const char *new_b)
{
    const char *const texts[2][2] = { { old_a, old_b }, { new_a, new_b } };

    project_init(project, compiler, flags);
    for (unsigned i = 0; i < 2; i++) {
        char *b = must_printf(MAIN "%s\n", texts[i][1]);
        project_write(project, i ? "v2" : "v1", "a.c", texts[i][0]);
        project_write(project, i ? "v2" : "v1", "b.c", b);
        free(b);
    }
    project_build(project);
    project_patch(project, "v1", "v2", NULL);
}

static void refused(struct project *project, const char *words)
{
    assert_non_null(project->error);
    assert_int_equal(project->error->code, MOLT_ERROR_REFUSED);
    if (!strstr(project->error->message, words)) {
        fail_msg("\"%s\" is not in: %s", words, project->error->message);
    }
    project_deinit(project);
}

#define USES "int value(int x) { return x + sum; }\n"

static void variables_of_another_type_are_refused(void **state)
{
    struct project project;

    change(&project, "-O2", "int sum;\n" USES, "", "extern long sum;\n" USES, "long sum;");
    refused(&project, "sum came from a.c, and is not what it was there");
    change(&project, "-O2", "int sum;\n" USES, "", "extern float sum;\n" USES, "float sum;");
    refused(&project, "sum came from a.c, and its type is not what it was there");
    change(&project, "-O2", "struct s { int a, b; } s; int value(int x) { return s.a + x; }\n", "",
           "extern struct s { int b, a; } s; int value(int x) { return s.a + x; }\n",
           "struct s { int b, a; } s;");
    refused(&project, "s came from a.c, and its type is not what it was there");
    change(&project, "-O2", "int sum = 1;\n" USES, "", "extern int sum;\n" USES, "int sum = 2;");
    refused(&project, "sum came from a.c, and is not what it was there");
}

static void constants_of_another_value_are_refused(void **state)
{
    const char *user = "extern const int list[2];\nint value(int x) { return list[x & 1]; }\n";
    struct project project;
    char *before = must_printf("%sconst int list[2] = { 1, 2 };\n", user);

    change(&project, "-O2", before, "", user, "extern const int list[2]; const int list[2] = { 1, 3 };");
    refused(&project, "list came from a.c, and is not what it was there");
    change(&project, "-O2", before, "", user, "extern const int list[2]; const int list[2] = { 1, 2 };");
    assert_null(project.error);
    project_deinit(&project);
    free(before);
}

static void functions_too_short_for_a_jump_are_refused(void **state)
{
    const char *value = "void nothing(void);\nint value(int x) { nothing(); return x; }\n";
    struct project project;
    char *before = must_printf("%svoid nothing(void) { }\nint last(void) { return 1; }\n", value);
    char *after = must_printf("%sint last(void) { return 1; }\n", value);

    change(&project, "-Os -fno-inline", before, "", after, "int many; void nothing(void) { many++; }");
    refused(&project, "nothing came from a.c, and is too short");
    free(before);
    free(after);
}

static void static_variables_begin_anew(void **state)
{
    const char *counts = "static int sum;\nint value(int x) { return sum += x; }\n",
               *counts_itself = "int value(int x) { static int sum; return sum += x; }\n";
    struct project project;

    change(&project, "-O2", counts, "", "extern int sum;\nint value(int x) { return sum += x; }\n",
           "int sum;");
    assert_null(project.error);
    assert_int_equal(project.result.diagnostics.count, 1);
    assert_non_null(strstr(project.result.diagnostics.items[0].message, "variable sum was static"));
    project_deinit(&project);
    for (unsigned i = 0; i < 2; i++) {
        const char *text = i ? counts_itself : counts;
        change(&project, "-O2", text, "", "int idle;\n", text);
        assert_null(project.error);
        assert_int_equal(project.result.diagnostics.count, 1);
        assert_non_null(strstr(project.result.diagnostics.items[0].message,
                               "variable sum was static and went from a.c to b.c, where it begins anew"));
        project_deinit(&project);
    }
}

/* What the recorder saw, which the names alone do not tell. */
static void renamed_variables_begin_anew(void **state)
{
    struct project project;

    project_init(&project, compiler, "-O2");
    project_write(&project, "v1", "a.c", "static int sum;\nint value(int x) { return sum += x; }\n");
    project_write(&project, "v2", "a.c", "static int total;\nint value(int x) { return total += x; }\n");
    project_write(&project, "v1", "b.c", MAIN);
    project_write(&project, "v2", "b.c", MAIN);
    project_build(&project);
    project.changes = "[{\"kind\": \"variable\", \"action\": \"renamed\", \"name\": \"total\", "
                      "\"old_name\": \"sum\", \"file\": \"a.c\", \"line\": 1}]";
    project_patch(&project, "v1", "v2", NULL);
    assert_null(project.error);
    assert_int_equal(project.result.diagnostics.count, 1);
    assert_int_equal(project.result.diagnostics.items[0].line, 1);
    assert_non_null(strstr(project.result.diagnostics.items[0].message, "total was sum, and begins anew"));
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_of_another_type_are_refused),
        cmocka_unit_test(constants_of_another_value_are_refused),
        cmocka_unit_test(functions_too_short_for_a_jump_are_refused),
        cmocka_unit_test(static_variables_begin_anew),
        cmocka_unit_test(renamed_variables_begin_anew),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
