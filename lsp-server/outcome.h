/*
 * What is said about an update that is over: the `lastUpdate` object of molt/status.
 */
#ifndef MOLT_LSP_SERVER_OUTCOME_H
#define MOLT_LSP_SERVER_OUTCOME_H

#include <jansson.h>

#include "base/diagnostic.h"

/* What is known about it; all borrowed, strings may be NULL. */
struct outcome {
    const char *result;     /* word, see docs/protocol.md */
    const char *reason;     /* why not */
    const json_t *delivery; /* result object of delivery_run, or NULL */
    const json_t *manifest; /* of the patch, or NULL */
    double compile_ms;
    double total_ms; /* from the save to here */
};

/* A new object; NULL without memory. */
json_t *outcome_to_json(const struct outcome *outcome);

/* "1 error in a.c", "3 errors in a.c, 1 elsewhere"; NULL if LIST has none. Owned by the caller. */
char *outcome_held(const struct molt_diagnostics *list);

#endif
