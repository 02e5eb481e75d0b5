/* What a patch says about suspended frames, with this process's addresses. */
#ifndef MOLT_ENGINE_UPDATE_RECIPES_H
#define MOLT_ENGINE_UPDATE_RECIPES_H

#include "engine/threads/safe_point.h"
#include "engine/update/plan.h"

/* Recipes for one direction. */
struct recipes {
    struct transfer *items; /* ascending by from */
    size_t count;
    struct transfer_value *values;
    struct transfer_instance *instances;
    struct molt_patch_root *roots; /* two of each instance */
    char *text;                    /* what the strings of the items lie in */
    struct recipes *next;          /* of those that linger */
};

/* Makes those that lead into UPDATE's code, or with BACK those out of it. UPDATE's transitions are planned.
 * 0; -EINVAL with the patch's reason; or -ENOMEM. */
int recipes_make(struct update *update, bool back, struct recipes **ret);

/* Frees them, as soon as no pending transfer uses them. NULL is fine. */
void recipes_release(struct recipes *recipes);

/* Frees those released earlier that nothing uses any more. */
void recipes_reclaim(void);

/* How to treat suspended frames when FORTH's version follows that which BACK leads to; both may be NULL. */
struct transfers recipes_transfers(const struct recipes *forth, const struct recipes *back,
                                   uint32_t after_ms);

#endif
