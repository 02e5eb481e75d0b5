/*
 * $/progress. The token is the server's own, so window/workDoneProgress/create goes first; what follows on
 * the same stream is read after it, and a client that refuses the token ignores what bears it.
 */
#include "lsp-server/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp-server/handlers.h"
#include "lsp-server/lsp.h"
#include "lsp-server/update.h"
#include "lsp-server/workspace.h"

struct progress {
    struct server *server;
    char token[40];
    char *message; /* last one sent */
};

/* VALUE is taken. */
static void report_value(const struct progress *progress, json_t *value)
{
    server_notify(progress->server, "$/progress",
                  json_pack("{s:s,s:o}", "token", progress->token, "value", value));
}

struct progress *progress_begin(struct server *server, const char *title)
{
    struct progress *progress;

    if (!server->client.work_done_progress || !(progress = calloc(1, sizeof *progress)))
        return NULL;
    progress->server = server;
    snprintf(progress->token, sizeof progress->token, "molt/update/%u", ++server->updates);
    server_ask(server, "window/workDoneProgress/create", json_pack("{s:s}", "token", progress->token), NULL,
               NULL);
    report_value(progress, json_pack("{s:s,s:s,s:b}", "kind", "begin", "title", title, "cancellable", true));
    return progress;
}

void progress_report(struct progress *progress, const char *message)
{
    if (!progress || (progress->message && !strcmp(progress->message, message)))
        return;
    free(progress->message);
    progress->message = strdup(message);
    report_value(progress, json_pack("{s:s,s:s}", "kind", "report", "message", message));
}

void progress_end(struct progress *progress, const char *message)
{
    if (!progress)
        return;
    report_value(progress, json_pack("{s:s,s:s}", "kind", "end", "message", message));
    free(progress->message);
    free(progress);
}

bool progress_is(const struct progress *progress, const char *token)
{
    return progress && !strcmp(progress->token, token);
}

void progress_cancelled(struct server *server, json_t *params)
{
    const char *token = json_text(params, "token", "");

    for (struct workspace *workspace = server->workspaces; workspace; workspace = workspace->next) {
        if (workspace->update && update_has_progress(workspace->update, token))
            update_cancel(workspace->update);
    }
}
