/* Policies, as policy/policy.c and its parts see them. */
#ifndef MOLT_PATCH_POLICY_PRIVATE_H
#define MOLT_PATCH_POLICY_PRIVATE_H

#include "patch/policy/code.h"
#include "patch/policy/policy.h"
#include "patch/policy/plan.h"
#include "patch/policy/write.h"

struct policies {
    const struct policy_input *input;
    policy_files files;
    struct policy_plans plans;
    char *text; /* the generated source; NULL if there is none */
    policy_sources sources;
    struct policy_code code;
};

#endif
