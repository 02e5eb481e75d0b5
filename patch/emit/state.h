/*
 * Emitting what a patch says about state: layouts with their fields, and roots. base/patch_file.h says what
 * is written. Types are those of the old and of the new model; one that did not change becomes one layout,
 * whichever of the two it is asked for with.
 */
#ifndef MOLT_PATCH_EMIT_STATE_H
#define MOLT_PATCH_EMIT_STATE_H

#include "patch/emit/emit.h"
#include "patch/number_map.h"
#include "patch/types/compare.h"

/* A field that leads to a layout that is not made yet. */
struct layout_target {
    size_t field;
    const struct type *type;
};

struct state_emission {
    struct emission *emission;          /* borrowed; records and strings go there */
    const struct type_changes *changes; /* borrowed; may be NULL: nothing changed */
    struct number_map by_type;          /* type -> 1 + index */
    struct number_map by_hash;          /* hash and side of the update -> 1 + index */
    struct table strings;               /* names of members -> offset; the types' strings */
    LIST(struct layout_target) targets;
};

void state_emission_init(struct state_emission *state, struct emission *emission,
                         const struct type_changes *changes);
void state_emission_deinit(struct state_emission *state);

/* The index of the layout of TYPE (typedefs stripped, of an array that of its elements), made together
 * with all that its fields lead to. 0 for void, functions and incomplete types. */
uint32_t emit_layout(struct state_emission *state, const struct type *type);

/* Emits under what other hashes the engine is to remember types that stay what they are (molt_patch_alias).
 */
void emit_aliases(struct state_emission *state);

/* Makes layouts of all that the names of changed types mean elsewhere in OLD, the old model: the engine is
 * not to take the one for the other. */
void emit_namesakes(struct state_emission *state, struct type_model *old);

/* How the engine is to see one element of TYPE, an array or not, that is a variable or member of its own:
 * its enum molt_field_kind, and in *RET_LAYOUT what the field leads to (POINTER) or is (otherwise). False:
 * it holds neither addresses nor instances of changed types. */
bool emit_kind(struct state_emission *state, const struct type *type, uint32_t *ret_kind,
               uint32_t *ret_layout);

#endif
