/*
 * Discovery. For each socket in the directory a monitor thread opens a connection, asks for the status, and
 * then waits: for `changed`, after which it asks again, or for the connection's end, which is how a program's
 * end is noticed, however it ended. What it learns is posted to the loop, which alone owns the list.
 */
#include "lsp-server/engines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"
#include "base/text.h"
#include "link/client.h"
#include "link/directory.h"
#include "link/protocol.h"
#include "lsp-server/delivery.h"
#include "lsp-server/lsp.h"
#include "lsp-server/workspace.h"

#define STATUS_TIMEOUT_MS 5000

struct engines {
    struct server *server;
    struct engine *list;
    struct monitor *monitors;
    uv_fs_event_t watch;
    uv_timer_t retry; /* a socket that did not answer yet is tried again */
    bool discovering, discover_again;
    bool discovered; /* at least once */
    bool destroyed;
};

struct monitor {
    struct monitor *next;
    struct engines *engines; /* loop only */
    struct jobs *jobs;
    pid_t pid;
    char *path;
    uv_thread_t thread;
    uv_mutex_t lock;
    struct link_client *client; /* under lock; NULL before and after its use */
    bool stop;                  /* under lock */
    int error;                  /* why it ended */
};

struct report {
    struct monitor *monitor;
    json_t *status;
};

static void discover(struct engines *engines);

static void tell_workspaces(struct engines *engines)
{
    for (struct workspace *workspace = engines->server->workspaces; workspace; workspace = workspace->next)
        workspace_engines_changed(workspace);
}

static struct engine *find_engine(const struct engines *engines, pid_t pid)
{
    for (struct engine *engine = engines->list; engine; engine = engine->next) {
        if (engine->pid == pid)
            return engine;
    }
    return NULL;
}

/* ENGINE (NULL: nobody has heard of it) is at its end. */
static void tell_end(struct engines *engines, const struct engine *engine)
{
    for (struct workspace *workspace = engines->server->workspaces; engine && workspace;
         workspace = workspace->next)
        workspace_program_ended(workspace, engine);
}

/* On the loop: a status has come. */
static void take_report(void *context)
{
    struct report *report = context;
    struct monitor *monitor = report->monitor;
    struct engines *engines = monitor->engines;
    struct engine *engine = engines->destroyed ? NULL : find_engine(engines, monitor->pid);

    if (engine) {
        json_decref(engine->status);
        engine->status = json_incref(report->status);
        tell_workspaces(engines);
    }
    json_decref(report->status);
    free(report);
}

static void remove_engine(struct engines *engines, pid_t pid)
{
    struct engine **at = &engines->list;

    while (*at && (*at)->pid != pid)
        at = &(*at)->next;
    if (*at) {
        struct engine *engine = *at;

        *at = engine->next;
        json_decref(engine->status);
        free(engine->path);
        free(engine);
    }
}

static void retry(uv_timer_t *timer)
{
    discover(timer->data);
}

static void free_monitor(struct monitor *monitor)
{
    uv_mutex_destroy(&monitor->lock);
    free(monitor->path);
    free(monitor);
}

/* A program that did not answer in time may yet, one whose connection broke may only have lost that: if it
 * has ended, its socket is gone by then. */
static bool is_worth_another_try(int error)
{
    return error == -ETIMEDOUT || error == -ECONNREFUSED || error == -ECONNRESET;
}

/* On the loop: the monitor's thread is at its end. */
static void take_end(void *context)
{
    struct monitor *monitor = context, **at;
    struct engines *engines = monitor->engines;

    uv_thread_join(&monitor->thread);
    for (at = &engines->monitors; *at && *at != monitor; at = &(*at)->next)
        ;
    if (*at)
        *at = monitor->next;
    molt_log(MOLT_LOG_DEBUG, "process %d: %s", (int)monitor->pid, strerror(-monitor->error));
    if (!engines->destroyed && monitor->error != -ETIMEDOUT)
        tell_end(engines, find_engine(engines, monitor->pid));
    remove_engine(engines, monitor->pid);
    if (!engines->destroyed) {
        tell_workspaces(engines);
        if (is_worth_another_try(monitor->error))
            uv_timer_start(&engines->retry, retry, 500, 0);
    }
    free_monitor(monitor);
}

static void note_changed(void *context, const char *method, json_t *params)
{
    if (!strcmp(method, link_method_name(LINK_METHOD_CHANGED)))
        *(bool *)context = true;
}

static bool monitor_adopt(struct monitor *monitor, struct link_client *client)
{
    bool stop;

    uv_mutex_lock(&monitor->lock);
    stop = monitor->stop;
    monitor->client = stop ? NULL : client;
    uv_mutex_unlock(&monitor->lock);
    return !stop;
}

static int ask_status(struct monitor *monitor, struct link_client *client, bool *changed)
{
    json_t *status = NULL;
    struct report *report;
    int error = link_client_call(client, link_method_name(LINK_METHOD_STATUS), NULL, STATUS_TIMEOUT_MS,
                                 note_changed, changed, &status);

    if (error) {
        json_decref(status);
        return error < 0 ? error : -EPROTO;
    }
    report = malloc(sizeof *report);
    if (report)
        *report = (struct report){ monitor, status };
    if (!report || jobs_post(monitor->jobs, take_report, report)) {
        json_decref(status);
        free(report);
        return -ENOMEM;
    }
    return 0;
}

static int watch_engine(struct monitor *monitor, struct link_client *client)
{
    bool changed = true;
    int error = 0;

    while (!error) {
        if (changed) {
            changed = false;
            error = ask_status(monitor, client, &changed);
        } else {
            error = link_client_wait(client, -1, note_changed, &changed);
        }
    }
    return error;
}

static void monitor_thread(void *context)
{
    struct monitor *monitor = context;
    struct link_client *client = NULL;

    monitor->error = link_client_open(monitor->path, &client);
    if (!monitor->error && monitor_adopt(monitor, client))
        monitor->error = watch_engine(monitor, client);
    monitor_adopt(monitor, NULL);
    link_client_close(client);
    jobs_post(monitor->jobs, take_end, monitor);
}

static void start_monitor(struct engines *engines, const struct link_peer *peer)
{
    struct monitor *monitor = calloc(1, sizeof *monitor);
    struct engine *engine = calloc(1, sizeof *engine);

    if (!monitor || !engine || !(monitor->path = strdup(peer->path)) ||
        !(engine->path = strdup(peer->path)) || uv_mutex_init(&monitor->lock)) {
        free(monitor ? monitor->path : NULL);
        free(engine ? engine->path : NULL);
        free(monitor);
        free(engine);
        return;
    }
    monitor->engines = engines;
    monitor->jobs = engines->server->jobs;
    monitor->pid = engine->pid = peer->pid;
    if (uv_thread_create(&monitor->thread, monitor_thread, monitor)) {
        free_monitor(monitor);
        free(engine->path);
        free(engine);
        return;
    }
    monitor->next = engines->monitors;
    engines->monitors = monitor;
    engine->next = engines->list;
    engines->list = engine;
}

struct discovery {
    struct engines *engines;
    struct link_peer *peers;
    size_t count;
    int error;
};

static void discovery_work(void *context)
{
    struct discovery *discovery = context;

    discovery->error = link_discover(&discovery->peers, &discovery->count);
}

static void discovery_done(void *context)
{
    struct discovery *discovery = context;
    struct engines *engines = discovery->engines;

    engines->discovering = false;
    if (discovery->error)
        molt_log(MOLT_LOG_WARNING, "cannot look for running programs: %s", strerror(-discovery->error));
    for (size_t i = 0; !discovery->error && !engines->destroyed && i < discovery->count; i++) {
        if (!find_engine(engines, discovery->peers[i].pid))
            start_monitor(engines, &discovery->peers[i]);
    }
    if (!discovery->error)
        link_peers_free(discovery->peers, discovery->count);
    free(discovery);
    if (!engines->discovered && !engines->destroyed) {
        engines->discovered = true;
        tell_workspaces(engines);
    }
    if (engines->discover_again && !engines->destroyed) {
        engines->discover_again = false;
        discover(engines);
    }
}

static void discover(struct engines *engines)
{
    struct discovery *discovery;

    if (engines->discovering) {
        engines->discover_again = true;
        return;
    }
    discovery = calloc(1, sizeof *discovery);
    if (!discovery)
        return;
    discovery->engines = engines;
    engines->discovering = true;
    workspace_log(NULL,
                  jobs_start(engines->server->jobs, discovery_work, discovery_done, discovery, JOB_NORMAL));
}

static void directory_changed(uv_fs_event_t *watch, const char *name, int events, int status)
{
    discover(watch->data);
}

struct molt_error *engines_create(struct server *server, struct engines **ret)
{
    struct engines *engines = calloc(1, sizeof *engines);
    char directory[LINK_PATH_MAX];
    int error;

    if (!engines)
        return molt_error_nomem();
    engines->server = server;
    uv_fs_event_init(server->loop, &engines->watch);
    uv_timer_init(server->loop, &engines->retry);
    engines->watch.data = engines->retry.data = engines;
    uv_unref((uv_handle_t *)&engines->retry);
    error = link_directory_make(directory, sizeof directory);
    if (!error)
        error = uv_fs_event_start(&engines->watch, directory_changed, directory, 0);
    if (error)
        molt_log(MOLT_LOG_ERROR, "cannot watch for running programs: %s", strerror(-error));
    discover(engines);
    *ret = engines;
    return NULL;
}

static void engines_free(struct engines *engines)
{
    while (engines->list)
        remove_engine(engines, engines->list->pid);
    free(engines);
}

static void watch_closed(uv_handle_t *handle)
{
    struct engines *engines = handle->data;

    engines->watch.data = NULL;
    if (!engines->retry.data)
        engines_free(engines);
}

static void retry_closed(uv_handle_t *handle)
{
    struct engines *engines = handle->data;

    engines->retry.data = NULL;
    if (!engines->watch.data)
        engines_free(engines);
}

/* The monitors are joined here, not by their posts: the loop does not run any more. */
void engines_destroy(struct engines *engines)
{
    if (!engines)
        return;
    engines->destroyed = true;
    for (struct monitor *monitor = engines->monitors; monitor; monitor = monitor->next) {
        uv_mutex_lock(&monitor->lock);
        monitor->stop = true;
        if (monitor->client)
            link_client_cancel(monitor->client);
        uv_mutex_unlock(&monitor->lock);
    }
    while (engines->monitors) /* their ends are posted; taking them needs the loop */
        uv_run(engines->server->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&engines->watch, watch_closed);
    uv_close((uv_handle_t *)&engines->retry, retry_closed);
}

const struct engine *engines_list(const struct engines *engines)
{
    return engines ? engines->list : NULL;
}

const char *engine_name(const struct engine *engine)
{
    return json_text(engine->status, "name", "program");
}

json_t *engine_updates(const struct engine *engine)
{
    json_t *ids = json_array(), *update;
    size_t i;

    json_array_foreach(json_object_get(engine->status, "updates"), i, update)
        json_array_append(ids, json_is_object(update) ? json_object_get(update, "id") : update);
    return ids;
}

static bool module_named(const json_t *modules, const char *key, const char *value)
{
    size_t i;
    json_t *module;

    json_array_foreach(modules, i, module)
    {
        if (!strcmp(json_text(module, key, ""), value))
            return true;
    }
    return false;
}

bool engine_belongs(const struct engine *engine, const struct workspace *workspace)
{
    size_t i;
    json_t *module;

    json_array_foreach(json_object_get(engine->status, "build_ids"), i, module)
    {
        const char *id = json_text(module, "build_id", "");

        if (*id && module_named(workspace->modules, "build_id", id))
            return true;
    }
    return false;
}

/* Whether UPDATES are the first ones of ALL, in their order. */
static bool is_prefix(const json_t *updates, const json_t *all)
{
    size_t i;
    json_t *id;

    json_array_foreach(updates, i, id)
    {
        if (!json_equal(id, json_array_get(all, i)))
            return false;
    }
    return true;
}

enum engine_match engine_match(const struct engine *engine, const struct workspace *workspace)
{
    const char *exe = json_text(engine->status, "exe", "");
    enum engine_match match;
    json_t *updates;

    if (!engine->status)
        return ENGINE_FOREIGN;
    if (!engine_belongs(engine, workspace)) {
        bool ours = module_named(workspace->modules, "path", exe) || path_below(workspace->root, exe) ||
                    (workspace->settings.build && path_below(workspace->settings.build, exe));

        return ours ? ENGINE_OTHER_BUILD : ENGINE_FOREIGN;
    }
    if (!workspace->baseline)
        return ENGINE_READY;
    updates = engine_updates(engine);
    if (json_equal(updates, workspace->baseline->updates))
        match = ENGINE_READY;
    else
        match = is_prefix(updates, workspace->baseline->updates) ? ENGINE_BEHIND : ENGINE_UNKNOWN_UPDATES;
    json_decref(updates);
    return match;
}

void engines_expect(struct engines *engines, pid_t pid, json_t *updates)
{
    struct engine *engine = find_engine(engines, pid);

    if (engine && engine->status)
        json_object_set(engine->status, "updates", updates);
}

bool engines_settled(const struct engines *engines)
{
    if (!engines || !engines->discovered)
        return !engines;
    for (const struct engine *engine = engines->list; engine; engine = engine->next) {
        if (!engine->status)
            return false;
    }
    return true;
}

unsigned engines_ready(const struct engines *engines, const struct workspace *workspace)
{
    unsigned count = 0;

    for (const struct engine *engine = engines_list(engines); engine; engine = engine->next)
        count += engine_match(engine, workspace) == ENGINE_READY;
    return count;
}

struct delivery_target *engines_targets(const struct workspace *workspace, size_t *ret_count)
{
    struct delivery_target *targets = NULL;
    size_t count = 0;

    for (const struct engine *engine = engines_list(workspace->server->engines); engine;
         engine = engine->next) {
        struct delivery_target *more;

        if (engine_match(engine, workspace) != ENGINE_READY)
            continue;
        more = realloc(targets, (count + 1) * sizeof *more);
        if (!more)
            break;
        targets = more;
        targets[count++] = (struct delivery_target){ .pid = engine->pid,
                                                     .name = strdup(engine_name(engine)),
                                                     .path = strdup(engine->path) };
    }
    *ret_count = count;
    return targets;
}
