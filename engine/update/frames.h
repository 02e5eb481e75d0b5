/*
 * The user's C for frames (MOLT_TRANSFER): what the locals of the new version are that no recipe can derive.
 * It runs before the commit, when all else has its new form, so that what goes wrong in it discards the
 * update; what it gives is kept until the frames are turned, when control comes back to them. So are
 * instances of changed types that frames have as locals, and that have another place or size in the new
 * version.
 */
#ifndef MOLT_ENGINE_UPDATE_FRAMES_H
#define MOLT_ENGINE_UPDATE_FRAMES_H

#include "engine/threads/safe_point.h"
#include "engine/update/page_log.h"
#include "engine/update/state.h"
#include "engine/update/update.h"

struct frame_instance;
struct piece;

/* One run of them. All zero at first. */
struct frames {
    struct piece *piece;              /* of memory: what the policies see, and what they give */
    struct frame_instance *instances; /* in it */
    uint8_t *turning;                 /* room in it for frames that are turned already */
    bool guarded;                     /* by this, not by the state */
    struct page_log log;              /* if so: what the policies have written */
};

/* Whether one of the recipes of TRANSFERS has a policy. */
bool frames_have_policies(const struct transfers *transfers);

/*
 * In the stopped world: memory for the frames that POINT takes over; STATE, which may be NULL, is told of the
 * instances in them, which it migrates with all others. 0, or negative: refused with the report complete, or
 * -ENOMEM. In any case frames_commit, or frames_revert and frames_free, follow; state_revert is between the
 * latter.
 */
int frames_prepare(struct frames *frames, struct safe_point *point, struct state *state,
                   struct update_report *report);

/* Then, in the stopped WORLD: runs the policies of the frames that POINT takes over, each once for each
 * frame. STATE, which may be NULL, has migrated. 0, or negative with the report complete. */
int frames_give(struct frames *frames, struct safe_point *point, const struct world *world,
                struct state *state, struct update_report *report);

/* What was given is kept as long as a frame needs it. */
void frames_commit(struct frames *frames);

/* Takes back what the policies have done. */
void frames_revert(struct frames *frames);

/* Gives back the memory of what was not committed. */
void frames_free(struct frames *frames);

/* Visits all memory that is kept, which may hold addresses, until VISIT returns negative: that is the result.
 */
int frames_visit(int (*visit)(void *context, uintptr_t start, uintptr_t end), void *context);

/* Frees what no frame needs any more. */
void frames_reclaim(void);

#endif
