/* What a build says about state: the types of both sides, the policies between them, and the records of
 * it. */
#ifndef MOLT_PATCH_BUILD_STATE_H
#define MOLT_PATCH_BUILD_STATE_H

#include "patch/build_private.h"

/*
 * Works out which types and variables changed in the units of BUILD and, if any did, all that is needed to
 * migrate them. After build_place. REFUSED: something cannot be migrated, or a policy does not compile.
 */
struct molt_error *build_state_prepare(struct build *build);

/* Whether instances or variables change; after build_state_prepare. */
bool build_state_migrates(const struct build *build);

/* Adds what the policies compile to; before emission_build. */
void build_state_contribute(struct build *build, struct emission *emission);

/* Adds the records about state; after emission_build. */
struct molt_error *build_state_emit(struct build *build, struct emission *emission);

/* Adds "types" and "sites" to MANIFEST. */
void build_state_tell(const struct build *build, json_t *manifest);

void build_state_deinit(struct build *build);

#endif
