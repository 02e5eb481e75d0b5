/* Plans as readable C: what the user sees in the review is what runs. */
#ifndef MOLT_PATCH_POLICY_WRITE_H
#define MOLT_PATCH_POLICY_WRITE_H

#include "patch/policy/plan.h"

/*
 * The C of the PLANS of one GROUP, to be compiled as a source of policies; owned by the caller. It defines,
 * for a plan called NAME,
 *
 *     molt_migrate_NAME, molt_validate_NAME, molt_select_NAME, molt_invert_NAME
 *
 * those that there is something for: the rest of this header tells.
 */
char *policy_write_group(const struct policy_plans *plans, const char *group);

/* Declarations for a policy file of the user's: of all old types that changed or that statements speak of,
 * and of the new ones that it speaks of and its headers do not declare. Owned by the caller. */
char *policy_write_types_for(const struct policy_plans *plans, const struct policy_text *user);

/* Whether PLAN has something to validate: itself or an instance inside. */
bool policy_has_validation(const struct policy_plans *plans, const struct policy_plan *plan);

/* Whether it has a way back. */
static inline bool policy_has_inverse(const struct policy_plan *plan)
{
    return !plan->why_not_back && !plan->why && !plan->split;
}

#endif
