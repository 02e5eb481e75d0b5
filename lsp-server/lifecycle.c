/*
 * From initialize to shutdown: what client and server tell each other about themselves, and which folders are
 * looked after.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lsp-server/engines.h"
#include "lsp-server/handlers.h"
#include "lsp-server/lsp.h"
#include "lsp-server/workspace.h"

static const struct {
    enum position_encoding encoding;
    const char *word;
} encodings[] = { { POSITION_UTF8, "utf-8" }, { POSITION_UTF16, "utf-16" }, { POSITION_UTF32, "utf-32" } };

/* The first that the client offers and the server knows; returns its word. */
static const char *choose_encoding(struct server *server, const json_t *capabilities)
{
    size_t i;
    json_t *offer;

    json_array_foreach(json_at(capabilities, "general", "positionEncodings", NULL), i, offer)
    {
        for (size_t k = 0; k < 3; k++) {
            if (!json_is_string(offer) || strcmp(json_string_value(offer), encodings[k].word))
                continue;
            server->encoding = encodings[k].encoding;
            return encodings[k].word;
        }
    }
    server->encoding = POSITION_UTF16;
    return "utf-16";
}

static void read_features(struct client_features *client, const json_t *capabilities)
{
    const json_t *workspace = json_object_get(capabilities, "workspace");

    client->work_done_progress =
        json_flag(json_object_get(capabilities, "window"), "workDoneProgress", false);
    client->content_refresh = json_object_get(workspace, "textDocumentContent") != NULL;
    client->lens_refresh = json_flag(json_object_get(workspace, "codeLens"), "refreshSupport", false);
    client->hint_refresh = json_flag(json_object_get(workspace, "inlayHint"), "refreshSupport", false);
    client->show_document =
        json_flag(json_at(capabilities, "window", "showDocument", NULL), "support", false);
    client->watch_files =
        json_flag(json_object_get(workspace, "didChangeWatchedFiles"), "dynamicRegistration", false);
    client->shows_disabled =
        json_flag(json_at(capabilities, "textDocument", "codeAction", NULL), "disabledSupport", false);
    client->shows_validation =
        json_flag(json_at(capabilities, "experimental", "molt", NULL), "failedValidation", false);
}

static json_t *server_capabilities(const char *encoding)
{
    return json_pack(
        "{s:s,s:{s:b,s:i,s:b,s:{s:b}},s:{s:b},s:{s:[s,s,s,s,s,s,s]},s:b,s:{s:[s,s]},s:{s:{s:b,s:b},"
        "s:{s:[s]}},s:{s:{s:s}}}",
        "positionEncoding", encoding, "textDocumentSync", "openClose", true, "change", 2, "willSave", true,
        "save", "includeText", false, "codeLensProvider", "resolveProvider", true, "executeCommandProvider",
        "commands", "molt.apply", "molt.review", "molt.discard", "molt.rollback", "molt.status",
        "molt.writePolicy", "molt.instances", "inlayHintProvider", true, "codeActionProvider",
        "codeActionKinds", "refactor", "refactor.extract", "workspace", "workspaceFolders", "supported", true,
        "changeNotifications", true, "textDocumentContent", "schemes", "molt", "experimental", "molt",
        "version", MOLT_VERSION);
}

static void add_folder(struct server *server, const char *uri)
{
    char *path = uri ? uri_to_path(uri) : NULL;

    if (path && strcmp(path, "/"))
        workspace_add(server, path);
    free(path);
}

static void add_folders(struct server *server, const json_t *params)
{
    const json_t *folders = json_object_get(params, "workspaceFolders");
    size_t i;
    json_t *folder;

    if (json_array_size(folders)) {
        json_array_foreach(folders, i, folder) add_folder(server, json_text(folder, "uri", NULL));
    } else {
        add_folder(server, json_text(params, "rootUri", NULL));
    }
}

void lifecycle_initialize(struct server *server, json_t *params, struct reply *reply)
{
    const json_t *capabilities = json_object_get(params, "capabilities");
    const char *encoding;
    struct molt_error *error;

    if (server->phase != SERVER_NEW) {
        reply_error(reply, JSONRPC_INVALID_REQUEST, "initialize comes once");
        return;
    }
    server->phase = SERVER_INITIALIZED;
    server->options = json_incref(json_object_get(params, "initializationOptions"));
    encoding = choose_encoding(server, capabilities);
    read_features(&server->client, capabilities);
    reply_result(reply, json_pack("{s:o,s:{s:s,s:s}}", "capabilities", server_capabilities(encoding),
                                  "serverInfo", "name", "molt-lsp", "version", MOLT_VERSION));
    error = engines_create(server, &server->engines);
    if (error)
        molt_log(MOLT_LOG_ERROR, "%s", error->message);
    molt_error_destroy(error);
    add_folders(server, params);
}

/* Files that other tools change. */
static void watch_files(struct server *server)
{
    static const char *const patterns[] = { "**/*.{c,h}", "**/molt.toml", "**/compile_commands.json" };
    json_t *watchers = json_array();

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        json_array_append_new(watchers, json_pack("{s:s}", "globPattern", patterns[i]));
    server_ask(server, "client/registerCapability",
               json_pack("{s:[{s:s,s:s,s:{s:o}}]}", "registrations", "id", "molt-watch", "method",
                         "workspace/didChangeWatchedFiles", "registerOptions", "watchers", watchers),
               NULL, NULL);
}

void lifecycle_initialized(struct server *server, json_t *params)
{
    if (server->client.watch_files)
        watch_files(server);
}

void lifecycle_shutdown(struct server *server, json_t *params, struct reply *reply)
{
    server->phase = SERVER_SHUT_DOWN;
    reply_result(reply, NULL);
}

void lifecycle_configured(struct server *server, json_t *params)
{
    json_t *options = json_at(params, "settings", "molt", NULL);

    if (!json_is_object(options) || json_equal(options, server->options))
        return;
    json_decref(server->options);
    server->options = json_incref(options);
    for (struct workspace *workspace = server->workspaces; workspace; workspace = workspace->next)
        workspace_reload(workspace);
}

void lifecycle_folders(struct server *server, json_t *params)
{
    size_t i;
    json_t *folder;

    json_array_foreach(json_at(params, "event", "removed", NULL), i, folder)
    {
        struct workspace *workspace = workspace_at(server, json_text(folder, "uri", ""));

        if (workspace)
            workspace_remove(workspace);
    }
    json_array_foreach(json_at(params, "event", "added", NULL), i, folder)
        add_folder(server, json_text(folder, "uri", NULL));
}
