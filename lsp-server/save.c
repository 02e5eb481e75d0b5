/*
 * The save policy: which saves update the program. willSave says why a document is saved, didSave that it
 * was.
 */
#include <stdlib.h>

#include "lsp-server/handlers.h"
#include "lsp-server/lsp.h"
#include "lsp-server/status.h"
#include "lsp-server/update.h"
#include "lsp-server/workspace.h"

#define REASON_MANUAL 1

static struct document *document_of(struct server *server, const json_t *params,
                                    struct workspace **ret_workspace)
{
    char *path = lsp_document_path(params);
    struct document *document = NULL;

    *ret_workspace = path ? workspace_of(server, path) : NULL;
    if (*ret_workspace)
        document = workspace_document(*ret_workspace, path);
    free(path);
    return document;
}

void save_will_save(struct server *server, json_t *params)
{
    struct workspace *workspace;
    struct document *document = document_of(server, params, &workspace);

    if (!document)
        return;
    document->saving = true;
    document->save_reason = (int)json_number(params, "reason", REASON_MANUAL);
}

static bool updates(enum save_policy policy, int reason, bool was_dirty)
{
    switch (policy) {
    case SAVE_NEVER:
        return false;
    case SAVE_MANUAL:
        return reason == REASON_MANUAL;
    case SAVE_MANUAL_IF_DIRTY:
        return reason == REASON_MANUAL && was_dirty;
    case SAVE_ALL:
        break;
    }
    return true;
}

void save_did_save(struct server *server, json_t *params)
{
    struct workspace *workspace;
    struct document *document = document_of(server, params, &workspace);
    bool was_dirty;
    int reason;

    if (!document) { /* perhaps its opening waits: so does this */
        if (workspace)
            workspace_defer(workspace, save_did_save, params);
        return;
    }
    was_dirty = document->dirty;
    reason = document->saving ? document->save_reason : REASON_MANUAL;
    document->dirty = document->saving = false;
    if (!workspace->held_back && updates(workspace->settings.save, reason, was_dirty))
        update_request(workspace->update, false, NULL);
    else
        update_resume(workspace->update); /* it may have been waiting for this save */
    status_send(workspace);
}
