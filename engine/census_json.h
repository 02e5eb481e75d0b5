/* A census as the object that the call `instances` answers (link/protocol.h). */
#ifndef MOLT_ENGINE_CENSUS_JSON_H
#define MOLT_ENGINE_CENSUS_JSON_H

#include <jansson.h>

#include "engine/update/census.h"

/* Adds types, places, what has no type and instances to ANSWER. */
void census_describe(const struct census *census, json_t *answer);

#endif
