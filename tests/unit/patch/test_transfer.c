/* test_transfer COMPILER FLAGS: how suspended functions go on in another version of their code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiled.h"
#include "patch/transfer/code.h"
#include "versions.h"

static const char varied[] = DECLARATIONS
    "struct point { double x, y; int tag; };\n"
    "static int table[4];\n"
    "int registers(int a, long b, int c) { int s = 0; for (int i = 0; i < a; i++)\n"
    "    { s += wait_event(i + c); note(\"turn\", b + s); } return s; }\n"
    "long spilled(long a, long b, long c, long d, long e, long f, long g, long h) {\n"
    "    long i = wait_event(a), j = wait_event(b), k = wait_event(c);\n"
    "    for (;;) { note(\"x\", a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k); i++; j += i; k ^= j;\n"
    "        if (wait_event(k) < 0) return a + b + c + d + e + f + g + h; } }\n"
    "double floating(double a, int n) { double s = a; for (int i = 0; i < n; i++)\n"
    "    s += measure(s * a); return s; }\n"
    "int by_address(int fd) { char buffer[64]; struct point p = { 1, 2, 3 }; for (;;) {\n"
    "    fill(buffer, sizeof(buffer)); fill(&p, sizeof(p)); if (wait_event(fd)) return buffer[3] + p.tag; } "
    "}\n"
    "int switching(int fd) { for (;;) { int e = wait_event(fd); switch (e) {\n"
    "    case 0: step(fd, 1); break; case 1: step(fd, 7); break; case 2: note(\"a\", e); break;\n"
    "    case 3: table[e & 3]++; break; case 4: return e; case 5: step(3, fd); case 6: note(\"b\", 9); } } "
    "}\n"
    "static inline int helper(int x) { return wait_event(x) + wait_event(x * 3); }\n"
    "int inlined(int a) { int s = helper(a); for (int i = 0; i < s; i++) s += helper(i); return s; }\n"
    "int pointers(int (*f)(int), int n) { int s = 0; while (n-- > 0) s ^= f(n) + f(s); return s; }\n"
    "int arguments(int a, int b, int c, int d, int e, int f, int g, int h) { char text[16]; fill(text, g);\n"
    "    text[h & 15] = 1; while (wait_event(a)) step(text[b & 15], g * e); return h + c + d + f; }\n"
    "int recursive(int n) { return n <= 0 ? wait_event(n) : recursive(n - 1) + recursive(n - 2); }\n";

static void test_the_same_code(void **state)
{
    static const char *const names[] = { "registers", "spilled",  "floating",  "by_address", "switching",
                                         "inlined",   "pointers", "arguments", "recursive" };
    struct versions versions;
    unsigned calls = 0;

    start(&versions, varied, varied);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        work_out(&versions, names[i]);
        for (size_t k = 0; k < versions.recipes.count; k++) {
            const struct recipe *recipe = &versions.recipes.items[k];
            calls++;
            if (recipe->reason) {
                fail_msg("%s:%u, call of %s: %s", names[i], recipe->line, recipe->callee, recipe->reason);
            }
            assert_int_equal(recipe->old_place, recipe->new_place);
            assert_int_equal(recipe->old_size, recipe->new_size);
        }
    }
    assert_true(calls > 20);
    end(&versions);
}

#define LOOP(before, inside)                                                                                 \
    DECLARATIONS "int f(int argc, char **argv)\n{\n    int fd = setup(argv[1]);\n    int turns = 0;\n"       \
                 "    long sum = argc;\n" before "    for (;;) {\n        int event = wait_event(fd);\n"     \
                 "        step(fd, event);\n        sum += event;\n        turns++;\n" inside                \
                 "        if (turns % 10 == argc)\n            note(\"sum\", sum);\n    }\n}\n"

static void test_a_statement_more(void **state)
{
    struct versions versions;

    start(&versions, LOOP("", ""), LOOP("", "        note(\"event\", event);\n"));
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    assert_null(recipe->reason);
    assert_non_null(value_of(recipe, "fd"));
    assert_int_not_equal(recipe->new_place, 0);
    if (!optimised) { /* else the sum may already be the next one */
        assert_null(recipe_of(&versions, "step")->reason);
    }
    assert_null(recipe_of(&versions, "note")->reason); /* the old one: its line has not changed */
    end(&versions);
}

#define DISPATCH(first, then, inside)                                                                        \
    DECLARATIONS "int f(int argc, char **argv)\n{\n    int fd = setup(argv[1]);\n    long sum = argc;\n"     \
                 "    void *next = " first ";\n    for (;;) {\n        int event = wait_event(fd);\n"        \
                 "        if (event < 0)\n            return event;\n"                                       \
                 "        goto *next;\n    one:\n        note(\"sum\", sum);\n" inside                       \
                 "        next = " then ";\n        continue;\n"                                             \
                 "    two:\n        sum += 3;\n        next = &&one;\n    }\n}\n"

/* The dispatch with FIRST and THEN as the labels that it goes on at, changed behind the first label. */
static void dispatch(struct versions *versions, const char *first, const char *then)
{
    static char old[2048], new[2048];

    snprintf(old, sizeof(old), DISPATCH("%s", "%s", "%s"), first, "", then);
    snprintf(new, sizeof(new), DISPATCH("%s", "%s", "%s"), first, "        note(\"one\", event);\n", then);
    start(versions, old, new);
    work_out(versions, "f");
}

/* A label whose address is taken by code is a place that a computed jump may lead to, though no relocation
 * names it. */
static void test_labels_taken(void **state)
{
    struct versions versions;
    struct code code;
    unsigned jumps = 0;

    dispatch(&versions, "argc > 3 ? &&one : &&two", "&&two");
    code_init(&code, versions.old_object, object_find(versions.old_object, "f"), NULL);
    assert_null(code.problem);
    for (size_t i = 0; i < code.blocks.count; i++) {
        const struct code_block *block = &code.blocks.items[i];
        if (block->reached && (code.instructions.items[block->end - 1].flags & CODE_INDIRECT)) {
            assert_true(block->next.count >= 2);
            jumps++;
        }
    }
    assert_true(jumps > 0);
    code_deinit(&code);
    end(&versions);
}

/* A distance from one label to another is a number like any other: the second label is named nowhere. */
static void test_labels_computed(void **state)
{
    struct versions versions;

    dispatch(&versions, "(char *)&&one + (argc > 3) * (&&two - &&one)",
             "(char *)&&one + (event & 1) * (&&two - &&one)");
    expect_reason(recipe_of(&versions, "wait_event"), "a place that nothing tells");
    end(&versions);
}

/* A jump by way of a return that is written over has no target that anything tells. */
static void test_call_inside(void **state)
{
    const char *text = DECLARATIONS
        "int f(int a)\n{\n    int s = wait_event(a);\n"
        "    __asm__ volatile(\"call 1f\\n ud2\\n1: addq $8, %%rsp\" : : : \"memory\", \"cc\");\n"
        "    return s + wait_event(s);\n}\n";
    struct versions versions;

    start(&versions, text, text);
    work_out(&versions, "f");
    expect_reason(recipe_of(&versions, "wait_event"), "return address");
    end(&versions);
}

static void test_a_variable_more(void **state)
{
    struct versions versions;

    start(&versions, LOOP("", ""),
          LOOP("    long most = setup(argv[0]);\n",
               "        most = sum > most ? sum : most;\n        note(\"most\", most);\n"));
    work_out(&versions, "f");
    expect_reason(recipe_of(&versions, "wait_event"), ""); /* which of its copies is found first is open */
    end(&versions);
}

static void test_a_call_less(void **state)
{
    struct versions versions;

    start(&versions, LOOP("", "        note(\"a\", 1); note(\"b\", 2);\n"),
          LOOP("", "        note(\"a\", 1);\n"));
    work_out(&versions, "f");
    for (size_t i = 0; i < versions.recipes.count; i++) {
        const struct recipe *recipe = &versions.recipes.items[i];
        if (strcmp(recipe->callee, "note") == 0 && recipe->line == 17) {
            expect_reason(recipe, "no call");
        }
    }
    end(&versions);
}

/* One call less and one more, of the same function: equally many, and yet others. */
static void test_a_call_less_and_one_more(void **state)
{
#define TWO(first, last)                                                                                     \
    DECLARATIONS "int f(int n)\n{\n    for (;;) {\n        step(n, 1);\n" first "        step(n, 2);\n"      \
                 "        if (wait_event(n) < 0)\n            return n;\n        step(n, 3);\n" last         \
                 "    }\n}\n"
    struct versions versions;

    start(&versions, TWO("        wait_event(1);\n", ""), TWO("", "        wait_event(9);\n"));
    work_out(&versions, "f");
    unsigned same = 0;
    for (size_t i = 0; i < versions.recipes.count; i++) {
        const struct recipe *recipe = &versions.recipes.items[i];
        if (strcmp(recipe->callee, "wait_event") == 0 && recipe->line == 11) {
            expect_reason(recipe, "no call");
        } else if (strcmp(recipe->callee, "wait_event") == 0) {
            same += !recipe->reason;
        }
    }
    assert_int_equal(same, 1);
    end(&versions);
}

static void test_a_call_leaves_its_loop(void **state)
{
    struct versions versions;

    start(&versions,
          DECLARATIONS
          "int f(int n)\n{\n    int s = 0;\n    for (int i = 0; i < n; i++)\n        s += wait_event(i);\n"
          "    return s;\n}\n",
          DECLARATIONS
          "int f(int n)\n{\n    int s = 0;\n    for (int i = 0; i < n; i++)\n        s += setup(\"\");\n"
          "    s += wait_event(n);\n    return s;\n}\n");
    work_out(&versions, "f");
    for (size_t i = 0; i < versions.recipes.count; i++) { /* the loop may be unrolled */
        expect_reason(&versions.recipes.items[i], "no call");
    }
    end(&versions);
}

static void test_a_wider_variable(void **state)
{
    struct versions versions;

    if (optimised) { /* where it lives is up to the compiler then */
        return;
    }
    start(&versions,
          DECLARATIONS
          "int f(int n)\n{\n    int s = 1;\n    while (wait_event(n))\n        s += n;\n    return s;\n}\n",
          DECLARATIONS
          "int f(int n)\n{\n    long s = 1;\n    while (wait_event(n))\n        s += n;\n    return s;\n}\n");
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    assert_null(recipe->reason);
    const struct recipe_value *value = value_of(recipe, "s");
    assert_non_null(value);
    assert_int_equal(value->size, 8);
    assert_int_equal(value->from_size, 4);
    assert_true(value->is_signed);
    end(&versions);
}

static void test_another_structure(void **state)
{
    struct versions versions;

    start(&versions,
          DECLARATIONS
          "struct s { int a; };\nint f(int n)\n{\n    struct s s = { 1 };\n    fill(&s, sizeof(s));\n"
          "    while (wait_event(n))\n        step(s.a, n);\n    return s.a;\n}\n",
          DECLARATIONS
          "struct s { int b, a; };\nint f(int n)\n{\n    struct s s = { 1 };\n    fill(&s, sizeof(s));\n"
          "    while (wait_event(n))\n        step(s.a, n);\n    return s.a;\n}\n");
    work_out(&versions, "f");
    for (size_t i = 0; i < versions.recipes.count; i++) {
        if (strcmp(versions.recipes.items[i].callee, "wait_event") == 0) {
            expect_reason(&versions.recipes.items[i], "`s`");
        }
    }
    end(&versions);
}

#define RETURNED_TO(setting, calls, more)                                                                    \
    "#include <setjmp.h>\n#include <unistd.h>\nstatic jmp_buf again;\n" DECLARATIONS                         \
    "int f(int n)\n{\n    volatile int tries = 0;\n    int added = n + 3;\n    if (" setting                 \
    ")\n        tries++;\n    while (wait_event(n))\n        " calls ";\n" more                              \
    "    return tries + added;\n}\n"

static void expect_all(const struct versions *versions)
{
    for (size_t i = 0; i < versions->recipes.count; i++) {
        if (versions->recipes.items[i].reason) {
            fail_msg("line %u: %s", versions->recipes.items[i].line, versions->recipes.items[i].reason);
        }
    }
}

/* By longjmp: the call of setjmp has a recipe, too, and without one no other call has any. */
static void test_a_frame_that_longjmp_comes_back_to(void **state)
{
    static const char text[] = RETURNED_TO("setjmp(again)", "step(tries, n)", "");
    struct versions versions;

    start(&versions, text, text);
    work_out(&versions, "f");
    expect_all(&versions);
    assert_true(recipe_of(&versions, "_setjmp")->is_setjmp);
    assert_false(recipe_of(&versions, "wait_event")->is_setjmp);
    end(&versions);
    start(&versions, text, RETURNED_TO("setjmp(again)", "step(tries, n)", "    n++;\n"));
    work_out(&versions, "f");
    expect_all(&versions);
    end(&versions);
    start(&versions, text, RETURNED_TO("n > 1", "step(tries, n)", ""));
    work_out(&versions, "f");
    for (size_t i = 0; i < versions.recipes.count; i++) {
        expect_reason(&versions.recipes.items[i], "no call in the new version is surely the same");
    }
    end(&versions);
}

/* What is read only when longjmp comes back must be in the new frame, too. */
static void test_a_local_for_longjmp_alone(void **state)
{
    static const char text[] = RETURNED_TO("setjmp(again)", "step(tries, n)", "");
    static const char other[] =
        "#include <setjmp.h>\n#include <unistd.h>\nstatic jmp_buf again;\n" DECLARATIONS
        "int f(int n)\n{\n    volatile int tries = 0, fresh = getpid();\n    int added = n + 3;\n    if "
        "(setjmp(again))\n"
        "        tries += fresh;\n    while (wait_event(n))\n        step(tries, n);\n"
        "    return tries + added;\n}\n";
    struct versions versions;

    start(&versions, text, other);
    work_out(&versions, "f");
    expect_reason(recipe_of(&versions, "wait_event"), "`fresh`");
    end(&versions);
}

static void test_a_frame_that_is_returned_to_twice(void **state)
{
    static const char text[] = RETURNED_TO("vfork()", "step(tries, n)", "");
    static const char without[] = RETURNED_TO("getpid()", "step(tries, n)", "");
    struct versions versions;

    start(&versions, text, text);
    work_out(&versions, "f");
    expect_reason(recipe_of(&versions, "wait_event"), "the running version calls vfork");
    assert_true(recipe_of(&versions, "wait_event")->line > 0);
    end(&versions);
    start(&versions, without, text);
    work_out(&versions, "f");
    expect_reason(recipe_of(&versions, "wait_event"), "the new version calls vfork");
    end(&versions);
}

static void test_a_moved_member(void **state)
{
#define CONFIGURATION(members)                                                                               \
    DECLARATIONS "struct c {" members "};\nextern struct c c;\nint f(int n)\n{\n    int limit = c.limit;\n"  \
                 "    while (wait_event(n) < limit)\n        step(limit, c.step);\n    return limit;\n}\n"
    struct versions versions;

    start(&versions, CONFIGURATION(" int limit, step; "), CONFIGURATION(" int verbose, limit, step; "));
    work_out(&versions, "f");
    for (size_t i = 0; i < versions.recipes.count; i++) {
        assert_null(versions.recipes.items[i].reason);
        assert_non_null(value_of(&versions.recipes.items[i], "limit"));
    }
    assert_true(versions.recipes.count >= 2);
    end(&versions);
}

/* What is stored by an instruction that shares its name with one of strings has no address that got away. */
static void test_doubles_that_move(void **state)
{
    struct versions versions;

    start(&versions,
          DECLARATIONS
          "double f(int n)\n{\n    double w = measure(n);\n    while (wait_event(n))\n        w = w + "
          "measure(w);\n    return w;\n}\n",
          DECLARATIONS
          "double f(int n)\n{\n    long more[5];\n    double w = measure(n);\n    while (wait_event(n))\n "
          "       w = w + measure(w);\n    return w;\n}\n");
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    if (optimised) { /* where it lives, and what else, is up to the compiler then */
        assert_true(!recipe->reason || !strstr(recipe->reason, "the address of local `w` is taken"));
    } else {
        assert_null(recipe->reason);
    }
    end(&versions);
}

static void test_numbers_that_code_has_in_it(void **state)
{
    struct versions versions;

    start(
        &versions,
        DECLARATIONS
        "int f(int n)\n{\n    int k = 4;\n    while (wait_event(n))\n        step(k, n);\n    return k;\n}\n",
        DECLARATIONS "int f(int n)\n{\n    int k = 5;\n    while (wait_event(n))\n        step(k, n);\n    "
                     "return k;\n}\n");
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, "wait_event");
    if (optimised) {
        expect_reason(recipe, "`k`");
    } else { /* it is a variable, and stays 4 */
        assert_null(recipe->reason);
        assert_int_equal(value_of(recipe, "k")->from_kind, MOLT_VALUE_SLOT);
    }
    end(&versions);
}

/* A buffer that waits to be filled, BEFORE and AROUND it what is done with it; the new version's frame has
 * another one in a block. */
#define BUFFER_HEAD                                                                                          \
    DECLARATIONS                                                                                             \
    "extern long read(int fd, void *to, unsigned long size);\n"                                              \
    "extern unsigned long strlen(const char *text);\n"                                                       \
    "extern long recv(int fd, void *to, unsigned long size, int how);\n"                                     \
    "static char *kept;\nchar *get(void) { return kept; }\n"                                                 \
    "__attribute__((noinline)) static void keep(char *p)\n{\n    kept = p;\n}\n"                             \
    "__attribute__((noinline)) static void deep(char *p, int n)\n{\n    if (n)\n        deep(p + 1, n "      \
    "- 1);\n"                                                                                                \
    "    else\n        keep(p);\n}\n"                                                                        \
    "__attribute__((noinline)) static int look(const char *p, int n)\n{\n"                                   \
    "    return n > 0 ? (int)strlen(p) + look(p, n - 1) : n;\n}\n"                                           \
    "void run(int n)\n{\n    char b[8];\n    fill(b, 1);\n    keep(b), deep(b, n), look(b, n);\n}\n"         \
    "int f(int fd)\n{\n    char b[64];\n    int s = 0;\n"
#define BUFFER(before, more)                                                                                 \
    BUFFER_HEAD before "    while (read(fd, b, 64) > 0) {\n        s += b[3] + look(b, s);\n" more           \
                       "        step(fd, s);\n    }\n    return s;\n}\n"

#define MORE "        { char c[200]; recv(fd, c, 200, 0); step(c[4], s); }\n"

static void work_out_buffer(struct versions *versions, const char *old, const char *new)
{
    start(versions, old, new);
    work_out(versions, "f");
}

static void test_a_buffer_that_nobody_keeps(void **state)
{
    struct versions versions;

    work_out_buffer(&versions, BUFFER("", ""), BUFFER("", MORE));
    const struct recipe *recipe = recipe_of(&versions, "read");
    if (recipe->reason) {
        fail_msg("%s", recipe->reason);
    }
    assert_true(recipe->new_size > recipe->old_size);
    end(&versions);
    work_out_buffer(&versions, BUFFER("", MORE), BUFFER("", ""));
    recipe = recipe_of(&versions, "read");
    if (recipe->reason) {
        fail_msg("back: %s", recipe->reason);
    }
    end(&versions);
}

/* The old version may leave the buffer where somebody knows it to be: then there is no recipe, or it stays.
 */
static void expect_in_place(const char *before)
{
    struct versions versions;
    char *old = must_printf("%s%s%s", BUFFER_HEAD, before, strstr(BUFFER("", ""), "    while (read"));
    char *new = must_printf("%s%s%s", BUFFER_HEAD, before, strstr(BUFFER("", MORE), "    while (read"));

    work_out_buffer(&versions, old, new);
    const struct recipe *recipe = recipe_of(&versions, "read");
    const struct recipe_value *value = recipe->reason ? NULL : value_of(recipe, "b");
    if (!recipe->reason && (!value || value->from != value->to)) {
        fail_msg("the buffer moves, after \"%s\"", before);
    }
    end(&versions);
    free(old);
    free(new);
}

static void test_a_buffer_that_somebody_keeps(void **state)
{
    expect_in_place("    keep(b);\n");
    expect_in_place("    deep(b, 3);\n");
    expect_in_place("    fill(b, 64);\n");
    expect_in_place("    kept = b + fd;\n");
    expect_in_place("    void (*p)(char *) = keep;\n    p(b);\n");
    expect_in_place("    struct { char *a; long n; } list = { b, 64 };\n    fill(&list, sizeof(list));\n");
}

/* ---- values that have no name: functions in machine code, without debug information ---------------- */

#define ASSEMBLY(body)                                                                                       \
    "asm(\".section .text.f,\\\"ax\\\"\\n.globl f\\n.type f,@function\\nf:\\n" body                          \
    "call end@PLT\\n.size f,.-f\\n.text\\n\");\nint g(void) { return 1; }\n"
#define ENTER "push %rbx\\npush %rbp\\npush %r12\\nmov %rdi,%rbx\\n"
#define WAIT "mov %rbx,%rdi\\ncall wait_event@PLT\\n"
#define USE "mov %rbp,%rdi\\ncall step@PLT\\n"

/* The values of the recipe for the call of wait_event; or why there is none. */
static const struct recipe *wait_in(struct versions *versions, const char *old, const char *new)
{
    start(versions, old, new);
    work_out(versions, "f");
    return recipe_of(versions, "wait_event");
}

static const struct recipe_value *value_at(const struct recipe *recipe, enum molt_value_place kind, int to)
{
    for (size_t i = 0; i < recipe->values.count; i++) {
        if (recipe->values.items[i].to_kind == kind && recipe->values.items[i].to == to) {
            return &recipe->values.items[i];
        }
    }
    return NULL;
}

static void test_an_address_is_worked_out_anew(void **state)
{
    struct versions versions;
    const struct recipe *recipe =
        wait_in(&versions, ASSEMBLY(ENTER "1:\\n" WAIT "lea 24(%rbx),%rdi\\ncall step@PLT\\njmp 1b\\n"),
                ASSEMBLY(ENTER "lea 24(%rbx),%rbp\\n1:\\n" WAIT USE "jmp 1b\\n"));
    assert_null(recipe->reason);
    const struct recipe_value *value = value_at(recipe, MOLT_VALUE_REGISTER, 6);
    assert_non_null(value);
    assert_int_equal(value->from_kind, MOLT_VALUE_REGISTER);
    assert_int_equal(value->from, 3);
    assert_int_equal(value->addend, 24);
    end(&versions);
}

static void test_numbers_are_extended_anew(void **state)
{
    struct versions versions;
    const struct recipe *recipe = wait_in(
        &versions, ASSEMBLY(ENTER "1:\\n" WAIT "movslq %ebx,%rdi\\nadd $5,%edi\\ncall step@PLT\\njmp 1b\\n"),
        ASSEMBLY(ENTER "lea 5(%rbx),%eax\\nmovslq %eax,%rbp\\n1:\\n" WAIT USE "jmp 1b\\n"));
    assert_null(recipe->reason);
    const struct recipe_value *value = value_at(recipe, MOLT_VALUE_REGISTER, 6);
    assert_non_null(value);
    assert_int_equal(value->from, 3);
    assert_int_equal(value->addend, 5);
    assert_int_equal(value->from_size, 4);
    assert_true(value->is_signed);
    end(&versions);
}

/* What a temporary was made of is another value by now: in one go, or on some way round. */
static void test_what_has_changed_since_is_no_source(void **state)
{
    struct versions versions;

    expect_reason(wait_in(&versions, ASSEMBLY(ENTER "add $1,%rbx\\n1:\\n" WAIT "jmp 1b\\n"),
                          ASSEMBLY(ENTER "lea 24(%rbx),%rbp\\nadd $1,%rbx\\n1:\\n" WAIT USE "jmp 1b\\n")),
                  "does not have a temporary");
    end(&versions);
    expect_reason(wait_in(&versions, ASSEMBLY(ENTER "1:\\nadd $1,%rbx\\n" WAIT "jmp 1b\\n"),
                          ASSEMBLY(ENTER "1:\\nlea 24(%rbx),%rbp\\nadd $1,%rbx\\n" WAIT USE "jmp 1b\\n")),
                  "does not have a temporary");
    end(&versions);
    expect_reason(wait_in(&versions,
                          ASSEMBLY(ENTER "1:\\n" WAIT "mov %rax,%rbx\\ntest %eax,%eax\\njs 1b\\n"
                                         "mov %rbx,%rdi\\ncall step@PLT\\njmp 1b\\n"),
                          ASSEMBLY(ENTER "2:\\nlea 24(%rbx),%rbp\\n1:\\n" WAIT
                                         "mov %rax,%rbx\\ntest %eax,%eax\\njs 1b\\n" USE "jmp 2b\\n")),
                  "does not have a temporary");
    end(&versions);
}

/* The called function may have written there. */
/* Arguments that were pushed are no place to have a value from once they were taken off. */
static void test_what_was_pushed_is_gone(void **state)
{
    struct versions versions;

    expect_reason(wait_in(&versions,
                          ASSEMBLY(ENTER "call setup@PLT\\npush %rax\\npush %rax\\ncall note@PLT\\n"
                                         "add $16,%rsp\\n1:\\n" WAIT "jmp 1b\\n"),
                          ASSEMBLY(ENTER "call setup@PLT\\nmov %rax,%rbp\\npush %rax\\npush %rax\\n"
                                         "call note@PLT\\nadd $16,%rsp\\n1:\\n" WAIT USE "jmp 1b\\n")),
                  "does not have a temporary");
    end(&versions);
}

static void test_what_addresses_lead_to_is_no_number(void **state)
{
    struct versions versions;
    const struct recipe *recipe =
        wait_in(&versions, ASSEMBLY(ENTER "sub $32,%rsp\\n1:\\nlea (%rsp),%rsi\\n" WAIT "jmp 1b\\n"),
                ASSEMBLY(ENTER "sub $32,%rsp\\n1:\\nmovq $7,8(%rsp)\\nlea (%rsp),%rsi\\n" WAIT
                               "mov 8(%rsp),%rdi\\ncall step@PLT\\njmp 1b\\n"));
    const struct recipe_value *value = value_at(recipe, MOLT_VALUE_SLOT, -56);
    assert_true(recipe->reason || !value || value->from_kind != MOLT_VALUE_CONSTANT);
    end(&versions);
}

static void test_the_stack_guard(void **state)
{
    struct versions versions;
    const struct recipe *recipe =
        wait_in(&versions, ASSEMBLY(ENTER "1:\\n" WAIT "jmp 1b\\n"),
                ASSEMBLY(ENTER "sub $32,%rsp\\nmov %fs:0x28,%rax\\nmov %rax,24(%rsp)\\n1:\\n" WAIT
                               "mov 24(%rsp),%rdi\\ncall step@PLT\\njmp 1b\\n"));
    assert_null(recipe->reason);
    const struct recipe_value *value = value_at(recipe, MOLT_VALUE_SLOT, -40);
    assert_non_null(value);
    assert_int_equal(value->from_kind, MOLT_VALUE_GUARD);
    end(&versions);
}

/* A jump by a pointer behind the end of the frame leads to no case of the switch. */
static void test_a_tail_call_beside_a_switch(void **state)
{
    static const char text[] = DECLARATIONS
        "long f(long (*last)(long, long), int fd)\n{\n    long sum = fd, more = 1;\n    for (;;) {\n"
        "        switch (wait_event(fd)) {\n        case 0: step(fd, 1); break;\n        case 1: sum += "
        "setup(0); break;\n"
        "        case 2: note(\"two\", sum); break;\n        case 3: more = setup(0); break;\n"
        "        case 4: step(fd, (int)more); break;\n        case 5: note(\"five\", more); break;\n"
        "        default: return last(sum, more);\n        }\n    }\n}\n";
    struct versions versions;

    start(&versions, text, text);
    work_out(&versions, "f");
    for (size_t i = 0; i < versions.recipes.count; i++) {
        if (versions.recipes.items[i].reason) {
            fail_msg("%s: %s", versions.recipes.items[i].callee, versions.recipes.items[i].reason);
        }
    }
    end(&versions);
}

/* Behind a call that never comes back another function's frame may begin, or one of another size. */
static void test_a_function_that_never_returns(void **state)
{
    static const char text[] = DECLARATIONS
        "__attribute__((noreturn, cold)) extern void give_up(const char *why, long number);\n"
        "long f(int fd)\n{\n    long sum = 0;\n    for (;;) {\n        int event = wait_event(fd);\n"
        "        if (event < 0)\n            give_up(\"event\", event);\n        sum += event;\n"
        "        step(fd, event);\n        if (sum < 0)\n            give_up(\"sum\", sum);\n    }\n}\n";
    struct versions versions;

    start(&versions, text, text);
    work_out(&versions, "f");
    assert_null(recipe_of(&versions, "wait_event")->reason);
    assert_null(recipe_of(&versions, "step")->reason);
    bool told = optimised || strcmp(compiler, "clang") != 0; /* it says nothing of what is only declared */
    for (size_t i = 0; told && i < versions.recipes.count; i++) {
        assert_string_not_equal(versions.recipes.items[i].callee, "give_up");
    }
    end(&versions);
}

#define MEMBER(more)                                                                                         \
    DECLARATIONS "struct inner { int a, b; };\nstruct whole { " more "int fd; struct inner inner; };\n"      \
                 "static inline void look(struct inner *inner)\n{\n    note(\"a\", inner->a);\n"             \
                 "    wait_event(inner->b);\n    step(inner->a, inner->b);\n}\n"                             \
                 "int f(struct whole *w)\n{\n    for (;;) {\n        look(&w->inner);\n"                     \
                 "        if (setup(0))\n            return w->fd;\n    }\n}\n"

/* A local that is told from another one by a number, which is another one in the new version. */
static void test_a_local_that_leads_to_a_moved_member(void **state)
{
    struct versions versions;

    start(&versions, MEMBER(""), MEMBER("long more[3]; "));
    work_out(&versions, "f");
    const struct recipe *recipe = recipe_of(&versions, optimised ? "wait_event" : "setup");
    if (recipe->reason) {
        fail_msg("%s", recipe->reason);
    }
    const struct recipe_value *value = value_of(recipe, "w");
    assert_non_null(value);
    assert_int_equal(value->addend, 0);
    end(&versions);
}

#define LEAF                                                                                                 \
    "asm(\".section .text.leaf,\\\"ax\\\"\\n.type leaf,@function\\nleaf:\\nmov $1,%eax\\nmov "               \
    "$2,%edx\\nret\\n"                                                                                       \
    ".size leaf,.-leaf\\n.text\\n\");\n"

#define LEAVES(before, after)                                                                                \
    LEAF ASSEMBLY(ENTER "1:\\n" WAIT before "call leaf\\ncall leaf\\n" after "jmp 1b\\n")

/* Whether both calls of leaf, with BEFORE in front of them or in the new version NOW, and AFTER behind, have
 * a recipe; WORDS: why not. */
#define expect_behind_leaf(before, now, after, words)                                                        \
    expect_recipes_of_leaf(LEAVES(before, after), LEAVES(now, after), words)

static void expect_recipes_of_leaf(const char *old, const char *new, const char *words)
{
    struct versions versions;

    start(&versions, old, new);
    work_out(&versions, "f");
    assert_int_equal(versions.recipes.count, 3); /* wait_event, leaf twice */
    for (unsigned i = 1; i <= 2; i++) {
        const char *reason = versions.recipes.items[i].reason;
        if (!words != !reason || (words && !strstr(reason, words))) {
            fail_msg("call %u: expected \"%s\", not \"%s\"", i, words ? words : "a recipe",
                     reason ? reason : "a recipe");
        }
    }
    end(&versions);
}

static void test_what_a_called_function_leaves_alone(void **state)
{
    expect_behind_leaf("mov %rbx,%r8\\n", "mov %rbx,%r8\\n", "mov %r8,%rbx\\n", NULL);
    expect_behind_leaf("mov $7,%r8\\n", "mov %rbx,%r8\\n", "mov %r8,%rbx\\n", "relies on r8");
    expect_behind_leaf("mov $7,%edx\\n", "mov %rbx,%rdx\\n", "mov %rdx,%rbx\\n", NULL); /* a result */
    expect_behind_leaf("movq %rbx,%xmm5\\n", "movq %rbx,%xmm5\\n", "movq %xmm5,%rbx\\n", NULL);
    expect_behind_leaf("movq %rax,%xmm5\\n", "movq %rbx,%xmm5\\n", "movq %xmm5,%rbx\\n", "relies on xmm5");
    expect_behind_leaf("", "", "mov %r8,%rbx\\n", NULL); /* what wait_event has left there */
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_is_worked_out_anew),
        cmocka_unit_test(test_numbers_are_extended_anew),
        cmocka_unit_test(test_what_has_changed_since_is_no_source),
        cmocka_unit_test(test_what_was_pushed_is_gone),
        cmocka_unit_test(test_what_addresses_lead_to_is_no_number),
        cmocka_unit_test(test_a_function_that_never_returns),
        cmocka_unit_test(test_a_tail_call_beside_a_switch),
        cmocka_unit_test(test_the_stack_guard),
        cmocka_unit_test(test_a_local_that_leads_to_a_moved_member),
        cmocka_unit_test(test_what_a_called_function_leaves_alone),
        cmocka_unit_test(test_the_same_code),
        cmocka_unit_test(test_a_statement_more),
        cmocka_unit_test(test_labels_taken),
        cmocka_unit_test(test_labels_computed),
        cmocka_unit_test(test_call_inside),
        cmocka_unit_test(test_a_variable_more),
        cmocka_unit_test(test_a_call_less),
        cmocka_unit_test(test_a_call_less_and_one_more),
        cmocka_unit_test(test_a_call_leaves_its_loop),
        cmocka_unit_test(test_a_wider_variable),
        cmocka_unit_test(test_another_structure),
        cmocka_unit_test(test_a_frame_that_longjmp_comes_back_to),
        cmocka_unit_test(test_a_local_for_longjmp_alone),
        cmocka_unit_test(test_a_frame_that_is_returned_to_twice),
        cmocka_unit_test(test_a_moved_member),
        cmocka_unit_test(test_numbers_that_code_has_in_it),
        cmocka_unit_test(test_a_buffer_that_nobody_keeps),
        cmocka_unit_test(test_a_buffer_that_somebody_keeps),
        cmocka_unit_test(test_doubles_that_move),
    };

    take_arguments(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
