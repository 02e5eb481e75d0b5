/*
 * test_operands COMPILER: which fields of instructions name addresses, and who names a variable that moves
 * where its neighbours are named by addresses that lie in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/code/operands.h"
#include "project.h"

#define FLAGS "-O2 -fno-pie -no-pie -w -Wno-unused-command-line-argument"

static const char *compiler = "gcc";

/* ---- single instructions ----------------------------------------------------------------------------- */

struct instruction {
    const char *what;
    uint8_t bytes[12];
    struct operands operands; /* length 0: it is none */
    uint64_t target;          /* of the displacement, or else of the immediate, at 0x1000 */
};

static const struct instruction instructions[] = {
    { "mov 0x10(%rip), %eax",
      { 0x8b, 0x05, 0x10 },
      { 6, .displacement = { 2, 4, .relative = true, .direct = true } },
      0x1016 },
    { "lea 0x10(%rip), %rax",
      { 0x48, 0x8d, 0x05, 0x10 },
      { 7, .displacement = { 3, 4, .relative = true } },
      0x1017 },
    { "mov 0x404000, %eax",
      { 0x8b, 0x04, 0x25, 0x00, 0x40, 0x40 },
      { 7, .displacement = { 3, 4, .direct = true } },
      0x404000 },
    { "mov 0x404000(,%rdi,8), %rax",
      { 0x48, 0x8b, 0x04, 0xfd, 0x00, 0x40, 0x40 },
      { 8, .displacement = { 4, 4, .direct = true, .indexed = true } },
      0x404000 },
    { "mov 0x404000(%rdi), %rax",
      { 0x48, 0x8b, 0x87, 0x00, 0x40, 0x40 },
      { 7, .displacement = { 3, 4, .direct = true, .indexed = true } },
      0x404000 },
    { "mov %eax, -8(%rsp)",
      { 0x89, 0x44, 0x24, 0xf8 },
      { 4, .displacement = { 3, 1, .direct = true, .indexed = true } } },
    { "movl $5, 0x10(%rip)",
      { 0xc7, 0x05, 0x10, 0, 0, 0, 5 },
      { 10, .displacement = { 2, 4, .relative = true, .direct = true }, .immediate = { 6, 4 } },
      0x101a },
    { "mov $0x404000, %edi", { 0xbf, 0x00, 0x40, 0x40 }, { 5, .immediate = { 1, 4 } }, 0x404000 },
    { "movabs $0x404000, %rax", { 0x48, 0xb8, 0x00, 0x40, 0x40 }, { 10, .immediate = { 2, 8 } }, 0x404000 },
    { "call 0x1015", { 0xe8, 0x10 }, { 5 } },
    { "no instruction", { 0x06 }, { 0 } },
};

static void same_field(const char *what, const struct operand_field *found, const struct operand_field *field)
{
    if (found->offset != field->offset || found->size != field->size || found->relative != field->relative ||
        found->direct != field->direct || found->indexed != field->indexed) {
        fail_msg("%s: offset %u, size %u, relative %d, direct %d, indexed %d", what, found->offset,
                 found->size, found->relative, found->direct, found->indexed);
    }
}

static void fields_of_instructions(void **state)
{
    for (size_t i = 0; i < sizeof(instructions) / sizeof(*instructions); i++) {
        const struct instruction *expected = &instructions[i];
        struct operands found = { 0 };
        bool decoded = operands_decode(expected->bytes, sizeof(expected->bytes), &found);
        assert_int_equal(decoded, expected->operands.length != 0);
        assert_int_equal(found.length, expected->operands.length);
        same_field(expected->what, &found.displacement, &expected->operands.displacement);
        same_field(expected->what, &found.immediate, &expected->operands.immediate);
        const struct operand_field *field = found.displacement.size ? &found.displacement : &found.immediate;
        if (field->size >= 4) {
            assert_int_equal(operand_target(field, expected->bytes, found.length, 0x1000), expected->target);
        }
        if (decoded) {
            assert_false(operands_decode(expected->bytes, found.length - 1u, &found));
        }
    }
}

/* ---- a variable that moves, between two others ----------------------------------------------------------
 */

/* Arrays of 32 bytes, one after the other, in the one order or the other. */
static const char variables[] = "long before[4] = { 1 };\nlong moved[%d] = { 2 };\nlong after[4] = { 3 };\n"
                                "long own(long i) { return before[i + 4] + after[i + 4]; }\n"
                                "long at(long i) { return moved[i]; }\n";
static const char users[] =
    "extern long before[], moved[], after[];\nlong own(long), at(long);\n"
    "__attribute__((noinline)) long ahead(long i) { return moved[i - 1]; }\n"
    "__attribute__((noinline)) long low(long i) { return before[i - 1] + after[i - 1]; }\n"
    "__attribute__((noinline)) long high(long i) { return before[i + 4] + after[i + 4]; }\n"
    "int main(int n, char **v) {\n"
    "    return own(n - 2) + at(n) + ahead(n) + low(n) + high(n - 2); }\n";

static void start(struct project *project)
{
    char text[1024];

    project_init(project, compiler, FLAGS);
    for (int version = 1; version <= 2; version++) {
        const char *tree = version == 1 ? "v1" : "v2";
        snprintf(text, sizeof(text), variables, 4 * version);
        project_write(project, tree, "a.c", text);
        project_write(project, tree, "b.c", users);
    }
    project_build(project);
}

/* Adds an assembly file to the program, which no compile database knows. */
static void link_with(struct project *project, const char *code)
{
    char text[512];

    snprintf(text, sizeof(text),
             ".text\n.globl foreign\n.type foreign, @function\nforeign:\n    %s\n    ret\n"
             ".size foreign, .-foreign\n.section .note.GNU-stack, \"\", @progbits\n",
             code);
    project_write(project, "v1", "foreign.s", text);
    project_shell(project,
                  "cd v1/build && %s -c ../foreign.s -o foreign.o && %s %s -Wl,--build-id -o program a.o b.o "
                  "foreign.o",
                  compiler, compiler, FLAGS);
}

static void neighbours_are_told_by_their_names(void **state)
{
    struct project project;
    int sum = 0;

    start(&project);
    project_patch(&project, "v1", "v2", NULL);
    if (project.error) {
        fail_msg("%s", project.error->message);
    }
    assert_int_equal(project.file.patch_functions_count, 0);
    assert_int_equal(project.file.patch_rebinds_count, 2);
    for (size_t i = 0; i < project.file.patch_rebinds_count; i++) {
        const char *name = patch_file_string(&project.file, project.file.patch_rebinds[i].function);
        int64_t addend = project.file.patch_rebinds[i].addend;
        sum += strcmp(name, "at") == 0 && addend == 0       ? 1
               : strcmp(name, "ahead") == 0 && addend == -8 ? 2
                                                            : 4;
    }
    assert_int_equal(sum, 3);
    project_deinit(&project);
}

static void code_without_sources(void **state)
{
    static const struct {
        const char *code, *words; /* NULL: it is bound anew */
    } cases[] = {
        { "movq moved(%rip), %rax", NULL },
        { "movq moved+24, %rax", NULL },
        { "movq moved+32(%rip), %rax", "" }, /* another variable's */
        { "movq moved-8(%rip), %rax", "" },
        { "movq moved+8(,%rdi,8), %rax", "adds a register to an address by which" },
        { "movq moved-8(,%rdi,8), %rax", "adds a register to an address by which" },
        { "leaq moved(%rip), %rax", "takes its address" },
        { "movl $moved+8, %eax", "takes its address" },
        { "movq moved-256(,%rdi,8), %rax", "" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct project project;
        start(&project);
        link_with(&project, cases[i].code);
        project_patch(&project, "v1", "v2", NULL);
        bool refused = cases[i].words && *cases[i].words;
        if (refused != (project.error != NULL) ||
            (refused && !strstr(project.error->message, cases[i].words))) {
            fail_msg("%s: %s", cases[i].code, project.error ? project.error->message : "not refused");
        }
        if (!refused) {
            assert_int_equal(project.file.patch_rebinds_count, cases[i].words ? 2 : 3);
        }
        project_deinit(&project);
    }
}

static void start_in_section(struct project *project, const char *code)
{
    static const char text[] = "#define IN __attribute__((used, section(\"mine\")))\n"
                               "IN static long before[4] = { 1 };\nIN static long moved[%d] = { 2 };\n"
                               "IN static long after[4] = { 3 };\n"
                               "void set(void) { after[1]++; before[1]++; moved[1]++; }\n%s";
    char source[1024];

    project_init(project, compiler, FLAGS);
    for (int version = 1; version <= 2; version++) {
        snprintf(source, sizeof(source), text, 4 * version, code);
        project_write(project, version == 1 ? "v1" : "v2", "a.c", source);
        project_write(
            project, version == 1 ? "v1" : "v2", "b.c",
            "long get(long);\nvoid set(void);\nint main(int n, char **v) { set(); return get(n); }\n");
    }
    project_build(project);
}

static void variables_of_one_section(void **state)
{
    static const struct {
        const char *code, *words; /* NULL: not refused */
    } cases[] = {
        { "long get(long i) { return after[2] + moved[3]; }\n", NULL },
        { "long get(long i) { return after[i - 1]; }\n", "which of them get names" },
        { "long get(long i) { return before[i + 4]; }\n", "which of them get names" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct project project;
        start_in_section(&project, cases[i].code);
        project_patch(&project, "v1", "v2", NULL);
        if (!cases[i].words != !project.error ||
            (project.error && !strstr(project.error->message, cases[i].words))) {
            fail_msg("%s: %s", cases[i].code, project.error ? project.error->message : "not refused");
        }
        project_deinit(&project);
    }
}

/* ---- a library's, of which the program has a copy ----------------------------------------------------- */

/* A library made of a.c and a program made of b.c. */
static void start_library(struct project *project, const char *new_library)
{
    static const char library[] =
        "struct pair { int left; short right, third; };\nstruct pair pair = { 1, 2 };\n"
        "const int steps[2] = { 1, 2 };\nint *where(void) { return &pair.left; }\n";
    static const char program[] = "struct pair { int left; short right, third; };\nextern struct pair pair;\n"
                                  "extern const int steps[];\n"
                                  "int main(int c, char **v) { return pair.right + steps[c]; }\n";

    project_init(project, compiler, FLAGS);
    project_write(project, "v1", "a.c", library);
    project_write(project, "v2", "a.c", new_library);
    project_write(project, "v1", "b.c", program);
    project_write(project, "v2", "b.c", program);
    project_build(project);
    project_shell(
        project,
        "cd v1/build && rm program && %1$s -O2 -g -fPIC -Wl,--build-id -shared -o libparts.so ../a.c "
        "&& %1$s %2$s -Wl,--build-id -o program b.o -L. -lparts && "
        "sed -i 's/-fno-pie -no-pie/-fPIC/' compile_commands.json", /* of a.c, which comes first */
        compiler, FLAGS);
}

static void copies_that_would_not_be_reached(void **state)
{
    static const struct {
        const char *library, *words;
    } cases[] = {
        { "struct pair { int left; short right, third; };\nstruct pair pair = { 1, 2 };\n"
          "const int steps[3] = { 1, 2, 3 };\nint *where(void) { return &pair.left; }\n",
          "steps gets another size and so another place, and " },
        { "struct pair { int left; short right, third; int fourth; };\nstruct pair pair = { 1, 2 };\n"
          "const int steps[2] = { 1, 2 };\nint *where(void) { return &pair.left; }\n",
          "pair gets another size and so another place, and " },
        { "struct pair { int left; short right, third; };\nstruct pair pair = { 7, 2 };\n"
          "const int steps[2] = { 1, 5 };\nint *where(void) { return &pair.left; }\n",
          NULL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct project project;
        start_library(&project, cases[i].library);
        project_patch(&project, "v1", "v2", NULL);
        if (!cases[i].words != !project.error ||
            (project.error && !strstr(project.error->message, cases[i].words))) {
            fail_msg("%s: %s", cases[i].words, project.error ? project.error->message : "not refused");
        }
        if (!project.error) { /* the library does not name its constant: the engine may rely on that */
            assert_int_equal(project.file.patch_data_count, 1);
            assert_int_equal(project.file.patch_data[0].flags, MOLT_DATA_BY_NAME);
            assert_int_equal(project.file.patch_roots_count, 1);
            assert_int_equal(project.file.patch_roots[0].flags, MOLT_ROOT_BY_NAME);
        }
        project_deinit(&project);
    }
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_instructions),
        cmocka_unit_test(neighbours_are_told_by_their_names),
        cmocka_unit_test(code_without_sources),
        cmocka_unit_test(variables_of_one_section),
        cmocka_unit_test(copies_that_would_not_be_reached),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
