/* What a patch holds of migration policies: code, records, the manifest, and what is left out of a later one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "patch/memory.h"
#include "project.h"

static const char *compiler = "gcc", *flags = "-O2";

static const char main_source[] = "#include \"conn.h\"\n#include <stdlib.h>\n"
                                  "struct conn *first;\n"
                                  "void add(int fd) { struct conn *c = calloc(1, sizeof(*c)); c->fd = fd; "
                                  "c->next = first; first = c; }\n"
                                  "int main(void) { add(1); return total(); }\n";
static const char other_source[] =
    "#include \"conn.h\"\n"
    "int total(void) { int sum = 0; for (struct conn *c = first; c; c = c->next) "
    "sum += c->fd; return sum; }\n";

static const char policy[] = "#include <molt/policy.h>\n#include \"conn.h\"\n"
                             "MOLT_MIGRATE(struct conn, old, new)\n"
                             "{\n"
                             "    new->more = old->fd + total() - total();\n"
                             "}\n"
                             "MOLT_VALIDATE(struct conn, old, new) { return new->fd == old->fd; }\n"
                             "MOLT_INVARIANT(struct conn, c) { return c->fd > 0; }\n";

static const char *const headers[] = {
    "struct conn { int fd; struct conn *next; };\n",
    "struct conn { struct conn *next; long fd; int more; };\n",
    "struct conn { struct conn *next; long fd; };\n",
};

static void begin(struct project *project)
{
    static const char *const trees[] = { "v1", "v2", "v3" };

    project_init(project, compiler, flags);
    project_shell(project, "mkdir -p v2/molt v3/molt");
    for (size_t i = 0; i < 3; i++) {
        char header[512];
        strcpy(header, headers[i]);
        strcat(header, "extern struct conn *first;\nint total(void);\nvoid add(int fd);\n");
        project_write(project, trees[i], "conn.h", header);
        project_write(project, trees[i], "a.c", main_source);
        project_write(project, trees[i], "b.c", other_source);
    }
    project_write(project, "v2", "molt/conn.c", policy);
    project_write(project, "v3", "molt/conn.c", policy);
    project_build(project);
}

static void expect_success(const struct project *project)
{
    if (project->error) {
        fail_msg("%s", project->error->message);
    }
}

static const char *section_of(const struct patch_file *file, uint32_t symbol)
{
    return patch_file_section_name(file, file->symbols[symbol].st_shndx);
}

/* The migration with or without FLAG. */
static const struct molt_patch_migration *migration_of(const struct patch_file *file, uint32_t flag,
                                                       bool with)
{
    for (size_t i = 0; i < file->patch_migrations_count; i++) {
        if (((file->patch_migrations[i].flags & flag) != 0) == with) {
            return &file->patch_migrations[i];
        }
    }
    fail_msg("there is no such migration");
    return NULL;
}

static void records(void **state)
{
    struct project project;

    begin(&project);
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    const struct patch_file *file = &project.file;
    assert_int_equal(file->patch_migrations_count, 2);
    const struct molt_patch_migration *forth = migration_of(file, MOLT_MIGRATION_INVERSE, false);
    assert_string_equal(patch_file_symbol_name(file, forth->migrate), "molt_migrate_conn");
    assert_string_equal(section_of(file, forth->migrate), ".text.molt.policy.molt_migrate_conn");
    assert_string_equal(patch_file_symbol_name(file, forth->validate), "molt_validate_conn");
    assert_non_null(strstr(patch_file_string(file, forth->file), "/molt/conn.c"));
    assert_int_equal(forth->line, 3);
    assert_int_equal(forth->validate_line, 7);
    assert_int_equal(forth->flags & MOLT_MIGRATION_GENERATED, 0);
    assert_int_equal(file->patch_layouts[forth->old_layout].size, 16);
    assert_int_equal(file->patch_layouts[forth->new_layout].size, 24);
    assert_int_equal(forth->segment_count, 2);
    const struct molt_patch_segment *segment = &file->patch_segments[forth->segment];
    assert_int_equal(segment[0].old_offset, 0);
    assert_int_equal(segment[0].size, 4);
    assert_int_equal(segment[0].new_offset, 8);
    assert_int_equal(segment[1].old_offset, 8);
    assert_int_equal(segment[1].new_offset, 0);
    assert_int_equal(segment[0].flags, 0); /* int -> long */
    assert_int_equal(segment[1].flags, MOLT_SEGMENT_COPIED);
    const struct molt_patch_migration *back = migration_of(file, MOLT_MIGRATION_INVERSE, true);
    assert_int_equal(back->old_layout, forth->new_layout);
    assert_int_equal(back->new_layout, forth->old_layout);
    assert_true(back->flags & MOLT_MIGRATION_GENERATED);
    assert_int_equal(file->patch_invariants_count, 1);
    assert_int_equal(file->patch_invariants[0].layout, forth->new_layout);
    assert_int_equal(file->patch_invariants[0].line, 8);
    project_deinit(&project);
}

/* Addresses in words that are nothing are found again in bit-fields, too. */
static void bit_fields_have_places(void **state)
{
    struct project project;

    begin(&project);
    project_write(&project, "v1", "conn.h",
                  "struct conn { int fd; unsigned ready : 1, kind : 9; struct conn *next; };\n"
                  "extern struct conn *first;\nint total(void);\nvoid add(int fd);\n");
    project_write(&project, "v2", "conn.h",
                  "struct conn { long more; int fd; unsigned ready : 1, kind : 9; struct conn *next; };\n"
                  "extern struct conn *first;\nint total(void);\nvoid add(int fd);\n");
    project_shell(&project, "rm -r v2/molt");
    project_build(&project);
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    const struct molt_patch_migration *forth = migration_of(&project.file, MOLT_MIGRATION_INVERSE, false);
    const struct molt_patch_segment *segment = &project.file.patch_segments[forth->segment];
    assert_int_equal(forth->segment_count, 3);
    assert_int_equal(segment[1].old_offset, 4);
    assert_int_equal(segment[1].size, 2);
    assert_int_equal(segment[1].new_offset, 12);
    assert_int_equal(segment[1].flags, MOLT_SEGMENT_BITS);
    assert_int_equal(segment[0].flags, MOLT_SEGMENT_COPIED);
    assert_int_equal(segment[2].new_offset, 16);
    project_deinit(&project);
}

/* Policies are no functions of the program: nothing of them is listed as changed or new. */
static void program_is_told_apart(void **state)
{
    struct project project;

    begin(&project);
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    for (size_t i = 0; i < project.file.patch_definitions_count; i++) {
        const char *name = patch_file_string(&project.file, project.file.patch_definitions[i].name);
        assert_null(strstr(name, "molt"));
    }
    assert_null(strstr(project_functions(&project), "molt"));
    json_t *type = json_array_get(json_object_get(project.result.manifest, "types"), 0);
    assert_string_equal(json_string_value(json_object_get(type, "name")), "struct conn");
    assert_string_equal(json_string_value(json_object_get(type, "policy")), "molt/conn.c:3");
    assert_true(json_is_true(json_object_get(type, "invertible")));
    assert_int_equal(json_array_size(json_object_get(type, "change")), 3);
    project_deinit(&project);
}

/* What was for an earlier change of the type is passed over in the next, though it would not even compile. */
static void earlier_policies(void **state)
{
    struct project project;

    begin(&project);
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    project_save(&project, "first.molt");
    project_patch(&project, "v2", "v3", "first.molt");
    expect_success(&project);
    json_t *type = json_array_get(json_object_get(project.result.manifest, "types"), 0);
    assert_string_equal(json_string_value(json_object_get(type, "policy")), "generated");
    assert_int_equal(project.file.patch_invariants_count, 1);
    project_deinit(&project);
}

static bool is_warned(const struct project *project, const char *code, const char *word)
{
    for (size_t i = 0; i < project->result.diagnostics.count; i++) {
        const struct molt_diagnostic *item = &project->result.diagnostics.items[i];
        if (strcmp(item->code, code) == 0 && item->severity == MOLT_SEVERITY_WARNING &&
            strstr(item->message, word)) {
            return true;
        }
    }
    return false;
}

/* A member that surely has another name only: nothing migrates, unless a policy has something to say about
 * it. */
static void renamed_in_place(void **state)
{
    static const char header[] = "struct conn { int socket; struct conn *next; };\n"
                                 "extern struct conn *first;\nint total(void);\nvoid add(int);\n";
    static const char own[] = "#include <molt/policy.h>\n#include \"conn.h\"\n"
                              "MOLT_MIGRATE(struct conn, old, new) { new->socket = old->fd + 100; }\n";
    struct project project;

    begin(&project);
    project.changes = "[{\"action\": \"renamed\", \"kind\": \"member\", \"name\": \"socket\", "
                      "\"old_name\": \"fd\", \"owner\": \"conn\", \"confidence\": 0.95}]";
    project_write(&project, "v2", "conn.h", header);
    project_shell(&project, "sed -i 's/c->fd/c->socket/' v2/a.c v2/b.c; "
                            "echo 'int more(void) { return 1; }' >> v2/b.c; rm v2/molt/conn.c");
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    assert_int_equal(project.file.patch_migrations_count, 0);
    project_write(&project, "v2", "molt/conn.c", own);
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    assert_int_equal(migration_of(&project.file, MOLT_MIGRATION_INVERSE, false)->line, 3);
    assert_false(is_warned(&project, "policy-unused", "struct conn"));
    project_deinit(&project);
}

/* A policy that was written for an update that does not change its type is named; one that was there before
 * is not. */
static void unused_policy(void **state)
{
    struct project project;

    begin(&project);
    project_write(&project, "v2", "conn.h", headers[0]);
    project_shell(&project, "echo 'extern struct conn *first; int total(void); void add(int fd); "
                            "' >> v2/conn.h; echo 'int more(void) { return 1; }' >> v2/b.c");
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    assert_true(
        is_warned(&project, "policy-unused", "a policy for a type that is not in the patch: struct conn"));
    project_shell(&project, "mkdir -p v1/molt; cp v2/molt/conn.c v1/molt");
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    assert_false(is_warned(&project, "policy-unused", "struct conn"));
    project_deinit(&project);
}

/* Without the earlier patch nobody can know: the error names the line. */
static void misplaced_policy(void **state)
{
    struct project project;

    begin(&project);
    project_patch(&project, "v1", "v3", NULL);
    assert_non_null(project.error);
    assert_int_equal(project.error->code, MOLT_ERROR_REFUSED);
    assert_non_null(strstr(project.error->file, "molt/conn.c"));
    assert_int_equal(project.error->line, 5);
    project_deinit(&project);
}

/* One name, two types, both changed: each has its policy; the user's says which it is about. */
static void one_name_two_types(void **state)
{
    static const char *const first[] = {
        "struct node { int a; } one;\nint main(void) { return one.a; }\n",
        "struct node { long b; int a; } one;\nint main(void) { return one.a; }\n"
    };
    static const char *const second[] = {
        "struct node { char *text; } two;\nchar *get(void) { return two.text; }\n",
        "struct node { int n; char *text; } two;\n"
        "char *get(void) { return two.text; }\n"
    };
    struct project project;

    project_init(&project, compiler, flags);
    project_shell(&project, "mkdir -p v2/molt");
    for (size_t i = 0; i < 2; i++) {
        project_write(&project, i ? "v2" : "v1", "a.c", first[i]);
        project_write(&project, i ? "v2" : "v1", "b.c", second[i]);
    }
    project_build(&project);
    project_write(
        &project, "v2", "molt/node.c",
        "#include <molt/policy.h>\nMOLT_UNIT(struct node, \"b.c\");\nMOLT_DEFAULT(struct node, n, 4);\n");
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    assert_int_equal(json_array_size(json_object_get(project.result.manifest, "types")), 2);
    assert_int_equal(project.file.patch_migrations_count, 4);
    project_write(&project, "v2", "molt/node.c",
                  "#include <molt/policy.h>\nMOLT_DEFAULT(struct node, n, 4);\n");
    project_patch(&project, "v1", "v2", NULL);
    assert_non_null(project.error);
    assert_non_null(strstr(project.error->message, "MOLT_UNIT(struct node"));
    assert_int_equal(project.error->line, 2);
    project_deinit(&project);
}

/* ---- several updates in one ------------------------------------------------------------------------ */

/* Makes the steps from v1 to v2 and from there to v3, and one patch of them unless a step fails. */
static void compose(struct project *project, json_t *stages)
{
    static const char *const trees[] = { "v1", "v2", "v3" };

    project->is_stage = true;
    project->stages = stages;
    for (size_t i = 0; i < 2; i++) {
        project_patch(project, trees[i], trees[i + 1], i ? "first.molt" : NULL);
        if (project->error) {
            return;
        }
        project_save(project, "first.molt");
        json_array_append(stages, project->result.stage);
    }
    project->is_stage = false;
    project_patch(project, "v1", "v3", NULL);
}

static const json_t *change_of(const struct project *project, const char *key, const char *member)
{
    const json_t *type = json_array_get(json_object_get(project->result.manifest, "types"), 0);
    size_t index;
    json_t *change;

    json_array_foreach(json_object_get(type, "change"), index, change)
    {
        const char *name = json_string_value(json_object_get(change, key));
        if (name && strcmp(name, member) == 0) {
            return change;
        }
    }
    fail_msg("nothing becomes of %s", member);
    return NULL;
}

static const char last_policy[] = "#include <molt/policy.h>\n#include \"conn.h\"\n"
                                  "MOLT_RENAME(struct conn, fd, socket);\n"
                                  "MOLT_MIGRATE(struct conn, old, new) { new->extra = old->more + 1; }\n"
                                  "MOLT_INVERT(struct conn, new, old) { old->more = new->extra - 1; }\n";

/* Version 3 with HEADER and POLICY. */
static void write_last(struct project *project, const char *header, const char *policy_text)
{
    char text[512];

    strcpy(text, header);
    strcat(text, "extern struct conn *first;\nint total(void);\nvoid add(int fd);\n");
    project_write(project, "v3", "conn.h", text);
    project_write(project, "v3", "molt/conn.c", policy_text);
}

/* The policies of both steps are there, each under names of its own; what kept a place through both is known.
 */
static void two_steps(void **state)
{
    struct project project;
    json_t *stages = json_array();

    begin(&project);
    project_write(&project, "v2", "molt/conn.c",
                  "#include <molt/policy.h>\n#include \"conn.h\"\n"
                  "MOLT_MIGRATE(struct conn, old, new) { new->more = 2 * old->fd; }\n"
                  "MOLT_VALIDATE(struct conn, old, new) { return new->fd == old->fd; }\n");
    write_last(&project, "struct conn { int extra; long socket; struct conn *next; };\n", last_policy);
    project_shell(&project, "sed -i 's/c->fd/c->socket/' v3/a.c v3/b.c");
    compose(&project, stages);
    expect_success(&project);
    const struct patch_file *file = &project.file;
    assert_int_equal(file->patch_migrations_count, 2);
    const struct molt_patch_migration *forth = migration_of(file, MOLT_MIGRATION_INVERSE, false);
    assert_int_equal(forth->flags & MOLT_MIGRATION_GENERATED, 0);
    assert_int_equal(file->patch_layouts[forth->old_layout].size, 16);
    assert_int_equal(file->patch_layouts[forth->new_layout].size, 24);
    const struct molt_patch_segment *segment = &file->patch_segments[forth->segment];
    assert_int_equal(forth->segment_count, 2);
    assert_int_equal(segment[0].old_offset, 0); /* fd -> fd -> socket */
    assert_int_equal(segment[0].new_offset, 8);
    assert_int_equal(segment[0].size, 4);
    assert_int_equal(segment[1].old_offset, 8);
    assert_int_equal(segment[1].new_offset, 16);
    assert_string_equal(json_string_value(json_object_get(change_of(&project, "name", "socket"), "from")),
                        "fd");
    assert_string_equal(json_string_value(json_object_get(change_of(&project, "name", "socket"), "was")),
                        "int");
    const json_t *type = json_array_get(json_object_get(project.result.manifest, "types"), 0);
    assert_string_equal(json_string_value(json_object_get(type, "policy")), "molt/conn.c:3");
    assert_int_equal(json_array_size(json_object_get(type, "policies")), 5);
    assert_true(json_is_true(json_object_get(type, "invertible")));
    json_decref(stages);
    project_deinit(&project);
}

/* What the first step needs for its way back is not there: neither is one of both. */
static void two_steps_one_way(void **state)
{
    struct project project;
    json_t *stages = json_array();

    begin(&project);
    write_last(&project, "struct conn { struct conn *next; int more; };\n", "#include <molt/policy.h>\n");
    project_shell(&project, "sed -i 's/c->fd/c->more/' v3/a.c v3/b.c");
    project_write(&project, "v2", "molt/conn.c", "#include <molt/policy.h>\n");
    compose(&project, stages);
    expect_success(&project);
    const json_t *type = json_array_get(json_object_get(project.result.manifest, "types"), 0);
    assert_false(json_is_true(json_object_get(type, "invertible")));
    assert_non_null(strstr(json_string_value(json_object_get(type, "why_not")), "'fd' is gone"));
    assert_int_equal(project.file.patch_migrations_count, 1);
    json_decref(stages);
    project_deinit(&project);
}

static void expect_refusal(const struct project *project, const char *word)
{
    assert_non_null(project->error);
    assert_int_equal(project->error->code, MOLT_ERROR_REFUSED);
    if (!strstr(project->error->message, word)) {
        fail_msg("\"%s\" does not say \"%s\"", project->error->message, word);
    }
}

/* What a pointer leads to is still of the first version when the second step's policies run. */
static void second_step_looks_around(void **state)
{
    static const char *const bodies[] = {
        "MOLT_MIGRATE(struct conn, old, new) { new->extra = old->next ? old->next->more : 0; }\n",
        "static int more(const MOLT_OLD(struct conn) *c) { return c->more; }\n"
        "MOLT_MIGRATE(struct conn, old, new) { new->extra = old->next ? more(old->next) : 0; }\n",
        "MOLT_RENAME(struct conn, next->more, extra);\n",
    };

    for (size_t i = 0; i < 3; i++) {
        struct project project;
        json_t *stages = json_array();
        char text[512] = "#include <molt/policy.h>\n#include \"conn.h\"\n";

        begin(&project);
        strcat(text, bodies[i]);
        write_last(&project, "struct conn { int extra; long fd; struct conn *next; };\n", text);
        compose(&project, stages);
        expect_refusal(&project, "the migration policies in molt/conn.c do not compile");
        json_decref(stages);
        project_deinit(&project);
    }
}

/* A header that needs others in front of it is not to blame, the file is that includes it alone. */
static void header_needs_others(void **state)
{
    struct project project;
    json_t *stages = json_array();

    begin(&project);
    write_last(&project, "struct conn { int extra; long fd; struct conn *next; };\n",
               "#include <molt/policy.h>\n\n#include \"alone.h\"\n"
               "MOLT_MIGRATE(struct conn, old, new) { new->extra = 1; }\n");
    project_write(&project, "v3", "alone.h", "\nunknown_number one;\nunknown_number two;\n");
    compose(&project, stages);
    expect_refusal(&project, "alone.h does not compile here (line 2: unknown type name");
    assert_true(strstr(project.error->file, "molt/conn.c") != NULL);
    assert_int_equal(project.error->line, 3);
    json_decref(stages);
    project_deinit(&project);
}

/* total() of version 3 does not know the version that the first step's policies hand it. */
static void first_step_calls_what_changes(void **state)
{
    struct project project;
    json_t *stages = json_array();

    begin(&project);
    write_last(&project, "struct conn { int extra; long fd; struct conn *next; };\n",
               "#include <molt/policy.h>\n");
    compose(&project, stages);
    expect_refusal(&project, "the policies of step 1 use total");
    json_decref(stages);
    project_deinit(&project);
}

static void split_on_the_way(void **state)
{
    struct project project;
    json_t *stages = json_array();

    begin(&project);
    project_write(&project, "v3", "molt/conn.c", "#include <molt/policy.h>\n");
    project_shell(
        &project,
        "echo 'struct other { struct conn *next; long fd; char room[99]; }; extern struct other o;' "
        "| tee -a v2/conn.h >> v3/conn.h; echo 'struct other o;' | tee -a v2/b.c >> v3/b.c");
    project_write(&project, "v2", "molt/conn.c",
                  "#include <molt/policy.h>\n#include \"conn.h\"\n"
                  "MOLT_SPLIT(struct conn, old) { return old->fd ? MOLT_TYPE(struct conn) : MOLT_TYPE(struct "
                  "other); }\n");
    compose(&project, stages);
    expect_refusal(&project, "become different types");
    json_decref(stages);
    project_deinit(&project);
}

/* Saved as it is, the policy to start from refuses what would be refused without it. */
static void skeleton_loses_nothing(void **state)
{
    const char *format = "struct item { %s; int count; };\nstruct item first = { .count = 1 };\n"
                         "int main(void) { return first.count; }\n";
    char *old = must_printf(format, "char name[16]"), *new = must_printf(format, "char *name");
    struct project project;

    project_init(&project, compiler, flags);
    project_write(&project, "v1", "a.c", old);
    project_write(&project, "v1", "b.c", "int other;\n");
    project_build(&project);
    project_shell(&project, "cp v1/*.c v2/");
    project_write(&project, "v2", "a.c", new);
    project_patch(&project, "v1", "v2", NULL);
    expect_success(&project);
    const char *skeleton = json_string_value(json_object_get(project.result.skeletons, "struct item"));
    assert_non_null(skeleton);
    assert_non_null(strstr(skeleton, "\n    // new->count = old->count;\n"));
    assert_non_null(strstr(skeleton, "\n    molt_fail(\"'name' (char [16]) cannot become 'name' (char *)"));
    free(old);
    free(new);
    project_deinit(&project);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(skeleton_loses_nothing),
        cmocka_unit_test(bit_fields_have_places),
        cmocka_unit_test(program_is_told_apart),
        cmocka_unit_test(earlier_policies),
        cmocka_unit_test(renamed_in_place),
        cmocka_unit_test(unused_policy),
        cmocka_unit_test(misplaced_policy),
        cmocka_unit_test(one_name_two_types),
        cmocka_unit_test(two_steps),
        cmocka_unit_test(two_steps_one_way),
        cmocka_unit_test(second_step_looks_around),
        cmocka_unit_test(header_needs_others),
        cmocka_unit_test(first_step_calls_what_changes),
        cmocka_unit_test(split_on_the_way),
    };

    compiler = argc > 1 ? argv[1] : compiler;
    flags = argc > 2 ? argv[2] : flags;
    return cmocka_run_group_tests_name(compiler, tests, NULL, NULL);
}
