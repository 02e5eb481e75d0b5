/*
 * Emitting where a program's variables are, what they hold and what becomes of them.
 */
#ifndef MOLT_PATCH_EMIT_ROOTS_H
#define MOLT_PATCH_EMIT_ROOTS_H

#include "patch/emit/state.h"
#include "patch/code/image.h"

struct root_emission {
    struct state_emission *state; /* borrowed, like the models */
    struct type_model *old, *new;
    bool values_only; /* only variables whose initial value changed, or must not have */
    const struct object_symbol *const
        *folded; /* of old objects: what the new code has the first value of baked in */
    size_t folded_count;
    struct number_map places; /* module and place -> anything: those that are recorded */
};

/*
 * The variables of a unit that was compiled: CONTRIBUTION tells where it is in a binary, COMPARISON (the
 * same, or what it was transferred from) is the one whose objects' debug information the models are made of.
 * After emission_build. What cannot be converted fails the emission.
 */
void emit_roots_of_unit(struct root_emission *roots, struct contribution *contribution,
                        const struct comparison *comparison);

/* The variables of UNIT of IMAGE, which was not compiled. */
void emit_roots_of_image_unit(struct root_emission *roots, const struct image *image,
                              const struct image_unit *unit);

void root_emission_deinit(struct root_emission *roots);

#endif
