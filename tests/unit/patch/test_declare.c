/* test_declare COMPILER FLAGS [SEED]: declarations reproduce layouts, those of real programs and of random
 * types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiled.h"
#include "patch/types/declare.h"
#include "patch/memory.h"

static const char *compiler = "gcc", *flags = "-O0", *binary;
static unsigned seed = 1;

/* ---- the same layout? ------------------------------------------------------------------------------ */

static bool same(const struct type *one, const struct type *other);

static bool is_padding(const struct type_member *member)
{
    return member->name && strncmp(member->name, "molt_padding_", strlen("molt_padding_")) == 0;
}

static bool same_names(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : one == other;
}

static bool same_members(const struct type *one, const struct type *other)
{
    size_t at = 0;

    for (size_t i = 0; i < one->member_count; i++, at++) {
        while (at < other->member_count && is_padding(&other->members[at])) {
            at++;
        }
        if (at == other->member_count) {
            return false;
        }
        const struct type_member *a = &one->members[i], *b = &other->members[at];
        if (!same_names(a->name, b->name) || a->bit_offset != b->bit_offset || a->bit_size != b->bit_size ||
            !same(a->type, b->type)) {
            print_error("member %s at %lu:%u is %s at %lu:%u\n", a->name ? a->name : "-",
                        (unsigned long)a->bit_offset, a->bit_size, b->name ? b->name : "-",
                        (unsigned long)b->bit_offset, b->bit_size);
            return false;
        }
    }
    while (at < other->member_count && is_padding(&other->members[at])) {
        at++;
    }
    return at == other->member_count;
}

static bool same(const struct type *one, const struct type *other)
{
    one = type_strip(one);
    other = type_strip(other);
    if (one->size != other->size) {
        return false;
    }
    if (type_is_compound(one)) {
        return one->kind == other->kind && one->alignment == other->alignment && same_members(one, other);
    }
    if (one->kind == TYPE_ARRAY) {
        return other->kind == TYPE_ARRAY && one->count == other->count && same(one->inner, other->inner);
    }
    if (one->kind == TYPE_ENUM || one->kind == TYPE_BASE) {
        return (other->kind == TYPE_ENUM || other->kind == TYPE_BASE) && one->encoding == other->encoding;
    }
    return one->kind == other->kind || one->kind == TYPE_OTHER;
}

/* ---- declaring everything -------------------------------------------------------------------------- */

struct all {
    struct declarations *declarations;
    LIST(const struct type *) types;
    LIST(char *) names;
    struct text uses;
};

static bool declare_one(void *context, const struct type *type)
{
    struct all *all = context;

    if (type->kind != TYPE_ENUM && type->size) {
        declare(all->declarations, type);
        char *name = declared_name(all->declarations, type);
        text_printf(&all->uses, "%s use_%zu;\n", name, all->types.count);
        LIST_ADD(&all->types, type);
        LIST_ADD(&all->names, name);
    }
    return true;
}

/* Declares all types of MODEL, compiles that, and looks whether they are the same again. */
static size_t check_all(struct type_model *model)
{
    struct text text = { 0 };
    struct declaration_rules rules = { .suffix = "_molt_old" };
    struct all all = { .declarations = declarations_create(&rules, &text) };

    type_model_walk(model, declare_one, &all);
    assert_true(all.types.count > 0);
    text_append(&text, all.uses.bytes, all.uses.length);
    struct object *object = compile_text(compiler, flags, text.bytes);
    struct type_model *again = model_of(object);
    for (size_t i = 0; i < all.types.count; i++) {
        const struct type *type = type_model_find(again, all.names.items[i], NULL, NULL);
        assert_non_null(type);
        if (!same(all.types.items[i], type)) {
            fail_msg("%s is not the same again (seed %u):\n%s", all.names.items[i], seed,
                     text.length < 20000 ? text.bytes : "");
        }
        free(all.names.items[i]);
    }
    size_t count = all.types.count;
    LIST_FREE(&all.types);
    LIST_FREE(&all.names);
    text_deinit(&all.uses);
    text_deinit(&text);
    declarations_destroy(all.declarations);
    type_model_destroy(again);
    object_destroy(object);
    return count;
}

static void check_text(const char *text)
{
    struct object *object = compile_text(compiler, flags, text);
    struct type_model *model = model_of(object);

    (void)check_all(model);
    type_model_destroy(model);
    object_destroy(object);
}

static void special_types(void **state)
{
    check_text("struct __attribute__((packed)) a { char c; int i; struct { long l; char d; } in; } x;"
               "struct b { char c; struct a a[3]; int n; } y; struct c { char c; } "
               "__attribute__((aligned(64))); struct c z;"
               "struct d { char c; struct c c1; _Alignas(16) char e; } v;");
    check_text("struct a { unsigned x : 3; int : 0; unsigned y : 5; unsigned long z : 60; _Bool b : 1; } x;"
               "union u { char c[7]; int i : 9; struct a a; } y; struct h { union u u; union { long l; char "
               "k; }; } z;");
    check_text("struct __attribute__((packed)) a { char c; int x : 1; unsigned y : 32; short z : 16; char "
               "d[3]; } x;");
    check_text("enum __attribute__((packed)) small { S1, S2 = 200 }; enum big { B = 0x100000000 }; enum neg "
               "{ N = -1 };"
               "typedef enum { T1, T2 } tag_t; enum never; struct s { enum small a; enum big b; enum neg c : "
               "4; tag_t d; "
               "enum { U1, U2 } e; enum never *f; enum small *g; } x;");
    check_text("typedef struct node node; typedef struct { node *n; int i; } list; struct part { void "
               "(*f)(struct node *, list); };"
               "struct node { struct part part; node *next; list *l; list all[2]; int (*(*g)(void))(struct "
               "late *); } x;");
}

static void names(void **state)
{
    struct object *object =
        compile_text(compiler, flags,
                     "struct conn; struct item { struct conn *owner; int flags : 3; enum { A, B } e; };"
                     "typedef struct { struct item first; struct item **all; } list_t;"
                     "struct conn { list_t items; list_t *more; enum state { IDLE, BUSY = 4 } state; } x;");
    struct type_model *model = model_of(object);
    struct text text = { 0 };
    struct declaration_rules rules = { .suffix = "_molt_old" };
    struct declarations *declarations = declarations_create(&rules, &text);
    const struct type *conn = type_model_find(model, "struct conn", NULL, NULL);

    declare(declarations, conn);
    assert_string_equal(
        text.bytes, "struct conn_molt_old;\n"
                    "struct item_molt_old {\n"
                    "    struct conn_molt_old *owner;\n"
                    "    int flags : 3;\n"
                    "    unsigned int e;\n"
                    "};\n"
                    "_Static_assert(sizeof(struct item_molt_old) == 16 &&\n"
                    "                   __builtin_offsetof(struct item_molt_old, owner) == 0 &&\n"
                    "                   __builtin_offsetof(struct item_molt_old, e) == 12,\n"
                    "               \"struct item_molt_old has another layout than in the program\");\n\n"
                    "typedef struct {\n"
                    "    struct item_molt_old first;\n"
                    "    struct item_molt_old **all;\n"
                    "} list_t_molt_old;\n"
                    "_Static_assert(sizeof(list_t_molt_old) == 24 &&\n"
                    "                   __builtin_offsetof(list_t_molt_old, first) == 0 &&\n"
                    "                   __builtin_offsetof(list_t_molt_old, all) == 16,\n"
                    "               \"list_t_molt_old has another layout than in the program\");\n\n"
                    "enum state_molt_old {\n"
                    "    IDLE_molt_old = 0,\n"
                    "    BUSY_molt_old = 4,\n"
                    "};\n"
                    "_Static_assert(sizeof(enum state_molt_old) == 4,\n"
                    "               \"enum state_molt_old has another layout than in the program\");\n\n"
                    "struct conn_molt_old {\n"
                    "    list_t_molt_old items;\n"
                    "    list_t_molt_old *more;\n"
                    "    enum state_molt_old state;\n"
                    "};\n"
                    "_Static_assert(sizeof(struct conn_molt_old) == 40 &&\n"
                    "                   __builtin_offsetof(struct conn_molt_old, items) == 0 &&\n"
                    "                   __builtin_offsetof(struct conn_molt_old, more) == 24 &&\n"
                    "                   __builtin_offsetof(struct conn_molt_old, state) == 32,\n"
                    "               \"struct conn_molt_old has another layout than in the program\");\n\n");
    assert_true(declarations_has(declarations, "list_t_molt_old"));
    assert_false(declarations_has(declarations, "list_t"));
    struct text written = { 0 };
    declare_object(declarations, conn->members[1].type, "x[4]", &written);
    assert_string_equal(written.bytes, "list_t_molt_old *x[4]");
    text_deinit(&written);
    declarations_destroy(declarations);
    text_deinit(&text);
    type_model_destroy(model);
    object_destroy(object);
}

static bool is_conn(void *context, const struct type *type)
{
    return type->name && strcmp(type->name, "conn") == 0;
}

static bool knows_list(void *context, const char *name)
{
    return strcmp(name, "list_t") == 0;
}

/* Only some types are old, and some are declared by headers. */
static void rules(void **state)
{
    struct object *object =
        compile_text(compiler, flags,
                     "typedef struct { int n; } list_t; struct item { int i; };"
                     "struct conn { list_t list; struct item item; struct conn *next; } x;");
    struct type_model *model = model_of(object);
    struct text text = { 0 };
    struct declaration_rules rules = { .suffix = "_molt_old", .suffixed = is_conn, .known = knows_list };
    struct declarations *declarations = declarations_create(&rules, &text);

    declare(declarations, type_model_find(model, "struct conn", NULL, NULL));
    assert_null(strstr(text.bytes, "typedef"));
    assert_non_null(strstr(text.bytes, "struct item {\n    int i;\n}"));
    assert_non_null(strstr(text.bytes, "struct conn_molt_old {\n    list_t list;\n    struct item item;\n"
                                       "    struct conn_molt_old *next;\n}"));
    declarations_destroy(declarations);
    text_deinit(&text);
    type_model_destroy(model);
    object_destroy(object);
}

/* ---- random types ---------------------------------------------------------------------------------- */

static unsigned pick(unsigned count)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % count;
}

/* One draw per statement: compilers evaluate arguments in orders of their own, and a seed must mean the
 * same types. */
static void random_members(struct text *text, unsigned declared, unsigned depth);

static void random_aggregate(struct text *text, unsigned declared, unsigned depth)
{
    static const char *const attributes[] = { "",
                                              "",
                                              "",
                                              "__attribute__((packed)) ",
                                              "__attribute__((aligned(16))) ",
                                              "__attribute__((packed, aligned(4))) " };

    const char *word = pick(4) ? "struct" : "union";
    text_printf(text, "%s %s{\n", word, attributes[pick(6)]);
    random_members(text, declared, depth + 1);
    text_puts(text, "}");
}

static void random_members(struct text *text, unsigned declared, unsigned depth)
{
    static const char *const bases[] = { "char",        "short",    "int",           "long",
                                         "unsigned",    "_Bool",    "double",        "float",
                                         "long double", "void *",   "unsigned char", "__int128",
                                         "enum small",  "enum big", "_Complex float" };
    static const char *const integers[] = { "char",     "short", "int",           "long",
                                            "unsigned", "_Bool", "unsigned long", "unsigned char" };
    static const unsigned widths[] = { 8, 16, 32, 64, 32, 1, 64, 8 };
    static unsigned number;
    unsigned count = 1 + pick(6);

    for (unsigned i = 0; i < count; i++) {
        unsigned integer = pick(8), base = pick(15), rows = 1 + pick(3);
        switch (pick(depth < 3 ? 9 : 6)) {
        case 0:
            text_printf(text, "%s m%u : %u;\n", integers[integer], number++, 1 + pick(widths[integer]));
            break;
        case 1:
            if (pick(3)) {
                text_printf(text, "unsigned : %u;\n", 1 + pick(30));
            } else {
                text_printf(text, "int : 0; int m%u : 3;\n", number++);
            }
            text_printf(text, "char m%u;\n", number++);
            break;
        case 2:
            text_printf(text, "%s m%u[%u][%u];\n", bases[base], number++, rows, 1 + pick(4));
            break;
        case 3:
            text_printf(text, "_Alignas(%u) %s m%u;\n", 16u << pick(2), bases[base], number++);
            break;
        case 4:
        case 5:
            if (declared) {
                text_printf(text, "struct s%u m%u;\n", pick(declared), number++);
                break;
            }
            /* fallthrough */
        case 6:
            text_printf(text, "%s m%u;\n", bases[base], number++);
            break;
        case 7:
            random_aggregate(text, declared, depth);
            text_puts(text, ";\n");
            break;
        default:
            random_aggregate(text, declared, depth);
            text_printf(text, " m%u%s;\n", number++, pick(2) ? "[2]" : "");
        }
    }
}

static void random_types(void **state)
{
    static const char *const attributes[] = { "", "", "__attribute__((packed)) ",
                                              "__attribute__((aligned(32))) " };
    struct text text = { 0 };

    print_message("seed %u\n", seed);
    text_puts(&text, "enum __attribute__((packed)) small { S1, S2 }; enum big { B = 0x100000000 };\n");
    for (unsigned i = 0; i < 200; i++) {
        text_printf(&text, "struct %ss%u {\n", attributes[pick(4)], i);
        random_members(&text, i, 0);
        text_printf(&text, "};\nstruct s%u x%u;\n", i, i);
    }
    check_text(text.bytes);
    text_deinit(&text);
}

static void real_program(void **state)
{
    struct type_model *model = type_model_create();
    int fd = open(binary, O_RDONLY);
    Dwarf *dwarf = dwarf_begin(fd, DWARF_C_READ);

    assert_non_null(dwarf);
    type_model_add_all(model, dwarf, "program");
    print_message("%zu types\n", check_all(model));
    type_model_destroy(model);
    dwarf_end(dwarf);
    close(fd);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_types), cmocka_unit_test(names),        cmocka_unit_test(rules),
        cmocka_unit_test(random_types),  cmocka_unit_test(real_program),
    };

    if (argc >= 3) {
        compiler = argv[1];
        flags = argv[2];
    }
    seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
    binary = argc > 4 ? argv[4] : "/proc/self/exe";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
