/*
 * The list of workspaces, and the life of one: loading, ready, loaded again after its build has changed,
 * gone. What is shared with threads is lent: while `jobs` is not 0 the structure stays, and while session or
 * baseline is lent the loop leaves it alone.
 */
#include "lsp-server/workspace.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "lsp-server/diagnostics.h"
#include "lsp-server/engines.h"
#include "lsp-server/files.h"
#include "lsp-server/instances.h"
#include "lsp-server/load.h"
#include "lsp-server/lsp.h"
#include "lsp-server/policy_file.h"
#include "lsp-server/review.h"
#include "lsp-server/status.h"
#include "lsp-server/update.h"

#define FOLLOW_MS 300  /* how long another server may take to write down what it has done */
#define SETTLE_MS 3000 /* after a restart: how long the editor has to open its files again */

void workspace_log(const struct workspace *workspace, struct molt_error *error)
{
    if (error && workspace)
        molt_log(MOLT_LOG_WARNING, "%s: %s", workspace->root, error->message);
    else if (error)
        molt_log(MOLT_LOG_WARNING, "%s", error->message);
    molt_error_destroy(error);
}

/* The deepest one wins: a project may lie within another. */
struct workspace *workspace_of(struct server *server, const char *path)
{
    struct workspace *best = NULL;
    size_t best_length = 0;

    for (struct workspace *workspace = server->workspaces; workspace; workspace = workspace->next) {
        const char *roots[] = { workspace->root, workspace->folder };

        for (size_t i = 0; i < 2 && !workspace->closing; i++) {
            if (path_below(roots[i], path) && strlen(roots[i]) >= best_length) {
                best = workspace;
                best_length = strlen(roots[i]);
            }
        }
    }
    return best;
}

struct workspace *workspace_at(struct server *server, const char *uri)
{
    char *path = uri_to_path(uri);
    struct workspace *workspace = server->workspaces;

    while (workspace && (!path || workspace->closing ||
                         (strcmp(workspace->folder, path) && strcmp(workspace->root, path))))
        workspace = workspace->next;
    free(path);
    return workspace;
}

struct document *workspace_document(struct workspace *workspace, const char *path)
{
    struct document *document = workspace->documents;

    while (document && strcmp(document->path, path))
        document = document->next;
    return document;
}

bool workspace_defer(struct workspace *workspace, server_notification *handle, json_t *params)
{
    struct deferred **at = &workspace->deferred;

    if (workspace->state != WORKSPACE_LOADING || workspace->recorder)
        return false;
    while (*at)
        at = &(*at)->next;
    *at = calloc(1, sizeof **at);
    if (*at)
        **at = (struct deferred){ .handle = handle, .params = json_incref(params) };
    return true;
}

static void replay_deferred(struct workspace *workspace)
{
    struct server *server = workspace->server;

    while (workspace->deferred) {
        struct deferred *deferred = workspace->deferred;

        workspace->deferred = deferred->next;
        deferred->handle(server, deferred->params);
        json_decref(deferred->params);
        free(deferred);
    }
}

static void settle(uv_timer_t *timer)
{
    struct workspace *workspace = timer->data;

    workspace_log(workspace, recorder_settle(workspace->recorder));
    status_send(workspace);
}

void workspace_state_baseline(struct workspace *workspace, const char *path, bool committed)
{
    char *kept, *text = NULL;
    size_t length = 0;
    int error;

    if (policy_file_is(workspace, path) || !workspace->baseline ||
        !json_array_size(workspace->baseline->build_ids) ||
        !(kept = baseline_path(workspace->baseline, path)))
        return;
    error = files_read(kept, &text, &length);
    if (committed)
        workspace_log(workspace,
                      recorder_set_baseline(workspace->recorder, path, error ? NULL : text, length));
    else if (!error || access(path, F_OK)) /* a file that is neither there nor in the baseline is new */
        workspace_log(workspace,
                      recorder_set_baseline(workspace->recorder, path, error ? NULL : text, length));
    free(text);
    free(kept);
}

static void refresh_baseline(struct workspace *workspace, const char *name)
{
    char *path = path_normalise(workspace->root, name);

    if (path)
        workspace_state_baseline(workspace, path, true);
    free(path);
}

/* Everything that the recorder follows gets its baseline anew. */
static void refresh_all_baselines(struct workspace *workspace)
{
    struct change_set *set = NULL;

    for (struct document *document = workspace->documents; document; document = document->next)
        workspace_state_baseline(workspace, document->path, true);
    workspace_log(workspace, recorder_changes(workspace->recorder, &set));
    for (size_t i = 0; set && i < set->file_count; i++)
        refresh_baseline(workspace, set->files[i].path);
    change_set_destroy(set);
}

void workspace_baseline_moved(struct workspace *workspace, const json_t *files)
{
    size_t i;
    json_t *file;

    if (files) {
        json_array_foreach(files, i, file) refresh_baseline(workspace, json_text(file, "path", ""));
    } else {
        refresh_all_baselines(workspace);
    }
    review_running_changed(workspace, files);
    status_send(workspace);
}

static void take_build(struct workspace *workspace, struct load *load)
{
    settings_deinit(&workspace->settings);
    workspace->settings = load->settings;
    load->settings = (struct settings){ 0 };
    patch_session_destroy(workspace->session);
    workspace->session = load->session;
    load->session = NULL;
    json_decref(workspace->modules);
    workspace->modules = json_incref(load->modules);
    json_decref(workspace->include_directories);
    workspace->include_directories = json_incref(load->include_directories);
    baseline_destroy(workspace->baseline);
    workspace->baseline = load->baseline;
    load->baseline = NULL;
    workspace->warm = false;
    workspace_set_doubt(workspace, NULL);
    free(workspace->trouble);
    workspace->trouble = load->error ? strdup(load->error->message) : NULL;
    if (load->error)
        molt_log(MOLT_LOG_WARNING, "%s: %s", load->root ? load->root : load->folder, load->error->message);
    workspace->state = workspace->session ? WORKSPACE_READY : WORKSPACE_NO_BUILD;
}

/* Replaces the recorder by NEXT, which is told all that the editor has open. */
static void take_recorder(struct workspace *workspace, struct recorder *next)
{
    struct recorder *previous = workspace->recorder;

    workspace->recorder = next;
    workspace->journalled = workspace->lock >= 0;
    for (struct document *document = workspace->documents; document; document = document->next) {
        const char *text;
        size_t length;

        workspace_state_baseline(workspace, document->path, false);
        if (recorder_text(previous, document->path, &text, &length))
            workspace_log(workspace, recorder_open(next, document->path, text, length));
        policy_file_settle(workspace, document->path);
    }
    recorder_destroy(previous);
}

/* What was loaded becomes the workspace's. */
static void take_load(struct workspace *workspace, struct load *load)
{
    workspace->lock = load->lock;
    free(workspace->lock_holder);
    workspace->lock_holder = load->lock_holder;
    load->lock_holder = NULL;
    if (load->want_recorder && load->root) {
        free(workspace->root);
        workspace->root = load->root;
        load->root = NULL;
    }
    take_build(workspace, load);
    if (load->recorder) {
        take_recorder(workspace, load->recorder);
        load->recorder = NULL;
        uv_timer_start(&workspace->settle_timer, settle, SETTLE_MS, 0);
        replay_deferred(workspace);
    }
    if (workspace->recorder)
        refresh_all_baselines(workspace);
}

/* Another workspace that has the same root: two folders of one project were opened. */
static struct workspace *same_root(const struct workspace *workspace, const char *root)
{
    struct workspace *other = workspace->server->workspaces;

    while (other &&
           (other == workspace || other->closing || !other->recorder || !root || strcmp(other->root, root)))
        other = other->next;
    return other;
}

static void load_done(void *context)
{
    struct load *load = context;
    struct workspace *workspace = load->workspace;

    workspace->session_lent = workspace->baseline_lent = false;
    if (!workspace->recorder && same_root(workspace, load->root))
        workspace_remove(workspace);
    if (workspace->closing && load->lock != workspace->lock)
        close(load->lock);
    if (workspace_job_done(workspace)) {
        take_load(workspace, load);
        workspace_engines_changed(workspace);
        review_running_changed(workspace, NULL);
        update_resume(workspace->update);
        workspace_warm_up(workspace);
    }
    load_free(load);
}

static void load_work(void *context)
{
    load_run(context);
}

void workspace_load(struct workspace *workspace)
{
    struct load *load = calloc(1, sizeof *load);
    struct molt_error *error;

    if (!load || !(load->folder = strdup(workspace->folder))) {
        free(load);
        return;
    }
    load->workspace = workspace;
    load->want_recorder = !workspace->recorder || !workspace->journalled;
    load->lock = workspace->lock;
    load->options = json_deep_copy(workspace->server->options);
    workspace->state = WORKSPACE_LOADING;
    workspace->session_lent = workspace->baseline_lent = true;
    workspace->jobs++;
    error = jobs_start(workspace->server->jobs, load_work, load_done, load, JOB_NORMAL);
    if (error) {
        workspace->jobs--;
        workspace->session_lent = workspace->baseline_lent = false;
        workspace->state = WORKSPACE_NO_BUILD;
        load_free(load);
    }
    workspace_log(workspace, error);
    status_send(workspace);
}

void workspace_reload(struct workspace *workspace)
{
    if (workspace->state == WORKSPACE_LOADING || !workspace->recorder)
        return;
    if (workspace->session_lent || workspace->baseline_lent) { /* after what is under way */
        workspace->stop_warming = 1;
        workspace->state = WORKSPACE_LOADING;
        return;
    }
    workspace_load(workspace);
}

struct workspace *workspace_add(struct server *server, const char *folder)
{
    struct workspace *workspace = server->workspaces, **at = &server->workspaces;

    while (workspace && (workspace->closing || strcmp(workspace->folder, folder)))
        workspace = workspace->next;
    if (workspace)
        return workspace;
    workspace = calloc(1, sizeof *workspace);
    if (!workspace)
        return NULL;
    workspace->server = server;
    workspace->lock = -1;
    workspace->folder = strdup(folder);
    workspace->root = strdup(folder);
    workspace->uri = uri_from_path("file", folder);
    workspace->published = json_object();
    workspace->said = json_object();
    workspace->notes = json_object();
    workspace->reloaded_for = json_object();
    uv_timer_init(server->loop, &workspace->status_timer);
    uv_timer_init(server->loop, &workspace->settle_timer);
    uv_timer_init(server->loop, &workspace->follow_timer);
    uv_timer_init(server->loop, &workspace->plan_timer);
    workspace->plan_timer.data = workspace;
    workspace->status_timer.data = workspace->settle_timer.data = workspace->follow_timer.data = workspace;
    workspace->update = update_create(workspace);
    while (*at)
        at = &(*at)->next;
    *at = workspace;
    if (!workspace->folder || !workspace->root || !workspace->uri || !workspace->update) {
        workspace_remove(workspace);
        return NULL;
    }
    workspace_load(workspace);
    return workspace;
}

static void free_documents(struct workspace *workspace)
{
    while (workspace->documents) {
        struct document *document = workspace->documents;

        workspace->documents = document->next;
        free(document->path);
        free(document);
    }
    while (workspace->deferred) {
        struct deferred *deferred = workspace->deferred;

        workspace->deferred = deferred->next;
        json_decref(deferred->params);
        free(deferred);
    }
}

/* The last of its timers is closed: nothing points to it any more. */
static void workspace_closed(uv_handle_t *handle)
{
    struct workspace *workspace = handle->data;

    free_documents(workspace);
    settings_deinit(&workspace->settings);
    recorder_destroy(workspace->recorder);
    patch_session_destroy(workspace->session);
    baseline_destroy(workspace->baseline);
    json_decref(workspace->modules);
    json_decref(workspace->include_directories);
    json_decref(workspace->last_update);
    json_decref(workspace->failed);
    json_decref(workspace->plan);
    json_decref(workspace->sent_status);
    json_decref(workspace->published);
    json_decref(workspace->said);
    json_decref(workspace->notes);
    json_decref(workspace->reloaded_for);
    if (workspace->lock >= 0)
        close(workspace->lock);
    free(workspace->lock_holder);
    free(workspace->trouble);
    free(workspace->doubt);
    free(workspace->ended);
    free(workspace->held);
    free(workspace->folder);
    free(workspace->root);
    free(workspace->uri);
    free(workspace);
}

static void follow_closed(uv_handle_t *handle)
{
    struct workspace *workspace = handle->data;

    uv_close((uv_handle_t *)&workspace->plan_timer, workspace_closed);
}

static void settle_closed(uv_handle_t *handle)
{
    struct workspace *workspace = handle->data;

    uv_close((uv_handle_t *)&workspace->follow_timer, follow_closed);
}

static void status_closed(uv_handle_t *handle)
{
    struct workspace *workspace = handle->data;

    uv_close((uv_handle_t *)&workspace->settle_timer, settle_closed);
}

static void free_now(struct workspace *workspace)
{
    struct workspace **at = &workspace->server->workspaces;

    while (*at && *at != workspace)
        at = &(*at)->next;
    if (*at)
        *at = workspace->next;
    instances_destroy(workspace);
    update_destroy(workspace->update);
    workspace->update = NULL;
    uv_close((uv_handle_t *)&workspace->status_timer, status_closed);
}

void workspace_remove(struct workspace *workspace)
{
    if (workspace->closing)
        return;
    workspace->closing = true;
    workspace->stop_warming = 1;
    if (workspace->update)
        update_cancel(workspace->update);
    uv_timer_stop(&workspace->status_timer);
    uv_timer_stop(&workspace->settle_timer);
    uv_timer_stop(&workspace->follow_timer);
    uv_timer_stop(&workspace->plan_timer);
    if (workspace->jobs == 0)
        free_now(workspace);
}

bool workspace_job_done(struct workspace *workspace)
{
    workspace->jobs--;
    if (!workspace->closing)
        return true;
    if (workspace->jobs == 0)
        free_now(workspace);
    return false;
}

void workspaces_destroy(struct server *server)
{
    struct workspace *next;

    for (struct workspace *workspace = server->workspaces; workspace; workspace = next) {
        next = workspace->next;
        workspace_remove(workspace);
    }
}

bool workspace_take_lock(struct workspace *workspace)
{
    char *holder = NULL;

    if (workspace->lock >= 0 || workspace->state != WORKSPACE_READY)
        return false;
    workspace->lock = load_lock(workspace->root, &holder);
    free(workspace->lock_holder);
    workspace->lock_holder = holder;
    if (workspace->lock < 0)
        return false;
    workspace_reload(workspace);
    return true;
}
