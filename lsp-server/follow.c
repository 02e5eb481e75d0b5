/*
 * Following the programs: the baseline is moved to what the running ones say they run, whoever made it so
 * (this server, another one, the command line, a restart), and the build is read again when a program comes
 * from a newer one. A program that ends soon after an update is told of: the new code may be why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "lsp-server/engines.h"
#include "lsp-server/instances.h"
#include "lsp-server/lsp.h"
#include "lsp-server/status.h"
#include "lsp-server/update.h"
#include "lsp-server/workspace.h"

#define SOON_S 10     /* after an update: its new code may be why a program ends */
#define FOLLOW_MS 300 /* how long another server may take to write down what it has done */

/* The history that the baseline is to follow: that of the engine which has come furthest. */
static json_t *furthest_updates(const struct workspace *workspace)
{
    json_t *best = NULL;

    for (const struct engine *engine = engines_list(workspace->server->engines); engine;
         engine = engine->next) {
        json_t *updates;

        if (!engine->status || !engine_belongs(engine, workspace))
            continue;
        updates = engine_updates(engine);
        if (!best || json_array_size(updates) > json_array_size(best)) {
            json_decref(best);
            best = updates;
        } else {
            json_decref(updates);
        }
    }
    return best;
}

/* Another server moves the baseline: it is read again until it is that of the engines. */
static void follow_other_server(uv_timer_t *timer)
{
    struct workspace *workspace = timer->data;
    struct baseline *baseline = NULL;

    if (workspace->lock >= 0 || workspace->baseline_lent || workspace->state != WORKSPACE_READY)
        return;
    workspace_log(workspace, baseline_load(workspace->root, &baseline));
    if (!baseline)
        return;
    if (json_equal(baseline->updates, workspace->baseline->updates)) {
        baseline_destroy(baseline);
        return;
    }
    baseline_destroy(workspace->baseline);
    workspace->baseline = baseline;
    workspace_baseline_moved(workspace, NULL);
}

static void follow_engines(struct workspace *workspace)
{
    enum baseline_follow follow = BASELINE_SAME;
    json_t *updates;

    if (!workspace->baseline || workspace->baseline_lent)
        return;
    updates = furthest_updates(workspace);
    if (updates && workspace->lock < 0)
        uv_timer_start(&workspace->follow_timer, follow_other_server, FOLLOW_MS, 0);
    else if (updates)
        workspace_log(workspace, baseline_follow(workspace->baseline, updates, &follow));
    json_decref(updates);
    if (follow == BASELINE_MOVED)
        workspace_baseline_moved(workspace, NULL);
}

/* Whether there is a program that MATCHes so and was not there at the last look. */
static bool has_new_program(struct workspace *workspace, enum engine_match match)
{
    for (const struct engine *engine = engines_list(workspace->server->engines); engine;
         engine = engine->next) {
        char pid[24];

        if (engine_match(engine, workspace) != match)
            continue;
        snprintf(pid, sizeof pid, "%d", (int)engine->pid);
        if (json_object_get(workspace->reloaded_for, pid))
            continue;
        json_object_set_new(workspace->reloaded_for, pid, json_true());
        return true;
    }
    return false;
}

/* Seconds since the update that ENGINE had last, if this server made it; else -1. */
static double seconds_since_update(const struct workspace *workspace, const struct engine *engine)
{
    const json_t *last = workspace->last_update;

    if (!json_array_size(json_object_get(engine->status, "updates")) ||
        strcmp(json_text(last, "result", ""), "updated"))
        return -1;
    return (double)time(NULL) - json_number(last, "time", 0);
}

void workspace_program_ended(struct workspace *workspace, const struct engine *engine)
{
    struct text text = { 0 };
    double seconds;

    if (workspace->closing || !workspace->recorder || engine_match(engine, workspace) == ENGINE_FOREIGN)
        return;
    seconds = seconds_since_update(workspace, engine);
    text_printf(&text, "%s (pid %d) has ended", engine_name(engine), (int)engine->pid);
    if (seconds >= 0 && seconds <= SOON_S) {
        text_printf(&text, ", %.0f s after an update", seconds);
        server_show(workspace->server, 2, "Molt: %s", text.bytes ? text.bytes : "");
    }
    free(workspace->ended);
    workspace->ended = text_steal(&text);
}

void workspace_engines_changed(struct workspace *workspace)
{
    if (workspace->closing || !workspace->recorder)
        return;
    if (workspace->state == WORKSPACE_READY) {
        follow_engines(workspace);
        if (workspace_baseline_doubted(workspace) && has_new_program(workspace, ENGINE_READY))
            workspace_retake_baseline(workspace);
    }
    /* a program of this workspace with another build-id: the build may be newer than what was read of it */
    if (workspace->state != WORKSPACE_LOADING && engines_ready(workspace->server->engines, workspace) == 0 &&
        has_new_program(workspace, ENGINE_OTHER_BUILD))
        workspace_reload(workspace);
    update_resume(workspace->update);
    status_send(workspace);
    instances_resume(workspace);
}
