/*
 * Several updates made one: a type that two or more of them change goes from its first version to its last by
 * way of those in between. A migration calls those of the updates, each with its own policies, and what lies
 * between is a temporary of the function that calls. The engine sees one migration.
 */
#ifndef MOLT_PATCH_POLICY_COMPOSE_H
#define MOLT_PATCH_POLICY_COMPOSE_H

#include <jansson.h>

#include "patch/policy/segments.h"
#include "patch/policy/write_value.h"

/* What an update does with the type; the entry of its stage's "types" (patch/policy/stage.h), borrowed. */
struct policy_link {
    unsigned stage; /* from 1 */
    const json_t *type;
};

/* The way of one type. */
struct policy_composition {
    const struct type *old, *new;
    LIST(struct policy_link) links; /* in order, two or more */
};

/* Finds the types of PLANS that several of its stages change. REFUSED: they cannot be composed; the message
 * says why. */
struct molt_error *compositions_find(struct policy_plans *plans);
void compositions_free(struct policy_plans *plans);

/* That of OLD, or NULL. */
const struct policy_composition *composition_of(const struct policy_plans *plans, const struct type *old);

/* Whether no statement of the user's takes part in any link's migration, or, with BACK, its way back. */
bool composition_is_generated(const struct policy_composition *composition, bool back);

/* Why there is no way back, or NULL. Borrowed. */
const char *composition_why_not_back(const struct policy_composition *composition);

/* What kept a place through all links. */
void composition_segments(const struct policy_composition *composition, policy_segments *ret);

/* The absolute path of the first policy of the user's that takes part, and its line; NULL: there is none. */
const char *composition_file(const struct policy_composition *composition, bool back, unsigned *ret_line);

/* For the manifest: KEY's lists of all links in one ("policies", "validations"); where each member comes
 * from. New objects. */
json_t *composition_list(const struct policy_composition *composition, const char *key);
json_t *composition_change(const struct policy_composition *composition);

/* "molt/conn.c:7" of each of the links, or "generated". A new object. */
json_t *composition_policy(const struct policy_composition *composition);

/* policy/write_composed.c: the functions molt_migrate_NAME and molt_invert_NAME of a composed PLAN, and
 * prototypes of what they call. */
void policy_write_composed(struct policy_writer *writer, const struct policy_plan *plan);
void policy_write_composed_inverse(struct policy_writer *writer, const struct policy_plan *plan);

#endif
