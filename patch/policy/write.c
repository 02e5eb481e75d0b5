/*
 * The generated source: declarations of both versions, prototypes, maps of enumerations, and for each plan
 * its functions. The functions are written first, since they find out which maps are needed.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"
#include "patch/policy/write_private.h"

typedef LIST(const struct policy_plan *) plan_list;

static void write_functions(struct policy_writer *writer, const struct policy_plan *plan)
{
    if (plan->composed) {
        policy_write_composed(writer, plan);
        if (policy_has_inverse(plan)) {
            policy_write_composed_inverse(writer, plan);
        }
        return;
    }
    writer->back = false;
    policy_write_migrate(writer, plan);
    if (plan->split) {
        policy_write_select(writer, plan);
    }
    if (policy_has_validation(writer->plans, plan)) {
        policy_write_validate(writer, plan);
    }
    if (policy_has_inverse(plan)) {
        writer->back = true;
        policy_write_inverse(writer, plan);
    }
}

/* Prototypes of the user's functions that those of PLAN call. */
static void write_users_prototypes(struct policy_writer *writer, const struct policy_plan *plan,
                                   const struct policy_signature *signature)
{
    struct text *text = writer->text;

    for (size_t i = 0; i < plan->migrate.count; i++) {
        text_printf(text, "void %s(%s, %s);\n", plan->migrate.items[i]->function, signature->old_in,
                    signature->new_out);
    }
    for (size_t i = 0; i < plan->validate.count; i++) {
        text_printf(text, "int %s(%s, %s);\n", plan->validate.items[i]->function, signature->old_in,
                    signature->new_in);
    }
    for (size_t i = 0; i < plan->invert.count; i++) {
        text_printf(text, "void %s(%s, %s);\n", plan->invert.items[i]->function, signature->new_in,
                    signature->old_out);
    }
    for (size_t i = 0; i < plan->delete.count; i++) {
        text_printf(text, "void %s(%s);\n", plan->delete.items[i]->function, signature->old_in);
    }
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_EXPRESSION) {
            text_printf(text, "void %s(%s, %s);\n", step->statement->function, signature->old_in,
                        signature->new_out);
        }
        if (step->choice && policy_is_first_choice(plan, i, false)) {
            text_printf(text, "const char *%s(%s);\n", step->choice->function, signature->old_in);
        }
    }
    if (plan->split) {
        text_printf(text, "const char *%s(%s);\n", plan->split->function, signature->old_in);
    }
}

static void write_prototypes(struct policy_writer *writer, const struct policy_plan *plan, bool users)
{
    struct policy_signature signature;

    policy_signature_init(&signature, writer, plan);
    text_printf(writer->text, "void molt_migrate_%s(%s, %s);\n", plan->name, signature.old_in,
                signature.new_out);
    if (policy_has_validation(writer->plans, plan)) {
        text_printf(writer->text, "int molt_validate_%s(%s, %s);\n", plan->name, signature.old_in,
                    signature.new_in);
    }
    if (policy_has_inverse(plan)) {
        text_printf(writer->text, "void molt_invert_%s(%s, %s);\n", plan->name, signature.new_in,
                    signature.old_out);
    }
    if (users) {
        write_users_prototypes(writer, plan, &signature);
    }
    policy_signature_deinit(&signature);
}

/* Those of the functions of other groups that PLAN's call. */
static void write_foreign_prototypes(struct policy_writer *writer, const struct policy_plan *plan)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_plan *inner = policy_inner_plan(writer->plans, &plan->steps.items[i]);
        if (inner && strcmp(inner->group, plan->group) != 0) {
            write_prototypes(writer, inner, false);
        }
    }
}

/* The C of the plans in LIST, declarations being made with the two sets, which append to RET. */
static void write_plans(const struct policy_plans *plans, const plan_list *list,
                        struct declarations *old_types, struct declarations *new_types, struct text *ret)
{
    struct text functions = { 0 };
    struct policy_writer writer = {
        .plans = plans, .old_types = old_types, .new_types = new_types, .text = &functions
    };

    text_puts(&functions, "");
    text_puts(ret, "/* ---- the types as they were ---- */\n\n");
    for (size_t i = 0; i < list->count; i++) {
        policy_declare_old(list->items[i], old_types);
    }
    text_puts(ret, "/* ---- as they will be ---- */\n\n");
    for (size_t i = 0; i < list->count; i++) {
        declare(new_types, list->items[i]->new);
    }
    for (size_t i = 0; i < list->count; i++) {
        write_functions(&writer, list->items[i]);
    }
    text_puts(ret, "/* ---- what becomes of them ---- */\n\n");
    writer.text = ret;
    for (size_t i = 0; i < list->count; i++) {
        write_foreign_prototypes(&writer, list->items[i]);
        write_prototypes(&writer, list->items[i], true);
    }
    text_puts(ret, "\n");
    policy_write_remaps(&writer, ret);
    text_append(ret, functions.bytes, functions.length);
    for (size_t i = 0; i < writer.remaps.count; i++) {
        free(writer.remaps.items[i].name);
    }
    LIST_FREE(&writer.remaps);
    table_deinit(&writer.remap_names);
    text_deinit(&functions);
}

char *policy_write_group(const struct policy_plans *plans, const char *group)
{
    struct text result = { 0 };
    plan_list list = { 0 };
    struct policy_knowledge nothing = { .plans = plans }, shared = { .plans = plans };
    struct declaration_rules old_rules = { .suffix = POLICY_OLD_SUFFIX,
                                           .suffixed = policy_is_suffixed,
                                           .context = &nothing };
    struct declaration_rules new_rules = {
        .suffix = "", .suffixed = policy_is_plain, .known = policy_is_known, .context = &shared
    };
    struct declarations *old_types = declarations_create(&old_rules, &result);
    struct declarations *new_types = declarations_create(&new_rules, &result);

    shared.declarations = old_types;
    for (size_t i = 0; i < plans->list.count; i++) {
        if (strcmp(plans->list.items[i]->group, group) == 0) {
            LIST_ADD(&list, plans->list.items[i]);
        }
    }
    text_printf(
        &result,
        "/* What becomes of what the program holds in memory%s%s. Made by Molt from the debug information\n"
        " * of both versions and the policies in molt/. */\n"
        "#include <molt/policy.h>\n\n"
        "void *memcpy(void *to, const void *from, size_t size);\n"
        "int strcmp(const char *one, const char *other);\n\n",
        *group ? ": types of " : "", group);
    write_plans(plans, &list, old_types, new_types, &result);
    declarations_destroy(old_types);
    declarations_destroy(new_types);
    LIST_FREE(&list);
    return must_have(text_steal(&result));
}
