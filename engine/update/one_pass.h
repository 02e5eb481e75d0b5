/* Tracing and migrating in one pass, for what is generated (one_pass.c). */
#ifndef MOLT_ENGINE_UPDATE_ONE_PASS_H
#define MOLT_ENGINE_UPDATE_ONE_PASS_H

#include "engine/update/state_private.h"

/* Says which conversions can be made in passing, and how they are undone. World running. */
void one_pass_plan(struct state *state);

/* Whether old instances of CONVERSION follow from the new ones as a rule: every byte of theirs is somewhere.
 */
bool one_pass_may_derive(const struct conversion *conversion);

/* Whether this update takes the pass, as long as no function is run meanwhile that may look at other
 * instances. */
bool one_pass_is_possible(const struct state *state);

/* Whether the object in PLACE is migrated in passing. */
static inline bool one_pass_takes(const struct state *state, const struct conversion *conversion,
                                  const struct place *place)
{
    return conversion->in_passing && place->size == conversion->from->size &&
           state_keeps_site(state, conversion, place->meaning);
}

/* Looks at the pointers of all blocks that lead to changed types, as trace_place, and migrates what it takes.
 * Under the guard. state->status says how it went; state->left, whether there is something left to be
 * migrated. */
void one_pass(struct state *state);

/* Whatever way one_pass ended: its items become the conversions'. If it was interrupted in an instance, that
 * is as it was again, and what is being worked on, for the report. */
void one_pass_end(struct state *state);

/* Puts the instance at PLACE, of ITEM, back. */
void one_pass_undo(const struct conversion *conversion, const struct item *item);

#endif
