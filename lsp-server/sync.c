/*
 * Documents: what the editor shows goes to the recorder. One notification is one transaction, its content
 * changes applied in order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "lsp-server/files.h"
#include "lsp-server/handlers.h"
#include "lsp-server/lsp.h"
#include "lsp-server/policy_file.h"
#include "lsp-server/settings.h"
#include "lsp-server/status.h"
#include "lsp-server/workspace.h"

/* The workspace of the document in PARAMS, ready to be told about it; NULL if there is none or the message
 * waits. *RET_PATH is the caller's in any case. */
static struct workspace *workspace_for(struct server *server, json_t *params, server_notification *handle,
                                       char **ret_path)
{
    struct workspace *workspace;

    *ret_path = lsp_document_path(params);
    workspace = *ret_path ? workspace_of(server, *ret_path) : NULL;
    if (!workspace || workspace_defer(workspace, handle, params))
        return NULL;
    return workspace->recorder ? workspace : NULL;
}

static bool is_source(const json_t *document, const char *path)
{
    const char *language = json_text(document, "languageId", ""), *dot = strrchr(path, '.');

    return !strcmp(language, "c") || !strcmp(language, "cpp") ||
           (dot && (!strcmp(dot, ".c") || !strcmp(dot, ".h")));
}

/* A file that belongs to no workspace brings in the one around it. */
static void adopt_folder(struct server *server, const char *path)
{
    char *folder = workspace_of(server, path) ? NULL : settings_find_folder(path);

    if (folder)
        workspace_add(server, folder);
    free(folder);
}

static struct document *add_document(struct workspace *workspace, const char *path)
{
    struct document *document = workspace_document(workspace, path);

    if (document || !(document = calloc(1, sizeof *document)))
        return document;
    document->path = strdup(path);
    if (!document->path) {
        free(document);
        return NULL;
    }
    document->next = workspace->documents;
    workspace->documents = document;
    return document;
}

/* Whether the file at PATH holds something else than TEXT: editors open buffers that were changed already,
 * after a restart say. */
static bool differs_from_disk(const char *path, const json_t *text)
{
    char *bytes = NULL;
    size_t length = 0;
    bool differs = files_read(path, &bytes, &length) || length != json_string_length(text) ||
                   memcmp(bytes, json_string_value(text), length) != 0;

    free(bytes);
    return differs;
}

void sync_did_open(struct server *server, json_t *params)
{
    json_t *item = json_object_get(params, "textDocument"), *text = json_object_get(item, "text");
    struct workspace *workspace;
    struct document *document;
    char *path = lsp_document_path(params);

    if (!path || !is_source(item, path) || !json_is_string(text)) {
        free(path);
        return;
    }
    adopt_folder(server, path);
    free(path);
    workspace = workspace_for(server, params, sync_did_open, &path);
    document = workspace ? add_document(workspace, path) : NULL;
    if (document) {
        document->dirty = differs_from_disk(path, text);
        workspace_state_baseline(workspace, path, false);
        workspace_log(workspace, recorder_open(workspace->recorder, path, json_string_value(text),
                                               json_string_length(text)));
        policy_file_settle(workspace, path);
        status_send(workspace);
    }
    free(path);
}

/* One content change; false if it is malformed. */
static bool read_edit(const json_t *change, struct recorder_edit *ret)
{
    const json_t *text = json_object_get(change, "text"), *range = json_object_get(change, "range");
    const json_t *start = json_object_get(range, "start"), *end = json_object_get(range, "end");

    if (!json_is_string(text))
        return false;
    *ret = (struct recorder_edit){ .whole = !json_is_object(range),
                                   .text = json_string_value(text),
                                   .length = json_string_length(text) };
    if (ret->whole)
        return true;
    ret->start_line = (uint32_t)json_number(start, "line", 0);
    ret->start_character = (uint32_t)json_number(start, "character", 0);
    ret->end_line = (uint32_t)json_number(end, "line", 0);
    ret->end_character = (uint32_t)json_number(end, "character", 0);
    return json_is_object(start) && json_is_object(end);
}

static void apply_changes(struct workspace *workspace, const char *path, const json_t *changes)
{
    size_t count = json_array_size(changes), i;
    struct recorder_edit *edits = calloc(count + 1, sizeof *edits);
    json_t *change;
    bool valid = edits != NULL;

    json_array_foreach(changes, i, change) valid = valid && read_edit(change, &edits[i]);
    if (valid)
        workspace_log(workspace,
                      recorder_apply(workspace->recorder, path, workspace->server->encoding, edits, count));
    else
        molt_log(MOLT_LOG_WARNING, "%s: a change that is none was ignored", path);
    free(edits);
}

void sync_did_change(struct server *server, json_t *params)
{
    char *path;
    struct workspace *workspace = workspace_for(server, params, sync_did_change, &path);
    struct document *document = workspace ? workspace_document(workspace, path) : NULL;

    if (document) {
        apply_changes(workspace, path, json_object_get(params, "contentChanges"));
        policy_file_settle(workspace, path);
        document->dirty = true;
        workspace->held_back = false;
        status_send_soon(workspace);
    }
    free(path);
}

void sync_did_close(struct server *server, json_t *params)
{
    char *path;
    struct workspace *workspace = workspace_for(server, params, sync_did_close, &path);
    struct document **at = workspace ? &workspace->documents : NULL;

    while (at && *at && strcmp((*at)->path, path))
        at = &(*at)->next;
    if (at && *at) {
        struct document *document = *at;

        *at = document->next;
        free(document->path);
        free(document);
        workspace_log(workspace, recorder_close(workspace->recorder, path));
        policy_file_settle(workspace, path);
        status_send(workspace);
    }
    free(path);
}

/* molt.toml and compile_commands.json change the workspace itself; sources are told to the recorder. */
static void watched_file(struct server *server, const char *path)
{
    const char *name = strrchr(path, '/');
    struct workspace *workspace = workspace_of(server, path);

    if (!workspace || !name || !workspace->recorder)
        return;
    if (!strcmp(name, "/molt.toml") || !strcmp(name, "/compile_commands.json")) {
        workspace_reload(workspace);
        return;
    }
    if (workspace_document(workspace, path))
        return;
    workspace_state_baseline(workspace, path, false);
    workspace_log(workspace, recorder_disk_changed(workspace->recorder, path));
    policy_file_settle(workspace, path);
    workspace->held_back = false;
    status_send_soon(workspace);
}

void sync_watched_files(struct server *server, json_t *params)
{
    size_t i;
    json_t *change;

    json_array_foreach(json_object_get(params, "changes"), i, change)
    {
        char *path = uri_to_path(json_text(change, "uri", ""));

        if (path && !strstr(path, "/.molt/"))
            watched_file(server, path);
        free(path);
    }
}
