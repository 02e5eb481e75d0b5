/*
 * The engine's thread from the client's side: requests in, calls of the core (engine/update/update.h),
 * results out. Boot makes one per process and calls everything here.
 */
#ifndef MOLT_ENGINE_CONTROL_H
#define MOLT_ENGINE_CONTROL_H

#include <stddef.h>

/* Opens the socket of this process. NAME is copied. 0, or negative errno with a sentence in REASON. */
int control_listen(const char *name, char *reason, size_t reason_size);

/* Serves on the calling thread, which becomes the engine's, until the socket is lost and cannot be had again.
 * CORE_ERROR is what engine_core_init returned: without a core there is a status and nothing else. Returns
 * negative errno. */
int control_serve(int core_error);

/* Removes the socket's file, from any thread. */
void control_unlink(void);

/* Around fork. The child has nothing left of the parent's clients and has to listen and serve anew. */
void control_fork_prepare(void);
void control_fork_parent(void);
void control_fork_child(void);

#endif
