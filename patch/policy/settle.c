/*
 * The end of planning: what has no way is handed to the type's MOLT_MIGRATE or marked as impossible, and so
 * is what contains it; and where no way back can be derived, the reason is noted.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/plan_private.h"

static void mark(struct policy_plan *plan, const struct policy_step *step, const char *why)
{
    if (!plan->why) {
        plan->why = why;
        plan->line = step->new.member ? step->new.member->line : 0;
    }
}

void policy_settle(struct policy_plan *plan)
{
    bool custom = plan->migrate.count > 0;

    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_VALUE && step->conversion == TYPE_CONVERT_NONE) {
            struct text why = { 0 };
            text_printf(&why, "'%s' (", step->old.path);
            type_describe(step->old.type, &why);
            text_puts(&why, ") cannot become ");
            text_printf(&why, "'%s' (", step->new.path);
            type_describe(step->new.type, &why);
            text_puts(&why, ") by itself: a policy must say how");
            step->kind = POLICY_STEP_IMPOSSIBLE;
            step->why = policy_own(plan, must_have(text_steal(&why)));
        }
        if (step->kind == POLICY_STEP_IMPOSSIBLE && step->drop) {
            step->kind = POLICY_STEP_NEW;
        } else if (step->kind == POLICY_STEP_IMPOSSIBLE && custom) {
            step->kind = POLICY_STEP_CUSTOM;
            step->statement = plan->migrate.items[0];
        } else if (step->kind == POLICY_STEP_IMPOSSIBLE) {
            mark(plan, step, step->why);
        }
    }
}

/* What contains something impossible is impossible, but for what MOLT_MIGRATE of the container does. Returns
 * whether anything came of it. */
static bool spread(const struct policy_plans *plans, struct policy_plan *plan)
{
    bool any = false;

    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        const struct policy_plan *inner = policy_inner_plan(plans, step);
        if (!inner || !inner->why) {
            continue;
        }
        any = any || !plan->why || plan->migrate.count > 0;
        if (plan->migrate.count) {
            step->kind = POLICY_STEP_CUSTOM;
            step->statement = plan->migrate.items[0];
        } else {
            mark(plan, step, inner->why);
        }
    }
    return any;
}

/* Whether instances of PLAN's old type are members of others, whose plans say what becomes of them there. */
static bool is_member(const struct policy_plans *plans, const struct policy_plan *plan)
{
    for (size_t i = 0; i < plans->list.count; i++) {
        for (size_t k = 0; k < plans->list.items[i]->steps.count; k++) {
            const struct policy_end *old = &plans->list.items[i]->steps.items[k].old;
            if (old->path && type_element(old->type, NULL) == plan->old) {
                return true;
            }
        }
    }
    return false;
}

static void warn(struct policy_plans *plans)
{
    for (size_t i = 0; i < plans->list.count; i++) {
        const struct policy_plan *plan = plans->list.items[i];
        bool told = plan->old->kind == TYPE_UNION && is_member(plans, plan);
        if (plan->why && !told && !plan->is_split) {
            char *key = type_key(plan->old);
            molt_diagnostics_add(plans->diagnostics, MOLT_SEVERITY_WARNING, plan->new->file,
                                 plan->line ? plan->line : plan->new->line, 0, "no-policy",
                                 "an instance of %s would stop the update: %s", key, plan->why);
            free(key);
        }
    }
}

/* ---- the way back ---------------------------------------------------------------------------------- */

/* Whether a value comes back from what it was converted to is checked on the way back; here: whether there is
 * one at all. Returns whether PLAN turned out to have no way back. */
static bool judge_way_back(const struct policy_plans *plans, struct policy_plan *plan)
{
    if (plan->invert.count || plan->why_not_back) {
        return false;
    }
    for (size_t i = 0; i < plan->steps.count && !plan->why_not_back; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        const struct policy_plan *inner = policy_inner_plan(plans, step);
        const char *why = step->kind == POLICY_STEP_GONE ? "is gone, and what it held with it"
                          : step->drop                   ? "may have lost a part, as told"
                          : step->choice                 ? "is in a union that changed"
                          : step->indirect               ? "came from behind a pointer"
                          : step->kind == POLICY_STEP_IMPOSSIBLE || step->kind == POLICY_STEP_CUSTOM
                              ? "is made by a policy that says nothing of the way back"
                          : inner && inner->why_not_back ? inner->why_not_back
                                                         : NULL;
        const char *path = step->old.path ? step->old.path : step->new.path;
        if (why && step->old.path) {
            plan->why_not_back = policy_own(plan, must_printf("'%s' %s", path, why));
        }
    }
    if (plan->delete.count && !plan->why_not_back) {
        plan->why_not_back = "MOLT_DELETE gives memory back";
    }
    return plan->why_not_back != NULL;
}

void policy_settle_all(struct policy_plans *plans)
{
    bool again = true;

    while (again) {
        again = false;
        for (size_t i = 0; i < plans->list.count; i++) {
            again = spread(plans, plans->list.items[i]) || again;
        }
    }
    for (again = true; again;) {
        again = false;
        for (size_t i = 0; i < plans->list.count; i++) {
            again = judge_way_back(plans, plans->list.items[i]) || again;
        }
    }
    warn(plans);
}
