/* Sites in a patch. */
#ifndef MOLT_PATCH_SITES_EMIT_H
#define MOLT_PATCH_SITES_EMIT_H

#include "patch/emit/state.h"
#include "patch/sites/sites.h"

/* Adds the debug information that the types of SITES are described in to MODEL; before MODEL is asked
 * anything. SITES must outlive it. */
void sites_add_units(const struct sites *sites, struct type_model *model);

/*
 * Adds the records of SITES to the emission of STATE, after emission_build. MODEL has their units.
 * CONTRIBUTION: that with the object they are in; NULL for those of the binary IMAGE itself.
 */
void sites_emit(const struct sites *sites, struct state_emission *state, struct type_model *model,
                const struct image *image, const struct contribution *contribution);

/* Adds the counts and the list of FROM (sites_to_json) to INTO. FROM is released. */
void sites_join_json(json_t *into, json_t *from);

#endif
