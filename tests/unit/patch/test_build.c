/* test_build COMPILER FLAGS: patches between versions of small programs hold what changed and nothing
 * else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/session_private.h"
#include "project.h"

static const char *compiler = "gcc", *flags = "-O2";
/* What follows main keeps the last function of a.c from being the last of all, where no padding makes room
 * for a jump. */
static const char main_b[] = "int value(int x);\nint main(int c, char **v) { return value(c); }\n"
                             "void last(void) { }\n";

static bool optimised(void)
{
    return !strstr(flags, "-O0");
}

static void start(struct project *project, const char *a, const char *b)
{
    project_init(project, compiler, flags);
    project_write(project, "v1", "a.c", a);
    project_write(project, "v1", "b.c", b);
    project_build(project);
    project_shell(project, "cp v1/*.? v2/ && cp v1/*.? v3/");
}

/* A program of A and a main, changed to NEW. */
static void change(struct project *project, const char *a, const char *new)
{
    start(project, a, main_b);
    project_write(project, "v2", "a.c", new);
    project_patch(project, "v1", "v2", NULL);
}

static void nothing_changes(void **state)
{
    struct project project;

    start(&project, "int value(int x) { return x + 1; }\n", main_b);
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "");
    assert_true(project.result.empty);
    assert_int_equal(project.result.units, 0);
    project_deinit(&project);
}

static void comments_and_moved_lines(void **state)
{
    struct project project;

    change(&project, "#include <assert.h>\nint value(int x)\n{\n    assert(x > 0);\n    return x + 1;\n}\n",
           "#include <assert.h>\n\n\n/* says something */\nint value(int x)\n{\n    assert(x > 0);\n    "
           "return x + 1; /* here "
           "too */\n}\n");
    assert_string_equal(project_functions(&project), "");
    assert_true(project.result.empty);
    project_deinit(&project);
}

static void one_body(void **state)
{
    struct project project;

    change(&project, "int other(int x) { return x * 3; }\nint value(int x) { return x + 1; }\n",
           "int other(int x) { return x * 3; }\nint value(int x) { return x + 2; }\n");
    assert_string_equal(project_functions(&project), "value");
    assert_int_equal(project.file.patch_functions_count, 1);
    assert_true(project.file.patch_functions[0].address != 0);
    assert_true(project.file.patch_functions[0].room >= project.file.patch_functions[0].size);
    assert_int_equal(project.file.patch_functions[0].line, 2);
    project_deinit(&project);
}

static void inlined_callee(void **state)
{
    struct project project;

    change(&project,
           "static inline int add(int x) { return x + 1; }\nint value(int x) { return add(x); }\nint "
           "idle(void) { return "
           "7; }\n",
           "static inline int add(int x) { return x + 2; }\nint value(int x) { return add(x); }\nint "
           "idle(void) { return 7; }\n");
    assert_string_equal(project_functions(&project), optimised() ? "value" : "add");
    project_deinit(&project);
}

static void string_literal(void **state)
{
    struct project project;
    const char *before = "int puts(const char *);\nint one(void) { return puts(\"one\"); }\nint value(int x) "
                         "{ return puts(\"two\"); }\n";
    const char *after = "int puts(const char *);\nint one(void) { return puts(\"one\"); }\nint value(int x) "
                        "{ return puts(\"zwei\"); }\n";

    change(&project, before, after);
    assert_string_equal(project_functions(&project), "value");
    project_deinit(&project);
}

static void switch_table(void **state)
{
    struct project project;
    const char *form = "int puts(const char *);\nint getpid(void);\nint value(int x)\n{\n    switch (x) {\n"
                       "    case 0: return getpid();\n    case 1: puts(\"a\"); return 4;\n    case %d: "
                       "puts(\"b\"); return getpid() * 2;\n"
                       "    case %d: puts(\"c\"); return getpid() * 3;\n    case 4: puts(\"d\"); return 1;\n "
                       "   case 5: puts(\"e\"); return 2;\n"
                       "    case 6: return getpid() + 9;\n    }\n    return 0;\n}\n";
    char before[1024], after[1024];

    snprintf(before, sizeof(before), form, 2, 3);
    snprintf(after, sizeof(after), form, 3, 2);
    change(&project, before, after);
    assert_string_equal(project_functions(&project), "value");
    project_deinit(&project);
}

static void statics_of_one_name(void **state)
{
    struct project project;

    start(&project,
          "static __attribute__((noinline)) int helper(int x) { return x + 1; }\nint value(int x) { return "
          "helper(x); }\n",
          "int value(int x);\nstatic __attribute__((noinline)) int helper(int x) { return x * 5; }\n"
          "int main(int c, char **v) { return helper(c) + value(c); }\nvoid last(void) { }\n");
    project_write(&project, "v2", "b.c",
                  "int value(int x);\nstatic __attribute__((noinline)) int helper(int x) { return x * 6; }\n"
                  "int main(int c, char **v) { return helper(c) + value(c); }\nvoid last(void) { }\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "helper");
    assert_string_equal(patch_file_string(&project.file, project.file.patch_functions[0].unit), "b.c");
    project_deinit(&project);
}

static void static_local_keeps_its_place(void **state)
{
    struct project project;

    change(&project, "int value(int x) { static int count = 3; return count += x; }\n",
           "int early(int x) { static int count = 9; return count *= x; }\n"
           "int value(int x) { static int count = 3; return count += 2 * x; }\n");
    assert_string_equal(project_functions(&project), "early value");
    assert_int_equal(json_array_size(json_object_get(project.result.manifest, "data")), 1);
    size_t addresses = 0;
    for (size_t i = 0; i < project.file.patch_bindings_count; i++) {
        const struct molt_patch_binding *binding = &project.file.patch_bindings[i];
        addresses += binding->kind == MOLT_BINDING_ADDRESS &&
                     strstr(patch_file_symbol_name(&project.file, binding->symbol), "count") != NULL;
    }
    assert_int_equal(addresses, 1);
    project_deinit(&project);
}

static void header_reaches_all(void **state)
{
    struct project project;

    project_init(&project, compiler, flags);
    project_write(&project, "v1", "h.h", "#define STEP 3\nint value(int x);\n");
    project_write(&project, "v1", "a.c", "#include \"h.h\"\nint value(int x) { return x + STEP; }\n");
    project_write(&project, "v1", "b.c",
                  "#include \"h.h\"\nint main(int c, char **v) { return value(c) * STEP; }\n");
    project_build(&project);
    project_shell(&project, "cp v1/*.? v2/");
    project_write(&project, "v2", "h.h", "#define STEP 4\nint value(int x);\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "main value");
    assert_int_equal(project.result.units, 2);
    project_deinit(&project);
}

/* The program tells of another time than what is compiled for the patch. */
static void time_of_compilation(void **state)
{
    struct project project;

    start(&project,
          "int puts(const char *);\nint built(void) { return puts(\"of \" __DATE__ \" \" __TIME__ \".\"); }\n"
          "const char when[] = __TIMESTAMP__;\nint value(int x) { return x + 1; }\n",
          "int value(int x);\nint built(void);\nint main(int c, char **v) { return value(c) + built(); }\n"
          "void last(void) { }\n");
    project_shell(&project, "mkdir -p v1/.molt/cache && echo 1000000000 >v1/.molt/cache/compiled-at");
    project_write(
        &project, "v2", "a.c",
        "int puts(const char *);\nint built(void) { return puts(\"of \" __DATE__ \" \" __TIME__ \".\"); }\n"
        "const char when[] = __TIMESTAMP__;\nint value(int x) { return x + 2; }\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_null(project.error);
    assert_string_equal(project_functions(&project), "value");
    assert_string_equal(project_data(&project), "");
    project_deinit(&project);
}

static void constant_table(void **state)
{
    struct project project;

    change(&project, "const int table[4] = { 1, 2, 3, 4 };\nint value(int x) { return table[x & 3]; }\n",
           "const int table[4] = { 1, 2, 3, 5 };\nint value(int x) { return table[x & 3]; }\n");
    assert_string_equal(project_data(&project), "table");
    assert_int_equal(project.file.patch_data_count, 1);
    assert_int_equal(project.file.patch_data[0].size, 16);
    project_deinit(&project);
}

static void constant_that_grows(void **state)
{
    struct project project;

    start(&project, "const int table[2] = { 1, 2 };\nint value(int x) { return x; }\n",
          "extern const int table[];\nint value(int x);\nint idle(void) { return 1; }\n"
          "int main(int c, char **v) { return value(c) + table[c & 1]; }\n");
    project_write(&project, "v2", "a.c",
                  "const int table[3] = { 1, 2, 3 };\nint value(int x) { return x; }\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "main");
    assert_string_equal(project_data(&project), "table");
    assert_int_equal(project.file.patch_data_count, 0);
    project_deinit(&project);
}

static void labels_follow_their_function(void **state)
{
    struct project project;
    const char *form = "int value(int x)\n{\n    static const void *const to[] = { &&zero, &&one };\n    int "
                       "r = 0;\n    goto *to[x & 1];\n"
                       "zero:\n    r += %d;\none:\n    r += 2;\n    return r;\n}\n";
    char before[512], after[512];

    snprintf(before, sizeof(before), form, 1);
    snprintf(after, sizeof(after), form, 5);
    change(&project, before, after);
    assert_string_equal(project_functions(&project), "value");
    assert_int_equal(project.file.patch_data_count, 0); /* the old table stays for the old code */
    project_deinit(&project);
}

static void removed_and_added(void **state)
{
    struct project project;

    change(&project, "int old(int x) { return x; }\nint value(int x) { return x + 1; }\n",
           "int fresh(int x) { return x; }\nint value(int x) { return x + 1; }\n");
    assert_string_equal(project_functions(&project), "fresh old");
    assert_int_equal(project.file.patch_definitions_count, 1);
    assert_int_equal(project.file.patch_functions_count, 1);
    assert_true(project.file.patch_functions[0].flags & MOLT_FUNCTION_REMOVED);
    project_deinit(&project);
}

static void refused(struct project *project, const char *part)
{
    assert_non_null(project->error);
    assert_int_equal(project->error->code, MOLT_ERROR_REFUSED);
    if (!strstr(project->error->message, part)) {
        fail_msg("\"%s\" does not say \"%s\"", project->error->message, part);
    }
}

static void other_source_is_refused(void **state)
{
    struct project project;

    start(&project, "int value(int x) { return x * 7; }\n", main_b);
    project_write(&project, "v2", "a.c", "int value(int x) { return x * 9; }\n");
    project_write(&project, "v3", "a.c", "int value(int x) { return x * 11; }\n");
    project_patch(&project, "v2", "v3", NULL);
    refused(&project, "was not built from this source");
    refused(&project, "function value of a.c");
    refused(&project, "build it and start it again");
    project.from_is_named = true;
    project_patch(&project, "v2", "v3", NULL);
    refused(&project, "name it with --after");
    project_deinit(&project);
}

/* From the sources before the first patch, a second one would leave value() as the first made it. */
static void sources_before_the_earlier_patch_are_refused(void **state)
{
    struct project project;

    change(&project, "int value(int x) { return x * 7; }\n", "int value(int x) { return x * 9; }\n");
    project_save(&project, "one.molt");
    project_write(
        &project, "v3", "b.c",
        "int value(int x);\nint main(int c, char **v) { return value(c) + 1; }\nvoid last(void) { }\n");
    project.from_is_named = true;
    project_patch(&project, "v1", "v3", "one.molt");
    refused(&project, "a.c is as it was before");
    project_patch(&project, "v2", "v3", "one.molt");
    assert_string_equal(project_functions(&project), "main value");
    project_write(&project, "v2", "a.c", "/* said later */ int value(int x) { return x * 9; }\n");
    project_patch(&project, "v2", "v3", "one.molt");
    assert_null(project.error);
    assert_int_equal(project.result.diagnostics.count, 1);
    assert_string_equal(project.result.diagnostics.items[0].code, "other-source");
    project_deinit(&project);
}

/* Warms the project's session, its program being said to be made from TREE. */
static struct molt_error *warm(struct project *project, const char *tree)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", project->directory, tree);
    return patch_session_warm(project->session, &(struct patch_request){ .from = path });
}

static void warming_checks_the_program(void **state)
{
    struct project project;
    char build[128];
    struct patch_options options = { .build = build };

    start(&project, "int value(int x) { return x * 7; }\n", main_b);
    project_write(&project, "v2", "a.c", "int value(int x) { return x * 9; }\n");
    snprintf(build, sizeof(build), "%s/v1/build", project.directory);
    assert_null(patch_session_create(&options, &project.session));
    project.error = warm(&project, "v2");
    refused(&project, "was not built from this source");
    refused(&project, "function value of a.c");
    molt_error_destroy(project.error);
    project.error = warm(&project, "v1");
    assert_null(project.error);
    size_t checked = project.session->checked_keys.count;
    assert_int_equal(checked, 2); /* a.c and b.c */
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "value");
    assert_int_equal(project.session->checked_keys.count, checked);
    project_deinit(&project);
}

/* What a project's compiler, a script, wrote into its log. */
static void assert_logged(struct project *project, const char *expected)
{
    project_shell(project, "test \"$(cat log)\" = '%s' || { cat log; exit 1; }", expected);
}

static void warming_begins_with_open_files(void **state)
{
    struct project project;
    char wrapper[128] = "", build[128], source[128], header[128], tree[128];
    struct patch_options options = { .build = build, .jobs = 1 };
    const char *first[] = { source };
    struct patch_request request = { .from = tree, .first = first, .first_count = 1 };

    project_init(&project, wrapper, flags);
    snprintf(wrapper, sizeof(wrapper), "%s/cc", project.directory);
    snprintf(build, sizeof(build), "%s/v1/build", project.directory);
    snprintf(tree, sizeof(tree), "%s/v1", project.directory);
    snprintf(source, sizeof(source), "%s/v1/b.c", project.directory);
    snprintf(header, sizeof(header), "%s/v1/b.h", project.directory);
    project_shell(
        &project,
        "printf '#!/bin/sh\\ncase \"$*\" in *a.c*) echo a;; *b.c*) echo b;; esac >>%s/log\\nexec %s "
        "\"$@\"\\n' >cc && chmod +x cc",
        project.directory, compiler);
    project_write(&project, "v1", "a.c", "int value(int x) { return x; }\n");
    project_write(&project, "v1", "b.c", "#include \"b.h\"\n");
    project_write(&project, "v1", "b.h", main_b);
    project_build(&project);
    project_shell(&project, ": >log");
    assert_null(patch_session_create(&options, &project.session));
    assert_null(patch_session_warm(project.session, &request));
    assert_logged(&project, "b\na");
    /* the same for a header, once it is known who includes it; the objects are lost */
    project_shell(&project, ": >log; find v1/.molt/cache -name '*.o' -delete");
    strcpy(source, header);
    assert_null(patch_session_warm(project.session, &request));
    assert_logged(&project, "b\na");
    project_deinit(&project);
}

static void stripped_program(void **state)
{
    struct project project;

    start(&project, "int value(int x) { return x + 1; }\n", main_b);
    project_write(&project, "v2", "a.c", "int value(int x) { return x + 2; }\n");
    project_shell(&project, "cd v1/build && objcopy --only-keep-debug program kept && strip program");
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "stripped");
    project_shell(&project, "cd v1/build && mv kept program.debug");
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "value");
    project_deinit(&project);
}

static void compile_error(void **state)
{
    struct project project;

    change(&project, "int value(int x)\n{\n    return x;\n}\n",
           "int value(int x)\n{\n\t/* \xc3\xa4 \xe4\xb8\x80 \xf0\x9f\x98\x80 */\treturn y;\n}\n");
    refused(&project, "does not compile");
    assert_int_equal(project.error->line, 3);
    assert_non_null(strstr(project.error->file, "/v1/a.c"));          /* named as in the root */
    assert_int_equal(project.result.diagnostics.items[0].column, 27); /* in bytes */
    project_deinit(&project);
}

/* Messages are understood in English only, whatever the user's language is. */
static void compiler_speaks_english(void **state)
{
    struct project project;
    char wrapper[128] = "";

    project_init(&project, wrapper, flags);
    snprintf(wrapper, sizeof(wrapper), "%s/cc", project.directory);
    project_shell(
        &project,
        "printf '#!/bin/sh\\necho \"$LC_ALL,$LC_MESSAGES,$LC_CTYPE,$LANGUAGE,$LANG\" >%s/log\\nexec %s "
        "\"$@\"\\n' >cc && chmod +x cc",
        project.directory, compiler);
    project_write(&project, "v1", "a.c", "int value(int x) { return x; }\n");
    project_write(&project, "v1", "b.c", main_b);
    project_build(&project);
    project_shell(&project, "cp v1/*.c v2/");
    project_write(&project, "v2", "a.c", "int value(int x) { return x + 1; }\n");
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    setenv("LANGUAGE", "de:fr", 1);
    setenv("LANG", "fr_FR.UTF-8", 1);
    project_patch(&project, "v1", "v2", NULL);
    unsetenv("LC_ALL");
    unsetenv("LANGUAGE");
    unsetenv("LANG");
    assert_null(project.error);
    assert_logged(&project, ",C,de_DE.UTF-8,,fr_FR.UTF-8");
    project_deinit(&project);
}

static void new_file(void **state)
{
    struct project project;

    start(&project, "int value(int x) { return x; }\n", main_b);
    project_write(&project, "v2", "a.c", "int fresh(int);\nint value(int x) { return fresh(x); }\n");
    project_write(&project, "v2", "c.c",
                  "static int factor = 3;\nint fresh(int x) { return x * factor++; }\n");
    project_write(&project, "v2", "unrelated.c", "int unrelated(void) { return 1; }\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "fresh value");
    project_deinit(&project);
}

/* A new file in a new directory, which only the new sources' own build knows, with flags of its own. */
static void new_file_of_another_build(void **state)
{
    static const char *const files[] = { "a", "b", "extra/c" };
    struct project project;

    start(&project, "int value(int x) { return x; }\n", main_b);
    project_write(&project, "v2", "a.c", "int fresh(int);\nint value(int x) { return fresh(x); }\n");
    project_shell(&project, "mkdir -p v2/extra other");
    project_write(&project, "v2", "extra/c.c", "int fresh(int x) { return x * FACTOR; }\n");
    char database[4096] = "";
    for (size_t i = 0; i < 3; i++) {
        snprintf(database + strlen(database), sizeof(database) - strlen(database),
                 "%s{\"directory\":\"%s/v2\",\"file\":\"%s.c\",\"command\":\"%s %s -g -DFACTOR=3 -c %s.c\"}",
                 i ? "," : "[", project.directory, files[i], project.compiler, project.flags, files[i]);
    }
    strcat(database, "]");
    project_write(&project, "other", "compile_commands.json", database);
    project.other_build = "other";
    project_patch(&project, "v1", "v2", NULL);
    assert_null(project.error);
    assert_string_equal(project_functions(&project), "fresh value");
    project_deinit(&project);
}

static void patch_after_patch(void **state)
{
    struct project project;
    const struct molt_patch_function *fresh = NULL;

    start(&project, "int value(int x) { return x; }\n", main_b);
    project_write(&project, "v2", "a.c",
                  "int puts(const char *);\nint total;\nint fresh(int x) { puts(\"two\"); return total += x; "
                  "}\nint value(int x) { return fresh(x) + 1; }\n");
    project_write(&project, "v3", "a.c",
                  "int puts(const char *);\nint total;\nint fresh(int x) { puts(\"three\"); return total += "
                  "x; }\nint value(int x) { return fresh(x) + 1; }\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_null(project.error);
    project_save(&project, "first.molt");
    project_patch(&project, "v2", "v3", "first.molt");
    assert_non_null(strstr(project_functions(&project), "fresh"));
    for (size_t i = 0; i < project.file.patch_functions_count; i++) {
        if (project.file.patch_functions[i].flags & MOLT_FUNCTION_EARLIER) {
            fresh = &project.file.patch_functions[i];
        }
    }
    assert_non_null(fresh);
    assert_string_equal(patch_file_string(&project.file, fresh->name), "fresh");
    size_t bound = 0;
    for (size_t i = 0; i < project.file.patch_bindings_count; i++) {
        const struct molt_patch_binding *binding = &project.file.patch_bindings[i];
        bound += binding->kind == MOLT_BINDING_EARLIER &&
                 strcmp(patch_file_symbol_name(&project.file, binding->symbol), "total") == 0;
    }
    assert_int_equal(bound, 1);
    assert_int_equal(json_array_size(json_object_get(project.result.manifest, "after")), 1);
    project_deinit(&project);
}

/* A shared library's data that the program did not use before is out of a 32-bit displacement's reach. */
static void data_of_libraries(void **state)
{
    struct project project;

    change(&project, "#include <stdio.h>\nint value(int x) { return x; }\n",
           "#include <stdio.h>\nint value(int x) { fputs(\"x\", stderr); return x; }\n");
    assert_string_equal(project_functions(&project), "value");
    for (size_t i = 1; i < project.file.section_count; i++) {
        const Elf64_Shdr *table = &project.file.sections[i];
        const Elf64_Rela *entries = (const Elf64_Rela *)(project.file.bytes + table->sh_offset);
        for (size_t k = 0; table->sh_type == SHT_RELA && k < table->sh_size / sizeof(*entries); k++) {
            const char *name = patch_file_symbol_name(&project.file, ELF64_R_SYM(entries[k].r_info));
            if (strcmp(name, "stderr") == 0) {
                assert_int_not_equal(ELF64_R_TYPE(entries[k].r_info), R_X86_64_PC32);
                assert_int_not_equal(ELF64_R_TYPE(entries[k].r_info), R_X86_64_32);
            }
        }
    }
    project_deinit(&project);
}

/* Two units called util.c, each with a function NAME, and what both hide under the same names. */
static void write_twin(struct project *project, const char *tree, const char *directory, const char *name,
                       int step)
{
    char path[32], text[512];

    snprintf(path, sizeof(path), "%s/util.c", directory);
    snprintf(text, sizeof(text),
             "static int count = 1;\nstatic __thread int mine = 1;\nint %s(int x)\n{\n"
             "    static int calls = 1;\n    count += x;\n    calls += %d;\n    return count + (mine += "
             "x) + calls;\n}\n",
             name, step);
    project_write(project, tree, path, text);
}

static void start_twins(struct project *project, const char *debug)
{
    char database[2048];

    project_init(project, compiler, flags);
    project_shell(project, "mkdir -p v1/a v1/b v2/a v2/b");
    write_twin(project, "v1", "a", "in_a", 1);
    write_twin(project, "v1", "b", "in_b", 1);
    project_write(
        project, "v1", "main.c",
        "int in_a(int);\nint in_b(int);\nint main(int c, char **v) { return in_a(c) + in_b(c); }\n");
    project_shell(
        project,
        "cd v1/build && for f in a/util b/util main; do %s %s %s -c ../$f.c -o $(echo $f | tr / -).o"
        " || exit 1; done && %s %s -Wl,--build-id -o program a-util.o b-util.o main.o && cp -r ../a "
        "../b ../main.c ../../v2",
        compiler, flags, debug, compiler, flags);
    int length = snprintf(database, sizeof(database), "[");
    for (const char *const *file = (const char *const[]){ "a/util.c", "b/util.c", "main.c", NULL }; *file;
         file++) {
        length += snprintf(database + length, sizeof(database) - length,
                           "%s{\"directory\": \"%s/v1/build\", \"file\": \"../%s\", \"command\": \"%s %s "
                           "%s -c ../%s -o x.o\"}",
                           length > 1 ? ", " : "", project->directory, *file, compiler, flags, debug, *file);
    }
    strcat(database, "]");
    project_write(project, "v1/build", "compile_commands.json", database);
}

/* Asserts that the patch binds NAME, or NAME with the compiler's additions, to the symbol of that name
 * after the WHICHth FILE symbol util.c of the program. */
static void assert_bound(struct project *project, const char *name, int which)
{
    unsigned long value = 0, expected = 0;

    for (size_t i = 0; i < project->file.patch_bindings_count; i++) {
        const struct molt_patch_binding *binding = &project->file.patch_bindings[i];
        if (strstr(patch_file_symbol_name(&project->file, binding->symbol), name)) {
            assert_int_not_equal(binding->kind, MOLT_BINDING_IMPORT);
            value = binding->value;
        }
    }
    project_shell(project,
                  "readelf -sW v1/build/program | awk '$4 == \"FILE\" && $8 == \"util.c\" { n++ } "
                  "n == %d && $8 ~ /%s/ { print $2; exit }' >expected && test -s expected",
                  which, name);
    char path[128];
    snprintf(path, sizeof(path), "%s/expected", project->directory);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lx", &expected), 1);
    fclose(file);
    assert_int_equal(value, expected);
}

static void variables_of_files_of_one_name(void **state)
{
    struct project project;
    const char *names[] = { "in_a", "in_b" }, *directories[] = { "a", "b" };

    for (int i = 0; i < 2; i++) {
        start_twins(&project, "-g");
        write_twin(&project, "v2", directories[i], names[i], 2);
        project_patch(&project, "v1", "v2", NULL);
        assert_string_equal(project_functions(&project), names[i]);
        assert_bound(&project, "count", i + 1);
        assert_bound(&project, "mine", i + 1);
        assert_bound(&project, "calls", i + 1);
        project_deinit(&project);
    }
}

/* Without debug information about variables there is no telling. */
static void variables_that_cannot_be_told_apart(void **state)
{
    struct project project;

    start_twins(&project, "-g1");
    write_twin(&project, "v2", "b", "in_b", 2);
    project_patch(&project, "v1", "v2", NULL);
    refused(&project, "cannot tell the variable");
    refused(&project, "of b/util.c");
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes),
        cmocka_unit_test(comments_and_moved_lines),
        cmocka_unit_test(one_body),
        cmocka_unit_test(inlined_callee),
        cmocka_unit_test(string_literal),
        cmocka_unit_test(switch_table),
        cmocka_unit_test(statics_of_one_name),
        cmocka_unit_test(static_local_keeps_its_place),
        cmocka_unit_test(header_reaches_all),
        cmocka_unit_test(time_of_compilation),
        cmocka_unit_test(constant_table),
        cmocka_unit_test(constant_that_grows),
        cmocka_unit_test(labels_follow_their_function),
        cmocka_unit_test(removed_and_added),
        cmocka_unit_test(other_source_is_refused),
        cmocka_unit_test(sources_before_the_earlier_patch_are_refused),
        cmocka_unit_test(warming_checks_the_program),
        cmocka_unit_test(warming_begins_with_open_files),
        cmocka_unit_test(stripped_program),
        cmocka_unit_test(compile_error),
        cmocka_unit_test(compiler_speaks_english),
        cmocka_unit_test(new_file),
        cmocka_unit_test(new_file_of_another_build),
        cmocka_unit_test(patch_after_patch),
        cmocka_unit_test(data_of_libraries),
        cmocka_unit_test(variables_of_files_of_one_name),
        cmocka_unit_test(variables_that_cannot_be_told_apart),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    flags = count > 2 ? arguments[2] : flags;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
