/*
 * One lens on the first line of each open file, for as long as a program is attached: only its words change,
 * for a lens that comes and goes moves the text.
 */
#include "lsp-server/code_lens.h"

#include <stdlib.h>

#include "base/text.h"
#include "lsp-server/engines.h"
#include "lsp-server/handlers.h"
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
    }
    free(path);
    reply_result(reply, lenses);
}

void code_lens_status_changed(struct workspace *workspace, const json_t *status)
{
    const json_t *before = workspace->sent_status;

    if (!workspace->server->client.lens_refresh)
        return;
    if (json_equal(json_at(before, "pending", "files", NULL), json_at(status, "pending", "files", NULL)) &&
        json_equal(json_object_get(before, "engines"), json_object_get(status, "engines")))
        return;
    server_ask(workspace->server, "workspace/codeLens/refresh", NULL, NULL, NULL);
}
