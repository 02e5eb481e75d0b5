/* The stacks of all threads, as the call `stacks` tells of them (link/protocol.h). */
#ifndef MOLT_ENGINE_STACKS_JSON_H
#define MOLT_ENGINE_STACKS_JSON_H

#include <jansson.h>

struct stacks;

/* A new object; NULL without memory. */
json_t *stacks_describe(const struct stacks *stacks);

#endif
