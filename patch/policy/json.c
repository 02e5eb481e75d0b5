/* What the manifest says of the types that a patch changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"
#include "patch/policy/private.h"
#include "patch/types/shape.h"

static json_t *place_to_json(const struct policy_statement *statement)
{
    const char *molt = statement ? strstr(statement->file, "/molt/") : NULL;

    return statement ? json_sprintf("%s:%u", molt ? molt + 1 : statement->file, statement->line)
                     : json_null();
}

static const char *how_value(const struct policy_step *step)
{
    bool fits;

    switch (step->conversion) {
    case TYPE_CONVERT_COPY:
        return strcmp(step->old.path, step->new.path) == 0 ? "same" : "renamed";
    case TYPE_CONVERT_NUMBER:
        fits = policy_number_fits(step->old.type, step->old.member ? step->old.member->bit_size : 0,
                                  step->new.type, step->new.member ? step->new.member->bit_size : 0);
        return fits || step->drop ? "converted" : "checked";
    case TYPE_CONVERT_ENUM:
        return "remapped";
    case TYPE_CONVERT_ARRAY:
        return "array";
    case TYPE_CONVERT_MIGRATE:
        return "migrated";
    case TYPE_CONVERT_NONE:
        break;
    }
    return "impossible";
}

static const char *how(const struct policy_step *step)
{
    if (step->choice) {
        return "choice";
    }
    switch (step->kind) {
    case POLICY_STEP_VALUE:
        return how_value(step);
    case POLICY_STEP_UNION:
        return "union";
    case POLICY_STEP_EXPRESSION:
        return "default";
    case POLICY_STEP_CUSTOM:
        return "custom";
    case POLICY_STEP_NEW:
        return "new";
    case POLICY_STEP_GONE:
        return "gone";
    case POLICY_STEP_IMPOSSIBLE:
        break;
    }
    return "impossible";
}

static json_t *type_to_json(const struct type *type)
{
    struct text text = { 0 };

    if (!type) {
        return json_null();
    }
    type_describe(type, &text);
    json_t *result = json_string(text.bytes);
    text_deinit(&text);
    return result;
}

static json_t *step_to_json(const struct policy_step *step)
{
    json_t *result =
        json_pack("{s:s?, s:s?, s:s, s:o, s:o, s:o}", "name", step->new.path, "from", step->old.path, "how",
                  how(step), "type", type_to_json(step->new.type), "was", type_to_json(step->old.type),
                  "policy", place_to_json(step->statement ? step->statement : step->choice));

    if (step->old.path && step->new.path && step->evidence) {
        json_object_set_new(result, "confidence", json_real(step->confidence));
        json_object_set_new(result, "evidence", json_string(step->evidence));
    }
    if (step->maker.function) {
        json_object_set_new(result, "set_by", json_string(step->maker.function));
        json_object_set_new(result, "set_to", json_string(step->maker.text));
    }
    if (step->why) {
        json_object_set_new(result, "why", json_string(step->why));
    }
    return result;
}

static json_t *hash_to_json(const struct type *type)
{
    return json_sprintf("%016llx", (unsigned long long)type->hash);
}

/* Hashes of the words of all statements about PLAN. */
static json_t *statements_to_json(const struct policy_plans *plans, const struct policy_plan *plan)
{
    json_t *result = plan->composed ? composition_list(plan->composed, "policies") : json_array();

    for (size_t i = 0; i < plans->uses.count; i++) {
        if (plans->uses.items[i].old == plan->old) {
            json_array_append_new(result, json_string(plans->uses.items[i].statement->hash));
        }
    }
    return result;
}

/* Where the user's validations of PLAN are. */
static json_t *validations_to_json(const struct policy_plan *plan)
{
    json_t *result = plan->composed ? composition_list(plan->composed, "validations") : json_array();

    for (size_t i = 0; i < plan->validate.count; i++) {
        json_array_append_new(result, place_to_json(plan->validate.items[i]));
    }
    return result;
}

static json_t *change_to_json(const struct policy_plan *plan)
{
    json_t *members = plan->composed ? composition_change(plan->composed) : json_array();

    for (size_t i = 0; i < plan->steps.count; i++) {
        json_array_append_new(members, step_to_json(&plan->steps.items[i]));
    }
    return members;
}

static json_t *policy_to_json(const struct policy_plan *plan)
{
    return plan->composed        ? composition_policy(plan->composed)
           : plan->migrate.count ? place_to_json(plan->migrate.items[0])
                                 : json_string("generated");
}

static json_t *plan_to_json(const struct policy_plans *plans, const struct policy_plan *plan)
{
    char *old = type_key(plan->old), *new = type_key(plan->new);
    const struct type_change *change = type_changes_of_old(plans->changes, plan->old);
    bool invertible = policy_has_inverse(plan);
    const char *why_not = plan->split ? "its instances were of one type"
                          : plan->why ? plan->why
                                      : plan->why_not_back;

    json_t *result =
        json_pack("{s:s, s:s, s:s?, s:s?, s:i, s:o, s:o, s:s?, s:o, s:o, s:b, s:s?, s:s?, s:o}", "name", old,
                  "new_name", new, "unit", plan->new->unit, "file", plan->new->file, "line",
                  (int)plan->new->line, "from", hash_to_json(plan->old), "to", hash_to_json(plan->new),
                  "reason", change ? change->reason : NULL, "policy", policy_to_json(plan), "change",
                  change_to_json(plan), "invertible", invertible, "why_not", invertible ? NULL : why_not,
                  "stops", plan->why, "policies", statements_to_json(plans, plan));
    json_object_set_new(result, "validations", validations_to_json(plan));
    json_object_set_new(result, "function", json_sprintf("molt_migrate_%s", plan->name));
    json_object_set_new(result, "old", type_shape(plan->old));
    json_object_set_new(result, "new", type_shape(plan->new));
    free(old);
    free(new);
    return must_have(result);
}

json_t *policies_to_json(const struct policies *policies)
{
    json_t *result = json_array();

    for (size_t i = 0; i < policies->plans.list.count; i++) {
        if (type_is_compound(policies->plans.list.items[i]->old)) {
            json_array_append_new(result, plan_to_json(&policies->plans, policies->plans.list.items[i]));
        }
    }
    return result;
}
