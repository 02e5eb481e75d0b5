/* test_query COMPILER FLAGS: what a query tells of a program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/memory.h"
#include "patch/query.h"
#include "project.h"

static const char *compiler = "gcc", *flags = "-O2";
static const char source[] =
    "#include <stdlib.h>\n"
    "struct inner { int x; }; struct item { struct inner in[2]; struct item *next; };\n"
    "typedef struct { struct inner a; } pair; pair pairs[3]; struct item *first; int count;"
    "typedef void handle; int is(handle *h) { return h != 0; }\n"
    "int step(int x)\n{\n"
    "    struct item *item = malloc(sizeof *item);\n"
    "    item->next = first;\n    first = item;\n    count += x;\n    return pairs[x].a.x;\n}\n";
static const char main_b[] =
    "typedef struct { int id, kind; } handle; int is(handle *h);\nint step(int x);\n"
    "int main(int c, char **v) { return step(c) + is((handle *)v) + (c > 9 ? ((handle *)v)->id : 0); }\n";

struct asking {
    struct project project;
    struct patch_session *session;
    json_t *ids;
    struct patch_query query;
    struct molt_error *error;
    struct patch_file file;
};

static void begin(struct asking *asking)
{
    char build[128];
    json_t *modules, *module;
    size_t index;

    memset(asking, 0, sizeof(*asking));
    project_init(&asking->project, compiler, flags);
    project_write(&asking->project, "v1", "a.c", source);
    project_write(&asking->project, "v1", "b.c", main_b);
    project_build(&asking->project);
    snprintf(build, sizeof(build), "%s/v1/build", asking->project.directory);
    assert_null(patch_session_create(&(struct patch_options){ .build = build }, &asking->session));
    modules = patch_session_modules(asking->session);
    asking->ids = json_array();
    json_array_foreach(modules, index, module)
    {
        json_array_append(asking->ids, json_object_get(module, "build_id"));
    }
    json_decref(modules);
}

static void ask(struct asking *asking, const json_t *ids, const char *type)
{
    const struct patch_request request = { 0 };
    const char *reason;

    molt_error_destroy(asking->error);
    patch_query_deinit(&asking->query);
    asking->error = patch_session_query(asking->session, &request, ids, type, &asking->query);
    if (!asking->error) {
        assert_int_equal(patch_file_open(asking->query.bytes, asking->query.size, &asking->file, &reason), 0);
    }
}

static void end(struct asking *asking)
{
    molt_error_destroy(asking->error);
    patch_query_deinit(&asking->query);
    patch_session_destroy(asking->session);
    json_decref(asking->ids);
    project_deinit(&asking->project);
}

/* "name kind" of the site that is not a wrapper's; "" without one. */
static const char *site_of(const struct asking *asking)
{
    static char text[128];
    const struct patch_file *file = &asking->file;

    *text = '\0';
    for (size_t i = 0; i < file->patch_sites_count; i++) {
        const struct molt_patch_site *site = &file->patch_sites[i];
        snprintf(text, sizeof(text), "%s %u line %u",
                 patch_file_string(file, file->patch_layouts[site->layout].name), site->kind, site->line);
    }
    return text;
}

/* Nothing that would change a program, but all of its types, variables and calls. */
static void tells_all(void **state)
{
    struct asking asking;
    const char *roots[4] = { 0 };

    begin(&asking);
    ask(&asking, asking.ids, "item");
    assert_null(asking.error);
    const struct patch_file *file = &asking.file;
    assert_int_equal(file->patch_functions_count + file->patch_sections_count + file->patch_migrations_count,
                     0);
    assert_string_equal(site_of(&asking), "struct item 0 line 6");
    assert_int_equal(file->patch_roots_count,
                     2); /* of what holds neither pointers nor structures nothing is said */
    for (size_t i = 0; i < file->patch_roots_count; i++) {
        roots[i] = patch_file_string(file, file->patch_roots[i].name);
        assert_true(strcmp(roots[i], "pairs") == 0 || strcmp(roots[i], "first") == 0);
    }
    assert_int_equal(json_array_size(asking.query.types), 1);
    const json_t *type = json_array_get(asking.query.types, 0);
    assert_string_equal(json_string_value(json_object_get(type, "name")), "struct item");
    assert_int_equal(json_array_size(json_object_get(json_object_get(type, "shape"), "members")), 3);
    const struct molt_patch_layout *layout =
        &file->patch_layouts[json_integer_value(json_object_get(type, "layout"))];
    assert_string_equal(patch_file_string(file, layout->name), "struct item");
    assert_non_null(json_object_get(asking.query.sites, "functions"));
    end(&asking);
}

static void by_any_name(void **state)
{
    static const char *const names[][2] = { { "struct inner", "struct inner" },
                                            { "inner", "struct inner" },
                                            { "pair", "pair" },
                                            { "handle", "handle" } };
    struct asking asking;

    begin(&asking);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        ask(&asking, asking.ids, names[i][0]);
        assert_null(asking.error);
        const json_t *type = json_array_get(asking.query.types, 0);
        assert_string_equal(json_string_value(json_object_get(type, "name")), names[i][1]);
    }
    ask(&asking, asking.ids, NULL);
    assert_null(asking.error);
    assert_int_equal(json_array_size(asking.query.types), 0);
    end(&asking);
}

static void refusals(void **state)
{
    struct asking asking;
    json_t *other = json_pack("[s]", "00112233");

    begin(&asking);
    ask(&asking, asking.ids, "struct ite");
    assert_int_equal(asking.error->code, MOLT_ERROR_NOT_FOUND);
    assert_non_null(strstr(asking.error->message, "there is struct item"));
    ask(&asking, asking.ids, "int");
    assert_int_equal(asking.error->code, MOLT_ERROR_NOT_FOUND);
    ask(&asking, other, "struct item");
    assert_int_equal(asking.error->code, MOLT_ERROR_NOT_FOUND);
    assert_non_null(strstr(asking.error->message, "not made by this build"));
    json_decref(other);
    end(&asking);
}

/* A line more in the source than in the program: the calls there are on other lines than its debug
 * information says. */
static void edited_since(void **state)
{
    struct asking asking;
    char *edited = must_printf("\n%s", source);

    begin(&asking);
    project_shell(&asking.project,
                  "touch -d '1 minute ago' v1/*.c && touch -d '30 seconds ago' v1/build/program");
    ask(&asking, asking.ids, "struct item");
    assert_string_equal(site_of(&asking), "struct item 0 line 6");
    assert_int_equal(asking.query.diagnostics.count, 0);
    project_write(&asking.project, "v1", "a.c", edited);
    ask(&asking, asking.ids, "struct item");
    assert_null(asking.error);
    assert_null(strstr(site_of(&asking), "struct item"));
    assert_int_equal(asking.query.diagnostics.count, 1);
    assert_string_equal(asking.query.diagnostics.items[0].code, "newer-source");
    free(edited);
    end(&asking);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_all),
        cmocka_unit_test(by_any_name),
        cmocka_unit_test(refusals),
        cmocka_unit_test(edited_since),
    };

    compiler = argc > 1 ? argv[1] : compiler;
    flags = argc > 2 ? argv[2] : flags;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
