#include "policy_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/policy/private.h"

#define ROOM 8192 /* for an instance */

static jmp_buf failed;
static char message[1024];

__attribute__((visibility("default"))) void molt_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    longjmp(failed, 1);
}

__attribute__((visibility("default"))) void molt_release(void (*release)(void *), void *pointer)
{
    if (pointer) {
        release(pointer);
    }
}

/* The builder's parts that a case needs. */
struct bench {
    struct project project;
    struct tree from, to;
    struct compile_setup compile;
    struct compile_job old_job, new_job;
    struct object *old, *new;
    struct type_model *old_types, *new_types;
    struct type_changes *changes;
    struct molt_diagnostics diagnostics;
    struct policy_input input;
    struct policies *policies;
    struct molt_error *error;
};

static void write_sources(struct bench *bench, const struct policy_case *test)
{
    struct project *project = &bench->project;

    project_write(project, "v1", POLICY_CASE_HEADER, test->old);
    project_write(project, "v1", "a.c",
                  "#include \"types.h\"\n#define MOLT_CASE\n#undef MOLT_HEADER_ONLY\n"
                  "unsigned long before_size(void) { return sizeof(before); }\n");
    project_write(project, "v1", "b.c", "int main(void) { return 0; }\n");
    project_write(project, "v2", POLICY_CASE_HEADER, test->new);
    project_write(project, "v2", "a.c", "#include \"types.h\"\n");
    project_write(project, "v2", "b.c", "int main(void) { return 0; }\n");
    if (test->policy) {
        char *text = must_printf(
            "#define MOLT_HEADER_ONLY\n#include <molt/policy.h>\n#include \"types.h\"\n#line 1\n%s",
            test->policy);
        project_shell(project, "mkdir -p v2/molt");
        project_write(project, "v2", "molt/p.c", text);
        free(text);
    }
}

static void compile_both(struct bench *bench)
{
    struct patch_session *session = bench->project.session;
    compile_jobs jobs = { 0 };
    struct unit *unit = NULL;

    for (size_t i = 0; i < session->unit_count; i++) {
        unit = strstr(session->units[i].entry->file, "/a.c") ? &session->units[i] : unit;
    }
    assert_non_null(unit);
    bench->old_job = (struct compile_job){ unit, &bench->from, COMMAND_OBJECT };
    bench->new_job = (struct compile_job){ unit, &bench->to, COMMAND_OBJECT };
    LIST_ADD(&jobs, &bench->old_job);
    LIST_ADD(&jobs, &bench->new_job);
    assert_null(compile_run(&bench->compile, &jobs, &bench->diagnostics));
    for (size_t i = 0; i < bench->diagnostics.count; i++) {
        print_message("%s:%u: %s\n", bench->diagnostics.items[i].file, bench->diagnostics.items[i].line,
                      bench->diagnostics.items[i].message);
    }
    assert_false(bench->old_job.failed || bench->new_job.failed);
    assert_null(session_object(session, bench->old_job.object, &bench->old));
    assert_null(session_object(session, bench->new_job.object, &bench->new));
    LIST_FREE(&jobs);
}

static struct molt_error *visit_maker(void *maker, initialiser_visitor *visit, void *context)
{
    if (maker) {
        visit(context, maker);
    }
    return NULL;
}

static void open_bench(struct bench *bench, const struct policy_case *test, const char *compiler,
                       const char *flags)
{
    struct project *project = &bench->project;
    char build[128], from[128], to[128];

    project_init(project, compiler, flags);
    write_sources(bench, test);
    project_build(project);
    snprintf(build, sizeof(build), "%s/v1/build", project->directory);
    snprintf(from, sizeof(from), "%s/v1", project->directory);
    snprintf(to, sizeof(to), "%s/v2", project->directory);
    struct patch_options options = { .build = build };
    assert_null(patch_session_create(&options, &project->session));
    struct patch_session *session = project->session;
    assert_null(tree_init(&bench->from, &session->db, from, session->cache));
    assert_null(tree_init(&bench->to, &session->db, to, session->cache));
    bench->compile = (struct compile_setup){ .hashes = session->hashes, .jobs = 2 };
    compile_both(bench);
    bench->old_types = type_model_create();
    bench->new_types = type_model_create();
    type_model_add_all(bench->old_types, object_dwarf(bench->old), "a.c");
    type_model_add_all(bench->new_types, object_dwarf(bench->new), "a.c");
    bench->changes = type_changes_create(bench->old_types, bench->new_types, NULL);
    bench->input = (struct policy_input){ .setup = { session, &bench->compile, &bench->to,
                                                     bench->new_job.unit->entry, &bench->diagnostics },
                                          .changes = bench->changes,
                                          .old_types = bench->old_types,
                                          .new_types = bench->new_types,
                                          .visit_initialisers = visit_maker,
                                          .initialisers_context = (void *)test->maker };
    bench->error = policies_create(&bench->input, &bench->policies);
}

static void close_bench(struct bench *bench)
{
    policies_destroy(bench->policies);
    molt_error_destroy(bench->error);
    type_changes_destroy(bench->changes);
    type_model_destroy(bench->old_types);
    type_model_destroy(bench->new_types);
    molt_diagnostics_deinit(&bench->diagnostics);
    tree_deinit(&bench->from);
    tree_deinit(&bench->to);
    free(bench->old_job.object);
    free(bench->new_job.object);
    project_deinit(&bench->project);
}

static void expect(const char *title, const char *what, const char *text, const char *part)
{
    if (!text || !strstr(text, part)) {
        fail_msg("%s: %s is not in %s: %s", title, part, what, text ? text : "(nothing)");
    }
}

static void expect_warning(const struct bench *bench, const struct policy_case *test)
{
    for (size_t i = 0; i < bench->diagnostics.count; i++) {
        if (strstr(bench->diagnostics.items[i].message, test->stops)) {
            return;
        }
    }
    fail_msg("%s: there is no warning of '%s'", test->title, test->stops);
}

/* The skeleton of the type as it is must compile, too. */
static void try_skeleton(struct bench *bench, const struct policy_case *test)
{
    json_t *skeletons = policies_skeletons(bench->policies), *text;
    const char *type;

    json_object_foreach(skeletons, type, text)
    {
        struct policies *again = NULL;
        project_shell(&bench->project, "mkdir -p v2/molt && rm -f v2/molt/*");
        project_write(&bench->project, "v2", "molt/skeleton.c", json_string_value(text));
        if (getenv("MOLT_SHOW_POLICIES")) {
            fprintf(stderr, "---- skeleton\n%s\n", json_string_value(text));
        }
        project_shell(&bench->project,
                      "sed -i 's/.*include \"types.h.*/#define MOLT_HEADER_ONLY\\n&/' v2/molt/skeleton.c");
        bench->to.mirrored = false;
        file_hashes_refresh(bench->project.session->hashes);
        struct molt_error *error = policies_create(&bench->input, &again);
        if (error) {
            fail_msg("%s: the skeleton of %s: %s", test->title, type, error->message);
        }
        assert_int_equal(again->plans.uses.count, 2 + (test->maker && test->maker->value));
        policies_destroy(again);
    }
    json_decref(skeletons);
}

/* Links both versions and the policies. */
static void *link_all(struct bench *bench)
{
    struct text objects = { 0 };
    char path[128];

    text_printf(&objects, "%s %s", bench->old_job.object, bench->new_job.object);
    for (size_t i = 0; i < bench->policies->sources.count; i++) {
        text_printf(&objects, " %s", bench->policies->sources.items[i]->job.object);
    }
    project_shell(&bench->project, "%s -shared -Wl,-Bsymbolic %s -o case.so", bench->project.compiler,
                  objects.bytes);
    text_deinit(&objects);
    snprintf(path, sizeof(path), "%s/case.so", bench->project.directory);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fail_msg("%s", dlerror());
    }
    return library;
}

static void *function_of(void *library, const char *what, const struct policy_case *test)
{
    char name[128];

    snprintf(name, sizeof(name), "molt_%s_%s", what, test->type ? test->type : "record");
    return dlsym(library, name);
}

static void check_way_back(void *library, const struct policy_case *test, const void *new, const void *before,
                           size_t size)
{
    void (*invert)(const void *, void *) =
        (void (*)(const void *, void *))function_of(library, "invert", test);
    char *old = calloc(1, ROOM);

    bool lossy = test->no_way_back && strcmp(test->no_way_back, POLICY_CASE_LOSSY) == 0;
    if (!test->any_way_back && (invert != NULL) != (test->no_way_back == NULL || lossy)) {
        fail_msg("%s: there is %s way back", test->title, invert ? "a" : "no");
    }
    if (invert && !lossy) {
        if (setjmp(failed)) {
            fail_msg("%s: the way back: %s", test->title, message);
        }
        invert(new, old);
        if (memcmp(old, before, size) != 0) {
            fail_msg("%s: the way back does not lead there", test->title);
        }
    }
    free(old);
}

static void migrate_one(void *library, const struct policy_case *test)
{
    const void *before = dlsym(library, "before");
    unsigned long (*before_size)(void) = (unsigned long (*)(void))dlsym(library, "before_size");
    int (*check)(const void *) = (int (*)(const void *))dlsym(library, "check");
    void (*migrate)(const void *, void *) =
        (void (*)(const void *, void *))function_of(library, "migrate", test);
    int (*validate)(const void *, const void *) =
        (int (*)(const void *, const void *))function_of(library, "validate", test);
    char *new = calloc(1, ROOM);

    assert_non_null(before);
    assert_non_null(migrate);
    message[0] = '\0';
    if (setjmp(failed) == 0) {
        migrate(before, new);
        if (test->fails) {
            fail_msg("%s: it does not fail", test->title);
        }
        assert_non_null(check);
        int wrong = check(new);
        if (wrong) {
            fail_msg("%s: check %d does not hold", test->title, wrong);
        }
        assert_int_equal(validate ? !validate(before, new) : 0, test->invalid);
        check_way_back(library, test, new, before, before_size());
    } else if (!test->fails) {
        fail_msg("%s: it fails: %s", test->title, message);
    } else {
        expect(test->title, "the failure", message, test->fails);
    }
    free(new);
}

static const struct policy_plan *plan_called(const struct bench *bench, const char *name)
{
    const struct policy_plans *plans = &bench->policies->plans;

    for (size_t i = 0; i < plans->list.count; i++) {
        if (strcmp(plans->list.items[i]->name, name) == 0) {
            return plans->list.items[i];
        }
    }
    fail_msg("there is no plan for %s", name);
    return NULL;
}

/* The includes of the program's headers, which a case has not, lead to the one that it has. */
static char *with_header(const char *policy)
{
    struct text text = { 0 };

    for (const char *at = policy, *end; *at; at = end) {
        end = strchr(at, '\n');
        end = end ? end + 1 : at + strlen(at);
        if (strncmp(at, "#include \"", 10) == 0) {
            text_puts(&text, "#include \"types.h\"\n");
        } else {
            text_append(&text, at, end - at);
        }
    }
    return text_steal(&text);
}

void policy_case_compile(const struct policy_case *test, const char *compiler, const char *flags)
{
    char *old = must_printf(
        "#ifndef H\n#define H\n%s\n#ifndef MOLT_HEADER_ONLY\nint before;\n#endif\n#endif\n", test->old);
    char *new = must_printf("#ifndef H\n#define H\n%s\n#endif\n", test->new),
         *policy = with_header(test->policy);
    struct policy_case whole = { .title = test->title, .old = old, .new = new, .policy = policy };
    struct bench bench = { 0 };

    open_bench(&bench, &whole, compiler, flags);
    if (bench.error) {
        fail_msg("%s: %s:%u: %s", test->title, bench.error->file, bench.error->line, bench.error->message);
    }
    for (size_t i = 0; i < bench.diagnostics.count; i++) {
        fail_msg("%s: %s", test->title, bench.diagnostics.items[i].message);
    }
    assert_true(bench.policies->plans.list.count > 0 && bench.policies->plans.uses.count > 0);
    close_bench(&bench);
    free(old);
    free(new);
    free(policy);
}

void policy_case_run(const struct policy_case *test, const char *compiler, const char *flags)
{
    struct bench bench = { 0 };

    open_bench(&bench, test, compiler, flags);
    if (test->refused) {
        expect(test->title, "the refusal", bench.error ? bench.error->message : NULL, test->refused);
        close_bench(&bench);
        return;
    }
    if (bench.error) {
        fail_msg("%s: %s:%u: %s\n%s", test->title, bench.error->file, bench.error->line, bench.error->message,
                 bench.policies ? policies_text(bench.policies) : "");
    }
    if (test->contains) {
        expect(test->title, "the generated C", policies_text(bench.policies), test->contains);
    }
    if (test->stops) {
        expect_warning(&bench, test);
    }
    if (test->no_way_back && strcmp(test->no_way_back, POLICY_CASE_LOSSY) != 0) {
        const struct policy_plan *plan = plan_called(&bench, test->type ? test->type : "record");
        expect(test->title, "the reason", plan->why ? plan->why : plan->why_not_back, test->no_way_back);
    }
    if (getenv("MOLT_SHOW_POLICIES")) {
        fprintf(stderr, "---- %s\n%s\n", test->title, policies_text(bench.policies));
    }
    void *library = link_all(&bench);
    migrate_one(library, test);
    dlclose(library);
    if (test->skeleton) {
        try_skeleton(&bench, test);
    }
    close_bench(&bench);
}
