/* Making plans, as policy/plan.c and its parts see it. */
#ifndef MOLT_PATCH_POLICY_PLAN_PRIVATE_H
#define MOLT_PATCH_POLICY_PLAN_PRIVATE_H

#include "patch/policy/plan.h"

/* STRING, from malloc, as PLAN's own. */
char *policy_own(struct policy_plan *plan, char *string);

/* The step by name that a pair of members stands for. */
struct policy_step policy_step_of_pair(const struct policy_plans *plans, const struct type_pair *pair);

/* policy/unions.c: what becomes of members that share their place with others. */
void policy_decide_unions(struct policy_plans *plans, struct policy_plan *plan);

/* policy/settle.c: what has no way by name is the business of the type's MOLT_MIGRATE, or impossible. */
void policy_settle(struct policy_plan *plan);

/* The same for what contains what is impossible, all plans being settled; warnings; and which have a way
 * back. */
void policy_settle_all(struct policy_plans *plans);

/* policy/oblivious.c: what functions set new members to; warnings. */
struct molt_error *policy_find_makers(struct policy_plans *plans);

#endif
