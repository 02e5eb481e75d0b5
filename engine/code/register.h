/* Telling debuggers and profilers about code that no file holds. */
#ifndef MOLT_ENGINE_CODE_REGISTER_H
#define MOLT_ENGINE_CODE_REGISTER_H

#include "engine/code/load.h"

struct debug_object;

/*
 * Makes an object for gdb's JIT interface out of a loaded patch: its file with final addresses and relocated
 * debug information. NULL without memory (the program then runs on, and gdb shows addresses only).
 */
struct debug_object *debug_object_create(const struct loaded_patch *patch);

/* Shows OBJECT to gdb, and takes it back; destroys it. NULL is fine. World running. */
void debug_object_register(struct debug_object *object);
void debug_object_destroy(struct debug_object *object);

/* Appends the functions of the patch to /tmp/perf-PID.map, where perf looks for generated code; only if
 * MOLT_PERF is set or the file is there already. */
void perf_map_add(const struct loaded_patch *patch);

#endif
