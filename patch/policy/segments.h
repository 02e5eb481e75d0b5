/* Where each part of an old instance is in the new one. */
#ifndef MOLT_PATCH_POLICY_SEGMENTS_H
#define MOLT_PATCH_POLICY_SEGMENTS_H

#include "base/patch_file.h"
#include "patch/policy/plan.h"

typedef LIST(struct molt_patch_segment) policy_segments;

/* Those of PLAN, or, with BACK, of the way back: sorted by their old offsets, none overlapping another. *RET
 * is empty at first; the caller frees it with LIST_FREE. */
void policy_segments_of(const struct policy_plans *plans, const struct policy_plan *plan, bool back,
                        policy_segments *ret);

#endif
