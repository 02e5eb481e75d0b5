/* test_transfer_frames COMPILER FLAGS: calls that were made of several, and frames that are not moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dwarf.h>
#include <string.h>

#include "patch/transfer/code.h"
#include "versions.h"

/* What becomes of the calls that the compiler has made of several, if any: their line is 0. */
static void expect_of_merged(const char *old, const char *new, const char *reason)
{
    struct versions versions;

    start(&versions, old, new);
    work_out(&versions, "f");
    for (size_t i = 0; i < versions.recipes.count; i++) {
        const struct recipe *recipe = &versions.recipes.items[i];
        if (strcmp(recipe->callee, "note") == 0 && recipe->line == 0) {
            if (reason) {
                expect_reason(recipe, reason);
            } else {
                assert_null(recipe->reason);
            }
        }
    }
    end(&versions);
}

/* clang makes one call of two where what follows is the same. */
static void test_a_call_that_was_made_of_several(void **state)
{
#define MERGED(first, between, last)                                                                         \
    DECLARATIONS "int f(int fd, long n)\n{\n" first "    if (fd < 0) {\n        note(\"negative\", n);\n"    \
                 "        return -1;\n    }\n" between                                                       \
                 "    int got = wait_event(fd);\n    if (got > 10) {\n"                                      \
                 "        note(\"large\", n + got);\n" last "        return -1;\n    }\n    step(got, 1);\n" \
                 "    return got;\n}\n"
    expect_of_merged(MERGED("", "", ""), MERGED("    step(fd, 0);\n", "", ""), NULL);
    expect_of_merged(MERGED("", "", ""), MERGED("    char b[32]; fill(b, fd);\n", "    step(fd, 0);\n", ""),
                     NULL);
    expect_of_merged(MERGED("", "", ""), MERGED("", "", "        step(fd, 0);\n"), "no call");
}

/* Of the recipe of the call of wait_event, which leaves the frame as it is. */
static void expect_to_stay(const char *old, const char *new, const char *reason)
{
    struct versions versions;

    start(&versions, old, new);
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    if (reason) {
        expect_reason(recipe, reason);
    } else {
        assert_null(recipe->reason);
        assert_int_equal(recipe->old_size, 0);
        assert_int_equal(recipe->new_size, 0);
        for (size_t i = 0; i < recipe->values.count; i++) { /* at most extended */
            const struct recipe_value *value = &recipe->values.items[i];
            assert_int_equal(value->to_kind, MOLT_VALUE_REGISTER);
            assert_int_equal(value->from_kind, MOLT_VALUE_REGISTER);
            assert_int_equal(value->from, value->to);
            assert_int_equal(value->from_size, 4);
        }
    }
    end(&versions);
}

static void test_a_frame_of_no_fixed_size(void **state)
{
#define VARIABLE(bytes, last)                                                                                \
    DECLARATIONS "int f(int n)\n{\n    char bytes[" bytes                                                    \
                 "];\n    fill(bytes, n);\n    while (wait_event(n))\n"                                      \
                 "        step(bytes[0], n);\n" last "    return bytes[1];\n}\n"
    expect_to_stay(VARIABLE("n", ""), VARIABLE("n", ""), NULL);
    expect_to_stay(VARIABLE("n", ""), VARIABLE("n", "    note(\"end\", 0);\n"), NULL);
    expect_to_stay(VARIABLE("n", ""), VARIABLE("2 * n", ""), "makes it in another way");
    expect_to_stay(VARIABLE("n", ""), VARIABLE("80", ""), "makes it in another way");
}

static void test_a_frame_that_is_aligned(void **state)
{
#define ALIGNED(by, last)                                                                                    \
    DECLARATIONS "int f(int n)\n{\n    char bytes[64] __attribute__((aligned(" by                            \
                 ")));\n    fill(bytes, n);\n"                                                               \
                 "    while (wait_event(n))\n        step(bytes[0], n);\n" last "    return bytes[1];\n}\n"
    expect_to_stay(ALIGNED("64", ""), ALIGNED("64", ""), NULL);
    expect_to_stay(ALIGNED("64", ""), ALIGNED("64", "    note(\"end\", 0);\n"), NULL);
    expect_to_stay(ALIGNED("64", ""), ALIGNED("128", ""), "makes it in another way");
    expect_to_stay(ALIGNED("64", ""), ALIGNED("16", ""), "makes it in another way");
}

/* The value that the recipe of wait_event makes of SYMBOL's address or content; NULL: none. */
static const struct recipe_value *value_from(const struct recipe *recipe, uint8_t kind, const char *symbol)
{
    for (size_t i = 0; i < recipe->values.count; i++) {
        const struct recipe_value *value = &recipe->values.items[i];
        if (value->from_kind == kind && value->symbol.symbol &&
            strcmp(value->symbol.symbol->name, symbol) == 0) {
            return value;
        }
    }
    return NULL;
}

/* gcc keeps the content of a constant pointer at hand across calls, of which the old version knows nothing;
 * that of one that is not constant is another one each time. */
static void test_what_constants_hold(void **state)
{
#define USING(kind, inside)                                                                                  \
    DECLARATIONS "struct all { long turns, sum; };\nextern struct all *" kind " all;\nint f(int n)\n{\n"     \
                 "    while (wait_event(n))\n        step(n, 1);\n" inside "    return n;\n}\n"
#define COUNTING(kind)                                                                                       \
    DECLARATIONS "struct all { long turns, sum; };\nextern struct all *" kind " all;\nint f(int n)\n{\n"     \
                 "    while (wait_event(n))\n        step(n, 1), all->turns++, step(n, all->sum);\n"         \
                 "    return n;\n}\n"
    struct versions versions;

    start(&versions, USING("const", ""), COUNTING("const"));
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    if (strcmp(compiler, "gcc") == 0 && strcmp(flags, "-O2") == 0) {
        assert_null(recipe->reason);
        assert_non_null(value_from(recipe, MOLT_VALUE_CONTENT, "all"));
    }
    end(&versions);
    start(&versions, USING("", ""), COUNTING(""));
    work_out(&versions, "f");
    recipe = recipe_of(&versions, "wait_event");
    assert_null(value_from(recipe, MOLT_VALUE_CONTENT, "all"));
    end(&versions);
}

/* The registers that va_arg reads lie where some local ends, and nothing names them. */
static void test_arguments_of_variable_number(void **state)
{
    static const char text[] = DECLARATIONS
        "#include <stdarg.h>\n"
        "long f(int n, ...)\n{\n    va_list list;\n    double x = measure(n);\n"
        "    long all = wait_event(n);\n    note(\"x\", (long)(x * 2));\n    va_start(list, n);\n"
        "    while (n-- > 0)\n        all = all * 3 + va_arg(list, long);\n"
        "    va_end(list);\n    return all;\n}\n";
    struct versions versions;
    uint32_t bytes = 0;

    (void)state;
    start(&versions, text, text);
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    assert_null(recipe->reason);
    for (size_t i = 0; i < recipe->values.count; i++) {
        bytes += recipe->values.items[i].to_kind == MOLT_VALUE_SLOT ? recipe->values.items[i].size : 0;
    }
    assert_true(bytes >= 100); /* 40 of them; without them it is less than 60 */
    end(&versions);
}

/* What is declared behind the call holds nothing there, in a loop either. */
static void test_locals_declared_behind_the_call(void **state)
{
#define LOOP(behind)                                                                                         \
    DECLARATIONS "int f(int n)\n{\n    int all = 0;\n    for (int i = 0; i < n; i++) {\n"                    \
                 "        all += wait_event(n);\n" behind "    }\n    return all;\n}\n"
    struct versions versions;

    start(&versions, LOOP(""), LOOP("        char room[64];\n        note(room, all);\n"));
    work_out(&versions, "f");
    assert_null(recipe_of(&versions, "wait_event")->reason);
    end(&versions);
}

/* Nor can others have it from there. */
static void test_locals_without_a_value_yet(void **state)
{
#define KEPT(before, behind)                                                                                 \
    DECLARATIONS "int f(int n)\n{\n" before "    setup(\"one\");\n    int all = wait_event(n);\n"            \
                 "    step(n, all);\n" behind                                                                \
                 "    fill((void *)&kept, sizeof kept);\n    return all + kept;\n}\n"
    struct versions versions;

    start(&versions, KEPT("", "    volatile int kept = setup(\"two\");\n"),
          KEPT("    volatile int kept = setup(\"two\");\n", ""));
    work_out(&versions, "f");
    expect_reason(recipe_of(&versions, "wait_event"), "`kept` is alive and has no value yet");
    end(&versions);
}

/* What leads to a type called `item` changes. */
static enum local_change item_changes(void *context, const Dwarf_Die *old, const Dwarf_Die *new, bool back,
                                      uint32_t *ret_migration)
{
    Dwarf_Die type = *(old ? old : new), plain;
    const char *name = dwarf_peel_type(&type, &plain) == 0 ? dwarf_diename(&plain) : NULL;

    *ret_migration = 0;
    return name && strcmp(name, "item") == 0 ? LOCAL_DIFFERS : LOCAL_UNKNOWN;
}

static enum policy_part no_parts(void *context, const Dwarf_Die *old, const Dwarf_Die *new, bool back,
                                 uint64_t offset, uint64_t size, uint64_t *ret)
{
    return POLICY_PART_UNKNOWN;
}

/* An instance in memory that `alloca` gave stays what it was, whoever leads to it. */
static void test_instances_in_a_frame_of_no_fixed_size(void **state)
{
#define KEEPING(type)                                                                                        \
    DECLARATIONS "struct item { int a, b; };\nstruct other { int a; struct other *next; };\n"                \
                 "struct list { struct " type " *first; };\nint f(int n)\n{\n    {\n"                        \
                 "        struct list list;\n        list.first = __builtin_alloca(n);\n"                    \
                 "        fill(list.first, n);\n    }\n    while (wait_event(n))\n"                          \
                 "        step(n, 1);\n    return n;\n}\n"
    static const char *const texts[] = { KEEPING("other"), KEEPING("item") };

    for (unsigned i = 0; i < 2; i++) {
        struct versions versions;
        start(&versions, texts[i], texts[i]);
        versions.pair.changes = item_changes;
        versions.pair.parts = no_parts;
        work_out(&versions, "f");
        const struct recipe *recipe = recipe_of(&versions, "wait_event");
        if (i == 0) {
            assert_null(recipe->reason);
        } else {
            expect_reason(recipe, "may lead to an instance in it of a type that changes");
        }
        end(&versions);
    }
}

/* The address of what lies at the frame's end is one as any other, though it is the stack pointer's. */
static void test_an_address_at_the_end_of_the_frame(void **state)
{
#define HOLDING(first, second)                                                                               \
    DECLARATIONS "struct holder { long size; char *text; };\nint f(void)\n{\n    " first " " second          \
                 "\n    holder.text = text;\n    holder.size = 16;\n    fill(&holder, 16);\n"                \
                 "    while (wait_event(1))\n        step(text[0], 1);\n    return text[1];\n}\n"
    static const char *const texts[] = { HOLDING("char text[16];", "struct holder holder;"),
                                         HOLDING("struct holder holder;", "char text[16];") };

    for (unsigned i = 0; i < 2; i++) {
        struct versions versions;
        struct code code;
        bool stored = false;
        start(&versions, texts[i], texts[i]);
        code_init(&code, versions.old_object, object_find(versions.old_object, "f"), NULL);
        for (size_t k = 0; k < code.taken.count; k++) {
            stored = stored || !(code.instructions.items[code.taken.items[k].at].flags & CODE_CALL);
        }
        assert_true(stored || optimised);
        code_deinit(&code);
        end(&versions);
    }
}

/* A part of a constant is not the constant's first bytes. */
static void test_parts_of_constants(void **state)
{
#define READING(text, inside)                                                                                \
    DECLARATIONS "int f(int n)\n{\n" text "    while (wait_event(n))\n        step(n, 1);\n" inside          \
                 "    return n;\n}\n"
    struct versions versions;
    bool found = false;

    start(&versions, READING("", ""), READING("    char text[4] = \"abc\";\n", "    step(text[2], n);\n"));
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    for (size_t i = 0; i < recipe->values.count; i++) {
        const struct recipe_value *value = &recipe->values.items[i];
        if (value->to_kind == MOLT_VALUE_SLOT && value->from_kind == MOLT_VALUE_CONSTANT) {
            assert_int_equal(value->size, 2);
            assert_int_equal(value->from, 'c');
            found = true;
        }
    }
    assert_true(found || optimised || strcmp(compiler, "gcc") != 0);
    end(&versions);
}

/* An argument on the stack that only the old version changes, in a register. */
static void test_an_argument_that_was_changed(void **state)
{
#define LIMITED(change)                                                                                      \
    DECLARATIONS "struct limits { long low, high, more; };\nint f(int n, struct limits limits)\n{\n" change  \
                 "    while (wait_event(n))\n        step(n, limits.low);\n    return n;\n}\n"
    struct versions versions;

    start(&versions, LIMITED("    limits.low = limits.low < 0 ? 100 : limits.low;\n"), LIMITED(""));
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    if (strcmp(compiler, "gcc") == 0 && strcmp(flags, "-O2") == 0) {
        expect_reason(recipe, "argument `limits`");
    }
    end(&versions);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_of_variable_number),
        cmocka_unit_test(test_locals_declared_behind_the_call),
        cmocka_unit_test(test_locals_without_a_value_yet),
        cmocka_unit_test(test_a_call_that_was_made_of_several),
        cmocka_unit_test(test_a_frame_of_no_fixed_size),
        cmocka_unit_test(test_a_frame_that_is_aligned),
        cmocka_unit_test(test_what_constants_hold),
        cmocka_unit_test(test_instances_in_a_frame_of_no_fixed_size),
        cmocka_unit_test(test_an_address_at_the_end_of_the_frame),
        cmocka_unit_test(test_parts_of_constants),
        cmocka_unit_test(test_an_argument_that_was_changed),
    };

    take_arguments(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
