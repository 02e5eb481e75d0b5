/* Locals that are instances of types which change. */
#ifndef MOLT_PATCH_BUILD_LOCALS_H
#define MOLT_PATCH_BUILD_LOCALS_H

#include "patch/build_private.h"
#include "patch/policy/policy.h"
#include "patch/transfer/transfer.h"

struct build_state;

/* Those of one unit. */
struct build_locals {
    const struct build_state *state; /* whose policies are emitted */
    const char *unit;                /* as the types' models know it */
};

/* What becomes of a local of the type FROM that is of the type TO in the other version (a local_changes);
 * BACK: on the way from the new version to the old. One of them may be NULL: whether the other changes. */
enum local_change build_local_change(const struct build_locals *locals, const Dwarf_Die *from,
                                     const Dwarf_Die *to, bool back, uint32_t *ret_migration);

/* What the SIZE bytes at OFFSET of a local of the type TO are made of, of one of the type FROM (a
 * local_parts).
 */
enum policy_part build_local_part(const struct build_locals *locals, const Dwarf_Die *from,
                                  const Dwarf_Die *to, bool back, uint64_t offset, uint64_t size,
                                  uint64_t *ret);

/* Marks the functions as changed that have instances of changed types as locals. Their units are compared,
 * and the types' models made. */
struct molt_error *build_take_holders(struct build *build);

#endif
