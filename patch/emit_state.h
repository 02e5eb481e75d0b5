/*
 * Emitting what a patch says about state: layouts with their fields, and roots. base/patch_file.h says what is
 * written. Types are those of the old and of the new model; one that did not change becomes one layout.
 */
#ifndef MOLT_PATCH_EMIT_STATE_H
#define MOLT_PATCH_EMIT_STATE_H

#include "patch/emit.h"
#include "patch/types_compare.h"

struct state_emission {
    struct emission *emission;          /* borrowed; strings go there */
    const struct type_changes *changes; /* borrowed; may be NULL: nothing changed */
    LIST(struct molt_patch_layout) layouts;
    LIST(struct molt_patch_field) fields;
    LIST(struct molt_patch_root) roots;
    struct table by_hash; /* hash in hex -> 1 + index */
    LIST(char *) owned;
};

void state_emission_init(struct state_emission *state, struct emission *emission,
                         const struct type_changes *changes);
void state_emission_deinit(struct state_emission *state);

/* The index of the layout of TYPE (typedefs stripped, of an array that of its elements), made together with all that its
 * fields lead to. 0 for void, functions, base types other than by value, and incomplete types. */
uint32_t emit_layout(struct state_emission *state, const struct type *type);

#endif
