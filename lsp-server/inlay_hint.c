/*
 * Hints come from the last preview (preview.h) and are shown where the recorder finds the members now, so
 * they stay with their members while lines are inserted. A member that keeps its value as it was needs no
 * hint.
 */
#include "lsp-server/inlay_hint.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/type_change.h"
#include "lsp-server/handlers.h"
#include "lsp-server/lsp.h"
#include "lsp-server/preview.h"
#include "lsp-server/workspace.h"

static const json_t *member_named(const json_t *type, const char *name)
{
    json_t *member;
    size_t i;

    json_array_foreach(type_change_members(type), i, member)
    {
        if (!strcmp(json_text(member, "name", ""), name))
            return member;
    }
    return NULL;
}

static json_t *hint_at(const struct workspace *workspace, const char *path, unsigned line, const char *label)
{
    const char *text = NULL, *at;
    size_t length = 0, width;
    unsigned character;

    if (!recorder_text(workspace->recorder, path, &text, &length))
        return NULL;
    at = lsp_line(text, length, line, &width);
    character = lsp_position_of_byte(workspace->server->encoding, at, width, width);
    return json_pack(
        "{s:{s:i,s:i},s:s,s:b,s:s}", "position", "line", (int)line - 1, "character", (int)character, "label",
        label, "paddingLeft", true, "tooltip",
        "Where this member's value comes from in instances that live when the program is updated (Molt)");
}

static double line_of(const json_t *members, size_t index)
{
    return json_number(json_array_get(members, index), "line", 0);
}

/* Whether the member at INDEX shares its line with another one. */
static bool shares_line(const json_t *members, size_t index)
{
    return (index && line_of(members, index - 1) == line_of(members, index)) ||
           (index + 1 < json_array_size(members) && line_of(members, index + 1) == line_of(members, index));
}

/* Hints of several members in one line are one, which names them. */
static void add_type(const struct workspace *workspace, const char *path, const json_t *declared,
                     const json_t *type, json_t *hints)
{
    const json_t *members = json_object_get(declared, "members");
    struct text label = { 0 };
    size_t count = json_array_size(members);

    for (size_t i = 0; i < count; i++) {
        const json_t *place = json_array_get(members, i);
        const json_t *member = member_named(type, json_text(place, "name", ""));

        if (member && strcmp(json_text(member, "how", ""), "same")) {
            text_puts(&label, label.length ? "; " : "");
            if (shares_line(members, i))
                text_printf(&label, "%s ", json_text(place, "name", ""));
            type_change_source(&label, member);
        }
        if (label.length && (i + 1 == count || line_of(members, i + 1) != line_of(members, i))) {
            json_t *hint = hint_at(workspace, path, (unsigned)line_of(members, i), label.bytes);

            if (hint)
                json_array_append_new(hints, hint);
            text_clear(&label);
        }
    }
    text_deinit(&label);
}

void inlay_hint_request(struct server *server, json_t *params, struct reply *reply)
{
    char *path = lsp_document_path(params);
    struct workspace *workspace = path ? workspace_of(server, path) : NULL;
    json_t *hints = json_array(), *types = NULL, *declared;
    size_t i;

    if (workspace && workspace->recorder && workspace->plan)
        types = recorder_types(workspace->recorder, path);
    json_array_foreach(types, i, declared)
    {
        const json_t *type = preview_type(workspace, json_text(declared, "name", ""));

        if (type)
            add_type(workspace, path, declared, type, hints);
    }
    json_decref(types);
    free(path);
    reply_result(reply, hints);
}

void inlay_hint_refresh(struct server *server)
{
    if (server->client.hint_refresh)
        server_ask(server, "workspace/inlayHint/refresh", NULL, NULL, NULL);
}
