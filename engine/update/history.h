/* The updates in force, and how to go back. */
#ifndef MOLT_ENGINE_UPDATE_HISTORY_H
#define MOLT_ENGINE_UPDATE_HISTORY_H

#include "engine/update/plan.h"

/* Makes room for one more entry, so that history_push cannot fail. 0 or -ENOMEM. */
int history_reserve(void);

/* Takes what is needed to undo UPDATE, which was just committed, and frees UPDATE. Superseded code that
 * nothing can reach any more is given back to the system. World running. */
void history_push(struct update *update);

/* The last update, as long as it can be undone; else NULL, with the reason in *ret_reason. */
struct applied;
struct applied *history_last(const char **ret_reason);

/* What must not be on a stack for APPLIED to be undone; the array is the caller's to free. 0 or -ENOMEM. And
 * to be brought back, of which *ret_count borrowed ranges are returned. */
int history_ranges(const struct applied *applied, struct affected_range **ret, size_t *ret_count);
const struct affected_range *history_ranges_before(const struct applied *applied, size_t *ret_count);

/* How frames are treated that are suspended when APPLIED is undone, or with ROLLBACK false brought back. */
struct transfers history_transfers(const struct applied *applied, bool rollback, uint32_t after_ms);

/* Undoes APPLIED in the stopped world. 0 or a negative errno (then the update is still in force). */
int history_revert(struct applied *applied);

/* Brings APPLIED, which was reverted, back in the stopped world. 0 or a negative errno (then it stays
 * reverted). */
int history_restore(struct applied *applied);

/* Forgets the last entry after it was reverted. World running. */
void history_pop(void);

/* Plans what going back from APPLIED (or, with ROLLBACK false, bringing it back) does to the program's state:
 * *ret, to be destroyed, or NULL if nothing. 0, -EINVAL with *ret_reason, or -ENOMEM. World running. */
int history_state(struct applied *applied, bool rollback, struct state **ret, const char **ret_reason);

/* The change back, or forth again, is made: what is remembered of the update's sites goes, or comes again
 * from STATE. World running. */
void history_state_changed(struct applied *applied, struct state *state);

unsigned history_functions(const struct applied *applied);

size_t history_count(void);

/* Where pthread_create is. Takes the dynamic linker's lock. */
struct code_range history_thread_creation(void);

#endif
