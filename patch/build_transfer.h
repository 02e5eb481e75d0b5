/* How suspended functions go on in another version, as a build says it. */
#ifndef MOLT_PATCH_BUILD_TRANSFER_H
#define MOLT_PATCH_BUILD_TRANSFER_H

#include "patch/build_private.h"

/* Adds a record for each call of each affected function, in both directions, and the manifest's "transfers".
 * After emission_build. */
void build_transfers_emit(struct build *build, struct emission *emission);

#endif
