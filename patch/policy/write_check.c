/*
 * Functions that answer: whether a new instance is right, instances inside it included, and which type an
 * instance chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/write_private.h"

/* The plan of what STEP holds by value, if that has something to validate. */
static const struct policy_plan *validated_inside(const struct policy_plans *plans,
                                                  const struct policy_step *step)
{
    const struct policy_plan *inner = step->choice || step->indirect ? NULL : policy_inner_plan(plans, step);

    return inner && policy_has_validation(plans, inner) ? inner : NULL;
}

bool policy_has_validation(const struct policy_plans *plans, const struct policy_plan *plan)
{
    bool any = plan->validate.count > 0;

    for (size_t i = 0; !any && i < plan->steps.count; i++) {
        any = validated_inside(plans, &plan->steps.items[i]) != NULL;
    }
    return any;
}

/* Calls INNER's validation for the instance, or each of an array's, that STEP holds. */
static void write_inner_validation(struct policy_writer *writer, const struct policy_step *step,
                                   const struct policy_plan *inner)
{
    const struct type *old = type_strip(step->old.type), *new = type_strip(step->new.type);
    unsigned indent = 1;
    struct text indices = { 0 };

    text_puts(&indices, "");
    for (; old->kind == TYPE_ARRAY; old = type_strip(old->inner), new = type_strip(new->inner), indent++) {
        char index = (char)('h' + indent);
        uint64_t count = old->count < new->count ? old->count : new->count;
        policy_line(writer, indent, NULL, "for (size_t %c = 0; %c < %llu; %c++) {", index, index,
                    (unsigned long long)count, index);
        text_printf(&indices, "[%c]", index);
    }
    policy_line(writer, indent, NULL, "if (!molt_validate_%s(&old->%s%s, &new->%s%s)) {", inner->name,
                step->old.path, indices.bytes, step->new.path, indices.bytes);
    policy_line(writer, indent + 1, NULL, "return 0;");
    while (indent >= 1) {
        policy_line(writer, indent--, NULL, "}");
    }
    text_deinit(&indices);
}

void policy_write_validate(struct policy_writer *writer, const struct policy_plan *plan)
{
    struct policy_signature signature;

    policy_signature_init(&signature, writer, plan);
    text_printf(writer->text, "int molt_validate_%s(%s, %s)\n{\n", plan->name, signature.old_in,
                signature.new_in);
    for (size_t i = 0; i < plan->validate.count; i++) {
        char *place = policy_place_text(plan->validate.items[i]);
        policy_line(writer, 1, place, "if (!%s(old, new)) {", plan->validate.items[i]->function);
        policy_line(writer, 2, NULL, "return 0;");
        policy_line(writer, 1, NULL, "}");
        free(place);
    }
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_plan *inner = validated_inside(writer->plans, &plan->steps.items[i]);
        if (inner) {
            write_inner_validation(writer, &plan->steps.items[i], inner);
        }
    }
    text_puts(writer->text, "    return 1;\n}\n\n");
    policy_signature_deinit(&signature);
}

void policy_write_select(struct policy_writer *writer, const struct policy_plan *plan)
{
    char *key = type_key(plan->new), *place = policy_place_text(plan->split);
    struct policy_signature signature;

    policy_signature_init(&signature, writer, plan);
    text_printf(writer->text, "int molt_select_%s(%s)\n{\n", plan->name, signature.old_in);
    policy_line(writer, 1, place, "return strcmp(%s(old), \"%s\") == 0;", plan->split->function, key);
    text_puts(writer->text, "}\n\n");
    policy_signature_deinit(&signature);
    free(key);
    free(place);
}
