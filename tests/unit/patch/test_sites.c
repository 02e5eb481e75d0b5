/*
 * test_sites COMPILER FLAGS: which type each allocation call of tests/unit/patch/sites makes, against what
 * the comments behind the calls say. "a | b": calls on one line, in their order; "?": with some flags there
 * is no such call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/wrapper_table.h"
#include "patch/sites/heap_settings.h"
#include "patch/session_private.h"
#include "patch/sites/wrappers.h"
#include "project.h"

#define EXPECTED_MAX 128

static const char *compiler = "gcc", *flags = "-O2";

struct expectation {
    char file[16];
    unsigned line;
    char words[2][64]; /* what calls there make */
    unsigned count;
    bool optional;
    unsigned seen;
};

static struct expectation expected[EXPECTED_MAX];
static unsigned expected_count;

static char *read_source(const char *name)
{
    char path[512], *text;
    size_t size;

    snprintf(path, sizeof(path), "%s/tests/unit/patch/sites/%s", SOURCE_ROOT, name);
    struct molt_error *error = file_read(path, &text, &size);
    assert_null(error);
    return text;
}

/* "object struct conn | array struct node ?" */
static void read_comment(const char *file, unsigned line, const char *comment)
{
    struct expectation *item = &expected[expected_count++];
    char text[160], *rest;

    assert_true(expected_count < EXPECTED_MAX);
    snprintf(text, sizeof(text), "%.*s", (int)(strstr(comment, " */") - comment), comment);
    *item = (struct expectation){ .line = line, .optional = strchr(text, '?') != NULL };
    snprintf(item->file, sizeof(item->file), "%s", file);
    for (char *word = strtok_r(text, "|?", &rest); word && item->count < 2;
         word = strtok_r(NULL, "|?", &rest)) {
        word += strspn(word, " ");
        snprintf(item->words[item->count], sizeof(item->words[0]), "%s", word);
        char *end = item->words[item->count] + strlen(item->words[item->count]);
        while (end > item->words[item->count] && end[-1] == ' ') {
            *--end = '\0';
        }
        item->count += *item->words[item->count] != '\0';
    }
}

static void read_expectations(const char *file)
{
    char *text = read_source(file);
    unsigned number = 0;

    for (char *at = text, *end; at; at = end ? end + 1 : NULL) {
        end = strchr(at, '\n');
        if (end) {
            *end = '\0';
        }
        number++;
        char *comment = strstr(at, "/*= ");
        if (comment) {
            read_comment(file, number, comment + 4);
        }
    }
    free(text);
}

static void start(struct project *project)
{
    static const char *const files[] = { "a.c", "b.c", "a.h" };

    project_init(project, compiler, flags);
    for (size_t i = 0; i < 3; i++) {
        char *text = read_source(files[i]);
        project_write(project, "v1", files[i], text);
        free(text);
    }
    project_build(project);
}

static void open_session(struct project *project)
{
    static char build[128];
    struct patch_options options = { .build = build };

    snprintf(build, sizeof(build), "%s/v1/build", project->directory);
    struct molt_error *error = patch_session_create(&options, &project->session);
    assert_null(error);
}

static const struct sites *find_sites(struct project *project)
{
    struct patch_request request = { 0 };
    const struct sites *sites = NULL;
    struct tree from;

    assert_null(tree_init(&from, &project->session->db, NULL, project->session->cache));
    struct molt_error *error =
        sites_of_image(project->session, &request, &from, NULL, project->session->images.items[0], &sites);
    if (error) {
        fail_msg("%s", error->message);
    }
    tree_deinit(&from);
    return sites;
}

static struct expectation *expectation_for(const struct site *site)
{
    const char *slash = strrchr(site->file, '/');

    for (unsigned i = 0; i < expected_count; i++) {
        if (expected[i].line == site->line && slash && strcmp(slash + 1, expected[i].file) == 0) {
            return &expected[i];
        }
    }
    return NULL;
}

static void describe(const struct site *site, char *ret, size_t size)
{
    static const char *const kinds[] = { "object", "array", "bytes", "wrapper", "unknown" };

    snprintf(ret, size, "%s%s%s%s", kinds[site->kind], *site->type_name ? " " : "", site->type_name,
             !*site->carver ? ""
             : site->pieces ? ", carved"
                            : ", used before");
}

static void all_forms(void **state)
{
    struct project project;
    unsigned wrong = 0;

    expected_count = 0;
    read_expectations("a.c");
    read_expectations("b.c");
    start(&project);
    open_session(&project);
    const struct sites *sites = find_sites(&project);
    for (size_t i = 0; i < sites->items.count; i++) {
        const struct site *site = &sites->items.items[i];
        struct expectation *item = expectation_for(site);
        char text[128];
        describe(site, text, sizeof(text));
        if (!item && strncmp(site->file, "/usr/include/", 13) == 0) { /* the C library's own, fortified */
            wrong += strcmp(text, "bytes") != 0;
            continue;
        }
        if (!item) {
            print_error("%s:%u: %s, not expected (%s: %s)\n", site->file, site->line, text, site->function,
                        site->reason);
            wrong++;
            continue;
        }
        /* clones and inlined copies make a call several times over; two calls on a line come by turns */
        const char *word = item->words[item->count > 1 ? item->seen % item->count : 0];
        item->seen++;
        if (strcmp(text, word) != 0) {
            print_error("%s:%u: %s instead of %s (%s)\n", site->file, site->line, text, word, site->reason);
            wrong++;
        }
    }
    for (unsigned i = 0; i < expected_count; i++) {
        if (!expected[i].seen && !expected[i].optional) {
            print_error("%s:%u: no call\n", expected[i].file, expected[i].line);
            wrong++;
        }
    }
    project_deinit(&project);
    assert_int_equal(wrong, 0);
}

static const struct site *site_on(const struct sites *sites, const char *file, unsigned line)
{
    for (size_t i = 0; i < sites->items.count; i++) {
        const char *slash = strrchr(sites->items.items[i].file, '/');
        if (slash && strcmp(slash + 1, file) == 0 && sites->items.items[i].line == line) {
            return &sites->items.items[i];
        }
    }
    return NULL;
}

/* The line that has TEXT in sites/a.c. */
static unsigned line_of(const char *text)
{
    char *source = read_source("a.c"), *hit = strstr(source, text);
    unsigned line = 1;

    assert_non_null(hit);
    for (char *at = source; at < hit; at++) {
        line += *at == '\n';
    }
    free(source);
    return line;
}

static void told_by_settings(void **state)
{
    unsigned nothing = line_of("keep(malloc(n));"), header = line_of("behind_header(sizeof");
    struct project project;
    char toml[256];

    start(&project);
    snprintf(
        toml, sizeof(toml),
        "[heap]\ntypes = { \"a.c:%u\" = \"struct node\" }\nallocators = [{ allocate = \"behind_header\", "
        "release = \"xfree\", header = 8 }]\n",
        nothing);
    project_write(&project, "v1", "molt.toml", toml);
    open_session(&project);
    const struct sites *sites = find_sites(&project);
    const struct site *site = site_on(sites, "a.c", nothing);
    assert_non_null(site);
    assert_int_equal(site->kind, MOLT_SITE_OBJECT);
    assert_string_equal(site->type_name, "struct node");
    site = site_on(sites, "a.c", header);
    assert_non_null(site);
    assert_int_equal(site->kind, MOLT_SITE_OBJECT);
    assert_int_not_equal(site->allocator, 0);
    assert_int_equal(sites->allocators.items[site->allocator - 1].header, 8);
    assert_string_equal(sites->allocators.items[site->allocator - 1].name, "behind_header");
    project_deinit(&project);
}

static void plain_by_settings(void **state)
{
    struct project project;

    start(&project);
    project_write(&project, "v1", "molt.toml", "[heap]\nplain = [\"pool_get\"]\n");
    open_session(&project);
    const struct site *site = site_on(find_sites(&project), "a.c", line_of("pool_get(sizeof"));
    assert_non_null(site);
    assert_int_equal(site->kind, MOLT_SITE_OBJECT);
    assert_string_equal(site->carver, "");
    project_deinit(&project);
}

static void pairs_are_recognised(void **state)
{
    struct project project;

    start(&project);
    open_session(&project);
    const struct sites *sites = find_sites(&project);
    const struct site *site = site_on(sites, "a.c", line_of("xmalloc(sizeof(struct conn))"));
    assert_non_null(site);
    assert_int_not_equal(site->allocator, 0);
    assert_string_equal(sites->allocators.items[site->allocator - 1].name, "xmalloc");
    site = site_on(sites, "a.c", line_of("struct conn *conn = malloc(sizeof *conn)"));
    assert_non_null(site);
    assert_int_equal(site->allocator, 0);
    site = site_on(sites, "a.c", line_of("slot_alloc(1)")); /* which takes no size */
    assert_non_null(site);
    assert_int_equal(site->allocator, 0);
    site = site_on(sites, "a.c", line_of("bytes_alloc(sizeof"));
    assert_non_null(site);
    assert_int_not_equal(site->allocator, 0);
    project_deinit(&project);
}

/* Whether the table at PATH has the function that starts at the address of NAME. */
static bool has_function(const char *path, const char *program, const char *name)
{
    const struct molt_wrapper_table *table;
    struct image *image;
    char *bytes;
    size_t size;
    bool found = false;

    assert_null(file_read(path, &bytes, &size));
    table = (const struct molt_wrapper_table *)bytes;
    assert_memory_equal(table->magic, MOLT_WRAPPER_MAGIC, 8);
    assert_int_equal(size, sizeof(*table) + table->count * sizeof(struct molt_wrapper_range));
    assert_null(image_open(program, &image));
    const struct image_symbol *symbol = image_find_global(image, name);
    const struct molt_wrapper_range *ranges = (const struct molt_wrapper_range *)(table + 1);
    for (uint32_t i = 0; symbol && i < table->count; i++) {
        assert_true(ranges[i].start < ranges[i].end);
        assert_true(i == 0 || ranges[i - 1].end <= ranges[i].start);
        found = found || ranges[i].start == symbol->value;
    }
    image_close(image);
    free(bytes);
    return found;
}

static void tables_for_the_engine(void **state)
{
    static const char *const told[] = { "keep", NULL };
    char *first, *second, *left_out, program[128], cache[128];
    struct project project;

    start(&project);
    snprintf(program, sizeof(program), "%s/v1/build/program", project.directory);
    snprintf(cache, sizeof(cache), "%s/cache", project.directory);
    setenv("XDG_CACHE_HOME", cache, 1);
    assert_null(wrappers_of_program(program, NULL, true, &first, &left_out));
    assert_string_equal(left_out, "");
    free(left_out);
    char *end = strchr(first, ':');
    if (end) { /* debug information of the C library may be installed */
        *end = '\0';
    }
    assert_true(has_function(first, program, "xmalloc"));
    assert_true(has_function(first, program, "xzalloc"));
    assert_true(has_function(first, program, "xfill"));
    assert_true(has_function(first, program, "old_alloc"));
    assert_false(has_function(first, program, "keep"));
    assert_false(has_function(first, program, "main"));
    assert_false(has_function(first, program, "returned_at_once")); /* of a size that it knows */
    assert_null(wrappers_of_program(program, told, true, &second, &left_out));
    free(left_out);
    if ((end = strchr(second, ':'))) {
        *end = '\0';
    }
    assert_string_not_equal(first, second);
    assert_true(has_function(second, program, "keep"));
    free(first);
    free(second);
    project_shell(&project, "rm -rf cache && touch cache");
    struct molt_error *error = wrappers_of_program(program, NULL, true, &first, &left_out);
    assert_non_null(error);
    molt_error_destroy(error);
    project_deinit(&project);
}

/* Writes sites/a.c with BEFORE replaced by AFTER to v2, beside the other files. */
static void change(struct project *project, const char *before, const char *after)
{
    char *text = read_source("a.c"), *hit = strstr(text, before);
    struct text changed = { 0 };

    assert_non_null(hit);
    text_append(&changed, text, hit - text);
    text_puts(&changed, after);
    text_puts(&changed, hit + strlen(before));
    project_shell(project, "cp v1/*.? v2/");
    project_write(project, "v2", "a.c", changed.bytes);
    text_deinit(&changed);
    free(text);
}

/* How many sites of the last patch are of KIND and make NAME; those of the program, or (NEW) of the patch's
 * code. */
static unsigned count_records(const struct project *project, bool new, enum molt_site_kind kind,
                              const char *name)
{
    const struct patch_file *file = &project->file;
    unsigned count = 0;

    for (size_t i = 0; i < file->patch_sites_count; i++) {
        const struct molt_patch_site *site = &file->patch_sites[i];
        const char *layout = patch_file_string(file, file->patch_layouts[site->layout].name);
        count += (site->symbol != 0) == new && site->kind == kind &&strcmp(layout, name) == 0;
    }
    return count;
}

/* New code tells what it allocates even if no type changes: the next patch may change one. */
static void sites_of_new_code(void **state)
{
    unsigned line = line_of("struct node *nodes = xcalloc(n, sizeof(struct node));"), found = 0;
    struct project project;

    start(&project);
    change(&project, "struct node *nodes = xcalloc(n, sizeof(struct node));",
           "struct conn *nodes = xcalloc(n + 7, sizeof(struct conn));");
    project_patch(&project, "v1", "v2", NULL);
    if (project.error) {
        fail_msg("%s", project.error->message);
    }
    for (size_t i = 0; i < project.file.patch_sites_count; i++) {
        const struct molt_patch_site *site = &project.file.patch_sites[i];
        if (site->symbol && site->line == line) { /* inlined copies, too */
            assert_int_equal(site->kind, MOLT_SITE_ARRAY);
            assert_string_equal(
                patch_file_string(&project.file, project.file.patch_layouts[site->layout].name),
                "struct conn");
            found++;
        }
    }
    assert_true(found >= 1);
    assert_true(count_records(&project, true, MOLT_SITE_OBJECT, "struct node") >= 1);
    project_deinit(&project);
}

static void sites_of_the_program(void **state)
{
    struct project project;

    start(&project);
    change(&project, "    long key;\n", "    long key, value;\n");
    project_patch(&project, "v1", "v2", NULL);
    if (project.error) {
        fail_msg("%s", project.error->message);
    }
    assert_true(count_records(&project, false, MOLT_SITE_OBJECT, "struct node") >= 5);
    assert_true(count_records(&project, false, MOLT_SITE_ARRAY, "struct node") >= 5);
    assert_true(count_records(&project, false, MOLT_SITE_OBJECT, "struct conn") >= 5);
    assert_true(count_records(&project, true, MOLT_SITE_OBJECT, "struct node") >= 5);
    assert_true(project.file.patch_allocators_count >= 1);
    project_deinit(&project);
}

static void mistakes_in_settings(void **state)
{
    static const char *const wrong[] = {
        "[heap]\nwrappers = \"xmalloc\"\n",
        "[heap]\nwrappers = [1]\n",
        "[heap]\nwrappers = [\"x malloc\"]\n",
        "[heap]\ntypes = { \"a.c\" = \"struct conn\" }\n",
        "[heap]\nallocators = [{ allocate = \"a\" }]\n",
        "[heap]\nallocators = [{ allocate = \"a\", release = \"b\", size = 1 }]\n",
        "[heap]\nother = 1\n",
        "heap = 1\n",
    };
    struct project project;

    project_init(&project, compiler, flags);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct heap_settings settings;
        char folder[128];
        project_write(&project, "v1", "molt.toml", wrong[i]);
        snprintf(folder, sizeof(folder), "%s/v1", project.directory);
        struct molt_error *error = heap_settings_read(folder, &settings);
        assert_non_null(error);
        assert_int_equal(error->code, MOLT_ERROR_USAGE);
        assert_non_null(error->file);
        assert_int_not_equal(error->line, 0);
        molt_error_destroy(error);
    }
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms),
        cmocka_unit_test(told_by_settings),
        cmocka_unit_test(plain_by_settings),
        cmocka_unit_test(pairs_are_recognised),
        cmocka_unit_test(sites_of_new_code),
        cmocka_unit_test(sites_of_the_program),
        cmocka_unit_test(tables_for_the_engine),
        cmocka_unit_test(mistakes_in_settings),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    flags = count > 2 ? arguments[2] : flags;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
