/*
 * Loading a workspace: settings, compile database, binaries, recorder, baseline; all of it blocks, so it is
 * one job.
 */
#ifndef MOLT_LSP_SERVER_LOAD_H
#define MOLT_LSP_SERVER_LOAD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "lsp-server/workspace.h"

/* In: folder, options, want_recorder, lock. Out: the rest; each is NULL if it could not be had, and
 * `error` says why. */
struct load {
    struct workspace *workspace;
    char *folder;
    json_t *options;
    bool want_recorder;
    int lock; /* in: the descriptor, or -1; out: the same, or one gained */

    struct settings settings;
    struct molt_error *error;
    struct patch_session *session;
    char *root;
    json_t *modules, *include_directories;
    struct recorder *recorder;
    struct baseline *baseline;
    bool baseline_new; /* it was taken just now */
    char *lock_holder;
};

/* On a thread: fills LOAD. */
void load_run(struct load *load);

/* Frees LOAD and what is left in it. */
void load_free(struct load *load);

/* Opens ROOT/.molt/lock and locks it. Returns the descriptor, or -1 with the holder's pid (or "?") in
 * RET_HOLDER, owned by the caller. */
int load_lock(const char *root, char **ret_holder);

#endif
