/*
 * Warming up: the baseline's objects are built in the background, those of open files first, and checked
 * against the binaries, so that a save costs one compile, and so that a program built from other sources is
 * noticed before the first save. A save that comes meanwhile stops it and does not wait.
 *
 * A baseline that does not lead to the binary was taken when the files on disk were not those that had been
 * built: edited since, or half-typed. It is not kept for ever: whenever the files on disk may be the right
 * ones (the server starts, a program does, something is saved) they are tried, and become the baseline if
 * they lead to the binary. Otherwise the old one stays, since it may yet be right: perhaps it is the flags
 * that changed.
 */
#include <stdlib.h>
#include <string.h>

#include "lsp-server/files.h"
#include "lsp-server/instances.h"
#include "lsp-server/lsp.h"
#include "lsp-server/preview.h"
#include "lsp-server/status.h"
#include "lsp-server/update.h"
#include "lsp-server/workspace.h"

void workspace_set_doubt(struct workspace *workspace, const struct molt_error *error)
{
    free(workspace->doubt);
    workspace->doubt = error ? strdup(error->message) : NULL;
}

struct warming {
    struct workspace *workspace;
    char *tree;
    json_t *patches;
    json_t *open; /* paths of the files that the editor has open */
    bool may_retake;
    bool retaken; /* the files on disk lead to the binary; they are where baseline_begin said */
    struct molt_error *error;
};

bool workspace_baseline_doubted(const struct workspace *workspace)
{
    return workspace->doubted && workspace->lock >= 0 && !json_array_size(workspace->baseline->updates);
}

/* Tries the files on disk in place of a baseline that ERROR speaks of. */
static bool retake(struct warming *warming, struct patch_request request)
{
    struct workspace *workspace = warming->workspace;
    char *directory = NULL;
    struct molt_error *error = baseline_begin(workspace->baseline, &directory);

    if (!error)
        error = patch_session_snapshot(workspace->session, directory);
    request.from = directory;
    if (!error)
        error = patch_session_warm(workspace->session, &request);
    if (error && directory)
        files_remove_tree(directory);
    free(directory);
    bool right = !error;
    molt_error_destroy(error);
    return right;
}

static void warming_work(void *context)
{
    struct warming *warming = context;
    struct workspace *workspace = warming->workspace;
    const char **patches = json_strings(warming->patches), **open = json_strings(warming->open);
    struct patch_request request = {
        .from = warming->tree,
        .after = patches,
        .after_count = json_array_size(warming->patches),
        .first = open,
        .first_count = json_array_size(warming->open),
        .cancel = &workspace->stop_warming,
    };

    warming->error = patches && open ? patch_session_warm(workspace->session, &request) : molt_error_nomem();
    if (warming->error && warming->error->code == MOLT_ERROR_REFUSED && warming->may_retake &&
        retake(warming, request)) {
        warming->retaken = true;
        molt_error_destroy(warming->error);
        warming->error = NULL;
    }
    free(patches);
    free(open);
}

static void warming_free(struct warming *warming)
{
    molt_error_destroy(warming->error);
    json_decref(warming->patches);
    json_decref(warming->open);
    free(warming->tree);
    free(warming);
}

/* The files that were tried become the baseline. */
static void take_baseline(struct workspace *workspace)
{
    json_t *ids = json_deep_copy(workspace->baseline->build_ids);
    struct molt_error *error = ids ? baseline_finish(workspace->baseline, ids) : molt_error_nomem();

    json_decref(ids);
    if (!error)
        workspace_baseline_moved(workspace, NULL);
    workspace_log(workspace, error);
}

static void warming_done(void *context)
{
    struct warming *warming = context;
    struct workspace *workspace = warming->workspace;

    workspace->session_lent = workspace->retaking = false;
    if (workspace_job_done(workspace)) {
        if (!workspace->stop_warming || warming->retaken) { /* else it was stopped, and says so */
            workspace->warm = true;
            workspace->doubted = warming->error && warming->error->code == MOLT_ERROR_REFUSED;
            workspace_set_doubt(workspace, warming->error);
            workspace_log(workspace, warming->error);
            warming->error = NULL;
        }
        if (warming->retaken && !json_array_size(workspace->baseline->updates))
            take_baseline(workspace);
        if (workspace->state == WORKSPACE_LOADING)
            workspace_load(workspace);
        else
            update_resume(workspace->update);
        preview_resume(workspace);
        instances_resume(workspace);
        status_send(workspace);
    }
    warming_free(warming);
}

static void start_warming(struct workspace *workspace)
{
    struct warming *warming = calloc(1, sizeof *warming);
    struct molt_error *error;

    if (!warming)
        return;
    warming->workspace = workspace;
    warming->tree = strdup(workspace->baseline->tree);
    warming->patches = baseline_patches(workspace->baseline);
    warming->may_retake = workspace->lock >= 0 && !json_array_size(workspace->baseline->updates);
    warming->open = json_array();
    for (const struct document *document = workspace->documents; document; document = document->next)
        json_array_append_new(warming->open, json_string(document->path));
    workspace->stop_warming = 0;
    workspace->session_lent = true;
    workspace->jobs++;
    error = jobs_start(workspace->server->jobs, warming_work, warming_done, warming, JOB_BACKGROUND);
    if (error) {
        workspace->jobs--;
        workspace->session_lent = false;
        warming_free(warming);
    }
    workspace_log(workspace, error);
}

bool workspace_retake_baseline(struct workspace *workspace)
{
    if (!workspace_baseline_doubted(workspace) || workspace->session_lent || workspace->baseline_lent)
        return false;
    workspace->warm = false;
    start_warming(workspace);
    workspace->retaking = workspace->session_lent;
    return workspace->retaking;
}

void workspace_warm_up(struct workspace *workspace)
{
    if (workspace->state == WORKSPACE_LOADING && workspace->recorder && !workspace->session_lent &&
        !workspace->baseline_lent) {
        workspace_load(workspace); /* a reload was asked for meanwhile */
        return;
    }
    if (workspace->warm) {
        preview_resume(workspace);
        instances_resume(workspace);
        return;
    }
    if (workspace->state != WORKSPACE_READY || workspace->session_lent || !workspace->baseline ||
        !json_array_size(workspace->baseline->build_ids) || !update_idle(workspace->update))
        return;
    start_warming(workspace);
}
