/*
 * Fills in a round on the loop, before its jobs run. What they report while they run is copied and posted to
 * the loop, where the update takes note of it.
 */
#include "lsp-server/round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/engines.h"
#include "lsp-server/update.h"

/* What a job reports on the way, on its way to the loop. */
struct note {
    struct workspace *workspace;
    char phase[24];
    char message[200];
};

static void take_note(void *context)
{
    struct note *note = context;

    if (note->workspace->update)
        update_noted(note->workspace->update, note->phase, note->message);
    free(note);
}

static void post_note(struct round *round, const char *phase, const char *message)
{
    struct note *note = calloc(1, sizeof *note);

    if (!note)
        return;
    note->workspace = round->workspace;
    snprintf(note->phase, sizeof note->phase, "%s", phase);
    snprintf(note->message, sizeof note->message, "%s", message);
    if (jobs_post(round->jobs, take_note, note))
        free(note);
}

static void build_progress(void *context, const char *phase, unsigned done, unsigned total)
{
    char message[40];

    snprintf(message, sizeof message, "%u/%u", done, total);
    post_note(context, phase, message);
}

static void delivery_progress_note(void *context, const char *phase, const char *message)
{
    post_note(context, phase, message);
}

/* "handle_version, struct conn and 3 more" */
static char *title_of(const struct change_set *set)
{
    struct text text = { 0 };
    size_t i;

    for (i = 0; set && i < set->count && i < 3; i++)
        text_printf(&text, "%s%s", i ? ", " : "", set->items[i].name);
    if (set && set->count > i)
        text_printf(&text, " and %zu more", set->count - i);
    if (!text.length)
        text_puts(&text, "edit");
    return text_steal(&text);
}

void round_describe(struct round *round)
{
    struct change_set *set = NULL;

    workspace_log(round->workspace, recorder_changes(round->workspace->recorder, &set));
    round->build.changes = set ? change_set_to_json(set) : NULL;
    round->build.title = title_of(set);
    round->build.extra = json_array();
    for (size_t i = 0; set && i < set->file_count; i++) {
        if (set->files[i].changed && set->files[i].path[0] != '/')
            json_array_append_new(round->build.extra, json_string(set->files[i].path));
    }
    change_set_destroy(set);
}

struct round *round_create(struct workspace *workspace, volatile int *cancel)
{
    struct round *round = calloc(1, sizeof *round);

    if (!round)
        return NULL;
    round->workspace = workspace;
    round->jobs = workspace->server->jobs;
    round->build = (struct build){
        .session = workspace->session,
        .baseline = workspace->baseline,
        .may_undo = json_array_size(workspace->baseline->updates) > 0 && !workspace->undo_refused,
        .cancel = cancel,
        .progress = build_progress,
        .context = round,
    };
    round->delivery = (struct delivery){
        .timeout_ms = workspace->settings.timeout_ms,
        .rehearse = workspace->settings.rehearse,
        .strict = workspace->settings.strict,
        .known_stacks = workspace->settings.known_stacks,
        .transfer_ms = workspace->settings.transfer_ms,
        .cancel = cancel,
        .progress = delivery_progress_note,
        .context = round,
    };
    return round;
}

void round_free(struct round *round)
{
    build_deinit(&round->build);
    delivery_targets_free(round->delivery.targets, round->delivery.target_count);
    json_decref(round->result);
    free(round);
}

/* The patch files that ENGINE lacks of the updates made so far. */
static json_t *missing_patches(const struct workspace *workspace, const struct engine *engine)
{
    json_t *patches = baseline_patches(workspace->baseline), *updates = engine_updates(engine);

    for (size_t i = 0; i < json_array_size(updates); i++)
        json_array_remove(patches, 0);
    json_decref(updates);
    return patches;
}

static bool add_target(struct round *round, const struct engine *engine)
{
    struct delivery *delivery = &round->delivery;
    struct delivery_target *more, *target;

    more = realloc(delivery->targets, (delivery->target_count + 1) * sizeof *more);
    if (!more)
        return false;
    delivery->targets = more;
    target = &more[delivery->target_count++];
    *target = (struct delivery_target){ .pid = engine->pid,
                                        .name = strdup(engine_name(engine)),
                                        .path = strdup(engine->path),
                                        .missing = missing_patches(round->workspace, engine) };
    return target->name && target->path && target->missing;
}

bool round_find_targets(struct round *round)
{
    struct workspace *workspace = round->workspace;

    for (const struct engine *engine = engines_list(workspace->server->engines); engine;
         engine = engine->next) {
        enum engine_match match = engine_match(engine, workspace);

        if ((match == ENGINE_READY || (match == ENGINE_BEHIND && round->delivery.patch)) &&
            !add_target(round, engine))
            return false;
    }
    return true;
}
