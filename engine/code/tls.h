/* Thread-local variables that patches bring: they live in a reserve that every thread has from its start. */
#ifndef MOLT_ENGINE_CODE_TLS_H
#define MOLT_ENGINE_CODE_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"

/* Takes SIZE bytes of the reserve; *ret is the offset in the reserve. 0 or -ENOSPC. */
int tls_allocate(size_t size, size_t alignment, size_t *ret);

/* How much of the reserve is taken, and back to it. */
size_t tls_mark(void);
void tls_reset(size_t mark);

/* Where offset 0 of the reserve is: relative to the thread pointer; and as argument of __tls_get_addr. */
intptr_t tls_thread_offset(void);
size_t tls_module_id(void);
size_t tls_module_offset(void);

/* All thread-local memory of libmolt.so, the reserve included: relative to the thread pointer, and its
 * size in bytes. */
void tls_own_block(intptr_t *ret_offset, size_t *ret_size);

/* Gives bytes [offset, offset + size) of the reserve their initial value, in all threads of WORLD, in the
 * engine's own and in those that will be created. World stopped. 0 or a negative errno. */
int tls_initialise(const struct world *world, size_t offset, const void *bytes, size_t size);

#endif
