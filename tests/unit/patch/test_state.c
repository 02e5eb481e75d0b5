/* test_state COMPILER FLAGS: what patches say about variables and instances when types change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/memory.h"
#include "project.h"

static const char *compiler = "gcc", *flags = "-O2";
static const char main_b[] = "int step(int x);\nint main(int c, char **v) { return step(c); }\n";

/* A program of OLD and a main, changed to NEW. */
static void change(struct project *project, const char *old, const char *new)
{
    project_init(project, compiler, flags);
    project_write(project, "v1", "a.c", old);
    project_write(project, "v1", "b.c", main_b);
    project_build(project);
    project_shell(project, "cp v1/*.? v2/ && cp v1/*.? v3/");
    project_write(project, "v2", "a.c", new);
    project_patch(project, "v1", "v2", NULL);
}

static const char *text_of(const struct project *project, uint32_t offset)
{
    return patch_file_string(&project->file, offset);
}

static const char *layout_name(const struct project *project, uint32_t index)
{
    return index ? text_of(project, project->file.patch_layouts[index].name) : "-";
}

/* "name KIND layout>new_layout *count>new_count moved tls earlier" of the root NAME; "" if there is none. */
static const char *root_of(const struct project *project, const char *name)
{
    static char text[256];

    *text = '\0';
    for (size_t i = 0; i < project->file.patch_roots_count; i++) {
        const struct molt_patch_root *root = &project->file.patch_roots[i];
        if (strncmp(text_of(project, root->name), name, strlen(name)) != 0) {
            continue;
        }
        bool changed = project->file.patch_layouts[root->layout].flags & MOLT_LAYOUT_CHANGED;
        assert_int_equal(root->layout != root->new_layout,
                         root->kind == MOLT_FIELD_MEMBER && (changed || root->layout != root->new_layout));
        snprintf(text, sizeof(text), "%c %s>%s *%u>%u%s%s%s", "PCWM"[root->kind],
                 layout_name(project, root->layout), layout_name(project, root->new_layout), root -> count,
                 root -> new_count, root -> symbol ? " moved" : "", root->flags &MOLT_ROOT_TLS ? " tls" : "",
                 root->flags &MOLT_ROOT_EARLIER ? " earlier" : "");
    }
    return text;
}

static bool has_migration(const struct project *project, const char *old, const char *new)
{
    for (size_t i = 0; i < project->file.patch_migrations_count; i++) {
        const struct molt_patch_migration *migration = &project->file.patch_migrations[i];
        if (!(migration->flags & MOLT_MIGRATION_INVERSE) &&
            strcmp(layout_name(project, migration->old_layout), old) == 0 &&
            strcmp(layout_name(project, migration->new_layout), new) == 0) {
            return migration->migrate != 0;
        }
    }
    return false;
}

static void no_change(void **state)
{
    struct project project;

    change(&project, "struct s { int a; void *p; } s; int step(int x) { return s.a + x; }\n",
           "struct s { unsigned a; char *p; } s; int step(int x) { return s.a + x + 1; }\n");
    assert_null(project.error);
    assert_int_equal(project.file.patch_roots_count, 0);
    assert_int_equal(project.file.patch_migrations_count, 0);
    assert_string_equal(project_functions(&project), "step");
    project_deinit(&project);
}

static void variables(void **state)
{
    const char *format =
        "#include <stddef.h>\n"
        "struct node { int id; %s struct node *next; };\n"
        "struct node first, table[3]; struct node *head = &first; void *any; char *text; int plain; double "
        "d;\n"
        "static struct node hidden; __thread struct node *mine; __thread struct node own;\n"
        "struct other { void (*f)(void); struct node *n; } other; const struct node fixed; void "
        "(*hook)(void);\n"
        "struct node *const constant = &first; unsigned long words[2]; \n"
        "int step(int x) { static struct node *last; static struct node kept; last = &kept; mine = last; "
        "own.id = x; any = last;\n"
        " head->next = table + x; hidden.id = kept.id += x; head = &hidden; text = (char *)any; plain++; "
        "d++; other.n = "
        "head; other.f(); hook();"
        " return hidden.id + own.id + fixed.id + (int)words[x] + constant->id; }\n";
    char *old = must_printf(format, ""), *new = must_printf(format, "long extra;");
    struct project project;

    change(&project, old, new);
    if (project.error) {
        fail_msg("%s", project.error->message);
    }
    assert_true(has_migration(&project, "struct node", "struct node"));
    assert_string_equal(root_of(&project, "first"), "M struct node>struct node *1>1 moved");
    assert_string_equal(root_of(&project, "table"), "M struct node>struct node *3>3 moved");
    assert_string_equal(root_of(&project, "head"), "P struct node>struct node *1>1");
    assert_string_equal(root_of(&project, "any"), "P ->- *1>1");
    assert_string_equal(root_of(&project, "text"), "P ->- *1>1");
    assert_string_equal(root_of(&project, "hook"), "C ->- *1>1");
    assert_string_equal(root_of(&project, "plain"), "");
    assert_string_equal(root_of(&project, "words"), "");
    assert_string_equal(root_of(&project, "fixed"), "");
    assert_string_equal(root_of(&project, "constant"), "");
    assert_string_equal(root_of(&project, "hidden"), "M struct node>struct node *1>1 moved");
    assert_string_equal(root_of(&project, "mine"), "P struct node>struct node *1>1 tls");
    assert_string_equal(root_of(&project, "own"), "M struct node>struct node *1>1 moved tls");
    assert_string_equal(root_of(&project, "other"), "M struct other>struct other *1>1");
    project_deinit(&project);
    free(old);
    free(new);
}

static void static_locals(void **state)
{
    const char *format =
        "struct node { int id; %s }; void *keep;\n"
        "__attribute__((noinline)) int one(int x) { static struct node kept; keep = &kept; kept.id += x; "
        "return kept.id; "
        "}\n"
        "__attribute__((noinline)) int two(int x) { static struct node *kept[2]; static struct node n;"
        " kept[x] = &n; n.id += x; return kept[0]->id; }\n"
        "int step(int x) { return one(x) + two(x); }\n";
    char *old = must_printf(format, ""), *new = must_printf(format, "int more;");
    struct project project;
    unsigned moved = 0, pointers = 0;

    change(&project, old, new);
    assert_null(project.error);
    for (size_t i = 0; i < project.file.patch_roots_count; i++) {
        const struct molt_patch_root *root = &project.file.patch_roots[i];
        moved += root->kind == MOLT_FIELD_MEMBER && root->symbol;
        pointers += root->kind == MOLT_FIELD_POINTER && root->count == 2 && !root->symbol;
    }
    assert_int_equal(moved, 2);
    assert_int_equal(pointers, 1);
    project_deinit(&project);
    free(old);
    free(new);
}

static void numbers(void **state)
{
    struct project project;

    change(&project,
           "int total, used[4]; float ratio; int *list[2]; enum e { A, B } now; int other;"
           "int step(int x) { total += x; used[x]++; ratio += x; list[x] = used; now = B; other++; return "
           "total + now; }\n",
           "long total; int used[8]; double ratio; int *list[3]; enum e { N, A, B } now; int other;"
           "int step(int x) { total += x; used[x]++; ratio += x; list[x] = used; now = B; other++; return "
           "total + now; }\n");
    if (project.error) {
        fail_msg("%s", project.error->message);
    }
    assert_string_equal(root_of(&project, "total"), "M int (to long)>long (from int) *1>1 moved");
    assert_string_equal(root_of(&project, "ratio"), "M float (to double)>double (from float) *1>1 moved");
    assert_string_equal(root_of(&project, "used"), "M int>int *4>8 moved");
    assert_string_equal(root_of(&project, "list"), "P int>int *2>3 moved");
    assert_string_equal(root_of(&project, "now"), "M enum e>enum e *1>1");
    assert_string_equal(root_of(&project, "other"), "");
    assert_true(has_migration(&project, "int (to long)", "long (from int)"));
    assert_true(has_migration(&project, "enum e", "enum e"));
    project_deinit(&project);
}

static void tails(void **state)
{
    struct project project;

    change(&project,
           "#include <stdlib.h>\nstruct v { int n; int items[]; } *v; struct v *make(int n) { struct v *w = "
           "malloc(sizeof(*w) + n * "
           "sizeof(int)); w->n = n; return v = w; } int step(int x) { return make(x)->items[x]; }\n",
           "#include <stdlib.h>\nstruct v { int n; long items[]; } *v; struct v *make(int n) { struct v *w = "
           "malloc(sizeof(*w) + n * "
           "sizeof(long)); w->n = n; return v = w; } int step(int x) { return make(x)->items[x]; }\n");
    assert_null(project.error);
    assert_true(has_migration(&project, "int (to long)", "long (from int)"));
    for (size_t i = 0; i < project.file.patch_layouts_count; i++) {
        const struct molt_patch_layout *layout = &project.file.patch_layouts[i];
        if (strcmp(text_of(&project, layout->name), "struct v") == 0) {
            bool old = layout->flags & MOLT_LAYOUT_CHANGED;
            assert_string_equal(layout_name(&project, layout->tail),
                                old ? "int (to long)" : "long (from int)");
            assert_int_equal(layout->tail_stride, old ? 4 : 8);
        }
    }
    project_deinit(&project);
}

static bool is_behind(const struct project *project)
{
    for (size_t i = 0; i < project->file.patch_layouts_count; i++) {
        const struct molt_patch_layout *layout = &project->file.patch_layouts[i];
        if (layout->flags & MOLT_LAYOUT_CHANGED &&
            strcmp(text_of(project, layout->name), "struct node") == 0) {
            return layout->flags & MOLT_LAYOUT_BEHIND;
        }
    }
    fail_msg("struct node has not changed");
    return false;
}

/* Of a type that nobody is seen to make the engine is told, unless something tells where its instances
 * are. */
static void behind_pointers(void **state)
{
    static const struct {
        const char *more;
        bool behind;
    } cases[] = {
        { "", true },
        { "struct node *last; struct node *find(void) { return last; }", true },
        { "struct holder { int n; struct node inner; } all[2];", false },
        { "typedef const struct node fixed; int sum(fixed pair[2]); int sum(fixed pair[2]) { struct node "
          "both[2] = { "
          "pair[0], pair[1] }; return both[0].id + both[1].id; }",
          false },
        { "void *malloc(unsigned long); struct node *last; void make(void) { last = malloc(sizeof(struct "
          "node)); }",
          false },
    };
    const char *format = "struct node { int id; %s int n; }; void *take(int n); %s\n"
                         "int step(int x) { struct node *node = take(x); return node->n; }\n"
                         "void *take(int n) { static long pool[100]; return pool + n; }\n";

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *old = must_printf(format, "", cases[i].more),
             *new = must_printf(format, "long more;", cases[i].more);
        struct project project;
        change(&project, old, new);
        if (project.error) {
            fail_msg("%s", project.error->message);
        }
        assert_int_equal(is_behind(&project), cases[i].behind);
        project_deinit(&project);
        free(old);
        free(new);
    }
}

static void refusals(void **state)
{
    struct project project;

    change(&project, "int state; int step(int x) { state += x; return state; }\n",
           "struct state { float a; } state; int step(int x) { state.a += x; return state.a; }\n");
    assert_non_null(project.error);
    assert_non_null(
        strstr(project.error->message, "the type of variable state changed: was int, is struct state"));
    assert_int_equal(project.error->line, 1);
    project_deinit(&project);
}

/* What was zero and is zero has not another initial value, whatever its size. */
static void zeroes(void **state)
{
    const char *format = "union { int i; %s } value; int step(int x) { return value.i += x; }\n";
    char *old = must_printf(format, ""), *new = must_printf(format, "double d;");
    struct project project;

    change(&project, old, new);
    assert_null(project.error);
    assert_int_equal(project.file.patch_initials_count, 0);
    assert_int_equal(project.result.diagnostics.count, 0);
    project_deinit(&project);
    free(old);
    free(new);
}

/* Variables that the source gives a section stay where they are, one behind the other. */
static void misplaced(void **state)
{
    const char *format =
        "#define HERE __attribute__((section(\"set\")))\n"
        "struct line { long a[8]; } %s;\n"
        "HERE struct line one = { { 1 } }; HERE long between = 2; HERE struct line other = { { 3 } };\n"
        "int step(int x) { return (one.a[x] += between) + other.a[x]; }\n";
    char *old = must_printf(format, ""), *new = must_printf(format, "__attribute__((aligned(64)))");
    struct project project;

    change(&project, old, new);
    assert_non_null(project.error);
    assert_non_null(strstr(project.error->message, "has to be at a multiple of 64 bytes now"));
    assert_int_equal(project.error->line, 3);
    project_deinit(&project);
    free(old);
    free(new);
}

/* clang keeps members of static structures apart and numbers them; here each is known by its name. */
static void parts(void **state)
{
    const char *format =
        "struct node { int id; %s struct node *next; int n; };\n"
        "static struct node hidden; static struct node *last; static __thread struct node mine;\n"
        "int step(int x) { %s hidden.n += x; mine.n += x; if (x > 3) { hidden.next = last; mine.next = last; "
        "}"
        " last = x == 8 ? mine.next : hidden.next; return hidden.n + (hidden.next != 0) + mine.n; }\n";
    char *old = must_printf(format, "", ""),
         *new = must_printf(format, "long more;", "hidden.more++; hidden.id++; mine.id++;");
    struct project project;

    change(&project, old, new);
    if (project.error) {
        fail_msg("%s", project.error->message);
    }
    if (strcmp(compiler, "clang") == 0 && strcmp(flags, "-O0") != 0) {
        assert_string_equal(root_of(&project, "hidden"), "P struct node>struct node *1>1");
        assert_string_equal(root_of(&project, "mine"), "P struct node>struct node *1>1 tls");
    } else {
        assert_string_equal(root_of(&project, "hidden"), "M struct node>struct node *1>1 moved");
    }
    project_deinit(&project);
    free(old);
    free(new);
}

/* What the compiler keeps in another form from now on would lose its value. */
static void other_forms(void **state)
{
    const char *format =
        "struct node { int id; int n; }; %s\nstatic struct node hidden; static int flag;\n"
        "int step(int x) { hidden.n += x; %s if (x > 7) { flag = %s; } return hidden.n + flag; }\n";
    char *plain = must_printf(format, "", "", "1"),
         *taken = must_printf(format, "void *keep;", "keep = &hidden;", "1");
    char *flag = must_printf(format, "", "", "x");
    bool optimised = strcmp(compiler, "clang") == 0 && strcmp(flags, "-O0") != 0;
    struct project project;

    change(&project, plain, taken);
    assert_int_equal(project.error != NULL, optimised);
    assert_true(!optimised || strstr(project.error->message, "apart"));
    project_deinit(&project);
    change(&project, taken, plain);
    assert_int_equal(project.error != NULL, optimised);
    project_deinit(&project);
    change(&project, plain, flag);
    assert_int_equal(project.error != NULL, optimised);
    project_deinit(&project);
    free(plain);
    free(taken);
    free(flag);
}

static bool is_optimised(const char *by)
{
    return strcmp(flags, "-O0") != 0 && (!by || strcmp(compiler, by) == 0);
}

/* Changes the source FORMAT with the old and the new words in its place, and expects a refusal with WORDS
 * if REFUSED. */
static void change_words(struct project *project, const char *format, const char *old, const char *new,
                         bool refused, const char *words)
{
    char *one = must_printf(format, old), *two = must_printf(format, new);

    change(project, one, two);
    if (project->error && (!refused || !strstr(project->error->message, words))) {
        fail_msg("%s", project->error->message);
    }
    assert_int_equal(project->error != NULL, refused);
    free(one);
    free(two);
}

/* The elements of an array that clang takes apart are found by their numbers, whatever their size. */
static void parts_of_arrays(void **state)
{
    struct project project;

    change_words(&project,
                 "struct part { int id; %s int count; }; static struct part parts[3];\n"
                 "int step(int x) { parts[1].count += x; parts[2].count += 2 * x; return parts[1].count + "
                 "parts[2].count; }\n",
                 "", "long more;", false, "");
    bool apart = is_optimised("clang");
    assert_string_equal(project_data(&project), apart ? "" : "parts");
    assert_string_equal(root_of(&project, "parts"), apart ? "" : "M struct part>struct part *3>3 moved");
    project_deinit(&project);
}

/* What the old version stores and nothing reads is nowhere: nothing may be read from there by the new one. */
static void unread(void **state)
{
    const char *format = "int all, taken(int *x); static int last; static struct { int a, b; } pair;\n"
                         "int step(int x) { %s return all; }\n";
    struct project project;

    change_words(&project, format, "last = x; all += x;", "all += x + last + 1;", is_optimised(NULL), "last");
    project_deinit(&project);
    change_words(&project, format, "last = x; all += x;", "all += x + last; last = x;", is_optimised(NULL),
                 "last");
    project_deinit(&project);
    change_words(&project, format, "all += last;", "all += last; last = x;", false, "");
    project_deinit(&project);
    change_words(&project, format, "pair.a += x; pair.b = x; all += pair.a;",
                 "pair.a += x; all += pair.a + pair.b; pair.b = x;", is_optimised("clang"), "pair");
    project_deinit(&project);
    change_words(&project, format, "pair.a += x; all += pair.a;",
                 "pair.a += x; all += pair.a + pair.b; pair.b = x;", false, "");
    project_deinit(&project);
    change_words(&project, format, "all += x;", "static int count; all += x + count++;", false, "");
    project_deinit(&project);
    change_words(&project, format, "static int count; count = x; all += x;",
                 "static int count; all += x + count++;", is_optimised(NULL), "count");
    project_deinit(&project);
}

/* One bit for two values: another pair of values is not the same. */
static void two_values(void **state)
{
    const char *format = "static int mode = 3; static _Bool flag;\n"
                         "int step(int x) { %s return mode + flag; }\n";
    struct project project;

    change_words(&project, format, "if (x > 5) mode = 5;", "if (x > 5) mode = 6;", is_optimised("clang"),
                 "3 or 6");
    project_deinit(&project);
    change_words(&project, format, "if (x > 5) mode = 5;", "if (x > 5) mode = x;", is_optimised("clang"),
                 "cannot any more");
    project_deinit(&project);
    change_words(&project, format, "if (x > 5) mode = x;", "if (x > 5) mode = 5;", is_optimised("clang"),
                 "from now on");
    project_deinit(&project);
    change_words(&project, format, "if (x > 5) mode = 5;", "if (x > 7) mode = 5;", false, "");
    project_deinit(&project);
    change_words(&project, format, "if (x > 5) flag = 1;", "flag = x > 7;", false, "");
    project_deinit(&project);
    change_words(&project, "static int mode = %s; int step(int x) { if (x > 5) mode = 5; return mode; }\n",
                 "3", "4", false, "");
    project_deinit(&project);
    change_words(&project, format, "if (x > 5) mode = 5;", "", is_optimised("clang"), "one bit");
    project_deinit(&project);
}

static unsigned folded_count(const struct project *project)
{
    unsigned count = 0;

    for (size_t i = 0; i < project->file.patch_initials_count; i++) {
        const struct molt_patch_initial *initial = &project->file.patch_initials[i];
        count += project->file.patch_roots[initial->root].flags & MOLT_ROOT_FOLDED ? initial->part_count : 0;
    }
    return count;
}

/* What nothing writes to any more is in the code: the engine is told what the program must hold. */
static void folded(void **state)
{
    const char *format =
        "static int limit = 10; static struct { int a; const char *b; } pair = { 1, \"b\" };\n"
        "int step(int x) { %s return limit; }\n";
    struct project project;

    change_words(&project, format, "limit += x;", "", false, "");
    assert_int_equal(folded_count(&project), is_optimised(NULL) ? 1 : 0);
    project_deinit(&project);
    change_words(&project, format, "limit += x;", "limit += 2 * x;", false, "");
    assert_int_equal(folded_count(&project), 0);
    project_deinit(&project);
    change_words(&project, format, "pair.a += x; if (x > 3) pair.b = \"c\"; limit += pair.a + pair.b[0];",
                 "limit += pair.a + pair.b[x];", false, "");
    assert_int_equal(folded_count(&project), is_optimised(NULL) ? 2 : 0);
    project_deinit(&project);
}

/* In the next patch types are those of the patched sources, and variables those that earlier patches
 * brought, too. */
static void chains(void **state)
{
    const char *format = "struct node { int id; %s struct node *next; };\n"
                         "struct node first; struct node *head = &first; %s\n"
                         "int step(int x) { head->id += x; %s return first.id; }\n";
    char *one = must_printf(format, "", "", ""),
         *two = must_printf(format, "long b;", "struct node fresh;", "fresh.id++;");
    char *three = must_printf(format, "long b, c;", "struct node fresh;", "fresh.id++;");
    struct project project;

    change(&project, one, two);
    assert_null(project.error);
    assert_string_equal(root_of(&project, "fresh"), "");
    uint64_t between = 0;
    for (size_t i = 0; i < project.file.patch_layouts_count; i++) {
        const struct molt_patch_layout *layout = &project.file.patch_layouts[i];
        bool new = strcmp(text_of(&project, layout->name), "struct node") == 0 &&
                   !(layout->flags & MOLT_LAYOUT_CHANGED);
        between = new ? layout->hash : between;
    }
    project_save(&project, "one.molt");
    project_write(&project, "v3", "a.c", three);
    project_patch(&project, "v2", "v3", "one.molt");
    if (project.error) {
        fail_msg("%s", project.error->message);
    }
    assert_string_equal(root_of(&project, "first"), "M struct node>struct node *1>1 moved earlier");
    assert_string_equal(root_of(&project, "fresh"), "M struct node>struct node *1>1 moved earlier");
    assert_string_equal(root_of(&project, "head"), "P struct node>struct node *1>1");
    bool found = false;
    for (size_t i = 0; i < project.file.patch_layouts_count; i++) {
        const struct molt_patch_layout *layout = &project.file.patch_layouts[i];
        found = found || (layout->hash == between && layout->flags & MOLT_LAYOUT_CHANGED);
    }
    assert_true(found);
    project_deinit(&project);
    free(one);
    free(two);
    free(three);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_change),   cmocka_unit_test(variables),       cmocka_unit_test(static_locals),
        cmocka_unit_test(numbers),     cmocka_unit_test(tails),           cmocka_unit_test(behind_pointers),
        cmocka_unit_test(refusals),    cmocka_unit_test(chains),          cmocka_unit_test(parts),
        cmocka_unit_test(other_forms), cmocka_unit_test(parts_of_arrays), cmocka_unit_test(unread),
        cmocka_unit_test(two_values),  cmocka_unit_test(folded),          cmocka_unit_test(misplaced),
        cmocka_unit_test(zeroes),
    };

    if (argc == 3) {
        compiler = argv[1];
        flags = argv[2];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
