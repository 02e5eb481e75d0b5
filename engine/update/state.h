/*
 * The state of the program in an update: every instance of a changed type, found, migrated, checked, and
 * taken back if anything is wrong.
 */
#ifndef MOLT_ENGINE_UPDATE_STATE_H
#define MOLT_ENGINE_UPDATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/code/load.h"
#include "engine/threads/safe_point.h"
#include "engine/threads/stop.h"
#include "engine/update/update.h"

struct frame_instance;
struct page_log;
struct state;

/* Works out what PATCH, which is loaded and borrowed until state_destroy, says about state: on the way to its
 * version, or, for a ROLLBACK, back. 0 with *ret NULL if it says nothing; -EINVAL with the patch's reason, or
 * -ENOMEM. World running. */
int state_plan(struct loaded_patch *patch, bool rollback, struct state **ret);
void state_destroy(struct state *state);

/* Whether anything changes; else there is nothing to migrate, validate and commit, only to retire. NULL: no.
 */
bool state_changes(const struct state *state);

/* Whether STATE's change runs functions that somebody wrote: policies, validations, the program's allocation
 * functions. */
bool state_runs_functions(const struct state *state);

/* For a rehearsal. In the copy: what is about to be run is noted in the REHEARSAL_NOTES bytes at NOTES. In
 * the process: completes REPORT for a copy that ended so (HOW: "it ended the process") and left these NOTES.
 * And how long the copy may take, in milliseconds. */
void state_note_in(struct state *state, void *notes);
void state_perished(const void *notes, const char *how, struct update_report *report);
uint32_t state_rehearsal_limit(const struct state *state);

/* What else may not be on a stack while STATE is changed: the allocator. */
struct affected_range state_allocator(void);

/* Takes memory ahead, so that it need not be taken while the world stands still. 0 or -ENOMEM. World running.
 */
int state_reserve(struct state *state);

/* Asks the program's allocator for blocks for instances that are sure to outgrow theirs, as many as there are
 * now and some more. Without memory they are asked for later. This is what an update that is discarded leaves
 * a trace of, in the allocator's books: so it comes behind the rehearsal. World running. */
void state_reserve_blocks(struct state *state);

/* In the stopped world, before state_migrate: COUNT INSTANCES in suspended frames are variables, too
 * (frame_instances.h). Borrowed until the state is committed, or reverted. */
void state_take_instances(struct state *state, const struct frame_instance *instances, size_t count);

/*
 * In the stopped world: finds and migrates all instances. 0, or negative: refused or failed, with what REPORT
 * says about it, and state_revert is to be called.
 */
int state_migrate(struct state *state, const struct world *world, struct update_report *report);

/* The log of what others write, while STATE holds the guard and has migrated; else NULL. */
struct page_log *state_pages(struct state *state);

/* A memory_mover for STATE (NULL: none), which has migrated and is not committed yet. */
uintptr_t state_now_at(void *state, uintptr_t address);

/* When code leads to its new versions, too: checks the whole new state. As state_migrate. */
int state_validate(struct state *state, struct update_report *report);

/* In a rehearsal, after all else: looks for words that lead to where instances were before they moved, by
 * rules of its own. TEXT: what is to be said about them, "" if there are none. 0 or negative errno. */
int state_find_leftovers(struct state *state, char *text, size_t size);

/* Takes everything back, to the byte. */
void state_revert(struct state *state);

/* Cannot fail: what was old is given up. Still in the stopped world. */
void state_commit(struct state *state, struct update_report *report);

/* After the commit, of an update or of a rollback, world running: what has moved is given up where it was. */
void state_let_go(struct state *state);

/* The same for an update, which also remembers what later patches will not tell. Returns what state_forget
 * takes to forget it, when the update is rolled back. */
size_t state_retire(struct state *state);
void state_forget(size_t mark);

#endif
