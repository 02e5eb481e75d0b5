/*
 * Members of unions. Which of them is in use is not known by name: MOLT_UNION tells, or it does not matter,
 * since all that the union had is in the new one as it was; otherwise the step is impossible.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/path.h"
#include "patch/policy/plan_private.h"

/* MOLT_UNION about the union of PLAN's old type that PATH lies in or is; NULL if there is none. */
static const struct policy_statement *choice_for(const struct policy_plans *plans,
                                                 const struct policy_plan *plan, const char *path)
{
    struct policy_place place, other;
    bool inside = policy_place_find(plan->old, path, &place) && place.in_union;

    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct policy_use *use = &plans->uses.items[i];
        if (use->statement->kind != POLICY_UNION || use->old != plan->old) {
            continue;
        }
        if (strcmp(use->statement->from, path) == 0 ||
            (inside && policy_place_find(plan->old, use->statement->from, &other) &&
             (other.in_union == place.in_union || type_strip(other.type) == place.in_union) &&
             (other.in_union ? other.union_bit : other.bit) == place.union_bit)) {
            return use->statement;
        }
    }
    return NULL;
}

/* The part of PATH that names the union's member: "i" of "as.i.x". */
static char *alternative_of(const char *path, size_t union_length)
{
    const char *from = path + union_length + (union_length > 0);

    return must_strndup(from, strcspn(from, ".["));
}

/* Whether all of the union's old members are in the new one as they were, from BIT of the old whole to the
 * new one's. */
static bool keeps_places(const struct policy_plan *plan, const struct policy_place *first, int64_t *ret_shift,
                         size_t *ret_step)
{
    bool known = false;

    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        struct policy_place place;
        if (!step->old.path || !policy_place_find(plan->old, step->old.path, &place) ||
            place.in_union != first->in_union || place.union_bit != first->union_bit) {
            continue;
        }
        if (step->kind == POLICY_STEP_GONE && step->drop) {
            continue;
        }
        int64_t shift = (int64_t)step->new.bit - (int64_t)step->old.bit;
        if (step->kind != POLICY_STEP_VALUE || step->conversion != TYPE_CONVERT_COPY || step->statement ||
            shift % 8 || (known && shift != *ret_shift)) {
            return false;
        }
        *ret_step = known ? *ret_step : i;
        *ret_shift = shift;
        known = true;
    }
    return known;
}

/* Decides about the union that the old end of step INDEX lies in. */
static void decide_union(struct policy_plans *plans, struct policy_plan *plan, size_t index)
{
    struct policy_step *step = &plan->steps.items[index];
    struct policy_place place;
    int64_t shift = 0;
    size_t first = 0;

    if (!policy_place_find(plan->old, step->old.path, &place) || !place.in_union) {
        return; /* a new union takes over something that was outside of one */
    }
    const struct policy_statement *choice = choice_for(plans, plan, step->old.path);
    if (choice) {
        step->choice = choice;
        step->alternative = policy_own(plan, alternative_of(step->old.path, place.union_length));
    } else if (keeps_places(plan, &place, &shift, &first)) {
        if (first == index) {
            step->kind = POLICY_STEP_UNION;
            step->size = place.in_union->size;
            step->old.bit = place.union_bit;
            step->new.bit = place.union_bit + shift;
        } else if (step->kind == POLICY_STEP_VALUE) {
            step->kind = POLICY_STEP_UNION; /* size 0: the first one's copy has it */
        }
    } else if (step->kind == POLICY_STEP_VALUE) {
        step->kind = POLICY_STEP_IMPOSSIBLE;
        step->why = "which member of the union is in use is not known: say it by MOLT_UNION or MOLT_MIGRATE";
    }
}

/* A union with a name of its own whose members changed, and MOLT_UNION about it: its members become steps of
 * the whole. */
static void open_union(struct policy_plans *plans, struct policy_plan *plan, size_t index)
{
    struct policy_step step = plan->steps.items[index];
    const struct type *old = type_strip(step.old.type), *new = type_strip(step.new.type);
    const struct policy_statement *choice = choice_for(plans, plan, step.old.path);
    struct type_pair *pairs = NULL;

    if (!choice) {
        return;
    }
    size_t count = types_pair_members(plans->changes, old, new, &pairs);
    plan->steps.items[index].kind = POLICY_STEP_CUSTOM; /* nothing is to be done for the union as such */
    plan->steps.items[index].statement = choice;
    for (size_t i = 0; i < count; i++) {
        struct policy_step inner = policy_step_of_pair(plans, &pairs[i]);
        if (!inner.old.path) {
            continue;
        }
        inner.choice = choice;
        inner.alternative = policy_own(plan, alternative_of(inner.old.path, 0));
        inner.old.path = policy_own(plan, must_printf("%s.%s", step.old.path, inner.old.path));
        inner.old.bit += step.old.bit;
        if (inner.new.path) {
            inner.new.path = policy_own(plan, must_printf("%s.%s", step.new.path, inner.new.path));
            inner.new.bit += step.new.bit;
        }
        LIST_ADD(&plan->steps, inner);
    }
    free(pairs);
}

void policy_decide_unions(struct policy_plans *plans, struct policy_plan *plan)
{
    size_t count = plan->steps.count;

    for (size_t i = 0; i < count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_VALUE && step->conversion == TYPE_CONVERT_MIGRATE &&
            type_strip(step->old.type)->kind == TYPE_UNION) {
            open_union(plans, plan, i);
        }
    }
    struct policy_step *decided = must_calloc(count, sizeof(*decided));
    for (size_t i = 0; i < count; i++) { /* each looks at the others as they were */
        struct policy_step saved = plan->steps.items[i];
        if (saved.old.path && !saved.choice && !saved.indirect &&
            (saved.kind == POLICY_STEP_VALUE || saved.kind == POLICY_STEP_GONE)) {
            decide_union(plans, plan, i);
        }
        decided[i] = plan->steps.items[i];
        plan->steps.items[i] = saved;
    }
    memcpy(plan->steps.items, decided, count * sizeof(*decided));
    free(decided);
}
