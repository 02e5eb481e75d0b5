/*
 * The user's policies for suspended functions (MOLT_TRANSFER in molt/(any).c) in a build: which of them are
 * about it, what they read and give, and their code. Recipes take from them what cannot be derived
 * (patch/transfer/given.c).
 */
#ifndef MOLT_PATCH_FRAME_POLICY_H
#define MOLT_PATCH_FRAME_POLICY_H

#include "patch/build_private.h"
#include "patch/transfer/frame_locals.h"
#include "patch/policy/code.h"
#include "patch/policy/compile.h"

enum { FRAME_OLD, FRAME_NEW }; /* the versions before and after the update */

typedef LIST(char *) frame_words;

struct frame_policy {
    struct policy_statement *statement; /* borrowed from its file */
    struct policy_file *file;
    const struct changed_unit *unit; /* that has the function */
    struct type_model *models[2];    /* of that unit, by version */
    bool back;                       /* from the new version to the old */
    struct frame_locals locals[2];   /* by version */
    frame_words sees, gives;         /* members of the two structures that it names */
};

struct frame_policies {
    policy_files files;
    policy_sources sources;
    LIST(struct frame_policy *) list;
    LIST(struct type_model *) models; /* owned; those of the policies */
    struct policy_code code;
};

/* Reads and compiles those for BUILD, whose units are placed, into build->frames; NULL if there are none.
 * REFUSED: one does not compile, or names what there is not. */
struct molt_error *frame_policies_make(struct build *build);
void frame_policies_destroy(struct frame_policies *policies);

/* Adds their code to EMISSION, once for each of the COUNT programs IMAGES; before emission_build. POLICIES
 * may be NULL, and outlives the emission. */
void frame_policies_contribute(struct frame_policies *policies, struct emission *emission,
                               const struct image *const *images, size_t count);

/* The emitted symbol of POLICY's function for IMAGE. */
uint32_t frame_policy_symbol(const struct frame_policies *policies, const struct frame_policy *policy,
                             const struct image *image);

/* The one for suspended activations of FUNCTION, of UNIT, that wait for CALLEE, on the way to the new version
 * or BACK; NULL: there is none. POLICIES may be NULL. */
const struct frame_policy *frame_policy_for(const struct frame_policies *policies,
                                            const struct changed_unit *unit, bool back, const char *function,
                                            const char *callee);

/* transfer/frame_skeleton.c: the locals of FUNCTION, of the unit NAME, that the OLD object has not, or with
 * another type: a new array of {"local", "how": "new" or "type", "value": C to begin with, unless it is no
 * number and no pointer}. */
json_t *frame_differences(struct object *old, struct object *new, const char *name, const char *function);

/* Policy files to start from, {"serve()": text} for each function with locals that MOLT_TRANSFER could give,
 * by the manifest's TRANSFERS. A new object. */
json_t *frame_skeletons(const json_t *transfers);

/* transfer/frame_declare.c: the structures of the policies of FILE as C, with what they need. Owned by the
 * caller. */
char *frame_policies_declare(const struct frame_policies *policies, const struct policy_file *file);

#endif
