/*
 * workspace/executeCommand. A command may mean several workspaces; its answer comes when the last of them is
 * done.
 */
#include <stdlib.h>
#include <string.h>

#include "lsp-server/handlers.h"
#include "lsp-server/instances.h"
#include "lsp-server/lsp.h"
#include "lsp-server/policy_file.h"
#include "lsp-server/review.h"
#include "lsp-server/status.h"
#include "lsp-server/update.h"
#include "lsp-server/validation.h"
#include "lsp-server/workspace.h"

static void apply(struct workspace *workspace, const json_t *argument, struct reply *reply)
{
    workspace->held_back = false;
    update_request(workspace->update, true, reply);
}

static void review(struct workspace *workspace, const json_t *argument, struct reply *reply)
{
    reply_result(reply, review_to_json(workspace));
}

static void discard(struct workspace *workspace, const json_t *argument, struct reply *reply)
{
    workspace->held_back = true;
    validation_clear(workspace);
    update_cancel(workspace->update);
    status_send(workspace);
    reply_result(reply, status_to_json(workspace));
}

static void roll_back(struct workspace *workspace, const json_t *argument, struct reply *reply)
{
    update_roll_back(workspace->update, reply);
}

static const struct {
    const char *name;
    void (*run)(struct workspace *workspace, const json_t *argument, struct reply *reply);
} commands[] = {
    { "molt.apply", apply },
    { "molt.review", review },
    { "molt.discard", discard },
    { "molt.rollback", roll_back },
    { "molt.writePolicy", policy_file_write },
    { "molt.instances", instances_show },
};

static struct workspace *only_workspace(struct server *server)
{
    return server->workspaces && !server->workspaces->next ? server->workspaces : NULL;
}

void command_execute(struct server *server, json_t *params, struct reply *reply)
{
    const char *name = json_text(params, "command", "");
    json_t *argument = json_array_get(json_object_get(params, "arguments"), 0);
    const char *uri = json_text(argument, "workspace", NULL);
    struct workspace *workspace = uri ? workspace_at(server, uri) : only_workspace(server);

    if (!strcmp(name, "molt.status")) {
        status_request(server, argument, reply);
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name))
            continue;
        if (workspace)
            commands[i].run(workspace, argument, reply);
        else
            reply_error(reply, JSONRPC_INVALID_PARAMS,
                        "which workspace? give its uri as argument [{\"workspace\": uri}]");
        return;
    }
    reply_error(reply, JSONRPC_INVALID_PARAMS, "molt-lsp does not know this command");
}
