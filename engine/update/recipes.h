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

/* How many places behind calls of setjmp there are that lead on by them. */
size_t recipes_setjmps(const struct recipes *recipes);

/* Takes from functions that call setjmp all recipes, if one of those places was taken from them. */
void recipes_share_refusals(struct recipes *recipes);

/* From now ON, or no more, longjmp is led on by them. In the stopped world, as the code there is written. */
void recipes_lead_on(struct recipes *recipes, bool on);

/* How to treat suspended frames when FORTH's version follows that which BACK leads to; both may be NULL. */
struct transfers recipes_transfers(const struct recipes *forth, const struct recipes *back,
                                   uint32_t after_ms);

#endif
