/*
 * The state machine of an update. The work is done by two jobs (build.h, delivery.h; update_jobs.c starts
 * them and says what comes of each); here is what comes around them: requests, waiting for other saves,
 * starting again when one comes late, and the end.
 *
 * Requests that come while an update is being delivered are remembered and make another round. There is no
 * moment at which the server waits for anything: each wait ends with a call of update_resume or the DONE of a
 * job.
 */
#include "lsp-server/update.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "lsp-server/engines.h"
#include "lsp-server/lsp.h"
#include "lsp-server/outcome.h"
#include "lsp-server/progress.h"
#include "lsp-server/status.h"
#include "lsp-server/update_private.h"
#include "lsp-server/validation.h"
#include "lsp-server/workspace.h"

#define OTHER_SAVES_MS 50

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

double update_elapsed_ms(const struct update *update)
{
    return (double)(uv_hrtime() - update->started) / 1e6;
}

void update_set_phase(struct update *update, enum phase phase, const char *detail)
{
    update->phase = phase;
    update->detail = detail;
    status_send(update->workspace);
}

void update_finish(struct update *update, const struct outcome *outcome)
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

void update_cannot(struct update *update, const char *result, const char *reason)
{
    struct outcome outcome = { .result = result, .reason = reason, .total_ms = update_elapsed_ms(update) };

    if (update->by_hand)
        server_show(update->workspace->server, 2, "Molt: %s", reason);
    update_finish(update, &outcome);
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
        workspace->stop_warming = !workspace->retaking; /* its DONE comes back here */
        return;
    }
    uv_timer_stop(&update->timer);
    if (workspace_take_lock(workspace))
        return; /* what the other editor has done is read first */
    if (update->retake) {
        update->retake = false;
        if (workspace_retake_baseline(workspace)) {
            update_set_phase(update, PHASE_WAITING, "building");
            return;
        }
    }
    reason = obstacle(update);
    if (reason && !update->by_hand)
        update_finish(update, NULL);
    else if (reason)
        update_cannot(update, "failed", reason);
    else if (update->roll_back)
        update_start_roll_back(update);
    else
        update_start_build(update);
}

static void begin(struct update *update)
{
    if (update->workspace->state == WORKSPACE_NO_BUILD)
        workspace_reload(update->workspace); /* it may have been built meanwhile */
    update->waited = false;
    update->retake = !update->roll_back && workspace_baseline_doubted(update->workspace);
    validation_clear(update->workspace);
    update_set_phase(update, PHASE_WAITING, "waiting");
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
            update_finish(update, NULL);
        return;
    }
    update->cancel = 1;
}
