/* An update under way: what its requests, its waiting and its jobs know of each other. */
#ifndef MOLT_LSP_SERVER_UPDATE_PRIVATE_H
#define MOLT_LSP_SERVER_UPDATE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lsp-server/lsp.h"
#include "lsp-server/outcome.h"
#include "lsp-server/progress.h"
#include "lsp-server/update.h"
#include "lsp-server/workspace.h"

enum phase { PHASE_IDLE, PHASE_WAITING, PHASE_BUILDING, PHASE_DELIVERING };

struct waiting {
    struct waiting *next;
    struct reply *reply;
};

struct update {
    struct workspace *workspace;
    enum phase phase;
    const char *detail; /* the word for molt/status, finer than the phase */
    uv_timer_t timer;
    volatile int cancel; /* looked at by the jobs */
    bool again;          /* another round is wanted after this one */
    bool repeated;       /* this is such a round: finding nothing to do is not worth a word */
    bool by_hand;
    bool roll_back; /* this round is a rollback that was asked for */
    bool waited;    /* long enough for other saves */
    bool retake;    /* the files on disk are to be tried in place of a doubted baseline first */
    uint64_t started;
    struct waiting *waiting;
    struct progress *progress;
};

/* Goes to PHASE and says so; DETAIL is static. */
void update_set_phase(struct update *update, enum phase phase, const char *detail);

/* Since the update was asked for. */
double update_elapsed_ms(const struct update *update);

/* The round is over. OUTCOME NULL: nothing is to be said of it. */
void update_finish(struct update *update, const struct outcome *outcome);

/* The same with a REASON why nothing can be done. */
void update_cannot(struct update *update, const char *result, const char *reason);

/* update_jobs.c: build, then deliver what came of it. Each ends with update_finish. */
void update_start_build(struct update *update);

/* Lets the programs roll back what is in force. */
void update_start_roll_back(struct update *update);

#endif
