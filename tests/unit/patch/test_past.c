/*
 * test_past COMPILER: what frames have been through before an earlier update, by which a local that moves now
 * may be known to somebody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "project.h"

static const char *compiler = "gcc";

/* What differs from version to version. */
struct version {
    const char *members; /* of main's local `state` */
    const char *takes;   /* what take does first */
    const char *begins;  /* what main does first, declarations in front */
    const char *turn;    /* what main does in each turn */
};

static void write_version(struct project *project, const char *tree, const struct version *version)
{
    char text[2048];

    snprintf(text, sizeof(text),
             "#include <stdio.h>\n"
             "#include <unistd.h>\n"
             "struct state { %s };\n"
             "struct state *kept, spare;\n"
             "__attribute__((noinline)) static void take(struct state *state, long number)\n"
             "{\n"
             "    %s\n"
             "    state->a += number;\n"
             "}\n"
             "__attribute__((noinline)) static long wait_for(void)\n"
             "{\n"
             "    char byte;\n"
             "    return read(0, &byte, 1);\n"
             "}\n"
             "int main(void)\n"
             "{\n"
             "    struct state state;\n"
             "    %s\n"
             "    state.a = 0;\n"
             "    for (;;) {\n"
             "        long number = wait_for();\n"
             "        if (number < 0)\n"
             "            return (int)state.a;\n"
             "        take(&state, number);\n"
             "        %s\n"
             "    }\n"
             "}\n",
             version->members, version->takes, version->begins, version->turn);
    project_write(project, tree, "a.c", text);
    project_write(project, tree, "b.c", "int unused;\n");
}

/* Why main cannot be taken over while it waits for CALLEE; NULL: it can. */
static const char *waits(const struct project *project, const char *callee)
{
    size_t index, inner;
    json_t *function, *wait;

    json_array_foreach(json_object_get(project->result.manifest, "transfers"), index, function)
    {
        bool is_main = strcmp(json_string_value(json_object_get(function, "name")), "main") == 0;
        json_array_foreach(is_main ? json_object_get(function, "waits") : NULL, inner, wait)
        {
            if (strcmp(json_string_value(json_object_get(wait, "callee")), callee) == 0) {
                return json_string_value(json_object_get(wait, "reason"));
            }
        }
        if (is_main) {
            return NULL;
        }
    }
    return "main is not in the patch";
}

static void demand(const struct project *project, const char *callee, const char *words)
{
    const char *reason = waits(project, callee);

    if (words ? !reason || !strstr(reason, words) : reason != NULL) {
        fail_msg("%s: \"%s\", not \"%s\"", callee, reason ? reason : "", words ? words : "");
    }
}

/* Makes the patches from version to version; the last one is PROJECT's. */
static void update(struct project *project, const char *flags, const struct version *versions, unsigned count)
{
    static const char *const trees[] = { "v1", "v2", "v3" };

    project_init(project, compiler, flags);
    for (unsigned i = 0; i < count; i++) {
        write_version(project, trees[i], &versions[i]);
    }
    project_build(project);
    project_patch(project, "v1", "v2", NULL);
    if (count > 2) {
        assert_null(project->error);
        project_save(project, "first.molt");
        project_patch(project, "v2", "v3", "first.molt");
    }
    assert_null(project->error);
}

static void a_second_change(void **state)
{
    static const struct version versions[] = { { "long a, b;", "", "", "" },
                                               { "long b, a, c;", "state->c++;", "state.c = 0;", "" },
                                               { "long d, c, b, a;", "state->c++;", "state.c = 0;", "" } };
    static const char *const flags[] = { "-O0", "-O2" };
    struct project project;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        update(&project, flags[i], versions, 3);
        demand(&project, "wait_for", NULL);
        demand(&project, "take", NULL);
        project_deinit(&project);
    }
}

/* The code that kept the address is gone; the address is not. */
static void kept_before(void **state)
{
    static const struct version by_main[] = { { "long a, b;", "", "kept = &state;", "" },
                                              { "long a, b;", "state->b = 0;", "", "" },
                                              { "long a, b, c;", "state->b = 0;", "", "" } };
    static const struct version by_callee[] = { { "long a, b;", "kept = state;", "", "" },
                                                { "long a, b;", "state->b = 0;", "", "" },
                                                { "long a, b, c;", "state->b = 0;", "", "" } };
    struct project project;

    (void)state;
    update(&project, "-O2", by_main, 3);
    demand(&project, "wait_for", "may be known to somebody since before an earlier update");
    demand(&project, "take", "may be known to somebody since before an earlier update");
    project_deinit(&project);
    update(&project, "-O2", by_callee, 3);
    demand(&project, "wait_for", "the address of local `state` is taken");
    project_deinit(&project);
}

/* A local has what an earlier version gave it. */
static void led_before(void **state)
{
    static const struct version versions[] = {
        { "long a, b;", "", "struct state *other = &state;", "other->b++;" },
        { "long a, b;", "", "struct state *other = &spare;", "other->b++;" },
        { "long a, b, c;", "", "struct state *other = &spare;", "other->b++;" }
    };
    bool clang = strcmp(compiler, "clang") == 0;
    struct project project;

    (void)state;
    update(&project, "-O0", versions, 3);
    demand(&project, "wait_for", clang ? "may be known to somebody" : "local `other` may lead to a local");
    project_deinit(&project);
}

/* What is suspended goes on in new code, with the old address. */
static void kept_from_now_on(void **state)
{
    static const char reads[] = "{ char more[96]; if (read(0, more, 96) < 0) return 1; }";
    static const struct version versions[][2] = {
        { { "long a, b;", "", "", "" }, { "long a, b;", "", "", reads } },
        { { "long a, b;", "", "", "" }, { "long a, b;", "kept = state;", "", reads } },
    };
    struct project project;

    (void)state;
    if (strcmp(compiler, "clang") == 0) {
        skip(); /* its frames do not take their buffers elsewhere */
    }
    update(&project, "-O0 -fstack-protector", versions[0], 2);
    demand(&project, "take", NULL);
    project_deinit(&project);
    update(&project, "-O0 -fstack-protector", versions[1], 2);
    demand(&project, "take", "the address of local `state` is taken");
    project_deinit(&project);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_change),
        cmocka_unit_test(kept_before),
        cmocka_unit_test(led_before),
        cmocka_unit_test(kept_from_now_on),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    return cmocka_run_group_tests_name("past", tests, NULL, NULL);
}
