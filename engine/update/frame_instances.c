/*
 * Instances in suspended frames. Such a local is taken for a variable of the process, which is what it is as
 * long as its function waits: it is migrated, forwarded and validated with all others (state.h). One that
 * will lie elsewhere in the new frame, or has another size, moves into what the frame is given, since its
 * place is in use by whoever was called until control comes back; from there the frame is turned. A rollback
 * meanwhile brings it back to where the old version has it.
 *
 * With several updates pending in one frame, the instance is where the last of them has left it.
 */
#include "engine/update/frame_instances.h"

#include <errno.h>
#include <string.h>

/* The step whose instances change when SUSPENDED is taken over, or is not any more; NULL: there is no such.
 */
static const struct transfer *recipe_of(const struct suspended *suspended)
{
    return suspended->recipe ? suspended->recipe : transfer_last(suspended->slot);
}

size_t frame_instances_count(const struct safe_point *point)
{
    size_t count = 0;

    for (size_t i = 0; i < point->suspended_count; i++) {
        const struct transfer *recipe = recipe_of(&point->suspended[i]);
        count += recipe ? recipe->instance_count : 0;
    }
    return count;
}

/* On the way to the new version. False: where the old one is cannot be told. */
static bool find_forth(const struct suspended *suspended, const struct transfer_instance *instance,
                       struct frame_instance *ret)
{
    uintptr_t place = transfer_locate(transfer_pending(suspended->slot),
                                      transfer_cfa(suspended->slot, suspended->recipe), instance);

    *ret = (struct frame_instance){ instance->forth, place,
                                    instance->stays ? place : (uintptr_t)suspended->given + instance->given };
    return place != 0;
}

/* What is pending is taken away: the instance comes back to what it was made of. */
static bool find_back(const struct suspended *suspended, const struct transfer_instance *instance,
                      struct frame_instance *ret)
{
    const struct transfer_step *last = transfer_pending(suspended->slot);
    uintptr_t before = transfer_locate(last->earlier, transfer_cfa(suspended->slot, NULL), instance);

    *ret = (struct frame_instance){ instance->back,
                                    instance->stays ? before : (uintptr_t)last->given + instance->given,
                                    before };
    if (before && !instance->stays) {
        memset((void *)before, 0, instance->size);
    }
    return before != 0;
}

int frame_instances_find(const struct safe_point *point, struct frame_instance *ret)
{
    for (size_t i = 0; i < point->suspended_count; i++) {
        const struct suspended *suspended = &point->suspended[i];
        const struct transfer *recipe = recipe_of(suspended);
        for (uint32_t k = 0; recipe && k < recipe->instance_count; k++, ret++) {
            const struct transfer_instance *instance = &recipe->instances[k];
            bool found = suspended->recipe ? find_forth(suspended, instance, ret)
                                           : find_back(suspended, instance, ret);
            if (!found) {
                return -EIO;
            }
        }
    }
    return 0;
}
