/*
 * test_unseen COMPILER FLAGS: edits of which the code that can be updated shows nothing: code without a
 * command or without debug information, and members in what was padding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "project.h"

static const char *compiler = "gcc", *flags = "-O2";
static void refused(struct project *project, const char *words)
{
    assert_non_null(project->error);
    assert_int_equal(project->error->code, MOLT_ERROR_REFUSED);
    if (!strstr(project->error->message, words)) {
        fail_msg("\"%s\" is not in: %s", words, project->error->message);
    }
}

/* A compile database of COUNT commands: the file, and what is said besides the usual flags. */
static void write_database(struct project *project, const char *const (*commands)[2], size_t count)
{
    char database[2048] = "[";

    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(database);
        snprintf(
            database + used, sizeof(database) - used,
            "%s{\"directory\": \"%s/v1/build\", \"file\": \"../%s\", \"command\": \"%s %s %s -c ../%s\"}",
            i ? "," : "", project->directory, commands[i][0], compiler, flags, commands[i][1],
            commands[i][0]);
    }
    strcat(database, "]");
    project_write(project, "v1/build", "compile_commands.json", database);
}

/* A structure that a.c and b.c include, and that grows in v2; in v3 only a.c is another. */
static void start_with_header(struct project *project)
{
    project_init(project, compiler, flags);
    project_write(project, "v1", "h.h", "struct pair { int one, two; };\n");
    project_write(project, "v1", "a.c",
                  "#include \"h.h\"\nint value(int x) { struct pair p = { x, 2 }; return p.one * p.two; }\n");
    project_write(project, "v1", "b.c",
                  "#include \"h.h\"\nint value(int x);\nint take(struct pair *p) { return p->two; }\n"
                  "int main(int c, char **v) { struct pair p = { c, 1 }; return value(c) + take(&p); }\n"
                  "void last(void) { }\n");
    project_build(project);
    project_shell(project, "cp v1/*.? v2/ && cp v1/*.? v3/ && sed -i 's/ two;/ more, two;/' v2/h.h && "
                           "sed -i 's/{ x, 2 }/{ x, 3 }/' v3/a.c");
}

/* What b.c does with the structure would stay as it is. */
static void code_without_a_command_is_refused(void **state)
{
    struct project project;

    start_with_header(&project);
    write_database(&project, (const char *const[][2]){ { "a.c", "-g" } }, 1);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "no C command for b.c");
    refused(&project, "make clean; bear -- make");
    project_patch(&project, "v1", "v3", NULL);
    assert_string_equal(project_functions(&project), "value");
    project_shell(&project, "sed -i 's/return/return 1 +/' v3/b.c");
    project_patch(&project, "v1", "v3", NULL);
    refused(&project, "no C command for it");
    project_deinit(&project);
}

static void code_without_debug_information_is_refused(void **state)
{
    struct project project;

    start_with_header(&project);
    project_shell(&project,
                  "cd v1/build && %s %s -c ../b.c -o b.o && %s %s -Wl,--build-id -o program a.o b.o",
                  compiler, flags, compiler, flags);
    write_database(&project, (const char *const[][2]){ { "a.c", "-g" }, { "b.c", "" } }, 2);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "without debug information");
    project_patch(&project, "v1", "v3", NULL);
    assert_string_equal(project_functions(&project), "value");
    project_shell(&project, "sed -i 's/return/return 1 +/' v3/b.c");
    project_patch(&project, "v1", "v3", NULL);
    refused(&project, "without debug information");
    project_deinit(&project);
}

/* No code shows them; but the next patch, whose code uses the members, begins with sources that have them. */
static void unseen_members_are_an_update(void **state)
{
    const char *a = "#include <stdlib.h>\nstruct item { struct item *next; %s };\nstruct item *list;\n"
                    "int value(int x)\n{\n    struct item *item = calloc(1, sizeof(*item));\n"
                    "    item->next = list;\n    list = item;\n    return x;\n}\n";
    const char *edits[][2] = {
        { "char id; long last;", "char id; int more; long last;" }, /* in padding */
        { "int one, other;", "int other, one;" },
        { "int value;", "float value;" },
        { "struct { int x, y; } at;", "struct { int y, x; } at;" },
        { "enum { RED, BLUE } color;", "enum { BLUE, RED } color;" },
    };

    for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
        struct project project;
        char before[512], after[512];
        snprintf(before, sizeof(before), a, edits[i][0]);
        snprintf(after, sizeof(after), a, edits[i][1]);
        start_with_header(&project);
        project_write(&project, "v1", "a.c", before);
        project_build(&project);
        project_shell(&project, "cp v1/a.c v2 && cp v1/h.h v2");
        project_write(&project, "v2", "a.c", after);
        project_patch(&project, "v1", "v2", NULL);
        assert_string_equal(project_functions(&project), "");
        if (project.result.empty) {
            fail_msg("nothing to update, although %s is %s now", edits[i][0], edits[i][1]);
        }
        project_deinit(&project);
    }
}

/* Of a file whose whole content is left out by an #if the program names the source alone. */
static void empty_file_is_no_hidden_code(void **state)
{
    struct project project;

    start_with_header(&project);
    project_write(&project, "v1", "c.c", "#include \"h.h\"\n");
    project_shell(
        &project,
        "cd v1/build && %s %s -g -c ../c.c -o c.o && %s %s -Wl,--build-id -o program a.o b.o c.o && "
        "readelf -s program | grep -q 'FILE.* c\\.c'",
        compiler, flags, compiler, flags);
    write_database(&project, (const char *const[][2]){ { "a.c", "-g" }, { "b.c", "-g" }, { "c.c", "-g" } },
                   3);
    project_patch(&project, "v1", "v2", NULL);
    assert_null(project.error);
    assert_int_equal(project.result.diagnostics.count, 0);
    project_deinit(&project);
}

/* A test that is not built, say. */
static void unlinked_source_is_told(void **state)
{
    struct project project;

    start_with_header(&project);
    project_write(&project, "v1", "c.c", "int apart;\n");
    project_write(&project, "v3", "c.c", "int apart = 1;\n");
    write_database(&project, (const char *const[][2]){ { "a.c", "-g" }, { "b.c", "-g" }, { "c.c", "-g" } },
                   3);
    project_patch(&project, "v1", "v3", NULL);
    assert_string_equal(project_functions(&project), "value");
    assert_int_equal(project.result.diagnostics.count, 1);
    assert_non_null(strstr(project.result.diagnostics.items[0].file, "c.c"));
    assert_non_null(strstr(project.result.diagnostics.items[0].message, "in none of the programs"));
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_without_a_command_is_refused),
        cmocka_unit_test(code_without_debug_information_is_refused),
        cmocka_unit_test(unseen_members_are_an_update),
        cmocka_unit_test(empty_file_is_no_hidden_code),
        cmocka_unit_test(unlinked_source_is_told),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    flags = count > 2 ? arguments[2] : flags;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
