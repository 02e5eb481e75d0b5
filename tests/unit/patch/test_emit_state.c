/* test_emit_state COMPILER FLAGS: layouts and fields that a patch says of types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "compiled.h"
#include "patch/emit/state.h"

static const char *compiler = "gcc", *flags = "-O0";

struct emitted {
    struct object *old_object, *new_object;
    struct type_model *old, *new;
    struct type_changes *changes;
    struct molt_diagnostics diagnostics;
    struct emission emission;
    struct state_emission state;
};

static void start(struct emitted *emitted, const char *old, const char *new)
{
    *emitted = (struct emitted){ 0 };
    emitted->old_object = compile_text(compiler, flags, old);
    emitted->new_object = compile_text(compiler, flags, new);
    emitted->old = model_of(emitted->old_object);
    emitted->new = model_of(emitted->new_object);
    emitted->changes = type_changes_create(emitted->old, emitted->new, NULL);
    emission_init(&emitted->emission, NULL, 0, &emitted->diagnostics);
    state_emission_init(&emitted->state, &emitted->emission, emitted->changes);
}

static void end(struct emitted *emitted)
{
    state_emission_deinit(&emitted->state);
    emission_deinit(&emitted->emission);
    type_changes_destroy(emitted->changes);
    type_model_destroy(emitted->old);
    type_model_destroy(emitted->new);
    object_destroy(emitted->old_object);
    object_destroy(emitted->new_object);
}

static uint32_t emit(struct emitted *emitted, struct type_model *model, const char *name)
{
    const struct type *type = type_model_find(model, name, NULL, NULL);

    assert_non_null(type);
    return emit_layout(&emitted->state, type);
}

static const char *string(const struct emitted *emitted, uint32_t offset)
{
    return emitted->emission.strings.bytes + offset;
}

static const char *name_of(const struct emitted *emitted, uint32_t layout)
{
    const char *name = string(emitted, emitted->emission.layouts.items[layout].name);

    return strncmp(name, "struct {", 8) == 0 || strncmp(name, "union {", 7) == 0 ? "{}" : name;
}

/* "struct s! 16 next@0 P struct s; ..." */
static char *dump(const struct emitted *emitted, uint32_t index)
{
    const struct molt_patch_layout *layout = &emitted->emission.layouts.items[index];
    struct text text = { 0 };

    text_printf(&text, "%s%s %u", name_of(emitted, index), layout->flags & MOLT_LAYOUT_CHANGED ? "!" : "",
                layout->size);
    for (uint32_t i = layout->field; i < layout->field + layout->field_count; i++) {
        const struct molt_patch_field *field = &emitted->emission.fields.items[i];
        text_printf(&text, "; %s@%u", string(emitted, field->name), field->offset);
        if (field->count != 1) {
            text_printf(&text, "*%u/%u", field->count, field->stride);
        }
        text_printf(&text, " %c %s", "PCWM"[field->kind],
                    field -> layout ? name_of(emitted, field->layout) : "-");
        if (field->kind == MOLT_FIELD_MEMBER) {
            assert_true(field->layout < index);
        }
    }
    if (layout->tail_stride) {
        text_printf(&text, "; tail@%u/%u %s", layout->tail_offset, layout->tail_stride,
                    name_of(emitted, layout->tail));
        assert_true(layout->tail < index);
    }
    return text_steal(&text);
}

static void check(const char *source, const char *name, const char *expected)
{
    struct emitted emitted;

    start(&emitted, source, source);
    char *dumped = dump(&emitted, emit(&emitted, emitted.old, name));
    assert_string_equal(dumped, expected);
    free(dumped);
    end(&emitted);
}

static void fields(void **state)
{
    check("struct t { int i; }; struct s { int n; struct t *t; void *v; char *c; void (*f)(void); int *i; "
          "struct later *l; struct s *next; unsigned b : 3; double d; } x; struct t y;",
          "struct s",
          "struct s 80; t@8 P struct t; v@16 P -; c@24 P -; f@32 C -; i@40 P int; l@48 P -; next@56 P struct "
          "s");
    check("#include <stdint.h>\ntypedef uintptr_t tagged; struct s { tagged t[2]; intptr_t i; long l; char "
          "buf[64]; } x;",
          "struct s", "struct s 96; t@0*2/8 W -; i@16 W -");
    check("struct t { void *p; }; struct s { struct t a, b[3]; struct t *c[2][2]; struct { int k; char **q; "
          "} in; "
          "struct { void *z; } many[2]; } x;",
          "struct s",
          "struct s 96; a@0 M struct t; b@8*3/8 M struct t; c@32*4/8 P struct t; q@72 P char *; many@80*2/8 "
          "M {}");
}

static void unions(void **state)
{
    check("struct t { int i; } y; struct s { union { struct t *a; void *b; }; union { long n; void *p; } u; "
          "} x;",
          "struct s", "struct s 16; @0 P -; @8 W -");
    check("union u { struct { int k; void *p; } a; struct { int k; long l; } b; } x;", "union u",
          "union u 16; @8 W -");
    check("union u { struct { void *q; void *p; } a; void *only; } x;", "union u",
          "union u 16; @0 P -; @8 W -");
    check("union u { void (*f)(void); int (*g)(int); } x;", "union u", "union u 8; @0 C -");
}

static void tails(void **state)
{
    check("struct e { void *p; }; struct s { int n; struct e items[]; }; struct s *x;", "struct s",
          "struct s 8; tail@8/8 struct e");
    check("struct s { void *p; char text[]; }; struct s *x;", "struct s",
          "struct s 8; p@0 P -; tail@8/1 char");
    check("struct s { int n; struct s *kids[0]; }; struct s *x;", "struct s",
          "struct s 8; tail@8/8 struct s *");
    check("struct i { int n; long t[]; }; struct s { void *p; struct i i; }; struct s *x;", "struct s",
          "struct s 16; p@0 P -; i@8 M struct i; tail@16/8 long");
}

/* What changed is there twice, the old one first; what did not is there once, asked for from either side. */
static void sides(void **state)
{
    struct emitted emitted;

    start(&emitted,
          "struct t { int i; }; struct s { struct t *t; struct u *u; }; struct u { char *p; int n; }; struct "
          "s x; struct t y; struct u z;",
          "struct t { long i; }; struct s { struct t *t; struct u *r; }; struct u { char *p; int n; }; "
          "struct s x; struct t y; struct u z;");
    uint32_t after = emit(&emitted, emitted.new, "struct t");
    uint32_t before = emit(&emitted, emitted.old, "struct t");
    assert_true(before < after);
    assert_int_equal(emitted.emission.layouts.items[before].flags, MOLT_LAYOUT_CHANGED);
    assert_int_equal(emitted.emission.layouts.items[after].flags, 0);
    assert_int_equal(emit(&emitted, emitted.new, "struct u"), emit(&emitted, emitted.old, "struct u"));
    end(&emitted);

    start(&emitted, "struct s { int a; char *p; } x;", "struct s { int b; void *p; } x;");
    assert_int_equal(emit(&emitted, emitted.new, "struct s"), emit(&emitted, emitted.new, "struct s"));
    end(&emitted);
}

/* Members that swapped: another layout with the same hash, found behind the old one. A pointer's target
 * counts for nothing. */
static void hashes(void **state)
{
    struct emitted emitted;

    start(&emitted, "struct s { int a, b; } x; struct t { struct s *p; int q; } y; struct v { int n; } z;",
          "struct s { int b, a; } x; struct t { void *p; unsigned q; } y; struct v { int n, m; } z;");
    const struct molt_patch_layout *layouts;
    uint32_t old = emit(&emitted, emitted.old, "struct s"), new = emit(&emitted, emitted.new, "struct s");
    uint32_t t = emit(&emitted, emitted.old, "struct t"), same = emit(&emitted, emitted.new, "struct t");
    uint32_t v = emit(&emitted, emitted.old, "struct v"), w = emit(&emitted, emitted.new, "struct v");
    layouts = emitted.emission.layouts.items;
    assert_true(old < new);
    assert_int_equal(layouts[old].hash, layouts[new].hash);
    assert_int_equal(t, same);
    assert_int_not_equal(layouts[v].hash, layouts[w].hash);
    assert_int_not_equal(layouts[t].hash, layouts[v].hash);
    end(&emitted);
}

static void kinds(void **state)
{
    struct emitted emitted;
    const char *source = "struct t { int i; } y; typedef struct t *t_ptr; t_ptr many[4]; struct t "
                         "table[2][3]; int n; void (*f)(void);";
    uint32_t kind, layout;

    start(&emitted, source, source);
    const struct type *t = type_model_find(emitted.old, "struct t", NULL, NULL);
    const struct type *pointer = type_model_find(emitted.old, "t_ptr", NULL, NULL);
    const struct type *number = type_model_find(emitted.old, "int", NULL, NULL);
    assert_true(emit_kind(&emitted.state, t, &kind, &layout));
    assert_int_equal(kind, MOLT_FIELD_MEMBER);
    assert_int_equal(layout, emit_layout(&emitted.state, t));
    assert_true(emit_kind(&emitted.state, pointer, &kind, &layout));
    assert_int_equal(kind, MOLT_FIELD_POINTER);
    assert_int_equal(layout, emit_layout(&emitted.state, t));
    assert_false(emit_kind(&emitted.state, number, &kind, &layout));
    assert_true(emit_layout(&emitted.state, number) > 0);
    assert_int_equal(emit_layout(&emitted.state, type_void(emitted.old)), 0);
    end(&emitted);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields), cmocka_unit_test(unions), cmocka_unit_test(tails),
        cmocka_unit_test(sides),  cmocka_unit_test(hashes), cmocka_unit_test(kinds),
    };

    if (argc == 3) {
        compiler = argv[1];
        flags = argv[2];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
