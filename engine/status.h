/* What `molt status` says about this process. */
#ifndef MOLT_ENGINE_STATUS_H
#define MOLT_ENGINE_STATUS_H

#include <jansson.h>

/* The status object (link/protocol.h) without "last"; NULL without memory. NAME is borrowed. Takes the
 * dynamic linker's lock. */
json_t *status_describe(const char *name);

/* The engine's own memory, which is no part of the program: {mappings: [{start, end, what}], thread_local:
 * {offset, size}}. Every thread has the latter, at that distance from its thread pointer. NULL without
 * memory. */
json_t *status_describe_memory(void);

/* Path of the executable in TARGET, "" if it cannot be read. */
void status_executable(char *target, size_t size);

#endif
