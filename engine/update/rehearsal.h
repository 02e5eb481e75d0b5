/*
 * A rehearsal: what is about to be done to the process is done to a copy of it first, while the process
 * itself goes on. Whatever becomes of the copy, nobody is hurt.
 */
#ifndef MOLT_ENGINE_UPDATE_REHEARSAL_H
#define MOLT_ENGINE_UPDATE_REHEARSAL_H

#include <stdint.h>

#include "engine/threads/stop.h"
#include "engine/update/stage.h"
#include "engine/update/update.h"

#define REHEARSAL_NOTES 4096 /* bytes */

struct rehearsal {
    /* What is done, in the copy, on its only thread, as in the stopped world WORLD. What it writes to NOTES
     * is seen by the process even if it never returns. 0, or negative with the report. */
    int (*play)(void *context, const struct world *world, struct update_report *report, void *notes);
    /* In the process: the copy ended without an answer, HOW says how ("it called exit(1)"). Completes the
     * report. */
    void (*perished)(void *context, const void *notes, const char *how, struct update_report *report);
    void *context;
    uint32_t limit_ms;           /* the copy may live that long */
    struct update_report played; /* out: what PLAY reported, if it succeeded */
};

enum rehearsal_end {
    REHEARSAL_PASSED = 0,
    REHEARSAL_NOT_MADE =
        1, /* there could be no copy, or none that is like the process: the report has a warning */
};

/* Notes what is special about the process from its beginning. On the engine's thread. */
void rehearsal_init(void);

/* Whether the program has installed system call filters of its own since, which may kill it for making
 * processes. */
bool rehearsal_is_sandboxed(void);

/*
 * In the stopped WORLD and in the critical section; returns with the world running and outside of it. enum
 * rehearsal_end, or negative with the report complete.
 */
int rehearsal_run(struct rehearsal *rehearsal, const struct world *world, const struct watcher *watcher,
                  struct update_report *report);

#endif
