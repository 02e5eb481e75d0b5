/*
 * The user's C for frames (MOLT_TRANSFER): what the locals of the new version are that no recipe can derive.
 * It runs before the commit, when all else has its new form, so that what goes wrong in it discards the
 * update; what it gives is kept until the frames are turned, when control comes back to them.
 */
#ifndef MOLT_ENGINE_UPDATE_FRAMES_H
#define MOLT_ENGINE_UPDATE_FRAMES_H

#include "engine/threads/safe_point.h"
#include "engine/update/page_log.h"
#include "engine/update/state.h"
#include "engine/update/update.h"

struct piece;

/* One run of them. All zero at first. */
struct frames {
    struct piece *piece; /* of memory: what the policies see, and what they give */
    bool guarded;        /* by this, not by the state */
    struct page_log log; /* if so: what the policies have written */
};

/* Whether one of the recipes of TRANSFERS has a policy. */
bool frames_have_policies(const struct transfers *transfers);

/*
 * In the stopped WORLD: runs the policies of the frames that POINT takes over, each once for each frame.
 * STATE, which may be NULL, has migrated. 0, or negative with the report complete; frames_commit or
 * frames_revert follows in any case, the latter before state_revert.
 */
int frames_give(struct frames *frames, struct safe_point *point, const struct world *world,
                struct state *state, struct update_report *report);

/* What was given is kept as long as a frame needs it. */
void frames_commit(struct frames *frames);

/* Takes back what the policies have done. */
void frames_revert(struct frames *frames);

/* Frees what no frame needs any more. */
void frames_reclaim(void);

#endif
