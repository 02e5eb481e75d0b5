/* Locals of suspended frames that are instances of types which change. */
#ifndef MOLT_ENGINE_UPDATE_FRAME_INSTANCES_H
#define MOLT_ENGINE_UPDATE_FRAME_INSTANCES_H

#include "engine/threads/safe_point.h"

/* One of them: where it is, and where it is to be. */
struct frame_instance {
    const struct molt_patch_root *record; /* it as if it were a variable; borrowed from its recipe */
    uintptr_t place, target;              /* equal: it stays */
};

/* How many there are in the frames that POINT takes over, or gives back to their old versions. */
size_t frame_instances_count(const struct safe_point *point);

/* Writes them to RET, which has room for all. What the frames are given has its memory. World stopped; 0, or
 * -EIO: one of them is in several pieces. */
int frame_instances_find(const struct safe_point *point, struct frame_instance *ret);

#endif
