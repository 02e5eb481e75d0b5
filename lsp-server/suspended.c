/* The programs tell where they wait, the patch of the preview what has no recipe; here the two are brought
 * together. */
#include "lsp-server/suspended.h"

#include <stdlib.h>
#include <string.h>

#include "link/client.h"
#include "link/protocol.h"
#include "lsp-server/diagnostics.h"
#include "lsp-server/lsp.h"
#include "lsp-server/workspace.h"
#include "patch/transfer/suspended.h"

#define ANSWER_MS 3000

/* ---- asking ---------------------------------------------------------------------------------------- */

/* Whether ONE says of NAME what OTHER says of COUNTERPART. */
static bool agree(const json_t *one, const char *name, const json_t *other, const char *counterpart)
{
    return json_equal(json_object_get(one, name), json_object_get(other, counterpart));
}

/* Whether LIST has FRAME: the same call, perhaps of another thread. */
static bool has_place(const json_t *list, const json_t *frame)
{
    json_t *known;
    size_t i;

    json_array_foreach(list, i, known)
    {
        if (agree(known, "offset", frame, "offset") && agree(known, "module", frame, "module") &&
            agree(known, "unit", frame, "unit"))
            return true;
    }
    return false;
}

static void add_frames(json_t *list, const json_t *stacks)
{
    json_t *thread, *frame;
    size_t i, k;

    json_array_foreach(json_object_get(stacks, "threads"), i, thread)
    {
        json_array_foreach(json_object_get(thread, "frames"), k, frame)
        {
            json_t *module = json_object_get(frame, "module");

            if (!json_is_true(json_object_get(frame, "suspended")) || !json_object_get(frame, "offset"))
                continue;
            if (module)
                json_object_set(
                    frame, "module",
                    json_array_get(json_object_get(stacks, "modules"), (size_t)json_integer_value(module)));
            if (!has_place(list, frame))
                json_array_append(list, frame);
        }
    }
}

json_t *suspended_ask(struct patch_session *session, const struct patch_request *request,
                      const struct delivery_target *targets, size_t target_count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < target_count; i++) {
        struct link_client *client = NULL;
        json_t *stacks = NULL;

        if (link_client_open(targets[i].path, &client) == 0 &&
            link_client_call(client, link_method_name(LINK_METHOD_STACKS), json_object(), ANSWER_MS, NULL,
                             NULL, &stacks) == 0)
            add_frames(list, stacks);
        json_decref(stacks);
        link_client_close(client);
    }
    if (json_array_size(list)) /* what it cannot tell is not shown */
        molt_error_destroy(patch_session_suspended(session, request, list));
    return list;
}

bool suspended_changes(const json_t *suspended, const json_t *changes)
{
    json_t *frame, *change;
    size_t i, k;

    json_array_foreach(suspended, i, frame)
    {
        json_array_foreach(changes, k, change)
        {
            if (!strcmp(json_text(change, "kind", ""), "function") &&
                agree(change, "name", frame, "function"))
                return true;
        }
    }
    return false;
}

/* ---- telling --------------------------------------------------------------------------------------- */

/* What the patch says of the function that FRAME is in; NULL if it does not replace it. */
static const json_t *transfer_of(const json_t *plan, const json_t *frame)
{
    json_t *transfer;
    size_t i;

    json_array_foreach(json_object_get(plan, "transfers"), i, transfer)
    {
        if (agree(transfer, "name", frame, "function") && agree(transfer, "unit", frame, "unit"))
            return transfer;
    }
    return NULL;
}

/* What the patch says of the call of FRAME if that has no recipe; NULL: it has, or nothing is said. */
static const json_t *wait_of(const json_t *transfer, const json_t *frame)
{
    json_t *wait;
    size_t i;

    json_array_foreach(json_object_get(transfer, "waits"), i, wait)
    {
        if (agree(wait, "line", frame, "line") && agree(wait, "callee", frame, "callee"))
            return wait;
    }
    return NULL;
}

/* Why FRAME would be waited for; NULL: it would not. */
static const char *reason_of(const json_t *wait, const json_t *frame)
{
    if (wait)
        return json_text(wait, "reason", "");
    return json_is_false(json_object_get(frame, "transferable"))
               ? json_text(frame, "reason", "it has no recipe")
               : NULL;
}

/* "molt/serve.c:9": the policy that gives locals of FRAME; NULL: none does. */
static const char *policy_of(const json_t *transfer, const json_t *frame)
{
    json_t *given;
    size_t i;

    json_array_foreach(json_object_get(transfer, "given"), i, given)
    {
        if (json_equal(json_object_get(given, "line"), json_object_get(frame, "line")) &&
            json_equal(json_object_get(given, "callee"), json_object_get(frame, "callee")))
            return json_text(given, "policy", NULL);
    }
    return NULL;
}

json_t *suspended_of_plan(const struct workspace *workspace)
{
    json_t *items = json_array(), *frame;
    size_t i;

    json_array_foreach(json_object_get(workspace->plan, "suspended"), i, frame)
    {
        const json_t *transfer = transfer_of(workspace->plan, frame);
        const json_t *wait = transfer ? wait_of(transfer, frame) : NULL;
        const char *reason = transfer ? reason_of(wait, frame) : NULL;

        if (transfer)
            json_array_append_new(
                items,
                json_pack("{s:s,s:s,s:i,s:s,s:b,s:s?,s:s?,s:s?,s:s?}", "function",
                          json_text(frame, "function", ""), "unit", json_text(frame, "unit", ""), "line",
                          (int)json_number(frame, "line", 1) - 1, "callee", json_text(frame, "callee", ""),
                          "transferable", !reason, "reason", reason, "policy", policy_of(transfer, frame),
                          "local", json_text(wait, "local", NULL), "of", json_text(wait, "of", NULL)));
    }
    return items;
}

/* "main waits in poll, line 12 of server.c as it runs" */
static void write_place(struct text *text, const json_t *item)
{
    const char *callee = json_text(item, "callee", "");

    text_printf(text, "%s waits in %s, line %.0f of %s as it runs", json_text(item, "function", ""),
                *callee ? callee : "a function called through a pointer", json_number(item, "line", 0) + 1,
                json_text(item, "unit", ""));
}

void suspended_write(struct text *text, const json_t *items)
{
    json_t *item;
    size_t i;

    if (json_array_size(items))
        text_puts(text, "\nSuspended functions\n");
    json_array_foreach(items, i, item)
    {
        text_puts(text, "  ");
        write_place(text, item);
        if (json_is_true(json_object_get(item, "transferable")))
            text_printf(text, ": taken over there%s%s\n",
                        *json_text(item, "policy", "") ? ", with what MOLT_TRANSFER gives: " : "",
                        json_text(item, "policy", ""));
        else
            text_printf(text, ": waited for, %s\n", json_text(item, "reason", ""));
    }
}

/* The definition of ITEM's function, if that is among the CHANGES; else NULL. */
static const struct change *definition_of(const struct change_set *changes, const json_t *item)
{
    for (size_t i = 0; changes && i < changes->count; i++) {
        const struct change *change = &changes->items[i];

        if (change->kind == DECLARATION_FUNCTION && !change->prototype && change->line &&
            !strcmp(change->name, json_text(item, "function", "")) &&
            !strcmp(change->file, json_text(item, "unit", "")))
            return change;
    }
    return NULL;
}

/* Adds a note at the definition of ITEM's function, if that is among the CHANGES. */
static void add_note(const struct workspace *workspace, const struct change_set *changes, const json_t *item,
                     struct molt_diagnostics *notes)
{
    const struct change *change = definition_of(changes, item);
    struct text text = { 0 };
    char *path = change ? path_normalise(workspace->root, change->file) : NULL;

    write_place(&text, item);
    if (path && !text_failed(&text))
        molt_diagnostics_add(
            notes, MOLT_SEVERITY_NOTE, path, change->line, 0, "suspended",
            "%s, and cannot be taken over there: %s%s. The update will wait for it; with the loop's "
            "body in a function of its own (a code action makes it one) it need not change, from the "
            "program's "
            "next start on",
            text.bytes, json_text(item, "reason", ""),
            *json_text(item, "local", "")
                ? ", unless MOLT_TRANSFER gives it a value (a code action writes one)"
                : "");
    free(path);
    text_deinit(&text);
}

json_t *suspended_at(struct workspace *workspace, const char *path, unsigned first, unsigned last,
                     unsigned *ret_line)
{
    json_t *items = suspended_of_plan(workspace), *item, *found = NULL;
    struct change_set *changes = NULL;
    size_t i;

    if (json_array_size(items))
        workspace_log(workspace, recorder_changes(workspace->recorder, &changes));
    json_array_foreach(items, i, item)
    {
        const struct change *change = definition_of(changes, item);
        char *file = change ? path_normalise(workspace->root, change->file) : NULL;

        if (file && !found && !json_is_true(json_object_get(item, "transferable")) && !strcmp(file, path) &&
            change->line - 1 >= first && change->line - 1 <= last) {
            found = json_incref(item);
            *ret_line = change->line - 1;
        }
        free(file);
    }
    change_set_destroy(changes);
    json_decref(items);
    return found;
}

void suspended_publish(struct workspace *workspace)
{
    json_t *items = suspended_of_plan(workspace), *item;
    struct molt_diagnostics notes = { 0 };
    struct change_set *changes = NULL;
    size_t i;

    if (workspace->recorder && json_array_size(items))
        workspace_log(workspace, recorder_changes(workspace->recorder, &changes));
    json_array_foreach(items, i, item)
    {
        if (changes && !json_is_true(json_object_get(item, "transferable")))
            add_note(workspace, changes, item, &notes);
    }
    diagnostics_publish_notes(workspace, &notes);
    change_set_destroy(changes);
    molt_diagnostics_deinit(&notes);
    json_decref(items);
}
