/*
 * A round of an update: what its two jobs (build.h, delivery.h) are given, and how they report on the way.
 */
#ifndef MOLT_LSP_SERVER_ROUND_H
#define MOLT_LSP_SERVER_ROUND_H

#include <jansson.h>
#include <stdbool.h>

#include "lsp-server/build.h"
#include "lsp-server/delivery.h"
#include "lsp-server/workspace.h"

struct round {
    struct workspace *workspace;
    struct jobs *jobs;
    struct build build;
    struct delivery delivery;
    json_t *result; /* of the delivery */
};

/* A round for WORKSPACE, whose session and baseline it borrows. The jobs look at *CANCEL. NULL without
 * memory. */
struct round *round_create(struct workspace *workspace, volatile int *cancel);
void round_free(struct round *round);

/* Tells the build what the recorder knows: structural changes, files that may be new, a title. */
void round_describe(struct round *round);

/* The programs that the delivery is for. One that is behind catches up with a patch, and has nothing to
 * roll back. False: no memory. */
bool round_find_targets(struct round *round);

#endif
