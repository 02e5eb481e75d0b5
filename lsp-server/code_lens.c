/*
 * One lens on the first line of each open file, and one above each structure, for as long as a program is
 * attached: only their words change, for a lens that comes and goes moves the text. How many instances live
 * is found out when a lens is to be shown (codeLens/resolve).
 */
#include "lsp-server/code_lens.h"

#include <stdlib.h>

#include "base/text.h"
#include "lsp-server/engines.h"
#include "lsp-server/handlers.h"
#include "lsp-server/instances.h"
#include "lsp-server/lsp.h"
#include "lsp-server/workspace.h"

static char *words(double changes, unsigned programs)
{
    struct text text = { 0 };

    if (changes > 0)
        text_printf(&text, "%.0f pending change%s", changes, changes == 1 ? "" : "s");
    else
        text_puts(&text, "no pending changes");
    text_printf(&text, " \xe2\x80\x94 %u process%s", programs, programs == 1 ? "" : "es");
    return text_steal(&text);
}

static double pending_in(const json_t *status, const char *uri)
{
    size_t i;
    json_t *file;
    char *path = uri_to_path(uri);
    double count = 0;

    json_array_foreach(json_at(status, "pending", "files", NULL), i, file)
    {
        char *other = uri_to_path(json_text(file, "uri", ""));

        if (path && other && path_below(path, other))
            count = json_number(file, "count", 0);
        free(other);
    }
    free(path);
    return count;
}

/* A lens above each structure that the file at PATH defines, to be resolved. */
static void add_types(const struct workspace *workspace, const char *path, json_t *lenses)
{
    json_t *types = recorder_types(workspace->recorder, path), *type;
    size_t i;

    json_array_foreach(types, i, type)
    {
        int line = (int)json_number(type, "first", 1) - 1;

        json_array_append_new(
            lenses, json_pack("{s:o,s:{s:s,s:s}}", "range", lsp_range((unsigned)(line < 0 ? 0 : line), 0, 0),
                              "data", "workspace", workspace->uri, "type", json_text(type, "name", "")));
    }
    json_decref(types);
}

void code_lens_request(struct server *server, json_t *params, struct reply *reply)
{
    const char *uri = json_string_value(json_at(params, "textDocument", "uri", NULL));
    char *path = uri ? uri_to_path(uri) : NULL, *title;
    struct workspace *workspace = path ? workspace_of(server, path) : NULL;
    unsigned programs = workspace ? engines_ready(server->engines, workspace) : 0;
    json_t *lenses = json_array();

    if (programs && workspace_document(workspace, path)) {
        title = words(pending_in(workspace->sent_status, uri), programs);
        json_array_append_new(lenses, json_pack("{s:o,s:{s:s,s:s,s:[{s:s}]}}", "range", lsp_range(0, 0, 0),
                                                "command", "title", title ? title : "", "command",
                                                "molt.review", "arguments", "workspace", workspace->uri));
        free(title);
        if (workspace->settings.instances && workspace->recorder)
            add_types(workspace, path, lenses);
    }
    free(path);
    reply_result(reply, lenses);
}

void code_lens_resolve(struct server *server, json_t *params, struct reply *reply)
{
    const char *uri = json_text(json_object_get(params, "data"), "workspace", NULL);
    struct workspace *workspace = uri ? workspace_at(server, uri) : NULL;

    if (workspace)
        instances_resolve_lens(workspace, json_deep_copy(params), reply);
    else
        reply_error(reply, JSONRPC_INVALID_PARAMS, "no lens of this server");
}

/* Whether the same programs run the same code. */
static bool same_programs(const json_t *before, const json_t *after)
{
    static const char *const keys[] = { "pid", "updates", "state" };
    bool same = json_array_size(before) == json_array_size(after);

    for (size_t i = 0; same && i < json_array_size(after); i++) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            same = same && json_equal(json_object_get(json_array_get(before, i), keys[k]),
                                      json_object_get(json_array_get(after, i), keys[k]));
    }
    return same;
}

void code_lens_status_changed(struct workspace *workspace, const json_t *status)
{
    const json_t *before = workspace->sent_status;

    if (!same_programs(json_object_get(before, "engines"), json_object_get(status, "engines")))
        instances_forget(workspace);
    if (!workspace->server->client.lens_refresh)
        return;
    if (json_equal(json_at(before, "pending", "files", NULL), json_at(status, "pending", "files", NULL)) &&
        json_equal(json_object_get(before, "engines"), json_object_get(status, "engines")))
        return;
    server_ask(workspace->server, "workspace/codeLens/refresh", NULL, NULL, NULL);
}
