/* Emitting the initial values of variables that the new version begins with otherwise. */
#ifndef MOLT_PATCH_EMIT_INITIAL_H
#define MOLT_PATCH_EMIT_INITIAL_H

#include "patch/emit/state.h"

/* A variable of the old object and what it is in the new one, by the contribution's comparison. */
struct initial_value {
    struct state_emission *state; /* borrowed, like the rest */
    struct contribution *contribution;
    struct object_symbol *old, *new;
    const struct type *old_type, *new_type; /* of what is at the symbols' place */
    bool moves;                             /* the patch defines it anew, with its new initial value */
    const char *name;                       /* for messages */
    unsigned line;                          /* of its new definition */
    LIST(struct molt_patch_part) parts;     /* result: those that begin with something else now */
};

/* Finds the parts whose initial values differ, and whether there are any. The caller frees the list
 * `parts`. */
bool initial_value_changed(struct initial_value *value);

/* Records them for the variable with root record ROOT. */
void emit_initial_value(struct initial_value *value, uint32_t root);

/* Records what the variable with root record ROOT began with, in all its parts, since the new code has
 * that baked in. `new` is not looked at. */
void emit_folded_value(struct initial_value *value, uint32_t root);

/* Records what threads to come begin with, for a thread-local variable at OFFSET of its module's TLS
 * segment. */
void emit_thread_template(struct initial_value *value, uint64_t offset);

#endif
