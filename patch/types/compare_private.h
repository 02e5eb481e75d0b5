/* Comparing types, as types/compare.c and its parts see it. */
#ifndef MOLT_PATCH_TYPES_COMPARE_PRIVATE_H
#define MOLT_PATCH_TYPES_COMPARE_PRIVATE_H

#include "patch/memory.h"
#include "patch/number_map.h"
#include "patch/types/compare.h"
#include "patch/types/hints.h"

struct type_changes {
    struct type_model *old, *new;
    struct hints *hints;
    const char *const *spoken_of; /* types about which there are policies; borrowed */
    size_t spoken_of_count;
    LIST(struct type_change *) list;
    LIST(const struct type_change *) alike; /* did not change, but are not equal */
    struct number_map pairs;  /* of an old and a new type: what comparing them came to, changed or not */
    struct number_map of_old; /* old type -> type_change */
    struct number_map of_new;
    struct number_map successors; /* old type -> new one, or itself */
    LIST(void *) owned;
};

/* The comparison of two structures, unions or enumerations; kinds is 0 if nothing changed. */
const struct type_change *types_compared(struct type_changes *changes, const struct type *old,
                                         const struct type *new);

/* Whether NEW, stripped, is what OLD, stripped, became: both have a name and it is the same, or one was
 * renamed. */
bool types_correspond(struct type_changes *changes, const struct type *old, const struct type *new);

/* types/pair.c: the members of the two, sorted. Strings belong to CHANGES. */
size_t types_pair(struct type_changes *changes, const struct type *old, const struct type *new,
                  struct type_pair **ret);

/* types/enum.c: whether stored numbers keep their meaning. */
bool types_same_enumerators(const struct type_changes *changes, const struct type *old,
                            const struct type *new);

/* types/explain.c: fills kinds, reason, file and line in from the pairs and the types. */
void types_explain(struct type_changes *changes, struct type_change *change);

/* STRING, from malloc, as CHANGES' own. */
char *types_keep(struct type_changes *changes, char *string);

#endif
