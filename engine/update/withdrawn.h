/* Code that has run in this process, and that the builder of a later patch knows nothing of. */
#ifndef MOLT_ENGINE_UPDATE_WITHDRAWN_H
#define MOLT_ENGINE_UPDATE_WITHDRAWN_H

#include "engine/update/recipes.h"

/* The update ID, of COUNT TRANSITIONS, was in force and is not any more. TITLE is "" if it has none. All is
 * borrowed for the call. */
void withdrawn_note(const char *id, const char *title, const struct transition *transitions, size_t count);

/* The update ID is in force (again): whoever builds on it knows its code. */
void withdrawn_return(const char *id);

/* Gives those of RECIPES (NULL: none), of the update ID with COUNT TRANSITIONS, a reason not to be followed
 * that hold only if no such code has run. */
void withdrawn_forbid(const char *id, const struct transition *transitions, size_t count,
                      struct recipes *recipes);

#endif
