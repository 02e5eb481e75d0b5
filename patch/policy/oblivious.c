/*
 * New members that live instances would get zero for, while whoever makes an instance sets them to something
 * else from now on: the update would be oblivious of it (Gosh!, section 5). It is said with the line that
 * would give them the same, and stands in skeletons.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/plan_private.h"

static bool is_zero(const char *text)
{
    static const char *const zeroes[] = { "0",    "0L",    "0U",    "0UL",   "0.0", "0.0f", "0x0",
                                          "NULL", "false", "'\\0'", "{ 0 }", "{0}", "{}",   "((void *)0)" };
    bool is = false;

    for (size_t i = 0; i < sizeof(zeroes) / sizeof(zeroes[0]); i++) {
        is = is || strcmp(zeroes[i], text) == 0;
    }
    return is;
}

/* The step that makes MEMBER of nothing; NULL if the user has said what becomes of it, or it is not new. */
static struct policy_step *find_step(struct policy_plan *plan, const char *member)
{
    for (size_t i = 0; !plan->migrate.count && !plan->is_split && i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_NEW && step->new.path &&strcmp(step->new.path, member) == 0) {
            return step;
        }
    }
    return NULL;
}

static void note(void *context, const struct initialiser *initialiser)
{
    struct policy_plans *plans = context;
    bool ambiguous = false;
    const struct type *type = type_model_find(plans->new_types, initialiser->type, NULL, &ambiguous);

    for (size_t i = 0; type && !ambiguous && !is_zero(initialiser->text) && i < plans->list.count; i++) {
        struct policy_plan *plan = plans->list.items[i];
        struct policy_step *step =
            plan->new == type_strip(type) ? find_step(plan, initialiser->member) : NULL;
        if (step && !step->maker.function) {
            step->maker = (struct policy_maker){
                .function = policy_own(plan, must_strdup(initialiser->function)),
                .file = policy_own(plan, must_strdup(initialiser->file)),
                .line = initialiser->line,
                .text = policy_own(plan, must_strdup(initialiser->text)),
                .value = initialiser->value ? policy_own(plan, must_strdup(initialiser->value)) : NULL,
            };
        }
    }
}

static void warn(const struct policy_plans *plans, const struct policy_plan *plan,
                 const struct policy_step *step)
{
    const struct policy_maker *maker = &step->maker;
    char *key = type_key(plan->new);
    char *remedy = maker->value
                       ? must_printf("; 'MOLT_DEFAULT(%s, %s, %s);' in a file in molt/ gives them the same",
                                     key, step->new.path, maker->value)
                       : must_printf("; MOLT_DEFAULT or MOLT_MIGRATE in a file in molt/ says what they get");

    molt_diagnostics_add(plans->diagnostics, MOLT_SEVERITY_WARNING, maker->file, maker->line, 0, "oblivious",
                         "%s sets '%s' to %s, but instances of %s that are alive get zero%s", maker->function,
                         step->new.path, maker->text, key, remedy);
    free(remedy);
    free(key);
}

static bool has_new(const struct policy_plans *plans)
{
    for (size_t i = 0; i < plans->list.count; i++) {
        for (size_t k = 0; k < plans->list.items[i]->steps.count; k++) {
            if (plans->list.items[i]->steps.items[k].kind == POLICY_STEP_NEW) {
                return true;
            }
        }
    }
    return false;
}

struct molt_error *policy_find_makers(struct policy_plans *plans)
{
    struct molt_error *error = NULL;

    if (plans->visit_initialisers && has_new(plans)) {
        error = plans->visit_initialisers(plans->initialisers_context, note, plans);
    }
    for (size_t i = 0; !error && i < plans->list.count; i++) {
        for (size_t k = 0; k < plans->list.items[i]->steps.count; k++) {
            const struct policy_step *step = &plans->list.items[i]->steps.items[k];
            if (step->maker.function) {
                warn(plans, plans->list.items[i], step);
            }
        }
    }
    return error;
}
