/* Plans as readable C: what the user sees in the review is what runs. */
#ifndef MOLT_PATCH_POLICY_WRITE_H
#define MOLT_PATCH_POLICY_WRITE_H

#include "patch/policy_plan.h"

/*
 * The C of all PLANS, to be compiled as a source of policies; owned by the caller. It defines, for a plan called NAME,
 *
 *     molt_migrate_NAME, molt_validate_NAME, molt_select_NAME, molt_invert_NAME
 *
 * those that there is something for: the rest of this header tells.
 */
char *policy_write(const struct policy_plans *plans);

/* Declarations of the old types for a policy file of the user's: all that changed and all that statements speak of, but for
 * what KNOWN has ("struct conn", "conn_t"). Owned by the caller. */
char *policy_write_old_types(const struct policy_plans *plans, const struct table *known);

/* Whether PLAN has something to validate: itself or an instance inside. */
bool policy_has_validation(const struct policy_plans *plans, const struct policy_plan *plan);

/* Whether it has a way back. */
static inline bool policy_has_inverse(const struct policy_plan *plan)
{
    return !plan->why_not_back && !plan->why && !plan->split;
}

#endif
