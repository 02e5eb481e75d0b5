/*
 * The review: the pending change set for programs (JSON) and for people (one document, entries grouped by
 * file, with what is known about the programs they would go to).
 */
#include "lsp-server/review.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/engines.h"
#include "lsp-server/handlers.h"
#include "lsp-server/instances.h"
#include "lsp-server/lsp.h"
#include "lsp-server/policy_file.h"
#include "lsp-server/review_types.h"
#include "lsp-server/suspended.h"
#include "lsp-server/validation.h"
#include "lsp-server/workspace.h"

#define REVIEW_NAME "pending.molt-review"

enum { DIFF_LINES_MAX = 400 };

/* What becomes of the lines of CHANGE, as a JSON string; one that has far too many for a person to review
 * is cut. */
static json_t *diff_of(struct workspace *workspace, const struct change *change)
{
    struct text text = { 0 };
    const char *end;
    size_t lines = 0, more = 0;
    struct molt_error *error;
    json_t *diff;

    error = recorder_diff(workspace->recorder, change, &text);
    if (error)
        text_clear(&text);
    workspace_log(workspace, error);
    for (end = text.bytes; end && *end && lines < DIFF_LINES_MAX; lines++)
        end = strchr(end, '\n') + 1;
    for (const char *rest = end; rest && *rest; more++)
        rest = strchr(rest, '\n') + 1;
    if (more > DIFF_LINES_MAX / 10) {
        text.length = (size_t)(end - text.bytes);
        text_printf(&text, "... %zu more lines\n", more);
    }
    diff = change_text_to_json(text.bytes ? text.bytes : "");
    text_deinit(&text);
    return diff;
}

/* ITEM's "file", relative to the root, as a URI under "uri"; its lines 0-based, as LSP has them. */
static void to_lsp(struct workspace *workspace, json_t *item)
{
    static const char *const keys[][2] = { { "line", "line" }, { "old_line", "oldLine" } };
    char *path = path_normalise(workspace->root, json_text(item, "file", ""));
    char *uri = path ? uri_from_path("file", path) : NULL;

    json_object_set_new(item, "uri", uri ? json_string(uri) : json_null());
    for (size_t i = 0; i < 2; i++) {
        json_int_t line = json_integer_value(json_object_get(item, keys[i][0]));

        json_object_del(item, keys[i][0]);
        json_object_set_new(item, keys[i][1], line > 0 ? json_integer(line - 1) : json_null());
    }
    if (!json_object_get(item, "owner"))
        json_object_set_new(item, "owner", json_null());
    free(uri);
    free(path);
}

static json_t *changes_of(struct workspace *workspace)
{
    struct change_set *set = NULL;
    json_t *changes = NULL, *item;
    size_t i;

    if (workspace->recorder)
        workspace_log(workspace, recorder_changes(workspace->recorder, &set));
    if (set)
        changes = change_set_to_json(set);
    json_array_foreach(changes, i, item)
    {
        to_lsp(workspace, item);
        json_object_set_new(item, "diff", diff_of(workspace, &set->items[i]));
    }
    change_set_destroy(set);
    return changes ? changes : json_array();
}

static void write_programs(struct text *text, struct workspace *workspace)
{
    unsigned count = 0;

    for (const struct engine *engine = engines_list(workspace->server->engines); engine;
         engine = engine->next) {
        size_t updates = json_array_size(json_object_get(engine->status, "updates"));

        if (engine_match(engine, workspace) != ENGINE_READY)
            continue;
        text_printf(text, "Program: %s (pid %d), %zu update%s applied\n", engine_name(engine),
                    (int)engine->pid, updates, updates == 1 ? "" : "s");
        count++;
    }
    if (!count)
        text_puts(text, "Program: none is running\n");
}

static void write_diff(struct text *text, const char *diff)
{
    for (const char *at = diff, *end; *at; at = end) {
        end = strchr(at, '\n') + 1;
        text_puts(text, "    ");
        text_append(text, at, (size_t)(end - at));
    }
}

/* The entry for CHANGE. FOLLOWED: the next one is about the same declaration, and shows what becomes of
 * it. */
static void write_change(struct text *text, const json_t *change, bool followed)
{
    const char *diff = json_text(change, "diff", "");
    const char *owner = json_text(change, "owner", ""), *old_name = json_text(change, "old_name", NULL);
    const char *declaration = json_text(change, "declaration", "");
    double confidence = json_number(change, "confidence", 1), line = json_number(change, "line", -1);

    text_printf(text, "  %-9s %s %s%s%s", json_text(change, "action", ""), json_text(change, "kind", ""),
                owner, *owner ? "." : "", json_text(change, "name", ""));
    if (old_name)
        text_printf(text, " (was %s)", old_name);
    if (line >= 0)
        text_printf(text, ", line %.0f", line + 1);
    if (confidence < 1)
        text_printf(text, ", %.0f %% sure: %s", confidence * 100, json_text(change, "evidence", ""));
    else if (!strcmp(json_text(change, "evidence", ""), "condition"))
        text_puts(text, ", by a condition around it");
    text_puts(text, "\n");
    if (*diff && !followed)
        write_diff(text, diff);
    else if (!*diff && *declaration)
        text_printf(text, "            %s\n", declaration);
}

/* Whether change I and the one behind it are of one declaration. */
static bool same_declaration(const json_t *changes, size_t i)
{
    const json_t *change = json_array_get(changes, i), *next = json_array_get(changes, i + 1);

    return next && json_equal(json_object_get(change, "id"), json_object_get(next, "id")) &&
           json_equal(json_object_get(change, "diff"), json_object_get(next, "diff"));
}

static void write_last(struct text *text, const json_t *last)
{
    size_t i;
    json_t *warning, *transfer;

    text_printf(text, "Last: %s\n", json_text(last, "message", ""));
    json_array_foreach(json_object_get(last, "transfers"), i, transfer)
    {
        if (json_is_string(transfer))
            text_printf(text, "Taken over: %s\n", json_string_value(transfer));
    }
    json_array_foreach(json_object_get(last, "warnings"), i, warning)
    {
        if (json_is_string(warning))
            text_printf(text, "Warning: %s\n", json_string_value(warning));
    }
}

/* Each change, and each type, learns its row in the document. */
static char *write_document(struct workspace *workspace, json_t *changes, json_t *types,
                            const json_t *suspended)
{
    size_t count = json_array_size(changes), i;
    struct text text = { 0 };
    const char *file = NULL;
    json_t *change;

    text_printf(&text, "%zu pending change%s in %s%s\n", count, count == 1 ? "" : "s", workspace->root,
                workspace->held_back ? ", held back" : "");
    write_programs(&text, workspace);
    if (workspace->held)
        text_printf(&text, "Held: %s\n", workspace->held);
    if (workspace->last_update && !workspace->failed)
        write_last(&text, workspace->last_update);
    if (workspace->failed)
        validation_write(&text, workspace->failed);
    json_array_foreach(changes, i, change)
    {
        if (!file || strcmp(file, json_text(change, "file", "")))
            text_printf(&text, "\n%s\n", json_text(change, "file", ""));
        file = json_text(change, "file", "");
        json_object_set_new(change, "row", json_integer((json_int_t)review_lines(&text)));
        write_change(&text, change, same_declaration(changes, i));
    }
    review_write_types(&text, workspace, types);
    suspended_write(&text, suspended);
    return text_steal(&text);
}

static char *review_uri(const struct workspace *workspace)
{
    char *path = path_join(workspace->folder, REVIEW_NAME), *file = path ? uri_from_path("molt", path) : NULL;
    struct text text = { 0 };

    if (file) /* molt:/path: there is no host in it */
        text_printf(&text, "molt:%s", file + strlen("molt://"));
    free(file);
    free(path);
    return text_steal(&text);
}

json_t *review_to_json(struct workspace *workspace)
{
    json_t *changes = changes_of(workspace), *types = review_types(workspace),
           *suspended = suspended_of_plan(workspace), *result;
    char *document = write_document(workspace, changes, types, suspended), *uri = review_uri(workspace);

    result = json_pack("{s:s,s:s?,s:s?,s:o,s:o,s:o,s:O?}", "workspace", workspace->uri, "uri", uri, "text",
                       document, "changes", changes, "types", types, "suspended", suspended, "sites",
                       json_object_get(workspace->plan, "sites"));
    free(document);
    free(uri);
    return result;
}

/* The workspace that PARAMS mean, or the only one. */
static struct workspace *meant(struct server *server, const json_t *params)
{
    const char *uri = json_text(params, "workspace", NULL);
    char *path = lsp_document_path(params);
    struct workspace *workspace = NULL;

    if (uri)
        workspace = workspace_at(server, uri);
    else if (path)
        workspace = workspace_of(server, path);
    else if (server->workspaces && !server->workspaces->next)
        workspace = server->workspaces;
    free(path);
    return workspace;
}

void review_request(struct server *server, json_t *params, struct reply *reply)
{
    struct workspace *workspace = meant(server, params);

    if (workspace)
        reply_result(reply, review_to_json(workspace));
    else
        reply_error(reply, JSONRPC_INVALID_PARAMS, "which workspace? give its uri as `workspace`");
}

/* {"text": what the running program was made from, or null} */
static json_t *running_text(struct server *server, const char *path)
{
    struct workspace *workspace = workspace_of(server, path);
    const char *text = NULL;
    size_t length = 0;

    if (workspace && workspace->recorder && !policy_file_is(workspace, path) &&
        !recorder_baseline(workspace->recorder, path, &text, &length))
        text = NULL;
    return json_pack("{s:o}", "text", text ? json_stringn(text, length) : json_null());
}

void review_running(struct server *server, json_t *params, struct reply *reply)
{
    char *path = lsp_document_path(params);

    if (path)
        reply_result(reply, running_text(server, path));
    else
        reply_error(reply, JSONRPC_INVALID_PARAMS, "textDocument.uri must be a file");
    free(path);
}

void review_content(struct server *server, json_t *params, struct reply *reply)
{
    const char *uri = json_text(params, "uri", ""), *query = strchr(uri, '?');
    struct text as_file = { 0 };
    struct workspace *workspace;
    char *path, *name;

    text_printf(&as_file, "file:%s", strncmp(uri, "molt:", 5) ? "" : uri + 5);
    path = as_file.bytes ? uri_to_path(as_file.bytes) : NULL;
    text_deinit(&as_file);
    workspace = path ? workspace_of(server, path) : NULL;
    name = path ? strrchr(path, '/') : NULL;
    if (workspace && instances_document(workspace, uri)) {
        reply_result(reply, json_pack("{s:s}", "text", instances_document(workspace, uri)));
    } else if (path && query && !strcmp(query, "?running")) {
        reply_result(reply, running_text(server, path));
    } else if (workspace && name && !strcmp(name + 1, REVIEW_NAME)) {
        json_t *review = review_to_json(workspace);

        reply_result(reply, json_pack("{s:O}", "text", json_object_get(review, "text")));
        json_decref(review);
    } else {
        reply_error(reply, JSONRPC_INVALID_PARAMS, "no such document");
    }
    free(path);
}

static void refresh(struct server *server, const char *uri)
{
    if (server->client.content_refresh)
        server_ask(server, "workspace/textDocumentContent/refresh", json_pack("{s:s}", "uri", uri), NULL,
                   NULL);
}

static void add_uri(struct server *server, json_t *uris, const char *path)
{
    char *uri = uri_from_path("file", path);
    struct text running = { 0 };

    if (uri) {
        json_array_append_new(uris, json_string(uri));
        text_printf(&running, "molt:%s?running", uri + strlen("file://"));
        if (!text_failed(&running))
            refresh(server, running.bytes);
    }
    text_deinit(&running);
    free(uri);
}

void review_refresh(struct workspace *workspace)
{
    char *review = review_uri(workspace);

    if (review)
        refresh(workspace->server, review);
    free(review);
}

void review_running_changed(struct workspace *workspace, const json_t *files)
{
    json_t *uris = json_array(), *file;
    size_t i;

    json_array_foreach(files, i, file)
    {
        char *path = path_normalise(workspace->root, json_text(file, "path", ""));

        if (path)
            add_uri(workspace->server, uris, path);
        free(path);
    }
    for (struct document *document = workspace->documents; document && !files; document = document->next)
        add_uri(workspace->server, uris, document->path);
    review_refresh(workspace);
    if (json_array_size(uris))
        server_notify(workspace->server, "molt/runningChanged",
                      json_pack("{s:s,s:O}", "workspace", workspace->uri, "uris", uris));
    json_decref(uris);
}
