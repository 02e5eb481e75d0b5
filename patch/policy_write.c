/*
 * The generated source: declarations of both versions, prototypes, maps of enumerations, and for each plan its functions. The
 * functions are written first, since they find out which maps are needed.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy_write_private.h"

static void write_functions(struct policy_writer *writer, const struct policy_plan *plan)
{
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

static void write_prototypes(struct policy_writer *writer, const struct policy_plan *plan)
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
    write_users_prototypes(writer, plan, &signature);
    policy_signature_deinit(&signature);
}

char *policy_write(const struct policy_plans *plans)
{
    struct text result = { 0 }, functions = { 0 };
    struct policy_knowledge nothing = { .plans = plans }, shared = { .plans = plans };
    struct declaration_rules old_rules = { POLICY_OLD_SUFFIX, policy_is_suffixed, NULL, &nothing };
    struct declaration_rules new_rules = { "", policy_is_plain, policy_is_known, &shared };

    text_puts(&functions, "");
    text_puts(&result,
              "/* What becomes of what the program holds in memory. Made by Molt from the debug information "
              "of both\n * versions and the policies in molt/. */\n"
              "#include <molt/policy.h>\n\n"
              "void *memcpy(void *to, const void *from, size_t size);\n"
              "int strcmp(const char *one, const char *other);\n\n"
              "/* ---- the types as they were ---- */\n\n");
    struct declarations *old_types = declarations_create(&old_rules, &result);
    policy_declare_old(plans, old_types);
    shared.declarations = old_types;
    text_puts(&result, "/* ---- as they will be ---- */\n\n");
    struct declarations *new_types = declarations_create(&new_rules, &result);
    for (size_t i = 0; i < plans->list.count; i++) {
        declare(new_types, plans->list.items[i]->new);
    }
    struct policy_writer writer = {
        .plans = plans, .old_types = old_types, .new_types = new_types, .text = &functions
    };
    for (size_t i = 0; i < plans->list.count; i++) {
        write_functions(&writer, plans->list.items[i]);
    }
    text_puts(&result, "/* ---- what becomes of them ---- */\n\n");
    writer.text = &result;
    for (size_t i = 0; i < plans->list.count; i++) {
        write_prototypes(&writer, plans->list.items[i]);
    }
    text_puts(&result, "\n");
    policy_write_remaps(&writer, &result);
    text_append(&result, functions.bytes, functions.length);
    for (size_t i = 0; i < writer.remaps.count; i++) {
        free(writer.remaps.items[i].name);
    }
    LIST_FREE(&writer.remaps);
    table_deinit(&writer.remap_names);
    declarations_destroy(old_types);
    declarations_destroy(new_types);
    text_deinit(&functions);
    return must_have(text_steal(&result));
}
