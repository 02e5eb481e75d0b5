/*
 * test_take COMPILER: which units a patch compiles besides those whose files differ, and that none is missed:
 * one that reaches a type or names a variable by a way of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/probe/named.h"
#include "project.h"

static const char *compiler = "gcc";

/* ---- names ------------------------------------------------------------------------------------------- */

static const struct {
    const char *source;
    bool named;
} sources[] = {
    { "extern int table[];\n", false },
    { "int f(int table);\ntypedef struct { int table; } t;\nextern struct s { int table; } other;\n", false },
    { "int f(int *table) { return 0; }\n", false },
    { "static inline int f(void) { int a = 0; return a; }\nextern int table[];\n", false },
    { "struct s { int table; };\nint f(struct s *s) { struct s o = { .table = 1 }; return s->table; }\n",
      false },
    { "# 1 \"table.c\"\nint x;\n", false },
    { "int f(void) { extern int table[]; return table[0]; }\n", true },
    { "extern int table[];\nint *first = table;\n", true },
    { "extern int table[];\nstruct s { int *p; } all[] = { { 0 }, { table } };\n", true },
    { "extern int table[];\nint many = 2, *first = table;\n", true },
    { "extern int table[];\nint f(int i) { return i ? (table)[i] : 0; }\n", true },
    { "extern int table[];\nint f(p) int *p; { return p == table; }\n", true },
    { "extern int other[] __asm__(\"table\");\n", true },
    { "extern int other[] __attribute__((alias(\"table\")));\n", true },
    { "__asm__(\".quad table+4\");\n", true },
    { "int f(int i) { while (i-->table[0]) ; return i; }\n", true },
    { "int f(int i) { __asm__(\"movl\\ttable(%%rip), %0\" : \"=r\"(i)); return i; }\n", true },
    { "int f(int i) { __asm__(\"movl $table, %0\" : \"=r\"(i)); return i; }\n", true },
    { "int f(int i, int (*m)[table[0]]) { return m[i][0]; }\n", true },
    { "__asm__(\".quad %c0\" : : \"i\"(table));\n", true },
    { "void f(void) { __asm__ volatile(\"incl table(%rip)\"); }\n", true },
    { "#pragma redefine_extname other table\nextern int other;\n", true },
    { "struct s { int a; } f(void) { int *p = 1 > 1'0 ? table : 0; return *(struct s *)p; }\n", true },
    { "char c = '{'; char d = '\"';\nint f(void) { return '}' + table[1]; }\n", true },
};

static void names_in_sources(void **state)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        char *words = named_words(sources[i].source, strlen(sources[i].source));
        if (named_has(words, "table") != sources[i].named) {
            fail_msg("%s: %s", sources[i].source, words);
        }
        assert_false(named_has(words, "tabl"));
        free(words);
    }
    assert_true(named_has(NULL, "table"));
    assert_true(named_has("\n", "t\303\244ble"));
}

/* ---- projects ---------------------------------------------------------------------------------------- */

#define UNITS 4

/* Version 1 of UNITS files u0.c and so on beside a.h and b.h, built with FLAGS; v2 and v3 are the same. */
static void start(struct project *project, const char *flags, const char *a, const char *b,
                  const char *const *units)
{
    char name[8], database[4096] = "[";

    project_init(project, compiler, flags);
    project_write(project, "v1", "a.h", a);
    project_write(project, "v1", "b.h", b);
    for (int i = 0; i < UNITS; i++) {
        size_t length = strlen(database);
        snprintf(name, sizeof(name), "u%d.c", i);
        project_write(project, "v1", name, units[i]);
        snprintf(database + length, sizeof(database) - length,
                 "%s{\"directory\": \"%s/v1/build\", \"file\": \"../u%d.c\", "
                 "\"command\": \"%s %s -g -c ../u%d.c -o u%d.o\"}",
                 i ? "," : "", project->directory, i, compiler, flags, i, i);
    }
    strcat(database, "]");
    project_write(project, "v1/build", "compile_commands.json", database);
    project_shell(project,
                  "cd v1/build && for f in ../u?.c; do %s %s -g -c $f || exit 1; done && "
                  "%s %s -Wl,--build-id -o program u?.o",
                  compiler, flags, compiler, flags);
    project_shell(project, "cp v1/*.? v2/ && cp v1/*.? v3/");
}

/* The units that were compiled for the patches so far, one way or another: "u0 u1". Static. */
static const char *compiled(struct project *project)
{
    static char result[256];
    char path[128];
    size_t length;

    project_shell(project,
                  "for o in v1/.molt/cache/units/*/*.o; do case $o in *-*) ;; *) readelf -p .debug_str "
                  "-p .debug_line_str $o 2>/dev/null | grep -ao 'u[0-9]\\.c' | head -1; esac; done | "
                  "sort -u | sed 's/\\.c//' | tr '\\n' ' ' >compiled");
    snprintf(path, sizeof(path), "%s/compiled", project->directory);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    length = fread(result, 1, sizeof(result) - 1, file);
    fclose(file);
    result[length && result[length - 1] == ' ' ? length - 1 : length] = '\0';
    return result;
}

static bool has_root(const struct project *project, const char *name)
{
    const struct patch_file *file = &project->file;
    bool found = false;

    for (size_t i = 0; i < file->patch_roots_count; i++) {
        found = found || strcmp(patch_file_string(file, file->patch_roots[i].name), name) == 0;
    }
    return found;
}

static bool has_layout(const struct project *project, const char *name)
{
    const struct patch_file *file = &project->file;
    bool found = false;

    for (size_t i = 0; i < file->patch_layouts_count; i++) {
        found = found || strcmp(patch_file_string(file, file->patch_layouts[i].name), name) == 0;
    }
    return found;
}

/* A type in a.h, of which instances are reached by way of u2's own structure, whose unit only declares it;
 * u3 has b.h's type, which an earlier patch changes, in a variable. */
static const char *const typed[] = {
    "#include <stdlib.h>\n#include \"a.h\"\n"
    "void keep(struct item *); void more(void); int count(void);\n"
    "int main(int n, char **v) { struct item *i = malloc(sizeof *i); i->one = n; keep(i); more(); "
    "return i->one + count(); }\n",
    "#include \"a.h\"\nint use(struct item *i) { return i->one + i->two; }\n",
    "#include <stdlib.h>\nstruct item; struct holder { struct item *held; struct holder *next; };\n"
    "static struct holder *holders;\n"
    "void keep(struct item *i) { struct holder *h = malloc(sizeof *h); h->held = i; h->next = holders; "
    "holders = h; }\nint count(void) { int n = 0; for (struct holder *h = holders; h; h = h->next) n++; "
    "return n; }\n",
    "#include \"b.h\"\nstatic struct other kept; struct other *last = &kept;\n"
    "void more(void) { kept.x++; last = last->me ? last->me : &kept; }\n",
};
static const char item_1[] = "struct item { int one; int two; };\n";
static const char other_1[] = "struct other { int x; struct other *me; };\n";

static void first_patch(struct project *project)
{
    project_patch(project, "v1", "v2", NULL);
    assert_null(project->error);
    project_save(project, "first.molt");
}

/* The second change of a type. The unit that holds it by another's type is asked in the binary, the one
 * whose type the first patch has changed as it is now. */
static void second_change_of_a_type(void **state)
{
    struct project project;

    start(&project, "-O2", item_1, other_1, typed);
    for (int version = 2; version <= 3; version++) {
        char tree[] = { 'v', (char)('0' + version), '\0' };
        project_write(&project, tree, "b.h", "struct other { int x; int y; struct other *me; };\n");
        project_write(&project, tree, "a.h", "struct item { int one; int more; int two; };\n");
    }
    first_patch(&project);
    assert_string_equal(compiled(&project), "u0 u1 u3");
    project_write(&project, "v3", "a.h", "struct item { int zero; int one; int more; int two; };\n");
    project_patch(&project, "v2", "v3", "first.molt");
    assert_null(project.error);
    assert_string_equal(compiled(&project), "u0 u1 u3");
    assert_true(has_root(&project, "holders"));
    assert_true(has_root(&project, "last"));
    assert_true(has_layout(&project, "struct holder"));
    project_deinit(&project);
}

/* What an earlier patch has changed is asked as it is now, though the second one does not touch it. */
static void patched_units_count_as_they_are(void **state)
{
    struct project project;
    uint64_t size = 0;

    start(&project, "-O2", item_1, other_1, typed);
    for (int version = 2; version <= 3; version++) {
        char tree[] = { 'v', (char)('0' + version), '\0' };
        project_write(&project, tree, "b.h", "struct other { int x; long y, z; struct other *me; };\n");
    }
    first_patch(&project);
    project_write(&project, "v3", "a.h", "struct item { int zero; int one; int two; };\n");
    project_patch(&project, "v2", "v3", "first.molt");
    assert_null(project.error);
    assert_true(has_root(&project, "holders"));
    for (size_t i = 0; i < project.file.patch_layouts_count; i++) {
        const struct molt_patch_layout *layout = &project.file.patch_layouts[i];
        if (strcmp(patch_file_string(&project.file, layout->name), "struct other") == 0) {
            assert_int_equal(size, 0); /* once */
            size = layout->size;
        }
    }
    assert_int_equal(size, 32);
    project_deinit(&project);
}

/* A file that an earlier patch has taken away: what is included in its place is in nobody's list. */
static void files_that_are_gone(void **state)
{
    struct project project;

    start(&project, "-O2", item_1, other_1, typed);
    project_write(&project, "v1", "b.h", "#if __has_include(\"c.h\")\n#include \"c.h\"\n#endif\n");
    project_write(&project, "v1", "c.h", other_1);
    project_shell(&project, "cp v1/?.h v2/ && rm v1/c.h");
    project_write(&project, "v1", "b.h", "struct other { int x; long y; struct other *me; };\n");
    project_patch(&project, "v2", NULL, NULL);
    assert_null(project.error);
    project_save(&project, "first.molt");
    project_shell(&project, "cp v1/*.? v3/");
    project_write(&project, "v1", "a.h", "struct item { int zero; int one; int two; };\n");
    project_patch(&project, "v3", NULL, "first.molt");
    assert_null(project.error);
    assert_string_equal(compiled(&project), "u0 u1 u2 u3");
    project_deinit(&project);
}

/* u1 names the table by a declaration of its own in a function, u2 by a name put together, u3 only
 * where it declares things. */
static const char *const naming[] = {
    "#include \"a.h\"\nint table[LENGTH] = { 1, 2 }; int f(void), g(void), h(int *);\n"
    "int main(int n, char **v) { return f() + g() + h(table); }\n",
    "int f(void) { extern int table[]; return table[1]; }\n",
    "#include \"b.h\"\nint g(void) { int *p = JOIN(tab, le); p[0]++; return *p; }\n",
    "#include \"b.h\"\nstruct s { int table; }; int k(int table);\nint h(int *t) { return t[0]; }\n",
};

static void a_variable_of_another_size(void **state)
{
    struct project project;

    start(&project, "-O2", "#define LENGTH 8\n", "#define JOIN(a, b) a##b\nextern int table[];\n", naming);
    project_write(&project, "v2", "a.h", "#define LENGTH 800\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_null(project.error);
    assert_string_equal(compiled(&project), "u0 u1 u2");
    project_deinit(&project);
}

/* Callers of a function too short for a jump are known from the binary. */
static void callers_of_short_functions(void **state)
{
    static const char *const units[] = {
        "void one(void);\nint f(void), g(void);\nint main(int n, char **v) { one(); return f() + g(); }\n",
        "int last;\nvoid one(void) { }\nvoid two(void) { }\n",
        "void one(void);\nint f(void) { one(); return 1; }\n",
        "int g(void) { return 7; }\n",
    };
    struct project project;

    start(&project, "-Os", "", "", units);
    project_write(&project, "v2", "u1.c", "int last;\nvoid one(void) { last++; }\nvoid two(void) { }\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_string_equal(project_functions(&project), "f main one");
    assert_string_equal(compiled(&project), "u0 u1 u2");
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_sources),
        cmocka_unit_test(second_change_of_a_type),
        cmocka_unit_test(patched_units_count_as_they_are),
        cmocka_unit_test(files_that_are_gone),
        cmocka_unit_test(a_variable_of_another_size),
        cmocka_unit_test(callers_of_short_functions),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
