/* Which declaration is which: matches what a change of text brought with what it took away. */
#ifndef MOLT_RECORDER_IDENTITY_H
#define MOLT_RECORDER_IDENTITY_H

#include <stdbool.h>

#include "recorder/file.h"

/*
 * Gives identities to the segments of MADE, the file's new outline, that have none. They are those of the
 * segments of OLD that still have theirs (they are gone), of the file's ghosts, or new ones counted from
 * *NEXT_ID. HUNKS lead from the text of OLD and of the ghosts to that of MADE. The file's ghosts are brought
 * up to date. On failure nothing but MADE has changed.
 */
struct molt_error *identity_match(struct file *file, const struct outline *old, struct outline *made,
                                  const struct hunks *hunks, enum evidence evidence, uint64_t *next_id);

/* Puts right what became of names since, in MADE and the file's ghosts. NAMESAKES: one of several of one
 * name has changed. False without memory. */
bool identity_reconcile(struct file *file, struct outline *made, bool namesakes, uint64_t *next_id);

/* Finds out which of the baseline's declarations share their name with another; none without memory. */
void identity_find_namesakes(struct file *file);

/* Hash of kind, name and OWNER (an id) of a declaration. */
uint64_t identity_key(const struct declarations *declarations, uint32_t index, uint64_t owner);

#endif
