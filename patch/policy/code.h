/* The code that the user's files, or files made of them, bring into a patch: all of it new. */
#ifndef MOLT_PATCH_POLICY_CODE_H
#define MOLT_PATCH_POLICY_CODE_H

#include "patch/code/compare.h"
#include "patch/emit/emit.h"
#include "patch/policy/compile.h"

struct policy_code {
    struct object *nothing;                    /* what new objects are compared with */
    LIST(struct comparison *) comparisons;     /* one for each source */
    LIST(struct contribution *) contributions; /* one for each source and program */
};

/* Adds the objects of SOURCES to EMISSION, once for each of the COUNT programs IMAGES; before emission_build.
 * CODE outlives the emission; what it added to one before is forgotten. */
void policy_code_contribute(struct policy_code *code, const policy_sources *sources,
                            struct emission *emission, const struct image *const *images, size_t count);
void policy_code_deinit(struct policy_code *code);

#endif
