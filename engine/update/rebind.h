/* Who names a variable that moves, and is told where it is now: operands in code that stays, and what modules
 * tell the dynamic linker. */
#ifndef MOLT_ENGINE_UPDATE_REBIND_H
#define MOLT_ENGINE_UPDATE_REBIND_H

#include "engine/update/plan.h"

/* Fills UPDATE->rebounds. 0, -EINVAL with UPDATE->patch.reason, or -ENOMEM. */
int rebind_plan(struct update *update);

/* Writes them, through the undo log, in the stopped world. 0 or a negative errno. */
int rebind_make(struct update *update);

#endif
