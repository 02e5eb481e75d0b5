/*
 * Suspended frames that go on in the new version (DESIGN 4.4). A frame that waits for a call to return is
 * given a *pending transfer*: a stub stands in place of the return address, and when control comes back the
 * frame of the old version is turned into one of the new version, by a recipe that the builder has worked
 * out; then the new code goes on behind its own call.
 *
 * Until then the old frame stays as it is: unwinders see it, in the old code. A further update adds its
 * recipe to those that wait already; one that is rolled back takes its own away again.
 *
 * All but transfer_init in the stopped world; nothing here allocates memory.
 */
#ifndef MOLT_ENGINE_THREADS_TRANSFER_H
#define MOLT_ENGINE_THREADS_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"

#include "engine/threads/transfer_frame.h"

/* 0 or a negative errno. Before the first stop. */
int transfer_init(void);

/* Where control goes in the end when it comes back to the return address that stands at RETURN_SLOT, or
 * ADDRESS, which stands there as far as unwinders can see, if nothing is pending. */
uintptr_t transfer_destination(uintptr_t return_slot, uintptr_t address);

/* The recipe that was added last to what is pending at RETURN_SLOT, NULL if nothing is. */
const struct transfer *transfer_last(uintptr_t return_slot);

/* All that is pending at RETURN_SLOT, last first; NULL if nothing is. */
const struct transfer_step *transfer_pending(uintptr_t return_slot);

/* The CFA of the frame that returns by way of RETURN_SLOT, where RECIPE would be added. */
uintptr_t transfer_cfa(uintptr_t return_slot, const struct transfer *recipe);

/* Whether the instances of RECIPE can be found in the frame that it would be added to at RETURN_SLOT. */
bool transfer_finds_instances(uintptr_t return_slot, const struct transfer *recipe);

/* How many recipes can still be added. */
size_t transfer_room(void);

/* Adds RECIPE, which must stay as long as transfer_uses says so, to what is pending at RETURN_SLOT, with
 * what its policy has GIVEN (NULL: it has none), which must stay as long as transfer_uses_given does.
 * There must be room. */
void transfer_add(uintptr_t return_slot, const struct transfer *recipe, const uint8_t *given);

/* Takes the last recipe away again. */
void transfer_cancel(uintptr_t return_slot);

/* An update has moved parts of the program's memory, as NOW_AT says: what is pending in a context there,
 * instead of on a stack, is pending where that is now. */
void transfer_follow(memory_mover *now_at, void *context);

/* Forgets what is pending no longer: control came back, or the frame was left in another way. */
void transfer_collect(void);

/* Whether something pending uses one of the COUNT RECIPES, or longjmp may. */
bool transfer_uses(const struct transfer *recipes, size_t count);

/* Whether something pending leads to, or waits in, the code [START, END), or longjmp may come there. */
bool transfer_uses_code(uintptr_t start, uintptr_t end);

/* Whether something pending uses what a policy has given in [START, END). */
bool transfer_uses_given(uintptr_t start, uintptr_t end);

/* The code that turns frames: a thread in it is between two versions, so no update may meet it there.
 * COUNT is set to how many ranges there are. */
struct transfer_code {
    uintptr_t start, end;
};
const struct transfer_code *transfer_code(size_t *ret_count);

#endif
