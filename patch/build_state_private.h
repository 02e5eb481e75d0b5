/* State in a build, as build_state.c and build_types.c see it. */
#ifndef MOLT_PATCH_BUILD_STATE_PRIVATE_H
#define MOLT_PATCH_BUILD_STATE_PRIVATE_H

#include "patch/build_state.h"
#include "patch/policy/policy.h"
#include "patch/policy/mentions.h"
#include "patch/sites/emit.h"

/* What a binary allocates; the session's. */
struct image_sites {
    const struct image *image;
    const struct sites *sites;
};

/* What the functions that a unit brings allocate. */
struct code_sites {
    const struct contribution *contribution;
    const struct comparison *comparison; /* whose new object the addresses are of */
    struct sites *sites;
};

struct build_state {
    struct type_model *old, *new;
    struct type_changes *changes;
    struct policies *policies;
    struct policy_input input;
    policy_mentions mentions;
    json_t *hints;                /* the request's changes, and what the mentions add to them */
    LIST(const char *) spoken_of; /* the types of the mentions */
    struct compile_setup setup;
    bool migrates; /* something changed that instances may have */
    LIST(struct image_sites) images;
    LIST(struct code_sites) code;
    LIST(const struct object_symbol *)
    folded; /* of old objects: constants for the new code, which must be true */
    LIST(struct sites *)
    outdated; /* of code that was compiled again; types are from their debug information */
};

/* Whether the patch changes IMAGE, or the query is about it. */
bool build_is_patched(const struct build *build, const struct image *image);

/* build_state.c: works out what the program allocates, and what the patch's code does. */
struct molt_error *build_find_sites(struct build *build);

/* Emits the sites of the binaries and all variables, whose types are those of NEW afterwards. */
void build_emit_program(struct build *build, struct state_emission *records, struct type_model *new);

/* build_behind.c: flags the layouts of changed types of which nothing tells where their instances are. All
 * other records of RECORDS are there. USAGE: molt.toml is wrong. */
struct molt_error *build_mark_behind(struct build *build, const struct state_emission *records);

/*
 * build_types.c: makes the models of the changed units and, with WHOLE, of all of the program and of what its
 * sites speak of; and finds out what changed.
 */
void build_types_make(struct build *build, bool whole);
void build_types_forget(struct build_state *state);

/*
 * build_forms.c: finds the variables that the new code takes for constants (`folded`). REFUSED: what a
 * variable holds cannot be found again, since the compiler keeps it in another form, or nowhere.
 */
struct molt_error *build_forms_check(struct build *build);

/* build_offsets.c: REFUSED: the program keeps the place of a member that has moved as a number in its data.
 */
struct molt_error *build_offsets_check(struct build *build);

/* Whether a type or a variable changed that instances may have. */
bool build_types_changed(const struct build *build);

#endif
