/*
 * Code that is superseded, but that longjmp may still come back to: behind calls of setjmp. A jmp_buf can be
 * anywhere, in any disguise, so none is looked for: the old code leads on to the new one in that place.
 *
 * What comes there has the registers of the version that called setjmp. Its frame may be that version's, too:
 * then it is turned. If it was turned when control came back to it by a return, that is known of it, and only
 * registers are made those of the new version.
 *
 * All in the stopped world, but for room and fit.
 */
#ifndef MOLT_ENGINE_THREADS_SETJMP_SITES_H
#define MOLT_ENGINE_THREADS_SETJMP_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/transfer_frame.h"

#define SETJMP_SITE_SIZE 21 /* bytes of code that lead on */

/* The code that leads on, the same in all places. */
void setjmp_site_code(uint8_t ret[SETJMP_SITE_SIZE]);

/* How many can still be added. */
size_t setjmp_sites_room(void);

/* NULL, or why RECIPE cannot go on from what earlier ones have led to: in words. */
const char *setjmp_sites_refuse(const struct transfer *recipe);

/* What comes to RECIPE's old place goes on by it; it must stay as long as setjmp_sites_use says so. There
 * must be room. */
void setjmp_sites_add(const struct transfer *recipe);

/* The COUNT RECIPES count no more. */
void setjmp_sites_remove(const struct transfer *recipes, size_t count);

/* Whether one of the COUNT RECIPES counts. */
bool setjmp_sites_use(const struct transfer *recipes, size_t count);

/* Whether one leads from, or to, the code [START, END). */
bool setjmp_sites_use_code(uintptr_t start, uintptr_t end);

/* Whether a thread at PC is on its way from the old code to the new. */
bool setjmp_sites_hold(uintptr_t pc);

/* Whether it can be noted of more frames that they were turned. */
bool setjmp_frames_room(void);

#endif
