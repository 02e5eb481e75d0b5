/*
 * Warming up: the baseline's objects are built in the background, those of open files first, and checked
 * against the binaries, so that a save costs one compile, and so that a program built from other sources is
 * noticed before the first save. A save that comes meanwhile stops it and does not wait.
 */
#include <stdlib.h>
#include <string.h>

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
    struct molt_error *error;
};

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

static void warming_done(void *context)
{
    struct warming *warming = context;
    struct workspace *workspace = warming->workspace;

    workspace->session_lent = false;
    if (workspace_job_done(workspace)) {
        if (!workspace->stop_warming) { /* else it was stopped, and says so */
            workspace->warm = true;
            workspace_set_doubt(workspace, warming->error);
            workspace_log(workspace, warming->error);
            warming->error = NULL;
        }
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

void workspace_warm_up(struct workspace *workspace)
{
    struct warming *warming;
    struct molt_error *error;

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
    warming = calloc(1, sizeof *warming);
    if (!warming)
        return;
    warming->workspace = workspace;
    warming->tree = strdup(workspace->baseline->tree);
    warming->patches = baseline_patches(workspace->baseline);
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
