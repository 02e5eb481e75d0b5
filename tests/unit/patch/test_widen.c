/*
 * test_widen COMPILER: what takes part in a patch besides what was edited. Functions are as short as -Os
 * makes them and have no padding behind them.
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
    assert_false(function(&project, "one")->flags & MOLT_FUNCTION_BYPASSED);
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

/* What an earlier patch did with the address stays done, though neither the program nor the sources tell
 * of it. */
static void earlier_code_took_it(void **state)
{
    struct project project;
    const char takes[] = "void one(void);\nint count;\n"
                         "__attribute__((noinline)) static void call(void) { count++; one(); count--; }\n"
                         "void (*pointer)(void);\nint main(void) { call(); pointer = one; return count; }\n";

    start(&project, "-Os", shorts, calls);
    project_write(&project, "v2", "b.c", takes);
    project_patch(&project, "v1", "v2", NULL);
    assert_null(project.error);
    project_save(&project, "first.molt");
    project_write(&project, "v2", "a.c", shorts_new);
    project_write(&project, "v2", "b.c", calls); /* as v3 has it: the sources do not tell of it any more */
    project_patch(&project, "v3", "v2", "first.molt");
    refused(&project, "first.molt takes its address");
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

static const char twin[] =
    "#define NAME2(x) twin_##x\n#define NAME(x) NAME2(x)\n%s"
    "#ifndef TWIN_STATE\n#define TWIN_STATE state\n#endif\nstatic int state = X;\n"
    "__attribute__((noinline)) static int helper(int x) { TWIN_STATE += x; return state += x * %d + X; }\n"
    "int NAME(X)(int x) {\n#if X == 2\n    x += %d;\n#endif\n"
    "    return helper(x) * helper(x + 1);\n}\n";

static void write_twin(struct project *project, const char *tree, const char *more, int both, int second)
{
    char text[1024];

    snprintf(text, sizeof(text), twin, more, both, second);
    project_write(project, tree, "a.c", text);
}

/* A program that a.c is linked into twice. COMMANDS: how many of the two the compile database has. */
static void start_twins(struct project *project, int commands)
{
    char database[2048] = "[";

    project_init(project, compiler, "-O2");
    write_twin(project, "v1", "", 3, 4);
    project_write(project, "v1", "b.c",
                  "int twin_1(int), twin_2(int);\n"
                  "int main(int c, char **v) { return twin_1(c) + twin_2(c); }\nvoid last(void) { }\n");
    project_shell(project,
                  "cd v1/build && for x in 1 2; do %1$s -O2 -g -DX=$x -c ../a.c -o a$x.o || exit 1; done && "
                  "%1$s -O2 -g -c ../b.c -o b.o && %1$s -Wl,--build-id -o program a1.o a2.o b.o",
                  compiler);
    for (int x = 1; x <= commands; x++) {
        snprintf(database + strlen(database), sizeof(database) - strlen(database),
                 "{\"directory\": \"%s/v1/build\", \"file\": \"../a.c\", \"command\": \"%s -O2 -g -DX=%d -c "
                 "../a.c -o a%d.o\"},",
                 project->directory, compiler, x, x);
    }
    snprintf(database + strlen(database), sizeof(database) - strlen(database),
             "{\"directory\": \"%s/v1/build\", \"file\": \"../b.c\", \"command\": \"%s -O2 -g -c ../b.c -o "
             "b.o\"}]",
             project->directory, compiler);
    project_write(project, "v1/build", "compile_commands.json", database);
    project_shell(project, "cp v1/*.? v2/ && cp v1/*.? v3/");
}

/* The address of the WHICHth symbol NAME of the program, in the order of the objects. */
static uint64_t address_of(struct project *project, const char *name, int which)
{
    uint64_t address = 0;
    char path[128];

    project_shell(project,
                  "readelf -sW v1/build/program | awk '$8 == \"%s\" && ++n == %d { print $2 }' >address",
                  name, which);
    snprintf(path, sizeof(path), "%s/address", project->directory);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lx", &address), 1);
    fclose(file);
    return address;
}

static void one_file_linked_twice(void **state)
{
    struct project project;

    start_twins(&project, 2);
    write_twin(&project, "v2", "", 5, 4);
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "helper helper");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(project.file.patch_functions[i].address, address_of(&project, "helper", i + 1));
    }
    bool first = false, second = false;
    for (size_t i = 0; i < project.file.patch_bindings_count; i++) {
        first = first || project.file.patch_bindings[i].value == address_of(&project, "state", 1);
        second = second || project.file.patch_bindings[i].value == address_of(&project, "state", 2);
    }
    assert_true(first && second);
    project_deinit(&project);
}

static void only_one_of_two_changes(void **state)
{
    struct project project;

    start_twins(&project, 2);
    write_twin(&project, "v2", "", 3, 9);
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "twin_2");
    project_deinit(&project);
}

/* What the first patch brings to both is told apart by the next. */
static void new_statics_of_twins(void **state)
{
    const char added[] = "static int added = 1;\n#define TWIN_STATE added\n";
    struct project project;

    start_twins(&project, 2);
    write_twin(&project, "v2", added, 3, 4);
    write_twin(&project, "v3", added, 7, 4);
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_data(&project), "added added");
    assert_int_equal(project.file.patch_definitions_count, 2);
    const char *units[2];
    for (int i = 0; i < 2; i++) {
        units[i] = patch_file_string(&project.file, project.file.patch_definitions[i].unit);
    }
    assert_string_equal(units[0], "a.c");
    assert_string_equal(units[1], "a.c#2");
    project_save(&project, "first.molt");
    project_patch(&project, "v2", "v3", "first.molt");
    assert_null(project.error);
    size_t bound = 0;
    for (size_t i = 0; i < project.file.patch_bindings_count; i++) {
        const struct molt_patch_binding *binding = &project.file.patch_bindings[i];
        if (binding->kind == MOLT_BINDING_EARLIER) {
            const char *unit = patch_file_string(&project.file, binding->value);
            bound += strcmp(unit, "a.c") == 0 ? 1 : strcmp(unit, "a.c#2") == 0 ? 16 : 256;
        }
    }
    assert_int_equal(bound, 17);
    project_deinit(&project);
}

static void twins_of_unknown_commands(void **state)
{
    struct project project;

    start_twins(&project, 1);
    write_twin(&project, "v2", "", 5, 4);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "holds a.c 2 times, and no command of the compile database made 1 of them");
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_come_along),          cmocka_unit_test(padding_makes_it_long_enough),
        cmocka_unit_test(addresses_are_found),         cmocka_unit_test(new_code_may_not_take_it),
        cmocka_unit_test(earlier_code_took_it),        cmocka_unit_test(callers_without_sources),
        cmocka_unit_test(addresses_without_sources),   cmocka_unit_test(exported_ones),
        cmocka_unit_test(inlined_functions_are_named), cmocka_unit_test(one_file_linked_twice),
        cmocka_unit_test(only_one_of_two_changes),     cmocka_unit_test(new_statics_of_twins),
        cmocka_unit_test(twins_of_unknown_commands),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
