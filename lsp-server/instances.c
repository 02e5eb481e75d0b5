/*
 * One job at a time, with the session lent to it: for the counts of all types, or for one type that somebody
 * wants to see. A save does not wait for it: it is stopped like the warm-up, and tried again afterwards.
 *
 * The counts are those of the moment when they were asked for. A minute later they are asked for again if
 * anybody still looks; while nobody does, no program is stopped.
 */
#include "lsp-server/instances.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/census.h"
#include "lsp-server/engines.h"
#include "lsp-server/lsp.h"
#include "lsp-server/review.h"
#include "lsp-server/update.h"
#include "lsp-server/workspace.h"

#define FRESH_MS 60000
#define SHOWN 20 /* instances of one type */

/* Somebody who waits: for the words of a lens, or to see a type. */
struct wish {
    struct wish *next;
    json_t *lens; /* NULL: to see */
    char *type;   /* to see: NULL is all */
    struct reply *reply;
};

struct instances {
    json_t *counts;      /* of the last census of all types; NULL: not known */
    char *trouble;       /* why the last one failed, until the programs change */
    uint64_t counted_at; /* loop time */
    bool due, running;
    struct wish *wishes;
    json_t *documents; /* URI -> text */
};

struct counting {
    struct workspace *workspace;
    struct census *census;
    struct wish *wish; /* to see a type; NULL: the counts of all */
    bool obsolete;
};

static struct instances *state_of(struct workspace *workspace)
{
    if (!workspace->instances)
        workspace->instances = calloc(1, sizeof *workspace->instances);
    return workspace->instances;
}

/* ---- what is known --------------------------------------------------------------------------------- */

const json_t *instances_census(const struct workspace *workspace)
{
    return workspace->instances ? workspace->instances->counts : NULL;
}

bool instances_known(const struct workspace *workspace, const char *name, double *ret_count)
{
    const json_t *counts = instances_census(workspace);
    json_t *type;
    size_t i;

    *ret_count = 0;
    json_array_foreach(json_object_get(counts, "types"), i, type)
    {
        if (!strcmp(json_text(type, "name", ""), name))
            *ret_count += json_number(type, "count", 0);
    }
    return counts != NULL;
}

const char *instances_document(const struct workspace *workspace, const char *uri)
{
    return workspace->instances ? json_string_value(json_object_get(workspace->instances->documents, uri))
                                : NULL;
}

/* ---- answers --------------------------------------------------------------------------------------- */

static void free_wish(struct wish *wish)
{
    json_decref(wish->lens);
    free(wish->type);
    free(wish);
}

static char *lens_words(const struct workspace *workspace, const char *type)
{
    struct text text = { 0 };
    double count;

    if (!instances_known(workspace, type, &count))
        text_puts(&text, "live instances: unknown");
    else if (count > 0)
        text_printf(&text, "%.0f live instance%s", count, count == 1 ? "" : "s");
    else
        text_puts(&text, "no live instances");
    return text_steal(&text);
}

/* The lens with its command; LENS is borrowed. */
static json_t *complete(const struct workspace *workspace, json_t *lens)
{
    const char *type = json_text(json_object_get(lens, "data"), "type", "");
    char *words = lens_words(workspace, type);

    json_object_set_new(lens, "command",
                        json_pack("{s:s,s:s,s:[{s:s,s:s}]}", "title", words ? words : "", "command",
                                  "molt.instances", "arguments", "workspace", workspace->uri, "type", type));
    free(words);
    return lens;
}

/* Answers all lenses that wait, with what is known by now. */
static void answer_lenses(struct workspace *workspace)
{
    struct wish **at = &workspace->instances->wishes;

    while (*at) {
        struct wish *wish = *at;

        if (!wish->lens) {
            at = &wish->next;
            continue;
        }
        *at = wish->next;
        reply_result(wish->reply, json_incref(complete(workspace, wish->lens)));
        free_wish(wish);
    }
}

static char *document_uri(const struct workspace *workspace, const char *type)
{
    struct text name = { 0 }, uri = { 0 };
    char *path, *file;

    text_printf(&name, "%s.molt-instances", type ? type : "all types");
    path = name.bytes ? path_join(workspace->folder, name.bytes) : NULL;
    file = path ? uri_from_path("file", path) : NULL;
    if (file)
        text_printf(&uri, "molt:%s", file + strlen("file://"));
    text_deinit(&name);
    free(path);
    free(file);
    return text_steal(&uri);
}

static void show(struct workspace *workspace, const struct wish *wish, const char *text)
{
    struct instances *instances = workspace->instances;
    char *uri = document_uri(workspace, wish->type);

    if (!instances->documents)
        instances->documents = json_object();
    if (uri && json_object_get(instances->documents, uri) && workspace->server->client.content_refresh)
        server_ask(workspace->server, "workspace/textDocumentContent/refresh", json_pack("{s:s}", "uri", uri),
                   NULL, NULL);
    if (uri)
        json_object_set_new(instances->documents, uri, json_string(text));
    reply_result(wish->reply,
                 json_pack("{s:s,s:s?,s:s}", "workspace", workspace->uri, "uri", uri, "text", text));
    free(uri);
}

static void fail(const struct wish *wish, const char *why)
{
    reply_error(wish->reply, JSONRPC_REQUEST_FAILED, why);
}

/* ---- the job --------------------------------------------------------------------------------------- */

static struct census *make_census(struct workspace *workspace, const struct wish *wish)
{
    struct census *census = calloc(1, sizeof *census);

    if (!census)
        return NULL;
    census->session = workspace->session;
    census->tree = strdup(workspace->baseline->tree);
    census->patches = baseline_patches(workspace->baseline);
    census->build_ids = json_incref(workspace->baseline->build_ids);
    census->type = wish && wish->type ? strdup(wish->type) : NULL;
    census->limit = wish && wish->type ? SHOWN : 0;
    census->targets = engines_targets(workspace, &census->target_count);
    census->timeout_ms = workspace->settings.timeout_ms;
    census->cancel = &workspace->stop_warming;
    return census;
}

static void counting_work(void *context)
{
    struct counting *counting = context;

    census_run(counting->census);
}

static void take_counts(struct workspace *workspace, struct census *census)
{
    struct instances *instances = workspace->instances;
    bool same = instances->counts && json_equal(json_object_get(instances->counts, "types"),
                                                json_object_get(census->answer, "types"));

    instances->counted_at = uv_now(workspace->server->loop);
    if (census->error) {
        instances->trouble = strdup(census->error->message);
        workspace_log(workspace, census->error);
        census->error = NULL;
    } else {
        json_decref(instances->counts);
        instances->counts = json_incref(census->answer);
    }
    answer_lenses(workspace);
    if (same || !instances->counts)
        return;
    review_refresh(workspace);
    if (workspace->server->client.lens_refresh)
        server_ask(workspace->server, "workspace/codeLens/refresh", NULL, NULL, NULL);
}

/* What was asked for is there; or it was stopped, and is asked for again. */
static void take(struct counting *counting)
{
    struct workspace *workspace = counting->workspace;
    struct instances *instances = workspace->instances;
    bool stopped = counting->census->error && workspace->stop_warming;

    if (counting->wish && stopped) {
        counting->wish->next = instances->wishes;
        instances->wishes = counting->wish;
        counting->wish = NULL;
    } else if (counting->wish && counting->census->error) {
        fail(counting->wish, counting->census->error->message);
    } else if (counting->wish) {
        show(workspace, counting->wish, counting->census->text ? counting->census->text : "");
    } else if (stopped || counting->obsolete) {
        instances->due = true;
    } else {
        take_counts(workspace, counting->census);
    }
}

static void counting_done(void *context)
{
    struct counting *counting = context;
    struct workspace *workspace = counting->workspace;

    workspace->session_lent = false;
    workspace->instances->running = false;
    workspace->counting = NULL;
    if (workspace->closing && counting->wish)
        fail(counting->wish, "the folder was closed");
    else if (!workspace->closing)
        take(counting);
    if (counting->wish)
        free_wish(counting->wish);
    census_free(counting->census);
    free(counting);
    if (workspace_job_done(workspace)) {
        if (workspace->state == WORKSPACE_LOADING)
            workspace_load(workspace);
        else
            update_resume(workspace->update);
        workspace_warm_up(workspace);
    }
}

/* The first who wants to see a type. */
static struct wish *take_wish(struct instances *instances)
{
    for (struct wish **at = &instances->wishes; *at; at = &(*at)->next) {
        if (!(*at)->lens) {
            struct wish *wish = *at;

            *at = wish->next;
            wish->next = NULL;
            return wish;
        }
    }
    return NULL;
}

static bool is_ready(const struct workspace *workspace)
{
    return !workspace->closing && workspace->state == WORKSPACE_READY && !workspace->session_lent &&
           !workspace->baseline_lent && workspace->baseline && update_idle(workspace->update);
}

/* Nobody can be asked: whoever waits is told. */
static void give_up(struct workspace *workspace)
{
    struct instances *instances = workspace->instances;
    struct wish *wish;

    instances->due = false;
    answer_lenses(workspace);
    while ((wish = take_wish(instances))) {
        fail(wish, "no program of this workspace runs with an engine: start it with molt run");
        free_wish(wish);
    }
}

static void start(struct workspace *workspace, struct wish *wish)
{
    struct counting *counting = calloc(1, sizeof *counting);
    struct census *census = make_census(workspace, wish);
    struct molt_error *error = counting && census ? NULL : molt_error_nomem();

    if (!error) {
        *counting = (struct counting){ .workspace = workspace, .census = census, .wish = wish };
        workspace->stop_warming = 0;
        workspace->session_lent = workspace->instances->running = true;
        workspace->counting = counting;
        workspace->jobs++;
        error = jobs_start(workspace->server->jobs, counting_work, counting_done, counting,
                           wish ? JOB_NORMAL : JOB_BACKGROUND);
        if (!error)
            return;
        workspace->jobs--;
        workspace->session_lent = workspace->instances->running = false;
        workspace->counting = NULL;
    }
    if (wish) {
        fail(wish, error->message);
        free_wish(wish);
    }
    census_free(census);
    free(counting);
    workspace_log(workspace, error);
}

void instances_resume(struct workspace *workspace)
{
    struct instances *instances = workspace->instances;
    struct wish *wish;

    if (!instances || instances->running || (!instances->due && !instances->wishes) || workspace->closing)
        return;
    if (!engines_ready(workspace->server->engines, workspace)) {
        if (workspace->state != WORKSPACE_LOADING && engines_settled(workspace->server->engines))
            give_up(workspace);
        return;
    }
    if (!is_ready(workspace))
        return;
    wish = take_wish(instances);
    if (!wish && !workspace->warm)
        return; /* the warm-up finds out what the query needs, too */
    if (!wish && !instances->due)
        return;
    instances->due = instances->due && wish;
    start(workspace, wish);
}

/* ---- wishes ---------------------------------------------------------------------------------------- */

static bool is_fresh(const struct workspace *workspace)
{
    const struct instances *instances = workspace->instances;

    return (instances->counts || instances->trouble) &&
           uv_now(workspace->server->loop) - instances->counted_at < FRESH_MS;
}

void instances_want(struct workspace *workspace)
{
    struct instances *instances = state_of(workspace);

    if (!instances || !workspace->settings.instances || is_fresh(workspace) || instances->running)
        return;
    instances->due = true;
    instances_resume(workspace);
}

static void add_wish(struct workspace *workspace, struct wish wish)
{
    struct wish **at = &workspace->instances->wishes, *added = calloc(1, sizeof *added);

    if (!added) {
        fail(&wish, "no memory");
        json_decref(wish.lens);
        free(wish.type);
        return;
    }
    while (*at)
        at = &(*at)->next;
    *added = wish;
    *at = added;
}

void instances_resolve_lens(struct workspace *workspace, json_t *lens, struct reply *reply)
{
    struct instances *instances = state_of(workspace);

    if (!instances || instances->counts || instances->trouble) {
        reply_result(reply, complete(workspace, lens));
        instances_want(workspace);
        return;
    }
    add_wish(workspace, (struct wish){ .lens = lens, .reply = reply });
    instances_want(workspace);
    instances_resume(workspace);
}

void instances_show(struct workspace *workspace, const json_t *argument, struct reply *reply)
{
    const char *type = json_text(argument, "type", NULL);
    struct wish wish = { .type = type && *type ? strdup(type) : NULL, .reply = reply };

    if (!state_of(workspace)) {
        fail(&wish, "no memory");
        free(wish.type);
        return;
    }
    add_wish(workspace, wish);
    workspace->instances->counted_at = 0; /* whoever looks wants the lenses to say the same */
    if (workspace->session_lent && !workspace->instances->running)
        workspace->stop_warming = 1; /* it is tried again */
    instances_want(workspace);
    instances_resume(workspace);
}

void instances_forget(struct workspace *workspace)
{
    struct instances *instances = workspace->instances;

    if (!instances)
        return;
    json_decref(instances->counts);
    instances->counts = NULL;
    free(instances->trouble);
    instances->trouble = NULL;
    if (workspace->counting)
        workspace->counting->obsolete = true;
}

void instances_destroy(struct workspace *workspace)
{
    struct instances *instances = workspace->instances;

    while (instances && instances->wishes) {
        struct wish *wish = instances->wishes;

        instances->wishes = wish->next;
        fail(wish, "the folder was closed");
        free_wish(wish);
    }
    if (instances) {
        json_decref(instances->counts);
        json_decref(instances->documents);
        free(instances->trouble);
    }
    free(instances);
    workspace->instances = NULL;
}
