/*
 * Migration policies: how instances of the types that a patch changes become what the new code expects. Those
 * by name are generated, the user's are in ROOT/molt/(any).c; both are C, compiled into the patch.
 * docs/policies.md is for users.
 */
#ifndef MOLT_PATCH_POLICY_H
#define MOLT_PATCH_POLICY_H

#include <jansson.h>

#include "patch/emit/state.h"
#include "patch/policy/compile.h"
#include "patch/types/compare.h"
#include "recorder/initialisers.h"

struct policies;

/* Visits what functions of the changed sources newly set (recorder/initialisers.h). */
typedef struct molt_error *policy_initialisers(void *context, initialiser_visitor *visit,
                                               void *visit_context);

/* All is borrowed; the types and changes as long as the result. */
struct policy_input {
    struct policy_setup setup;
    const struct type_changes *changes;
    struct type_model *old_types, *new_types;
    const struct earlier_patch
        *earlier; /* what was applied before: policies used there are left out of other changes */
    size_t earlier_count;
    policy_initialisers *visit_initialisers; /* NULL: nobody looks */
    void *initialisers_context;
    const json_t *stages; /* what is to be put together (patch/policy/stage.h); may be NULL */
    bool is_stage;        /* these policies are to become one more of them */
};

/* Reads, plans, generates and compiles. REFUSED: a policy does not compile, or is about something that does
 * not exist; the diagnostics say where. Types that need a policy and have none are warnings: an instance of
 * them would stop the update. */
struct molt_error *policies_create(const struct policy_input *input, struct policies **ret);
void policies_destroy(struct policies *policies);

/* Adds the compiled policies, once for each of the programs IMAGES, to EMISSION; before emission_build.
 * POLICIES must outlive the emission, or begin anew with another one. */
void policies_contribute(struct policies *policies, struct emission *emission,
                         const struct image *const *images, size_t count);

/* Adds the records about them; after emission_build. */
void policies_emit(struct policies *policies, struct state_emission *state);

/* The record of the migration from OLD to NEW (BACK: the other way), as 1 + its index; 0: there is none, or
 * instances choose among several. After policies_emit; POLICIES may be NULL. */
uint32_t policies_migration(const struct policies *policies, const struct type *old, const struct type *new,
                            bool back);

/* What the SIZE bytes at OFFSET of a new instance are made of. */
enum policy_part {
    POLICY_PART_UNKNOWN, /* it takes a whole instance to tell */
    POLICY_PART_COPIED,  /* they are those at *RET of the old one */
    POLICY_PART_NEW,     /* zero */
};

/* From OLD to NEW, or BACK: then the old instance is one of NEW. POLICIES may be NULL. */
enum policy_part policies_part(const struct policies *policies, const struct type *old,
                               const struct type *new, bool back, uint64_t offset, uint64_t size,
                               uint64_t *ret);

/*
 * The manifest's "types": for each changed structure or union
 *
 *     {"name", "new_name", "unit", "file", "line", "from": version, "to": version,
 *      "policy": "generated" | "FILE:LINE", "reason",
 *      "change": [{"name": in the new type | null, "from": in the old one | null, "how", "type", "was",
 *      "policy": "FILE:LINE" | null, "confidence", "evidence",
 *      "set_by", "set_to": the function and the value of a new member in new instances}],
 *      "invertible", "why_not": null | why not, "stops": null | why an instance would stop the update,
 *      "policies": [hashes of the policies' words], "validations": ["FILE:LINE"],
 *      "function": name of the generated C function,
 *      "old", "new": where the members are (patch/types/shape.h)}
 *
 * HOW: same, renamed, converted, checked (converted, may not fit), remapped, array, migrated, union, choice
 * (a union's member, by MOLT_UNION), default, custom, new, gone, impossible.
 */
json_t *policies_to_json(const struct policies *policies);

/* The generated C, for the review. NULL: there is none. */
const char *policies_text(const struct policies *policies);

/* Policy files to start from: {"struct conn": text, ...} for each changed structure or union that keeps a
 * name. A new object. */
json_t *policies_skeletons(const struct policies *policies);

#endif
