/* test_types_compare COMPILER FLAGS: what became of types, and which member is which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiled.h"
#include "patch/memory.h"
#include "patch/types/compare.h"

static const char *compiler = "gcc", *flags = "-O0";

struct compared {
    struct object *old_object, *new_object;
    struct type_model *old, *new;
    json_t *hints;
    struct type_changes *changes;
};

static void compare(struct compared *compared, const char *old, const char *new, const char *hints)
{
    compared->old_object = compile_text(compiler, flags, old);
    compared->new_object = compile_text(compiler, flags, new);
    compared->old = model_of(compared->old_object);
    compared->new = model_of(compared->new_object);
    compared->hints = hints ? json_loads(hints, 0, NULL) : NULL;
    assert_true(!hints || compared->hints);
    compared->changes = type_changes_create(compared->old, compared->new, compared->hints);
}

static void compared_free(struct compared *compared)
{
    type_changes_destroy(compared->changes);
    json_decref(compared->hints);
    type_model_destroy(compared->old);
    type_model_destroy(compared->new);
    object_destroy(compared->old_object);
    object_destroy(compared->new_object);
}

static void add_pair(const struct type_pair *pair, struct text *text)
{
    static const char *const words[] = { "copy", "number", "enum", "array", "migrate", "none" };

    if (!pair->old_path) {
        text_printf(text, " +%s", pair->new_path);
    } else if (!pair->new_path) {
        text_printf(text, " -%s", pair->old_path);
    } else if (strcmp(pair->old_path, pair->new_path) == 0 && pair->conversion == TYPE_CONVERT_COPY) {
        text_printf(text, " %s", pair->new_path);
    } else if (strcmp(pair->old_path, pair->new_path) == 0) {
        text_printf(text, " %s:%s", pair->new_path, words[pair->conversion]);
    } else {
        text_printf(text, " %s>%s:%s", pair->old_path, pair->new_path, words[pair->conversion]);
    }
    text_puts(text, pair->overlaps ? "|" : "");
}

static char *dump(const struct type_change *change)
{
    /* in the order of enum type_change_kind */
    static const char *const kinds[] = { "added", "removed", "moved", "retyped", "renamed",
                                         "size",  "align",   "enum",  "inner" };
    struct text text = { 0 };

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (change->kinds & 1u << i) {
            text_printf(&text, "%s%s", text.length ? "," : "", kinds[i]);
        }
    }
    text_puts(&text, ":");
    for (size_t i = 0; i < change->pair_count; i++) {
        add_pair(&change->pairs[i], &text);
    }
    return text_steal(&text);
}

/* Checks what became of NAME; EXPECTED NULL: it did not change. */
static void check(const char *old, const char *new, const char *hints, const char *name, const char *expected)
{
    struct compared compared;

    compare(&compared, old, new, hints);
    const struct type *type = type_model_find(compared.new, name, NULL, NULL);
    assert_non_null(type);
    const struct type_change *change = type_changes_of_new(compared.changes, type);
    assert_int_equal(change != NULL, expected != NULL);
    if (change && change->old) {
        char *dumped = dump(change);
        assert_string_equal(dumped, expected);
        free(dumped);
        assert_ptr_equal(type_changes_of_old(compared.changes, change->old), change);
        assert_true(type_is_changed(compared.changes, change->old));
        assert_non_null(change->reason);
        assert_true(change->line > 0);
        assert_ptr_equal(type_changes_new_of(compared.changes, change->old), change->new);
    } else if (change) {
        assert_string_equal(expected, "new");
    }
    compared_free(&compared);
}

static void members(void **state)
{
    check("struct s { int a, b; } x;", "struct s { int a; int b; } x;", NULL, "struct s", NULL);
    check("struct s { int a, b; } x;", "struct s { int a, c, b; } x;", NULL, "struct s",
          "added,moved,size: a +c b");
    check("struct s { int a, b, c; } x;", "struct s { int a, c; } x;", NULL, "struct s",
          "removed,moved,size: a c -b");
    check("struct s { int a, b; } x;", "struct s { int b, a; } x;", NULL, "struct s", "moved: b a");
    check("struct s { int a; char c; } x;", "struct s { int a; char c, d; } x;", NULL, "struct s",
          "added: a c +d");
    check("struct s { int a; } x;", "struct s { int a; } x; struct t { int z; } y;", NULL, "struct t", "new");
}

static void numbers(void **state)
{
    check("struct s { int a; char b; } x;", "struct s { unsigned a; unsigned char b; } x;", NULL, "struct s",
          NULL);
    check("struct s { int a; } x;", "struct s { long a; } x;", NULL, "struct s",
          "retyped,size,align: a:number");
    check("struct s { int a; } x;", "struct s { float a; } x;", NULL, "struct s", "retyped: a:number");
    check("struct s { char a; } x;", "struct s { _Bool a; } x;", NULL, "struct s", "retyped: a:number");
    check("struct s { int a : 3, b : 5; } x;", "struct s { int a : 4, b : 5; } x;", NULL, "struct s",
          "moved,retyped: a b");
}

static void pointers(void **state)
{
    check("struct t { int i; }; struct s { struct t *a; void *b; char *c; void (*f)(int); } x; struct t y;",
          "struct t { int i; }; struct s { void *a; struct t *b; int *c; int (*f)(long); } x; struct t y;",
          NULL, "struct s", NULL);
    check("struct t { int i; } y; struct u { int i; } z; struct s { struct t *a; } x;",
          "struct t { int i; } y; struct u { int i; } z; struct s { struct u *a; } x;", NULL, "struct s",
          "retyped: a:none");
    check("struct t { int i; } y; struct s { struct t *a; } x;",
          "struct v { int i; } y; struct s { struct v *a; } x;",
          "[{\"kind\":\"type\",\"action\":\"renamed\",\"old_name\":\"t\",\"name\":\"v\"}]", "struct s", NULL);
    check("struct s { struct t *a; } x;", "struct s { struct u *a; } x;", NULL, "struct s",
          "retyped: a:none");
    check("#include <stdint.h>\nstruct s { uintptr_t a; long b; } x;", "struct s { void *a; void *b; } x;",
          NULL, "struct s", "retyped: a b:none");
    check("struct s { int a; } x;", "struct s { int *a; } x;", NULL, "struct s",
          "retyped,size,align: a:none");
}

static void arrays(void **state)
{
    check("struct s { char t[8]; int n; } x;", "struct s { char t[16]; int n; } x;", NULL, "struct s",
          "moved,retyped,size: t:array n");
    check("struct s { int n[2][3]; } x;", "struct s { long n[2][3]; } x;", NULL, "struct s",
          "retyped,size,align: n:array");
    check("struct s { int n[2]; } x;", "struct s { int n; } x;", NULL, "struct s", "retyped,size: n:none");
    check("struct e { int a; }; struct s { struct e n[4]; } x;",
          "struct e { int a, b; }; struct s { struct e n[4]; } x;", NULL, "struct s",
          "retyped,size: n:array");
    check("struct s { int n; char t[]; }; struct s *x;", "struct s { int n, m; char t[]; }; struct s *x;",
          NULL, "struct s", "added,moved,size: n +m t");
    check("struct s { int n; int t[]; }; struct s *x;", "struct s { int n; long t[]; }; struct s *x;", NULL,
          "struct s", "moved,retyped,size,align: n t:array");
}

static void embedded(void **state)
{
    check("struct e { int a; }; struct s { struct e e; int z; } x;",
          "struct e { int a, b; }; struct s { struct e e; int z; } x;", NULL, "struct s",
          "moved,size,inner: e:migrate z");
    check("struct e { int a; }; struct s { struct e *e; int z; } x; struct e y;",
          "struct e { int a, b; }; struct s { struct e *e; int z; } x; struct e y;", NULL, "struct s", NULL);
    check("struct s { struct { int x, y; } p; int z; } x;", "struct s { struct { int y, x; } p; int z; } x;",
          NULL, "struct s", "moved: p.y p.x z");
    check("struct s { union { int i; char *p; }; int z; } x;",
          "struct s { int k; union { int i; char *p; }; int z; } x;", NULL, "struct s",
          "added,moved,size: +k i| p| z");
    check("typedef struct { int x, y; } point; struct s { point p; } x;",
          "typedef struct { int x, y, z; } point; struct s { point p; } x;", NULL, "point",
          "added,size: x y +z");
    check("struct a { int i, j; }; struct s { struct a base; } x;",
          "struct b { int j, k; }; struct s { struct b base; } x;", NULL, "struct s",
          "added,removed,moved: base.j +base.k -base.i");
    check("struct s { struct { int a; } t[2]; } x;", "struct s { struct { int a, b; } t[2]; } x;", NULL,
          "struct s", "retyped,size: t:array");
}

static void moved_in_and_out(void **state)
{
    check("struct s { int x, y, z; } s;", "struct p { int x, y; }; struct s { struct p at; int z; } s;", NULL,
          "struct s", NULL);
    check("struct p { int x, y; }; struct s { struct p at; long z; } s;", "struct s { long z; int y, x; } s;",
          NULL, "struct s", "moved: z at.y>y:copy at.x>x:copy");
    check("struct p { int x, y; }; struct s { struct p at; long z; } s;",
          "struct p { int x; }; struct s { struct p at; int y; long z; } s;", NULL, "struct s",
          "inner: at:migrate at.y>y:copy z");
    check("struct p { int x; }; struct s { struct p at; long z; int y; } s;",
          "struct p { int x; int y; }; struct s { struct p at; long z; } s;", NULL, "struct s",
          "moved,size,inner: at:migrate y>at.y:copy z");
}

static void renames(void **state)
{
    check("struct s { int a, b; } x;", "struct s { int a, c; } x;", NULL, "struct s",
          "added,removed: a +c -b");
    check("struct s { int a, b; } x;", "struct s { int a, c; } x;",
          "[{\"kind\":\"member\",\"action\":\"renamed\",\"owner\":\"s\",\"old_name\":\"b\",\"name\":\"c\","
          "\"confidence\":0.9,\"evidence\":\"in place\"}]",
          "struct s", NULL);
    check("struct s { int a, b; } x;", "struct s { int a, c; } x;",
          "[{\"kind\":\"member\",\"action\":\"renamed\",\"owner\":\"s\",\"old_name\":\"b\",\"name\":\"c\","
          "\"confidence\":0.7,\"evidence\":\"same place\"}]",
          "struct s", "added,removed: a +c -b");
    check("struct s { int a, b; } x;", "struct s { long c, a; } x;",
          "[{\"kind\":\"member\",\"action\":\"renamed\",\"owner\":\"s\",\"old_name\":\"b\",\"name\":\"c\"}]",
          "struct s", "moved,retyped,renamed,size,align: b>c:number a:number");
    check("struct s { int a, b; } x;", "struct r { int a, b, c; } x;",
          "[{\"kind\":\"type\",\"action\":\"renamed\",\"old_name\":\"s\",\"name\":\"r\"}]", "struct r",
          "added,size: a b +c");
    check("typedef struct { int a; } s; s x;", "typedef struct { int b; long c; } s; s x;",
          "[{\"kind\":\"member\",\"action\":\"renamed\",\"owner\":\"\",\"old_name\":\"a\",\"name\":\"b\"}]",
          "s", "added,size,align: a>b:copy +c");
}

static void enumerations(void **state)
{
    const char *old = "enum e { A, B, C }; struct s { enum e e; int n; } x;";

    check(old, "enum e { A, B, C, D }; struct s { enum e e; int n; } x;", NULL, "struct s", NULL);
    check(old, "enum e { A, B, C, D }; struct s { enum e e; int n; } x;", NULL, "enum e", NULL);
    check(old, "enum e { A, N, B, C }; struct s { enum e e; int n; } x;", NULL, "enum e", "enum:");
    check(old, "enum e { A, N, B, C }; struct s { enum e e; int n; } x;", NULL, "struct s", "enum: e:enum n");
    check(old, "enum e { A, B }; struct s { enum e e; int n; } x;", NULL, "struct s", NULL);
    check(old, "enum e { A, B, Z }; struct s { enum e e; int n; } x;", NULL, "struct s", "enum: e:enum n");
    check(old, "enum e { A, B, Z }; struct s { enum e e; int n; } x;",
          "[{\"kind\":\"enumerator\",\"action\":\"renamed\",\"owner\":\"e\",\"old_name\":\"C\",\"name\":"
          "\"Z\"}]",
          "struct s", NULL);
    check(old, "enum e { A, B, C }; struct s { int e; int n; } x; enum e y;", NULL, "struct s", NULL);
}

/* The same tag in two units changes in one of them only; and a type that another file only declares is the
 * same. */
static void two_meanings(void **state)
{
    struct object *old_a = compile_text(compiler, flags, "struct l { int a; } x;");
    struct object *old_b =
        compile_text(compiler, flags, "struct l { char *b; } x; struct far { struct l *l; } y;");
    struct object *new_a = compile_text(compiler, flags, "struct l { int a, c; } x;");
    struct type_model *old = type_model_create(), *new = type_model_create();

    type_model_add_all(old, object_dwarf(old_b), "b.c");
    type_model_add_all(old, object_dwarf(old_a), "a.c");
    type_model_add_all(new, object_dwarf(new_a), "a.c");
    struct type_changes *changes = type_changes_create(old, new, NULL);
    assert_int_equal(type_changes_count(changes), 1);
    assert_true(type_is_changed(changes, type_model_find(old, "struct l", "a.c", NULL)));
    assert_false(type_is_changed(changes, type_model_find(old, "struct far", "b.c", NULL)));
    assert_string_equal(type_changes_at(changes, 0)->reason, "member 'c' (int) added at offset 4");
    type_changes_destroy(changes);
    type_model_destroy(old);
    type_model_destroy(new);
    object_destroy(old_a);
    object_destroy(old_b);
    object_destroy(new_a);
}

/* What became of struct l of a.c where NEW_A (NULL: a.c did not change) and NEW_B are a.c and b.c now. */
static void check_name_taken(const char *new_a, const char *new_b, bool expected)
{
    struct object *objects[] = { compile_text(compiler, flags, "struct l { int a; } x;"),
                                 compile_text(compiler, flags, "int y;"),
                                 new_a ? compile_text(compiler, flags, new_a) : NULL,
                                 compile_text(compiler, flags, new_b) };
    struct type_model *old = type_model_create(), *new = type_model_create();

    type_model_add_all(old, object_dwarf(objects[0]), "a.c");
    type_model_add_all(old, object_dwarf(objects[1]), "b.c");
    if (new_a) {
        type_model_add_all(new, object_dwarf(objects[2]), "a.c");
    }
    type_model_add_all(new, object_dwarf(objects[3]), "b.c");
    struct type_changes *changes = type_changes_create(old, new, NULL);
    assert_int_equal(type_changes_any(changes), expected);
    assert_int_equal(type_is_changed(changes, type_model_find(old, "struct l", "a.c", NULL)), expected);
    type_changes_destroy(changes);
    type_model_destroy(old);
    type_model_destroy(new);
    for (unsigned i = 0; i < 4; i++) {
        object_destroy(objects[i]);
    }
}

/* A file takes a name that another has: for its own type, for what the other's has become, or as the type
 * moves. */
static void name_taken(void **state)
{
    check_name_taken(NULL, "struct l { double b; int a; } z;", false);
    check_name_taken("struct l { int a; } x; int y;", "struct l { double b; int a; } z;", false);
    check_name_taken("struct l { double b; int a; } x;", "struct l { double b; int a; } z;", true);
    check_name_taken("int x;", "struct l { double b; int a; } z;", true);
    check_name_taken(NULL, "struct l { int a; } z;", false);
}

static void removed_types(void **state)
{
    struct compared compared;

    compare(&compared, "struct s { int a; } x;", "int x;",
            "[{\"kind\":\"type\",\"action\":\"removed\",\"name\":\"s\"}]");
    const struct type *old = type_model_find(compared.old, "struct s", NULL, NULL);
    assert_null(type_changes_new_of(compared.changes, old));
    assert_int_equal(type_changes_count(compared.changes), 1);
    assert_null(type_changes_of_old(compared.changes, old)->new);
    compared_free(&compared);
}

/* Two units define the same types; what the first one only declares leads, in the second one, to what both
 * define. */
static struct type_model *model_of_two(struct object *const objects[2])
{
    struct type_model *model = type_model_create();

    type_model_add_all(model, object_dwarf(objects[0]), "a.c");
    type_model_add_all(model, object_dwarf(objects[1]), "b.c");
    return model;
}

static void met_in_another_unit(void **state)
{
    struct object *old[] = {
        compile_text(compiler, flags,
                     "struct far; struct first { struct far *f; } x; struct s { int a; } y;"),
        compile_text(compiler, flags, "struct s { int a; } y; struct far { struct s *s; } z;"),
    };
    struct object *new[] = {
        compile_text(compiler, flags,
                     "struct far; struct first { struct far *f; } x; struct s { int b, a; } y;"),
        compile_text(compiler, flags, "struct s { int b, a; } y; struct far { struct s *s; } z;"),
    };
    struct compared compared = { .old = model_of_two(old), .new = model_of_two(new) };

    compared.changes = type_changes_create(compared.old, compared.new, NULL);
    assert_int_equal(type_changes_count(compared.changes), 1);
    assert_string_equal(type_changes_at(compared.changes, 0)->new->name, "s");
    compared_free(&compared);
    for (unsigned i = 0; i < 2; i++) {
        object_destroy(old[i]);
        object_destroy(new[i]);
    }
}

/* The units that changed only know the name of what others define. */
static void only_declared(void **state)
{
    check("struct s { int a; } x; typedef struct s s; s *p;",
          "typedef struct s s; s *p; struct t { s *s; } y;", NULL, "struct t", "new");
    struct compared compared;

    compare(&compared, "struct s { int a; } x; typedef struct s s; s *p;", "typedef struct s s; s *p;", NULL);
    assert_int_equal(type_changes_count(compared.changes), 0);
    compared_free(&compared);
}

static void any_two(void **state)
{
    struct compared compared;
    struct type_pair *pairs;

    compare(&compared, "struct message { int kind; char *user, *text; } x;",
            "struct info { char *text; } x; struct user_message { char *user, *text; int n; } y;", NULL);
    const struct type *old = type_model_find(compared.old, "struct message", NULL, NULL);
    const struct type *new = type_model_find(compared.new, "struct user_message", NULL, NULL);
    assert_int_equal(types_pair_members(compared.changes, old, new, &pairs), 4);
    assert_string_equal(pairs[0].old_path, "user");
    assert_null(pairs[2].old_path);
    assert_string_equal(pairs[3].old_path, "kind");
    free(pairs);
    compared_free(&compared);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),       cmocka_unit_test(numbers),
        cmocka_unit_test(pointers),      cmocka_unit_test(arrays),
        cmocka_unit_test(embedded),      cmocka_unit_test(moved_in_and_out),
        cmocka_unit_test(renames),       cmocka_unit_test(enumerations),
        cmocka_unit_test(two_meanings),  cmocka_unit_test(removed_types),
        cmocka_unit_test(any_two),       cmocka_unit_test(met_in_another_unit),
        cmocka_unit_test(only_declared), cmocka_unit_test(name_taken),
    };

    if (argc == 3) {
        compiler = argv[1];
        flags = argv[2];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
