/*
 * Asking running programs what they hold, as one job: a query is built for each of them, and their answers
 * become one. Blocking; runs on a job's thread with the session lent to it.
 */
#ifndef MOLT_LSP_SERVER_CENSUS_H
#define MOLT_LSP_SERVER_CENSUS_H

#include <jansson.h>

#include "base/error.h"
#include "lsp-server/delivery.h"
#include "patch/session.h"

struct census {
    struct patch_session *session; /* lent */
    char *tree;                    /* the sources of the programs; owned, like all that follows */
    json_t *patches;               /* that they have */
    json_t *build_ids;             /* of all binaries of the session */
    char *type;                    /* NULL: all */
    unsigned limit;                /* instances to be shown of each program */
    struct delivery_target *targets;
    size_t target_count;
    unsigned timeout_ms;
    volatile int *cancel;

    struct molt_error *error;
    json_t *answer; /* {"types": [{"name", "unit", "count"}], "unknown": {"blocks", "bytes", "sites"},
                       "pause_ms"} of all programs */
    char *text;     /* the same of each program in words: places and values of the type, or a table of all */
};

void census_run(struct census *census);

/* Frees CENSUS and what it holds. NULL is fine. */
void census_free(struct census *census);

#endif
