/*
 * Old blocks of instances that have moved: nobody should know them any more. They are filled with a pattern
 * that is no address and kept until the next update, so that whoever does use one crashes there, instead of
 * changing what somebody else has by then.
 */
#ifndef MOLT_ENGINE_UPDATE_QUARANTINE_H
#define MOLT_ENGINE_UPDATE_QUARANTINE_H

#include <stddef.h>
#include <stdint.h>

/* A site for blocks in quarantine is there. 0 or -ENOSPC. */
int quarantine_init(void);

/* The update is committed, in the stopped world: what earlier updates have left with allocation functions of
 * the program is to be released (update/release.h). */
void quarantine_expire(void);

/* SIZE bytes at PLACE, HEADER bytes into their block, are given up. RELEASE takes them back: then in the
 * stopped world, after quarantine_expire. NULL: free. */
void quarantine_add(uintptr_t place, size_t size, size_t header, void (*release)(void *pointer));

/* World running: frees what was left by updates before this one, and by this one if it is much. */
void quarantine_free_earlier(void);
void quarantine_free_much(void);

#endif
