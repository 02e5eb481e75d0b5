/*
 * The status is computed, never kept: every feature changes what it is about and then asks for the status to
 * be sent, and what has not changed is not sent.
 */
#include "lsp-server/status.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/code_lens.h"
#include "lsp-server/engines.h"
#include "lsp-server/handlers.h"
#include "lsp-server/lsp.h"
#include "lsp-server/preview.h"
#include "lsp-server/review.h"
#include "lsp-server/suspended.h"
#include "lsp-server/update.h"
#include "lsp-server/validation.h"
#include "lsp-server/workspace.h"

#define SOON_MS 100

static const char *const match_words[] = {
    [ENGINE_FOREIGN] = "foreign",
    [ENGINE_READY] = "ready",
    [ENGINE_OTHER_BUILD] = "other-build",
    [ENGINE_BEHIND] = "behind",
    [ENGINE_UNKNOWN_UPDATES] = "unknown-updates",
};

/* FNV-1a, 32 bits, of TEXT (NULL: none) and its end. */
static uint32_t hash_more(uint32_t hash, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return (hash ^ 0xff) * 16777619u;
}

/* A number that is another one when the change set reads differently: clients then ask for the review
 * again. */
static int revision_of(const struct change_set *set)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; set && i < set->count; i++) {
        const struct change *change = &set->items[i];

        hash = (hash ^ (uint32_t)change->action ^ (uint32_t)change->kind << 8) * 16777619u;
        hash = (hash ^ change->line) * 16777619u;
        hash = hash_more(hash_more(hash_more(hash, change->file), change->name), change->owner);
        hash = hash_more(hash, change->declaration);
    }
    return (int)(hash >> 1);
}

/* {"count", "revision", "heldBack", "unsaved", "files"} */
static json_t *pending(struct workspace *workspace)
{
    struct change_set *set = NULL;
    json_t *files = json_array();
    unsigned unsaved = 0;
    int revision;
    size_t count;

    if (workspace->recorder)
        workspace_log(workspace, recorder_changes(workspace->recorder, &set));
    for (size_t i = 0; set && i < set->count;) {
        const char *name = set->items[i].file;
        char *path = path_normalise(workspace->root, name), *uri = path ? uri_from_path("file", path) : NULL;
        size_t first = i;

        while (i < set->count && !strcmp(set->items[i].file, name))
            i++;
        json_array_append_new(files,
                              json_pack("{s:s,s:i}", "uri", uri ? uri : "", "count", (int)(i - first)));
        free(uri);
        free(path);
    }
    count = set ? set->count : 0;
    revision = revision_of(set);
    change_set_destroy(set);
    for (struct document *document = workspace->documents; document; document = document->next)
        unsaved += document->dirty;
    return json_pack("{s:i,s:i,s:b,s:i,s:o}", "count", (int)count, "revision", revision, "heldBack",
                     workspace->held_back, "unsaved", (int)unsaved, "files", files);
}

static json_t *engine_list(struct workspace *workspace)
{
    json_t *list = json_array();

    for (const struct engine *engine = engines_list(workspace->server->engines); engine;
         engine = engine->next) {
        enum engine_match match = engine_match(engine, workspace);

        if (match == ENGINE_FOREIGN)
            continue;
        json_array_append_new(list,
                              json_pack("{s:i,s:s,s:s,s:f,s:i,s:s}", "pid", (int)engine->pid, "name",
                                        engine_name(engine), "exe", json_text(engine->status, "exe", ""),
                                        "threads", json_number(engine->status, "threads", 0), "updates",
                                        (int)json_array_size(json_object_get(engine->status, "updates")),
                                        "state", match_words[match]));
    }
    return list;
}

static const char *phase_of(const struct workspace *workspace, unsigned ready)
{
    const char *phase = update_phase(workspace->update);

    if (workspace->state == WORKSPACE_LOADING)
        return "loading";
    if (workspace->state == WORKSPACE_NO_BUILD)
        return "no-build";
    if (phase)
        return phase;
    if (workspace->failed)
        return "validation-failed";
    return ready ? "idle" : "no-program";
}

static bool last_failed(const struct workspace *workspace)
{
    /* a failed validation is a state of its own, and over with it */
    static const char *const good[] = { "updated", "nothing", "rolled-back", "discarded", "validation" };
    const char *result = json_text(workspace->last_update, "result", "updated");

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!strcmp(good[i], result))
            return false;
    }
    return true;
}

static const char *health_of(const struct workspace *workspace, unsigned engines, unsigned ready)
{
    if ((workspace->state == WORKSPACE_NO_BUILD || (workspace->trouble && !workspace->held)) &&
        workspace->state != WORKSPACE_LOADING)
        return "error";
    if (workspace->held || workspace->doubt || (workspace->state == WORKSPACE_READY && workspace->lock < 0) ||
        (engines && !ready))
        return "warning";
    return workspace->failed || last_failed(workspace) ? "error" : "ok";
}

/* "server (pid 4711)", "2 programs", or why there is none. */
static void say_programs(struct text *text, const json_t *engines, unsigned ready, const char *ended)
{
    const char *state = json_text(json_array_get(engines, 0), "state", "");
    size_t i;
    json_t *engine;

    if (ready > 1)
        text_printf(text, "%u programs", ready);
    else if (!ready && !strcmp(state, "other-build"))
        text_puts(text, "the running program is from another build: restart it");
    else if (!ready && *state)
        text_puts(text, "the running program has updates that this workspace knows nothing of: restart it");
    else if (!ready)
        text_printf(text, "no program is running under molt run%s%s", ended ? ": " : "", ended ? ended : "");
    json_array_foreach(engines, i, engine)
    {
        if (ready == 1 && !strcmp(json_text(engine, "state", ""), "ready"))
            text_printf(text, "%s (pid %.0f)", json_text(engine, "name", ""), json_number(engine, "pid", 0));
    }
}

static void say_failed(struct text *text, const json_t *failed)
{
    text_puts(text, "validation failed: ");
    validation_say(text, failed);
    text_puts(text, " - ");
}

static char *message_of(const struct workspace *workspace, const char *phase, const json_t *changes,
                        const json_t *engines, unsigned ready)
{
    struct text text = { 0 };
    double count = json_number(changes, "count", 0);

    if (workspace->state == WORKSPACE_LOADING) {
        text_puts(&text, "reading the build");
        return text_steal(&text);
    }
    if (workspace->trouble && !workspace->held) {
        text_puts(&text, workspace->trouble);
        return text_steal(&text);
    }
    if (workspace->doubt && !workspace->held)
        text_printf(&text, "%s - ", workspace->doubt);
    if (workspace->held)
        text_printf(&text, "held: %s - ", workspace->held);
    else if (workspace->failed)
        say_failed(&text, workspace->failed);
    else if (strcmp(phase, "idle") && strcmp(phase, "no-program"))
        text_printf(&text, "%s - ", phase);
    else if (last_failed(workspace))
        text_printf(&text, "%s - ", json_text(workspace->last_update, "message", ""));
    if (count > 0)
        text_printf(&text, "%.0f pending change%s%s - ", count, count == 1 ? "" : "s",
                    workspace->held_back ? " held back" : "");
    if (workspace->lock < 0 && workspace->lock_holder)
        text_printf(&text, "read only: another editor (molt-lsp, pid %s) updates this workspace - ",
                    workspace->lock_holder);
    else if (workspace->lock < 0)
        text_puts(&text, "read only: .molt cannot be written - ");
    say_programs(&text, engines, ready, workspace->ended);
    return text_steal(&text);
}

/* How many suspended functions the plan speaks of, and how many of them would be waited for. */
static int count_suspended(const struct workspace *workspace, int *ret_waited)
{
    json_t *items = suspended_of_plan(workspace), *item;
    int count = (int)json_array_size(items);
    size_t i;

    *ret_waited = 0;
    json_array_foreach(items, i, item) *ret_waited += !json_is_true(json_object_get(item, "transferable"));
    json_decref(items);
    return count;
}

/* How much the builder makes of the pending changes; NULL: nothing. Its revision tells editors which learn of
 * it by the status alone to ask for the review again. */
static json_t *plan_of(const struct workspace *workspace)
{
    const json_t *types = json_object_get(workspace->plan, "types");
    const json_t *unknown = json_at(workspace->plan, "sites", "unknown", NULL);
    int stops = 0, waited, suspended = count_suspended(workspace, &waited);
    json_t *type;
    size_t i;

    if (!json_array_size(types) && !json_object_get(workspace->plan, "sites") && !suspended)
        return NULL;
    json_array_foreach(types, i, type) stops += json_is_string(json_object_get(type, "stops"));
    return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i}", "types", (int)json_array_size(types), "stops", stops,
                     "unknown", (int)json_array_size(unknown), "suspended", suspended, "waited", waited,
                     "revision", workspace->plan_revision);
}

json_t *status_to_json(struct workspace *workspace)
{
    unsigned ready = engines_ready(workspace->server->engines, workspace);
    json_t *changes = pending(workspace), *engines = engine_list(workspace), *plan = plan_of(workspace),
           *status;
    const char *phase = phase_of(workspace, ready);
    char *message = message_of(workspace, phase, changes, engines, ready);
    bool quiescent = workspace->state != WORKSPACE_LOADING && !update_phase(workspace->update);
    bool can_roll_back = ready && workspace->baseline && json_array_size(workspace->baseline->updates) > 0;

    status = json_pack("{s:s,s:s,s:s,s:b,s:b,s:s,s:s,s:b,s:O,s:s?,s:O,s:b,s:O?,s:O?,s:O?}", "workspace",
                       workspace->uri, "root", workspace->root, "health",
                       health_of(workspace, (unsigned)json_array_size(engines), ready), "quiescent",
                       quiescent, "warm", workspace->warm, "message", message ? message : "", "phase", phase,
                       "readOnly", workspace->state == WORKSPACE_READY && workspace->lock < 0, "pending",
                       changes, "held", workspace->held, "engines", engines, "canRollback", can_roll_back,
                       "lastUpdate", workspace->last_update, "validation", workspace->failed, "plan", plan);
    json_decref(plan);
    free(message);
    json_decref(changes);
    json_decref(engines);
    return status;
}

static void consider_preview(struct workspace *workspace)
{
    struct change_set *set = NULL;

    if (!workspace->recorder)
        return;
    workspace_log(workspace, recorder_changes(workspace->recorder, &set));
    preview_consider(workspace, set, revision_of(set));
    change_set_destroy(set);
}

void status_send(struct workspace *workspace)
{
    json_t *status;

    if (workspace->closing)
        return;
    consider_preview(workspace);
    uv_timer_stop(&workspace->status_timer);
    status = status_to_json(workspace);
    if (!status || (workspace->sent_status && json_equal(status, workspace->sent_status))) {
        json_decref(status);
        return;
    }
    code_lens_status_changed(workspace, status);
    json_decref(workspace->sent_status);
    workspace->sent_status = status;
    server_notify(workspace->server, "molt/status", json_incref(status));
    review_refresh(workspace);
}

static void send_now(uv_timer_t *timer)
{
    status_send(timer->data);
}

void status_send_soon(struct workspace *workspace)
{
    if (!uv_is_active((uv_handle_t *)&workspace->status_timer))
        uv_timer_start(&workspace->status_timer, send_now, SOON_MS, 0);
}

void status_request(struct server *server, json_t *params, struct reply *reply)
{
    const char *uri = json_text(params, "workspace", NULL);
    json_t *list = json_array();

    for (struct workspace *workspace = server->workspaces; workspace; workspace = workspace->next) {
        if (!workspace->closing && (!uri || workspace == workspace_at(server, uri)))
            json_array_append_new(list, status_to_json(workspace));
    }
    reply_result(reply, list);
}
