/* Telling the program itself that it was updated, if it has asked to be told (molt_update_fd of
 * <molt/engine.h>). */
#ifndef MOLT_ENGINE_NOTICE_H
#define MOLT_ENGINE_NOTICE_H

/* After an update or a rollback is in force. Never blocks; whoever does not read loses nothing but the count.
 */
void notice_send(void);

/* In a forked child, whose descriptors are still its parent's. */
void notice_after_fork(void);

#endif
