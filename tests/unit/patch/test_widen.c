/*
 * test_widen COMPILER: what takes part in a patch besides what was edited. Functions are as short as -Os makes them and have no
 * padding behind them.
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

static const char *compiler = "gcc";
static const char shorts[] = "void one(void) { }\nvoid two(void) { }\nint last = 1;\n";
static const char shorts_new[] =
    "extern int last;\nvoid one(void) { last++; }\nvoid two(void) { }\nint last = 1;\n";
static const char calls[] = "void one(void);\n"
                            "int count;\n"
                            "__attribute__((noinline)) static void call(void) { count++; one(); count--; }\n"
                            "int main(void) { call(); return count; }\n";

static void start(struct project *project, const char *flags, const char *a, const char *b)
{
    project_init(project, compiler, flags);
    project_write(project, "v1", "a.c", a);
    project_write(project, "v1", "b.c", b);
    project_build(project);
    project_shell(project, "cp v1/*.? v2/ && cp v1/*.? v3/");
}

static void refused(struct project *project, const char *words)
{
    assert_non_null(project->error);
    assert_int_equal(project->error->code, MOLT_ERROR_REFUSED);
    if (!strstr(project->error->message, words)) {
        fail_msg("\"%s\" is not in: %s", words, project->error->message);
    }
}

static const struct molt_patch_function *function(const struct project *project, const char *name)
{
    for (size_t i = 0; i < project->file.patch_functions_count; i++) {
        const struct molt_patch_function *function = &project->file.patch_functions[i];
        if (strcmp(patch_file_string(&project->file, function->name), name) == 0) {
            return function;
        }
    }
    return NULL;
}

static const char *reason(const struct project *project, const char *name)
{
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(project->result.manifest, "functions"), index, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0) {
            return json_string_value(json_object_get(entry, "reason"));
        }
    }
    return "";
}

static void callers_come_along(void **state)
{
    struct project project;

    start(&project, "-Os", shorts, calls);
    project_write(&project, "v2", "a.c", shorts_new);
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "call one");
    assert_true(function(&project, "one")->room < MOLT_JUMP_ROOM);
    assert_true(function(&project, "one")->flags & MOLT_FUNCTION_BYPASSED);
    assert_false(function(&project, "call")->flags & MOLT_FUNCTION_BYPASSED);
    assert_string_equal(reason(&project, "call"), "calls one, too short for a jump");
    project_deinit(&project);
}

static void padding_makes_it_long_enough(void **state)
{
    struct project project;

    start(&project, "-O2", shorts, calls);
    project_write(&project, "v2", "a.c", shorts_new);
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "one");
    assert_int_equal(function(&project, "one")->flags, 0);
    project_deinit(&project);
}

/* A program of `one` and B, which takes its address at LINE. */
static void assert_taken(const char *b, unsigned line)
{
    struct project project;

    start(&project, "-Os", shorts, b);
    project_write(&project, "v2", "a.c", shorts_new);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project,
            "one (a.c:1) is too short for the jump to its new version, and its address is taken here");
    assert_non_null(strstr(project.error->file, "/v1/b.c"));
    assert_int_equal(project.error->line, line);
    project_deinit(&project);
}

static void addresses_are_found(void **state)
{
    assert_taken("void one(void);\nint a;\n\nvoid (*pointer)(void) = one;\nint main(void) { pointer(); }\n",
                 4);
    assert_taken("void one(void);\nvoid (*pointer)(void);\nint main(void)\n{\n    pointer = one;\n}\n", 5);
    assert_taken(
        "void one(void);\nint atexit(void (*f)(void));\nint main(void)\n{\n    return atexit(one);\n}\n", 5);
}

static void new_code_may_not_take_it(void **state)
{
    struct project project;
    const char takes[] = "void one(void);\nint count;\n"
                         "__attribute__((noinline)) static void call(void) { count++; one(); count--; }\n"
                         "void (*pointer)(void);\nint main(void) { call(); pointer = one; return count; }\n";

    start(&project, "-Os", shorts, calls);
    project_write(&project, "v2", "a.c", shorts_new);
    project_patch(&project, "v1", "v2", NULL);
    project_save(&project, "first.molt");
    project_shell(&project, "cp v2/a.c v3/");
    project_write(&project, "v3", "b.c", takes);
    project_patch(&project, "v2", "v3", "first.molt");
    refused(&project, "its address is taken here, in main");
    project_write(&project, "v2", "b.c", takes);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "its address is taken here, in main");
    project_deinit(&project);
}

/* Links something that the compile database does not know of. */
static void link_with(struct project *project, const char *source, const char *flags)
{
    project_write(project, "v1", "other.s", source);
    project_shell(project,
                  "cd v1/build && %s -Os -g %s -c ../other.s -o other.o && "
                  "%s -Os %s -Wl,--build-id -o program a.o b.o other.o",
                  compiler, flags, compiler, flags);
}

static void callers_without_sources(void **state)
{
    struct project project;

    start(&project, "-Os", shorts, calls);
    link_with(&project,
              ".globl foreign\n.type foreign, @function\nforeign:\n nop\n call one\n ret\n"
              ".size foreign, .-foreign\n.section .note.GNU-stack\n",
              "");
    project_write(&project, "v2", "a.c", shorts_new);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "foreign calls it in");
    project_deinit(&project);
}

static void addresses_without_sources(void **state)
{
    static const char *const flags[] = { "-fPIE -pie", "-fno-pie -no-pie" };

    for (int i = 0; i < 2; i++) {
        struct project project;
        start(&project, i ? "-Os -fno-pie -no-pie" : "-Os -fPIE -pie", shorts, calls);
        link_with(&project,
                  ".data\n.globl foreign\n.type foreign, @object\nforeign:\n .quad one\n"
                  ".size foreign, .-foreign\n.section .note.GNU-stack\n",
                  flags[i]);
        project_write(&project, "v2", "a.c", shorts_new);
        project_patch(&project, "v1", "v2", NULL);
        refused(&project, "foreign has its address in");
        project_deinit(&project);
    }
}

static void exported_ones(void **state)
{
    struct project project;

    start(&project, "-Os -rdynamic", shorts, calls);
    project_write(&project, "v2", "a.c", shorts_new);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "program exports it");
    project_deinit(&project);
}

/* Reasons name the inlined function that changed, not others, and where it is. */
static void inlined_functions_are_named(void **state)
{
    static const char header[] = "extern int seen[9];\n"
                                 "static inline __attribute__((always_inline)) int deep(int x)\n{\n"
                                 "    seen[x] = %d;\n    return x;\n}\n"
                                 "static inline __attribute__((always_inline)) int kept(int x)\n{\n"
                                 "    seen[x + 1] = 5;\n    return deep(x) + 1;\n}\n";
    static const char source[] = "#include \"util.h\"\nint seen[9];\n"
                                 "int by_two(int x)\n{\n    if (x > 2) {\n        int y = kept(x + %d);\n"
                                 "        return y * 2;\n    }\n    return 0;\n}\n"
                                 "int alone(int x)\n{\n    seen[x] = %d;\n    return x * x;\n}\n";
    const char user[] = "int by_two(int x);\nint alone(int x);\n"
                        "int main(int c, char **v) { return by_two(c) + alone(c); }\n";
    struct project project;
    char text[1024];

    project_init(&project, compiler, "-O1 -falign-functions=16");
    for (int version = 1; version <= 3; version++) {
        char tree[] = { 'v', (char)('0' + version), '\0' };
        snprintf(text, sizeof(text), header, version > 1 ? 8 : 7);
        project_write(&project, tree, "util.h", text);
        snprintf(text, sizeof(text), source, version > 2 ? 3 : 1, version > 2 ? 3 : 1);
        project_write(&project, tree, "a.c", text);
        project_write(&project, tree, "b.c", user);
    }
    project_build(&project);
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "by_two");
    assert_string_equal(reason(&project, "by_two"), "inlines deep (util.h:2)");
    project_patch(&project, "v1", "v3", NULL);
    assert_string_equal(reason(&project, "by_two"), "changed; inlines deep (util.h:2)");
    assert_string_equal(reason(&project, "alone"), "changed");
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_come_along),      cmocka_unit_test(padding_makes_it_long_enough),
        cmocka_unit_test(addresses_are_found),     cmocka_unit_test(new_code_may_not_take_it),
        cmocka_unit_test(callers_without_sources), cmocka_unit_test(addresses_without_sources),
        cmocka_unit_test(exported_ones),           cmocka_unit_test(inlined_functions_are_named),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
