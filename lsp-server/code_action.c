/*
 * Code actions: at a structure whose type changes, write a policy, or a validation, for it; at a suspended
 * function, one for its locals; at a loop, make its body a function (loop_action.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/handlers.h"
#include "lsp-server/loop_action.h"
#include "lsp-server/lsp.h"
#include "lsp-server/policy_file.h"
#include "lsp-server/preview.h"
#include "lsp-server/suspended.h"
#include "lsp-server/workspace.h"

static const char *const titles[] = { "Molt: write a migration policy for %s",
                                      "Molt: write a validation for %s" };

static json_t *action(const struct workspace *workspace, const char *type, bool validation)
{
    struct text title = { 0 };
    json_t *made;

    text_printf(&title, titles[validation], type);
    made = json_pack("{s:s,s:s,s:{s:s,s:s,s:[{s:s,s:s,s:b}]}}", "title", title.bytes ? title.bytes : "",
                     "kind", "refactor", "command", "title", title.bytes ? title.bytes : "", "command",
                     "molt.writePolicy", "arguments", "workspace", workspace->uri, "type", type, "validation",
                     validation);
    text_deinit(&title);
    return made;
}

/* At a suspended function with a local that has no value in the new version. */
static void frame_action(struct workspace *workspace, const char *path, unsigned first, unsigned last,
                         json_t *actions)
{
    json_t *item = suspended_at(workspace, path, first, last, &(unsigned){ 0 });
    const char *function = json_text(item, "of", "");
    struct text title = { 0 };

    text_printf(&title, "Molt: give locals of %s a value where it waits (MOLT_TRANSFER)", function);
    if (*function && !text_failed(&title))
        json_array_append_new(actions, json_pack("{s:s,s:s,s:{s:s,s:s,s:[{s:s,s:s}]}}", "title", title.bytes,
                                                 "kind", "refactor", "command", "title", title.bytes,
                                                 "command", "molt.writePolicy", "arguments", "workspace",
                                                 workspace->uri, "function", function));
    text_deinit(&title);
    json_decref(item);
}

/* Whether TYPE (recorder_types) has lines between FIRST and LAST, 0-based. */
static bool touches(const json_t *type, double first, double last)
{
    return json_number(type, "first", 0) - 1 <= last && json_number(type, "last", 0) - 1 >= first;
}

/* Whether the client asks for actions of KIND: by its name or one above it. */
static bool wanted(const json_t *params, const char *kind)
{
    json_t *only = json_at(params, "context", "only", NULL), *asked;
    size_t i;

    json_array_foreach(only, i, asked)
    {
        const char *name = json_is_string(asked) ? json_string_value(asked) : "?";
        size_t length = strlen(name);

        if (!length || (!strncmp(kind, name, length) && (!kind[length] || kind[length] == '.')))
            return true;
    }
    return !json_is_array(only);
}

void code_action_request(struct server *server, json_t *params, struct reply *reply)
{
    char *path = lsp_document_path(params);
    struct workspace *workspace = path ? workspace_of(server, path) : NULL;
    double first = json_number(json_at(params, "range", "start", NULL), "line", 0);
    double last = json_number(json_at(params, "range", "end", NULL), "line", 0);
    json_t *actions = json_array(), *types = NULL, *type;
    size_t i;

    if (workspace && workspace->recorder && wanted(params, "refactor"))
        types = recorder_types(workspace->recorder, path);
    json_array_foreach(types, i, type)
    {
        const char *name = json_text(type, "name", "");

        if (!touches(type, first, last) || !policy_type_changes(workspace, name))
            continue;
        for (int validation = 0; validation < 2; validation++)
            json_array_append_new(actions, action(workspace, name, validation));
    }
    json_decref(types);
    if (workspace && workspace->recorder && wanted(params, "refactor"))
        frame_action(workspace, path, (unsigned)first, (unsigned)last, actions);
    if (workspace && workspace->recorder && wanted(params, "refactor.extract"))
        loop_actions(workspace, path, (unsigned)first, (unsigned)last, actions);
    free(path);
    reply_result(reply, actions);
}
