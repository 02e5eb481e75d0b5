/*
 * The state machine of an update. The work is done by two jobs (build.h, delivery.h); here is what comes
 * between them: waiting for other saves, starting again when one comes late, moving the baseline once the
 * program has the update, and telling the user.
 *
 * Requests that come while an update is being delivered are remembered and make another round. There is no
 * moment at which the server waits for anything: each wait ends with a call of update_resume or the DONE of a
 * job.
 */
#include "lsp-server/update.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"
#include "base/text.h"
#include "lsp-server/build.h"
#include "lsp-server/delivery.h"
#include "lsp-server/diagnostics.h"
#include "lsp-server/engines.h"
#include "lsp-server/lsp.h"
#include "lsp-server/outcome.h"
#include "lsp-server/preview.h"
#include "lsp-server/progress.h"
#include "lsp-server/round.h"
#include "lsp-server/status.h"
#include "lsp-server/validation.h"
#include "lsp-server/workspace.h"

#define OTHER_SAVES_MS 50

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
    uint64_t started;
    struct waiting *waiting;
    struct progress *progress;
};

static void begin(struct update *update);

struct update *update_create(struct workspace *workspace)
{
    struct update *update = calloc(1, sizeof *update);

    if (!update)
        return NULL;
    update->workspace = workspace;
    uv_timer_init(workspace->server->loop, &update->timer);
    update->timer.data = update;
    return update;
}

static void answer_waiting(struct update *update)
{
    while (update->waiting) {
        struct waiting *waiting = update->waiting;

        update->waiting = waiting->next;
        if (update->workspace->closing)
            reply_error(waiting->reply, JSONRPC_REQUEST_CANCELLED, "the workspace was closed");
        else
            reply_result(waiting->reply, status_to_json(update->workspace));
        free(waiting);
    }
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void update_destroy(struct update *update)
{
    if (!update)
        return;
    answer_waiting(update);
    progress_end(update->progress, "the workspace was closed");
    uv_close((uv_handle_t *)&update->timer, timer_closed);
}

bool update_idle(const struct update *update)
{
    return update->phase == PHASE_IDLE;
}

const char *update_phase(const struct update *update)
{
    return update && update->phase != PHASE_IDLE ? update->detail : NULL;
}

bool update_has_progress(const struct update *update, const char *token)
{
    return progress_is(update->progress, token);
}

static double elapsed_ms(const struct update *update)
{
    return (double)(uv_hrtime() - update->started) / 1e6;
}

static void set_phase(struct update *update, enum phase phase, const char *detail)
{
    update->phase = phase;
    update->detail = detail;
    status_send(update->workspace);
}

static void set_held(struct workspace *workspace, char *why)
{
    free(workspace->held);
    workspace->held = why;
}

/* The round is over. OUTCOME NULL: nothing is to be said of it. */
static void finish(struct update *update, const struct outcome *outcome)
{
    struct workspace *workspace = update->workspace;
    const char *message = "";

    if (outcome) {
        json_decref(workspace->last_update);
        workspace->last_update = outcome_to_json(outcome);
        message = json_text(workspace->last_update, "message", "");
        molt_log(MOLT_LOG_INFO, "%s", message);
    }
    progress_end(update->progress, message);
    update->progress = NULL;
    update->cancel = 0;
    update->by_hand = update->roll_back = false;
    update->phase = PHASE_IDLE;
    update->repeated = update->again;
    if (update->again) {
        update->again = false;
        begin(update);
        return;
    }
    workspace_engines_changed(workspace); /* what they said meanwhile */
    status_send(workspace);
    answer_waiting(update);
    workspace_warm_up(workspace);
}

/* Finishes with a reason why nothing can be done. */
static void cannot(struct update *update, const char *result, const char *reason)
{
    struct outcome outcome = { .result = result, .reason = reason, .total_ms = elapsed_ms(update) };

    if (update->by_hand)
        server_show(update->workspace->server, 2, "Molt: %s", reason);
    finish(update, &outcome);
}

static const char *const phase_words[] = { "uploading", "preparing", "committing", "rolling-back" };

void update_noted(struct update *update, const char *phase, const char *message)
{
    struct text text = { 0 };

    if (update->phase == PHASE_IDLE)
        return;
    for (size_t i = 0; i < sizeof phase_words / sizeof phase_words[0]; i++) {
        if (!strcmp(phase_words[i], phase))
            update->detail = phase_words[i];
    }
    text_puts(&text, phase);
    if (*message)
        text_printf(&text, "%s%s", update->phase == PHASE_BUILDING ? " " : ": ", message);
    if (!update->progress) /* only now: an update that has nothing to do shows none */
        update->progress = progress_begin(update->workspace->server, "Molt: updating");
    if (!text_failed(&text))
        progress_report(update->progress, text.bytes);
    status_send(update->workspace);
    text_deinit(&text);
}

static void delivery_work(void *context)
{
    struct round *round = context;

    round->result = delivery_run(&round->delivery);
}

static void deliver_done(void *context);

static void deliver(struct round *round)
{
    struct workspace *workspace = round->workspace;
    struct molt_error *error = NULL;

    set_phase(round->workspace->update, PHASE_DELIVERING,
              round->delivery.patch ? "uploading" : "rolling-back");
    workspace->jobs++;
    error = jobs_start(round->jobs, delivery_work, deliver_done, round, JOB_NORMAL);
    if (error) {
        round->result = json_pack("{s:s,s:s}", "result", "failed", "reason", error->message);
        molt_error_destroy(error);
        deliver_done(round);
    }
}

/* The programs have the update: so has the baseline. */
static void follow_commit(struct round *round)
{
    struct workspace *workspace = round->workspace;
    const char *result = json_text(round->result, "result", "");
    bool applied = json_flag(round->result, "applied", false), forward = round->delivery.patch != NULL;
    struct molt_error *error = NULL;

    if (!applied && forward &&
        strcmp(result, "failed")) /* failed: it may yet turn out to have been committed */
        baseline_withdraw(workspace->baseline, round->build.id);
    if (applied && forward)
        error = baseline_commit(workspace->baseline, round->build.id);
    else if (applied && !strcmp(result, "rolled-back"))
        error = baseline_roll_back(workspace->baseline);
    workspace->baseline_lent = false;
    workspace_log(workspace, error);
    for (size_t i = 0; applied && i < round->delivery.target_count; i++)
        engines_expect(workspace->server->engines, round->delivery.targets[i].pid,
                       workspace->baseline->updates);
    if (applied)
        workspace_baseline_moved(workspace, forward ? round->build.files : NULL);
}

/* Diagnostics and message for what a delivery came to. A client that shows failed validations itself needs no message. */
static void tell_result(struct round *round, const char *result, const char *reason)
{
    struct workspace *workspace = round->workspace;
    const struct molt_diagnostics *said = &round->build.result.diagnostics;
    bool shown = false;

    if (!strcmp(result, "validation")) {
        validation_failed(workspace, round->result, round->build.result.manifest, said);
        if (!workspace->server->client.shows_validation)
            validation_show(workspace);
        shown = true;
    } else if (!strcmp(result, "updated") || !strcmp(result, "rolled-back") || !strcmp(result, "nothing")) {
        diagnostics_publish(workspace, said, NULL, NULL); /* warnings, or none */
        shown = true;
    }
    if (!shown && strcmp(result, "discarded"))
        server_show(workspace->server, 1, "Molt: the program was not updated: %s", reason);
}

/* A rollback that nobody asked for by that name, since edits were undone, is only the short way: if it is refused, a patch is made.
 * Returns whether that is so. */
static bool goes_the_long_way(const struct round *round, const char *result)
{
    struct workspace *workspace = round->workspace;

    if (round->delivery.patch || workspace->update->roll_back || workspace->undo_refused ||
        strcmp(result, "refused"))
        return false;
    workspace->undo_refused = workspace->update->again = true;
    finish(workspace->update, NULL);
    return true;
}

static void deliver_done(void *context)
{
    struct round *round = context;
    struct update *update = round->workspace->update;
    struct workspace *workspace = round->workspace;
    const char *result = json_text(round->result, "result", "failed"),
               *reason = json_text(round->result, "reason", "");
    struct outcome outcome = { .result = result, .reason = reason, .delivery = round->result };
    struct text words = { 0 };

    follow_commit(round);
    if (json_flag(round->result, "applied", false))
        workspace->undo_refused = false;
    if (workspace_job_done(workspace) && !goes_the_long_way(round, result)) {
        if (update->roll_back && json_flag(round->result, "applied", false))
            workspace->held_back = true;
        outcome.manifest = round->build.result.manifest;
        outcome.compile_ms = round->build.result.compile_ms;
        outcome.total_ms = elapsed_ms(update);
        set_held(workspace, NULL);
        if (json_flag(round->result, "applied", false))
            workspace_set_doubt(workspace, NULL);
        tell_result(round, result, reason);
        if (workspace->failed)
            validation_say(&words, workspace->failed);
        if (words.length && !text_failed(&words))
            outcome.reason = words.bytes;
        finish(update, &outcome);
    }
    text_deinit(&words);
    round_free(round);
}

/* The patch could not be made: compile errors hold the update, anything else refuses it. */
static void build_failed(struct round *round)
{
    struct update *update = round->workspace->update;
    struct workspace *workspace = round->workspace;
    struct molt_error *error = round->build.error;
    struct outcome outcome = { .result = error->code == MOLT_ERROR_REFUSED ? "refused" : "failed",
                               .reason = error->message };

    set_held(workspace, outcome_held(&round->build.result.diagnostics));
    if (!workspace->held && error->file)
        set_held(workspace, strdup(error->message));
    diagnostics_publish(workspace, &round->build.result.diagnostics, error, "refused");
    if (!workspace->held || update->by_hand)
        server_show(workspace->server, 1, "Molt: %s", error->message);
    outcome.manifest = round->build.result.manifest;
    outcome.compile_ms = round->build.result.compile_ms;
    outcome.total_ms = elapsed_ms(update);
    finish(update, &outcome);
}

static void build_succeeded(struct round *round)
{
    struct workspace *workspace = round->workspace;
    struct outcome outcome = { .result = "nothing",
                               .compile_ms = round->build.result.compile_ms,
                               .total_ms = elapsed_ms(round->workspace->update) };

    set_held(workspace, NULL);
    diagnostics_publish(workspace, &round->build.result.diagnostics, NULL, NULL);
    if (round->build.outcome == BUILD_NO_EFFECT)
        workspace_baseline_moved(workspace, round->build.files);
    finish(round->workspace->update,
           round->workspace->update->repeated && round->build.outcome == BUILD_SAME ? NULL : &outcome);
}

/* Returns whether the round goes on with a delivery. */
static bool go_on(struct round *round)
{
    struct update *update = round->workspace->update;
    struct workspace *workspace = round->workspace;
    bool patch = round->build.outcome == BUILD_PATCH;

    if (update->cancel || round->build.outcome == BUILD_MOVED) {
        if (patch)
            baseline_withdraw(workspace->baseline, round->build.id);
        if (!update->cancel)
            update->again = true;
        if (update->again)
            finish(update, NULL);
        else
            cannot(update, "discarded", "discarded before it was committed");
        return false;
    }
    if (!patch && round->build.outcome != BUILD_UNDO) {
        if (round->build.outcome == BUILD_FAILED)
            build_failed(round);
        else
            build_succeeded(round);
        return false;
    }
    if (patch) {
        round->delivery.patch = round->build.result.bytes;
        round->delivery.patch_size = round->build.result.size;
    }
    return true;
}

static void build_done(void *context)
{
    struct round *round = context;
    struct workspace *workspace = round->workspace;

    workspace->session_lent = workspace->baseline_lent = false;
    if (!workspace_job_done(workspace)) {
        round_free(round);
        return;
    }
    if (round->build.result.manifest)
        preview_take(workspace, &round->build.result);
    if (workspace->state == WORKSPACE_LOADING) { /* the build itself is to be read again first */
        round->workspace->update->again = true;
        round->build.outcome = round->build.outcome == BUILD_PATCH ? BUILD_PATCH : BUILD_MOVED;
        round->workspace->update->cancel = 1;
    }
    if (!go_on(round)) {
        round_free(round);
        return;
    }
    workspace->baseline_lent = true;
    if (round_find_targets(round)) {
        deliver(round);
        return;
    }
    workspace->baseline_lent = false;
    cannot(round->workspace->update, "failed", "out of memory");
    round_free(round);
}

static void build_work(void *context)
{
    struct round *round = context;

    build_run(&round->build);
}

static void start_build(struct update *update)
{
    struct workspace *workspace = update->workspace;
    struct round *round = round_create(update->workspace, &update->cancel);
    struct molt_error *error = round ? NULL : molt_error_nomem();

    if (!error) {
        round_describe(round);
        set_phase(update, PHASE_BUILDING, "building");
        workspace->session_lent = workspace->baseline_lent = true;
        workspace->jobs++;
        error = jobs_start(round->jobs, build_work, build_done, round, JOB_NORMAL);
    }
    if (!error)
        return;
    if (round) {
        workspace->session_lent = workspace->baseline_lent = false;
        workspace->jobs--;
        round_free(round);
    }
    cannot(update, "failed", error->message);
    molt_error_destroy(error);
}

static void start_roll_back(struct update *update)
{
    struct workspace *workspace = update->workspace;
    struct round *round = round_create(update->workspace, &update->cancel);

    if (!round || !round_find_targets(round)) {
        if (round)
            round_free(round);
        cannot(update, "failed", "out of memory");
        return;
    }
    workspace->baseline_lent = true;
    deliver(round);
}

/* Why no update can be made now, or NULL. */
static const char *obstacle(struct update *update)
{
    struct workspace *workspace = update->workspace;

    if (workspace->state == WORKSPACE_NO_BUILD)
        return workspace->trouble ? workspace->trouble : "there is no build";
    if (workspace->lock < 0)
        return workspace->lock_holder ? "another editor updates this workspace; close it there to go on here"
                                      : ".molt cannot be written in the source root";
    if (engines_ready(workspace->server->engines, workspace) == 0)
        return "no program of this workspace is running under Molt: start it with molt run";
    if (update->roll_back && json_array_size(workspace->baseline->updates) == 0)
        return "there is no update to roll back";
    return NULL;
}

static bool other_saves_expected(const struct workspace *workspace)
{
    for (const struct document *document = workspace->documents; document; document = document->next) {
        if (document->dirty || document->saving)
            return true;
    }
    return false;
}

static void waited_enough(uv_timer_t *timer)
{
    struct update *update = timer->data;

    update->waited = true;
    update_resume(update);
}

/* Goes from WAITING on to the work, if nothing has to be waited for. */
void update_resume(struct update *update)
{
    struct workspace *workspace = update->workspace;
    const char *reason;

    if (update->phase != PHASE_WAITING || workspace->state == WORKSPACE_LOADING || workspace->closing ||
        !engines_settled(workspace->server->engines))
        return;
    if (!update->roll_back && !update->waited && other_saves_expected(workspace))
        return;
    if (workspace->session_lent || workspace->baseline_lent) {
        workspace->stop_warming = 1; /* its DONE comes back here */
        return;
    }
    uv_timer_stop(&update->timer);
    if (workspace_take_lock(workspace))
        return; /* what the other editor has done is read first */
    reason = obstacle(update);
    if (reason && !update->by_hand)
        finish(update, NULL);
    else if (reason)
        cannot(update, "failed", reason);
    else if (update->roll_back)
        start_roll_back(update);
    else
        start_build(update);
}

static void begin(struct update *update)
{
    update->waited = false;
    validation_clear(update->workspace);
    set_phase(update, PHASE_WAITING, "waiting");
    if (!update->roll_back && other_saves_expected(update->workspace))
        uv_timer_start(&update->timer, waited_enough, OTHER_SAVES_MS, 0);
    update_resume(update);
}

/* Notes REPLY as waiting for the end. */
static void wait_for_end(struct update *update, struct reply *reply)
{
    struct waiting *waiting = reply ? calloc(1, sizeof *waiting) : NULL;

    if (reply && !waiting) {
        reply_error(reply, JSONRPC_INTERNAL_ERROR, "out of memory");
    } else if (reply) {
        *waiting = (struct waiting){ update->waiting, reply };
        update->waiting = waiting;
    }
}

void update_request(struct update *update, bool by_hand, struct reply *reply)
{
    wait_for_end(update, reply);
    update->by_hand |= by_hand;
    switch (update->phase) {
    case PHASE_IDLE:
        update->started = uv_hrtime();
        begin(update);
        break;
    case PHASE_WAITING:
        update_resume(update);
        break;
    case PHASE_BUILDING: /* begin again with the files as they are now */
        update->cancel = 1;
        update->again = true;
        break;
    case PHASE_DELIVERING:
        update->again = true;
        break;
    }
}

void update_roll_back(struct update *update, struct reply *reply)
{
    if (update->phase != PHASE_IDLE) {
        reply_error(reply, JSONRPC_REQUEST_FAILED, "an update is under way");
        return;
    }
    wait_for_end(update, reply);
    update->roll_back = update->by_hand = true;
    update->started = uv_hrtime();
    begin(update);
}

void update_cancel(struct update *update)
{
    if (update->phase == PHASE_IDLE)
        return;
    update->again = false;
    if (update->phase == PHASE_WAITING) {
        uv_timer_stop(&update->timer);
        update->phase = PHASE_IDLE;
        if (!update->workspace->closing)
            finish(update, NULL);
        return;
    }
    update->cancel = 1;
}
