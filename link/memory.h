/* The memory of libwebsockets, kept on a list so that a forked child can drop what it inherited. */
#ifndef MOLT_LINK_MEMORY_H
#define MOLT_LINK_MEMORY_H

/* Makes libwebsockets allocate through here and silences its log. Called before anything else of it; any
 * number of times. */
void link_memory_init(void);

/* Frees all that libwebsockets holds. Only where none of it is in use by another thread: in a forked child.
 */
void link_memory_drop(void);

/* Around fork: keeps the list consistent. */
void link_memory_lock(void);
void link_memory_unlock(void);
void link_memory_lock_reset(void);

#endif
