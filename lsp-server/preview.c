/*
 * Previews. The buffers that differ from the disk are written to a tree of their own, .molt/preview/, which
 * stands for the root in the build: what is not in it is taken from the root. A save never waits for a
 * preview; it is stopped like the warm-up.
 */
#include "lsp-server/preview.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/engines.h"
#include "lsp-server/files.h"
#include "lsp-server/inlay_hint.h"
#include "lsp-server/instances.h"
#include "lsp-server/lsp.h"
#include "lsp-server/review.h"
#include "lsp-server/status.h"
#include "lsp-server/suspended.h"
#include "lsp-server/update.h"
#include "lsp-server/workspace.h"
#include "patch/emit/manifest.h"

#define QUIET_MS 600 /* without a change, before a preview begins */

struct preview {
    struct workspace *workspace;
    int revision;
    char *from, *to; /* TO NULL: the root */
    json_t *patches, *changes;
    bool types; /* it is worth a patch whatever waits in the programs */
    struct delivery_target *targets;
    size_t target_count;
    json_t *suspended;
    struct patch_result result;
    struct molt_error *error;
};

/* Functions are looked at in a preview only where a program waits in one of them. */
static bool about_functions(const struct change_set *set)
{
    for (size_t i = 0; set && i < set->count; i++) {
        if (set->items[i].kind == DECLARATION_FUNCTION && !set->items[i].prototype)
            return true;
    }
    return false;
}

static bool about_types(const struct change_set *set)
{
    for (size_t i = 0; set && i < set->count; i++) {
        switch (set->items[i].kind) {
        case DECLARATION_TYPE:
        case DECLARATION_MEMBER:
        case DECLARATION_ENUMERATOR:
        case DECLARATION_TYPEDEF:
            return true;
        default:
            break;
        }
    }
    return false;
}

static void set_plan(struct workspace *workspace, json_t *plan)
{
    bool same = plan == workspace->plan || (plan && json_equal(plan, workspace->plan));

    json_decref(workspace->plan);
    workspace->plan = plan;
    if (same)
        return;
    workspace->plan_revision++;
    status_send(workspace);
    review_refresh(workspace);
    inlay_hint_refresh(workspace->server);
    suspended_publish(workspace);
    if (json_array_size(json_object_get(plan, "types")))
        instances_want(workspace);
}

static void quiet(uv_timer_t *timer)
{
    preview_resume(timer->data);
}

/* The changes are in the program, or gone: there is nothing to show. */
static void forget(struct workspace *workspace)
{
    uv_timer_stop(&workspace->plan_timer);
    workspace->plan_wanted = 0;
    workspace->plan_due = false;
    if (workspace->plan)
        set_plan(workspace, NULL);
}

void preview_consider(struct workspace *workspace, const struct change_set *set, int revision)
{
    bool types = about_types(set);

    if (!types && !(about_functions(set) && engines_ready(workspace->server->engines, workspace))) {
        forget(workspace);
        return;
    }
    if (workspace->plan_wanted == revision)
        return;
    workspace->plan_wanted = revision;
    workspace->plan_due = true;
    if (workspace->previewing)
        workspace->stop_warming = 1; /* what it is made of is out of date */
    uv_timer_start(&workspace->plan_timer, quiet, QUIET_MS, 0);
}

/* SUSPENDED: what waits in the programs; borrowed, may be NULL. */
static void take_result(struct workspace *workspace, const struct patch_result *result, json_t *suspended)
{
    json_t *plan = json_object();
    char *source = NULL;
    static const char *const keys[] = { "types", "sites", "transfers" };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *value = json_object_get(result->manifest, keys[i]);

        if (json_is_array(value) || json_is_object(value))
            json_object_set(plan, keys[i], value);
    }
    if (result->skeletons)
        json_object_set(plan, "skeletons", result->skeletons);
    if (result->bytes)
        source = patch_source_of(result->bytes, result->size);
    if (source && *source)
        json_object_set_new(plan, "source", json_string(source));
    free(source);
    if (suspended)
        json_object_set(plan, "suspended", suspended);
    workspace->plan_due = false;
    set_plan(workspace, plan);
}

void preview_take(struct workspace *workspace, const struct patch_result *result)
{
    take_result(workspace, result, json_object_get(workspace->plan, "suspended"));
}

const json_t *preview_type(const struct workspace *workspace, const char *name)
{
    json_t *type;
    size_t i;

    json_array_foreach(json_object_get(workspace->plan, "types"), i, type)
    {
        if (!strcmp(json_text(type, "new_name", json_text(type, "name", "")), name))
            return type;
    }
    return NULL;
}

static void preview_free(struct preview *preview)
{
    patch_result_deinit(&preview->result);
    molt_error_destroy(preview->error);
    json_decref(preview->patches);
    json_decref(preview->changes);
    json_decref(preview->suspended);
    delivery_targets_free(preview->targets, preview->target_count);
    free(preview->from);
    free(preview->to);
    free(preview);
}

/* Writes the buffer of DOCUMENT to its place in DIRECTORY. */
static int write_buffer(struct workspace *workspace, const struct document *document, const char *directory)
{
    const char *relative = path_below(workspace->root, document->path), *text;
    char *path;
    size_t length;
    int error;

    if (!relative || !recorder_text(workspace->recorder, document->path, &text, &length))
        return 0;
    path = path_join(directory, relative);
    error = path ? files_write(path, text, length) : -1;
    free(path);
    return error;
}

/* The tree with the buffers that were not saved; *RET stays NULL if there is none. */
static int make_tree(struct workspace *workspace, char **ret)
{
    char *directory = path_join(workspace->root, ".molt/preview");
    int error = directory ? files_remove_tree(directory) : -1;
    bool any = false;

    for (const struct document *document = workspace->documents; document && !error;
         document = document->next) {
        if (document->dirty) {
            error = write_buffer(workspace, document, directory);
            any = true;
        }
    }
    if (!any || error)
        free(directory);
    else
        *ret = directory;
    return error;
}

static void preview_work(void *context)
{
    struct preview *preview = context;
    struct workspace *workspace = preview->workspace;
    const char **after = json_strings(preview->patches);
    struct patch_request request = {
        .from = preview->from,
        .to = preview->to,
        .after = after,
        .after_count = json_array_size(preview->patches),
        .changes = preview->changes,
        .title = "preview",
        .cancel = &workspace->stop_warming,
    };

    if (after)
        preview->suspended =
            suspended_ask(workspace->session, &request, preview->targets, preview->target_count);
    if (!after)
        preview->error = molt_error_nomem();
    else if (preview->types || suspended_changes(preview->suspended, preview->changes))
        preview->error = patch_session_build(workspace->session, &request, &preview->result);
    free(after);
}

static void preview_done(void *context)
{
    struct preview *preview = context;
    struct workspace *workspace = preview->workspace;

    workspace->session_lent = workspace->previewing = false;
    if (workspace_job_done(workspace)) {
        if (workspace->stop_warming) /* stopped for a save, which has better to tell; if not, there is another
                                        time */
            workspace->plan_due = true;
        else if (preview->result.manifest && preview->revision == workspace->plan_wanted)
            take_result(workspace, &preview->result, preview->suspended);
        else if (!preview->error && preview->revision == workspace->plan_wanted && workspace->plan)
            set_plan(workspace, NULL);
        if (workspace->state == WORKSPACE_LOADING)
            workspace_load(workspace);
        else
            update_resume(workspace->update);
        workspace_warm_up(workspace);
        status_send(workspace);
    }
    preview_free(preview);
}

static struct preview *preview_create(struct workspace *workspace)
{
    struct preview *preview = calloc(1, sizeof *preview);
    struct change_set *set = NULL;

    if (!preview)
        return NULL;
    preview->workspace = workspace;
    preview->revision = workspace->plan_wanted;
    preview->from = strdup(workspace->baseline->tree);
    preview->patches = baseline_patches(workspace->baseline);
    workspace_log(workspace, recorder_changes(workspace->recorder, &set));
    preview->changes = set ? change_set_to_json(set) : NULL;
    preview->types = about_types(set);
    preview->targets = engines_targets(workspace, &preview->target_count);
    change_set_destroy(set);
    if (!preview->from || make_tree(workspace, &preview->to)) {
        preview_free(preview);
        return NULL;
    }
    return preview;
}

void preview_resume(struct workspace *workspace)
{
    struct preview *preview;
    struct molt_error *error;

    if (!workspace->plan_due || workspace->closing || workspace->state != WORKSPACE_READY ||
        workspace->lock < 0 || workspace->session_lent || workspace->baseline_lent || !workspace->warm ||
        !workspace->baseline || !update_idle(workspace->update) ||
        uv_is_active((uv_handle_t *)&workspace->plan_timer))
        return;
    workspace->plan_due = false;
    preview = preview_create(workspace);
    if (!preview)
        return;
    workspace->stop_warming = 0;
    workspace->session_lent = workspace->previewing = true;
    workspace->jobs++;
    error = jobs_start(workspace->server->jobs, preview_work, preview_done, preview, JOB_BACKGROUND);
    if (error) {
        workspace->jobs--;
        workspace->session_lent = workspace->previewing = false;
        preview_free(preview);
    }
    workspace_log(workspace, error);
}
