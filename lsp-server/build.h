/*
 * The first half of an update, as one job: what differs on disk from what runs, and the patch that leads
 * there. Blocking; runs on a job's thread with session and baseline lent to it.
 */
#ifndef MOLT_LSP_SERVER_BUILD_H
#define MOLT_LSP_SERVER_BUILD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "lsp-server/baseline.h"
#include "patch/session.h"

enum build_outcome {
    BUILD_FAILED,    /* error; diagnostics in result */
    BUILD_SAME,      /* the files are those of the running program */
    BUILD_NO_EFFECT, /* they differ, but not for the program; the baseline has moved */
    BUILD_UNDO,      /* they are those before the last update: roll back */
    BUILD_PATCH,     /* result has the patch; it is published under `id` */
    BUILD_MOVED,     /* the files changed meanwhile: build again */
};

struct build {
    struct patch_session *session; /* lent */
    struct baseline *baseline;     /* lent */
    json_t *extra;                 /* relative paths of files that may be new; owned */
    json_t *changes;               /* structural changes; owned */
    char *title;
    bool may_undo; /* a rollback is possible */
    volatile int *cancel;
    patch_progress *progress;
    void *context;

    enum build_outcome outcome;
    struct molt_error *error;
    struct patch_result result;
    json_t *files; /* that differ, as baseline_stage has it */
    char *id;
};

void build_run(struct build *build);

/* Frees what it holds, not the structure. */
void build_deinit(struct build *build);

#endif
