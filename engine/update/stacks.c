/*
 * Functions that never return are found by looking at the stacks several times: what is there each time, at
 * the same place, has not left meanwhile. This is one look. It costs the program the time of a safe point
 * without anything in its way.
 */
#include "engine/update/stacks.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/threads/barrier.h"
#include "engine/threads/transfer.h"
#include "engine/threads/unwind.h"
#include "engine/update/stage.h"

#define FRAMES_MAX 32768
#define STOP_MS 1000

struct taking {
    struct stacks *stacks;
    pid_t tid;
};

static bool add(struct taking *taking, struct stacks_frame frame)
{
    struct stacks *stacks = taking->stacks;

    frame.tid = taking->tid;
    stacks->all &= stacks->count < FRAMES_MAX;
    if (stacks->all) {
        stacks->frames[stacks->count++] = frame;
    }
    return stacks->all;
}

static bool visit_frame(void *context, const struct stack_frame *frame)
{
    return add(context, (struct stacks_frame){ .suspended = frame->pc_slot != 0,
                                               .address = transfer_destination(frame->pc_slot, frame->pc),
                                               .slot = frame->return_slot });
}

/* In the stopped world. */
static void take_all(struct stacks *stacks, const struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        struct taking taking = { stacks, world->threads[i].tid };
        uintptr_t lost_sp;
        if (unwind_thread(&world->threads[i], visit_frame, &taking, &lost_sp) == UNWIND_LOST) {
            add(&taking, (struct stacks_frame){ .lost = true });
        }
    }
}

static int look(struct stacks *stacks)
{
    struct world world;
    pid_t stuck;
    int status = unwind_refresh();

    status = status < 0 ? status : stop_world(STOP_MS, &world, &stuck);
    if (status < 0) {
        return status;
    }
    barrier_remove_all(&world); /* those that threads have not met since an update was given up */
    take_all(stacks, &world);
    resume_world();
    stacks->pause_us = monotonic_us() - world.began_us;
    return 0;
}

int stacks_take(struct stacks *ret)
{
    struct stacks stacks = { .frames = calloc(FRAMES_MAX, sizeof(*stacks.frames)), .all = true };

    if (!stacks.frames) {
        return -ENOMEM;
    }
    enter_critical();
    int status = look(&stacks);
    leave_critical();
    if (status < 0) {
        free(stacks.frames);
        return status;
    }
    *ret = stacks;
    return 0;
}
