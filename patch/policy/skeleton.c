/*
 * Policy files to start from. The body of MOLT_MIGRATE tells in comments what happens without it, in the
 * words of the generated C, so that a line can be taken over and changed.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/private.h"
#include "patch/policy/write_private.h"

static bool starts(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

/* The lines between the braces of the generated function, as comments; but what gives up whatever the
 * instance holds stays in force until the user writes what is to be done instead: saved as it is, the file
 * must not lose a value that its absence would not have lost. */
static void write_body(const char *function, struct text *ret)
{
    const char *from = strstr(function, "{\n"), *end;

    for (from += 2; *from != '}' && (end = strchr(from, '\n')); from = end + 1) {
        int length = (int)(end - from);
        if (starts(from, "    /*") || starts(from, "    molt_fail(")) {
            text_printf(ret, "%.*s\n", length, from);
        } else {
            text_printf(ret, "    //%.*s\n", length - 3, from + 3);
        }
    }
}

/* How the policy file includes what declares TYPE; what a source file declares needs no include. */
static void write_include(const struct type *type, struct text *ret)
{
    const char *slash = type->file ? strrchr(type->file, '/') : NULL;
    const char *dot = type->file ? strrchr(type->file, '.') : NULL;

    if (slash && dot && strcmp(dot, ".c") != 0) {
        text_printf(ret, "\n#include \"%s\"\n", slash + 1);
    }
}

/* New members get what new instances get. */
static void write_defaults(const struct policy_plan *plan, const char *key, struct text *ret)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->maker.value) {
            text_printf(ret, "/* as %s does */\nMOLT_DEFAULT(%s, %s, %s);\n\n", step->maker.function, key,
                        step->new.path, step->maker.value);
        }
    }
}

static char *write_skeleton(const struct policies *policies, const struct policy_plan *plan)
{
    const struct policy_plans *plans = &policies->plans;
    struct text result = { 0 }, function = { 0 }, declarations = { 0 }, defaults = { 0 };
    struct policy_knowledge knowledge = { .plans = plans };
    struct declaration_rules old_rules = { .suffix = POLICY_OLD_SUFFIX,
                                           .suffixed = policy_is_suffixed,
                                           .context = &knowledge };
    struct declaration_rules new_rules = { .suffix = "", .suffixed = policy_is_plain, .context = &knowledge };
    struct policy_writer writer = { .plans = plans,
                                    .old_types = declarations_create(&old_rules, &declarations),
                                    .new_types = declarations_create(&new_rules, &declarations),
                                    .text = &function };
    char *key = type_key(plan->new);

    policy_write_migrate(&writer, plan);
    text_printf(&result,
                "/* What becomes of instances of %s. Without a word here, members keep their values by name: "
                "the lines in\n"
                " * comments say how. See <molt/policy.h>. */\n#include <molt/policy.h>\n",
                key);
    write_include(plan->new, &result);
    write_defaults(plan, key, &defaults);
    text_printf(&result,
                "\n/* For instances of this version: once the update is in force, these policies are passed "
                "over. */\n"
                "MOLT_VERSIONS(%s, \"%016llx\", \"\");\n\n%sMOLT_MIGRATE(%s, old, new)\n{\n",
                key, (unsigned long long)plan->old->hash, defaults.length ? defaults.bytes : "", key);
    write_body(function.bytes, &result);
    text_printf(&result, "}\n\nMOLT_VALIDATE(%s, old, new)\n{\n    return 1;\n}\n", key);
    for (size_t i = 0; i < writer.remaps.count; i++) {
        free(writer.remaps.items[i].name);
    }
    LIST_FREE(&writer.remaps);
    table_deinit(&writer.remap_names);
    declarations_destroy(writer.old_types);
    declarations_destroy(writer.new_types);
    text_deinit(&defaults);
    text_deinit(&declarations);
    text_deinit(&function);
    free(key);
    return must_have(text_steal(&result));
}

json_t *policies_skeletons(const struct policies *policies)
{
    json_t *result = json_object();

    for (size_t i = 0; i < policies->plans.list.count; i++) {
        const struct policy_plan *plan = policies->plans.list.items[i];
        char *old = type_key(plan->old), *new = type_key(plan->new);
        if (type_is_compound(plan->old) && strcmp(old, new) == 0) {
            char *text = write_skeleton(policies, plan);
            json_object_set_new(result, new, json_string(text));
            free(text);
        }
        free(old);
        free(new);
    }
    return result;
}
