/* What a patch defines can be bound to by later patches. It is published before the safe point is awaited,
 * and may be withdrawn. */
#ifndef MOLT_ENGINE_UPDATE_DEFINITIONS_H
#define MOLT_ENGINE_UPDATE_DEFINITIONS_H

#include "engine/update/plan.h"

/* Registers all that UPDATE defines. 0; or -ENOMEM, and nothing is registered. */
int definitions_publish(struct update *update);

/* Takes it back, if it is not kept: nothing happens otherwise. */
void definitions_withdraw(struct update *update);

/* UPDATE is committed. In the critical section. */
void definitions_keep(void);

/* In a child, where nobody awaits the parent's safe point. In the critical section. */
void definitions_after_fork(void);

#endif
