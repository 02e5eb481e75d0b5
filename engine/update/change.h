/* All that an update does to the program, in one go, while every thread is stopped. */
#ifndef MOLT_ENGINE_UPDATE_CHANGE_H
#define MOLT_ENGINE_UPDATE_CHANGE_H

#include "engine/threads/stop.h"
#include "engine/update/plan.h"

/* Makes all changes of UPDATE, migrated state included, and validates them. 0, or negative errno: then they
 * are to be taken back, and REPORT may have the reason. Between undo_begin and undo_end. */
int change_make(struct update *update, const struct world *world, struct update_report *report);

/* Takes back what change_make has made, or a part of it. */
void change_take_back(struct update *update);

/* Both: on failure everything is as before. */
int change_or_not(struct update *update, const struct world *world, struct update_report *report);

/* There is no way back from here on: what was made is what is in force, and suspended frames will go on in
 * it. */
void change_make_final(struct update *update, struct update_report *report);

#endif
