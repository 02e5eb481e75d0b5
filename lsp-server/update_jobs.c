/*
 * The two jobs of a round: what each is given, and what comes of it. A build leads to a delivery if there is
 * a patch; when the programs have it, the baseline moves; the user is told either way.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/build.h"
#include "lsp-server/delivery.h"
#include "lsp-server/diagnostics.h"
#include "lsp-server/engines.h"
#include "lsp-server/preview.h"
#include "lsp-server/round.h"
#include "lsp-server/update_private.h"
#include "lsp-server/validation.h"

static void set_held(struct workspace *workspace, char *why)
{
    free(workspace->held);
    workspace->held = why;
}

/* ---- delivery -------------------------------------------------------------------------------------- */

static void delivery_work(void *context)
{
    struct round *round = context;

    round->result = delivery_run(&round->delivery);
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

/* Diagnostics and message for what a delivery came to. A client that shows failed validations itself needs
 * no message. */
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

/* A rollback that nobody asked for by that name, since edits were undone, is only the short way: if it is
 * refused, a patch is made. Returns whether that is so. */
static bool goes_the_long_way(const struct round *round, const char *result)
{
    struct workspace *workspace = round->workspace;

    if (round->delivery.patch || workspace->update->roll_back || workspace->undo_refused ||
        strcmp(result, "refused"))
        return false;
    workspace->undo_refused = workspace->update->again = true;
    update_finish(workspace->update, NULL);
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
        outcome.total_ms = update_elapsed_ms(update);
        set_held(workspace, NULL);
        if (json_flag(round->result, "applied", false))
            workspace_set_doubt(workspace, NULL);
        tell_result(round, result, reason);
        if (workspace->failed)
            validation_say(&words, workspace->failed);
        if (words.length && !text_failed(&words))
            outcome.reason = words.bytes;
        update_finish(update, &outcome);
    }
    text_deinit(&words);
    round_free(round);
}

static void deliver(struct round *round)
{
    struct workspace *workspace = round->workspace;
    struct molt_error *error = NULL;

    update_set_phase(round->workspace->update, PHASE_DELIVERING,
                     round->delivery.patch ? "uploading" : "rolling-back");
    workspace->jobs++;
    error = jobs_start(round->jobs, delivery_work, deliver_done, round, JOB_NORMAL);
    if (error) {
        round->result = json_pack("{s:s,s:s}", "result", "failed", "reason", error->message);
        molt_error_destroy(error);
        deliver_done(round);
    }
}

/* ---- build ----------------------------------------------------------------------------------------- */

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
    outcome.total_ms = update_elapsed_ms(update);
    update_finish(update, &outcome);
}

static void build_succeeded(struct round *round)
{
    struct workspace *workspace = round->workspace;
    struct outcome outcome = { .result = "nothing",
                               .compile_ms = round->build.result.compile_ms,
                               .total_ms = update_elapsed_ms(round->workspace->update) };

    set_held(workspace, NULL);
    diagnostics_publish(workspace, &round->build.result.diagnostics, NULL, NULL);
    if (round->build.outcome == BUILD_NO_EFFECT)
        workspace_baseline_moved(workspace, round->build.files);
    update_finish(round->workspace->update,
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
            update_finish(update, NULL);
        else
            update_cannot(update, "discarded", "discarded before it was committed");
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
    update_cannot(round->workspace->update, "failed", "out of memory");
    round_free(round);
}

static void build_work(void *context)
{
    struct round *round = context;

    build_run(&round->build);
}

void update_start_build(struct update *update)
{
    struct workspace *workspace = update->workspace;
    struct round *round = round_create(update->workspace, &update->cancel);
    struct molt_error *error = round ? NULL : molt_error_nomem();

    if (!error) {
        round_describe(round);
        update_set_phase(update, PHASE_BUILDING, "building");
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
    update_cannot(update, "failed", error->message);
    molt_error_destroy(error);
}

void update_start_roll_back(struct update *update)
{
    struct workspace *workspace = update->workspace;
    struct round *round = round_create(update->workspace, &update->cancel);

    if (!round || !round_find_targets(round)) {
        if (round)
            round_free(round);
        update_cannot(update, "failed", "out of memory");
        return;
    }
    workspace->baseline_lent = true;
    deliver(round);
}
