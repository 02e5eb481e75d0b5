/*
 * All programs or none. Each step is done in every program before the next step is begun in any; what was
 * begun is taken back if a step fails anywhere: a prepared update is discarded by closing its connection, a
 * committed one is rolled back, a rollback is held until all have rolled back and is taken back until then.
 *
 * A program that ends meanwhile does not hold up the others, unless it was the only one.
 */
#include "lsp-server/delivery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "link/client.h"
#include "link/protocol.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"

#define PREPARE_TIMEOUT_MS 30000
#define GRACE_MS 10000     /* beyond the time-out that the engine itself keeps */
#define REHEARSAL_MS 30000 /* that a rehearsal may take */

struct target {
    const struct delivery_target *who;
    struct link_client *client;
    json_t *update; /* prepared, its id */
    json_t *result; /* of the last call */
    bool gone;
    bool committed;
};

struct run {
    const struct delivery *delivery;
    struct target *targets;
    char *reason;    /* of the failure */
    char *lost;      /* which program went away; the reason if there is no other */
    json_t *failure; /* result object of the target that failed, or NULL */
};

static void say(const struct run *run, const char *phase, const char *message)
{
    if (run->delivery->progress)
        run->delivery->progress(run->delivery->context, phase, message);
}

static bool fail(struct run *run, const struct target *target, const char *what, const char *why)
{
    struct text text = { 0 };

    if (!run->reason) {
        text_printf(&text, "%s (pid %d) %s: %s", target->who->name, (int)target->who->pid, what, why);
        run->reason = text_steal(&text);
    }
    return false;
}

/* TARGET went away: a failure only if it was the only one. */
static bool note_lost(struct run *run, const struct target *target, const char *when)
{
    struct text text = { 0 };

    if (!run->lost) {
        text_printf(&text, "%s (pid %d) went away: %s", target->who->name, (int)target->who->pid, when);
        run->lost = text_steal(&text);
    }
    return run->delivery->target_count > 1;
}

/* The link broke. If the program is gone, that is a fact about the program and not about the update. */
static bool lost(struct run *run, struct target *target, const char *when, int error)
{
    link_client_close(target->client);
    target->client = NULL;
    if (error == -ECONNRESET || error == -ENOENT || error == -ECONNREFUSED) {
        target->gone = true;
        return note_lost(run, target, when);
    }
    return fail(run, target, error == -ETIMEDOUT ? "does not answer" : "cannot be reached", strerror(-error));
}

/* What the target said, and who it is. */
static json_t *failure_of(const struct target *target)
{
    json_t *failure = json_copy(target->result);

    json_object_set_new(failure, "program",
                        json_pack("{s:s,s:i}", "name", target->who->name, "pid", (int)target->who->pid));
    return failure;
}

/* RESULT of a call that got through: whether it is one of the two that mean success. */
static bool accepted(struct run *run, struct target *target, int status, const char *what,
                     enum link_result good, enum link_result good_too)
{
    int result;

    if (status == LINK_CALL_FAILED)
        return fail(run, target, what, json_text(target->result, "message", "refused"));
    result = link_result_of(json_text(target->result, "result", ""));
    if (result == (int)good || result == (int)good_too)
        return true;
    if (!run->failure)
        run->failure = failure_of(target);
    if (run->delivery->target_count == 1 && !run->reason && *json_text(target->result, "reason", "")) {
        run->reason =
            strdup(json_text(target->result, "reason", "")); /* whom it is about goes without saying */
        return false;
    }
    return fail(run, target, what, json_text(target->result, "reason", "refused"));
}

static bool open_target(struct run *run, struct target *target)
{
    int error = link_client_open(target->who->path, &target->client);

    return error ? lost(run, target, "before the update", error) : true;
}

static void forget_result(struct target *target)
{
    json_decref(target->result);
    target->result = NULL;
}

static bool send_patch(struct run *run, struct target *target, const void *patch, size_t size)
{
    json_t *upload;
    int status;

    forget_result(target);
    say(run, "uploading", "");
    status = link_client_upload(target->client, patch, size, &target->result);
    if (status < 0)
        return lost(run, target, "while the update was sent", status);
    if (status)
        return accepted(run, target, status, "takes no update", LINK_RESULT_PREPARED, LINK_RESULT_PREPARED);
    upload = json_incref(json_object_get(target->result, "upload"));
    forget_result(target);
    say(run, "preparing", "");
    status = link_client_call(target->client, link_method_name(LINK_METHOD_PREPARE),
                              json_pack("{s:o}", "upload", upload), PREPARE_TIMEOUT_MS, NULL, NULL,
                              &target->result);
    if (status < 0)
        return lost(run, target, "while it prepared the update", status);
    if (!accepted(run, target, status, "refuses", LINK_RESULT_PREPARED, LINK_RESULT_NOTHING))
        return false;
    target->update = json_incref(json_object_get(target->result, "update"));
    return true;
}

static bool prepare(struct run *run, struct target *target)
{
    return send_patch(run, target, run->delivery->patch, run->delivery->patch_size);
}

static void notified(void *context, const char *method, json_t *params)
{
    struct run *run = context;

    if (!strcmp(method, link_method_name(LINK_METHOD_PROGRESS)))
        say(run, run->delivery->patch ? "committing" : "rolling-back", json_text(params, "message", ""));
}

static int call_timed(struct run *run, struct target *target, enum link_method method, json_t *params)
{
    unsigned timeout = run->delivery->timeout_ms;
    int patience = (int)timeout + GRACE_MS + (run->delivery->rehearse ? REHEARSAL_MS : 0);

    forget_result(target);
    json_object_set_new(params, "timeout_ms", json_integer(timeout));
    json_object_set_new(params, "strict", json_boolean(run->delivery->strict));
    json_object_set_new(params, "known_stacks", json_boolean(run->delivery->known_stacks));
    json_object_set_new(params, "transfer_ms", json_integer(run->delivery->transfer_ms));
    return link_client_call(target->client, link_method_name(method), params, patience, notified, run,
                            &target->result);
}

static bool commit(struct run *run, struct target *target)
{
    int status;

    if (!target->update) /* it said that there is nothing to update in it */
        return true;
    say(run, "committing", "");
    status =
        call_timed(run, target, LINK_METHOD_COMMIT,
                   json_pack("{s:O,s:b}", "update", target->update, "rehearse", run->delivery->rehearse));
    if (status < 0)
        return lost(run, target, "while it committed the update", status);
    target->committed =
        accepted(run, target, status, "did not update", LINK_RESULT_UPDATED, LINK_RESULT_NOTHING);
    return target->committed;
}

/* Applies one of the updates that the others have already. */
static bool apply_missing(struct run *run, struct target *target, const char *path)
{
    char *patch;
    size_t size;
    int error = files_read(path, &patch, &size);
    bool applied;

    if (error)
        return fail(run, target, "cannot be given an earlier update", strerror(-error));
    applied = send_patch(run, target, patch, size) && !target->gone && commit(run, target);
    free(patch);
    json_decref(target->update);
    target->update = NULL;
    target->committed = false;
    return applied || target->gone;
}

static bool catch_up(struct run *run, struct target *target)
{
    size_t i;
    json_t *path;

    json_array_foreach(target->who->missing, i, path)
    {
        if (!target->gone && !apply_missing(run, target, json_string_value(path)))
            return false;
    }
    return true;
}

/* HOLD: it can be taken back, by settle. */
static bool roll_back(struct run *run, struct target *target, bool hold)
{
    int status;

    say(run, "rolling-back", "");
    status = call_timed(run, target, LINK_METHOD_ROLLBACK, json_pack("{s:b}", "hold", hold));
    if (status < 0)
        return lost(run, target, "while it rolled back", status);
    target->committed =
        accepted(run, target, status, "did not roll back", LINK_RESULT_ROLLED_BACK, LINK_RESULT_NOTHING);
    return target->committed;
}

/* Ends a rollback that is held; RESTORE brings the update back. What the rollback said stays the result. */
static bool settle(struct run *run, struct target *target, bool restore)
{
    json_t *kept = target->result;
    enum link_result good = restore ? LINK_RESULT_UPDATED : LINK_RESULT_ROLLED_BACK;
    bool done = true;
    int status;

    if (!target->committed ||
        strcmp(json_text(kept, "result", ""), link_result_word(LINK_RESULT_ROLLED_BACK)))
        return true;
    target->result = NULL;
    status = call_timed(run, target, LINK_METHOD_SETTLE, json_pack("{s:b}", "restore", restore));
    if (status < 0 && restore)
        done = lost(run, target, "while the update was brought back", status);
    else if (restore)
        done = accepted(run, target, status, "stays rolled back", good, good);
    forget_result(target); /* without an answer it is final, too: the engine sees to that */
    target->result = kept;
    return done;
}

static bool each(struct run *run, bool (*step)(struct run *, struct target *))
{
    for (size_t i = 0; i < run->delivery->target_count; i++) {
        if (!run->targets[i].gone && !step(run, &run->targets[i]))
            return false;
    }
    return true;
}

static bool cancelled(struct run *run)
{
    if (!run->delivery->cancel || !*run->delivery->cancel)
        return false;
    run->failure =
        json_pack("{s:s,s:s}", "result", link_result_word(LINK_RESULT_DISCARDED), "reason", "cancelled");
    return true;
}

static bool take_commit_back(struct run *run, struct target *target)
{
    return !target->update || roll_back(run, target, false);
}

static bool take_rollback_back(struct run *run, struct target *target)
{
    return settle(run, target, true);
}

/* One could not: those that have go back, by STEP. */
static void take_back(struct run *run, bool (*step)(struct run *, struct target *))
{
    char *reason = run->reason;

    run->reason = NULL;
    for (size_t i = 0; i < run->delivery->target_count; i++) {
        struct target *target = &run->targets[i];

        if (target->committed && !target->gone) {
            step(run, target);
            target->committed = false;
        }
    }
    if (run->reason) /* one cannot go back: the worst news first */
        free(reason);
    else
        run->reason = reason;
}

static bool roll_back_all(struct run *run)
{
    bool hold = run->delivery->target_count > 1;

    for (size_t i = 0; i < run->delivery->target_count; i++) {
        if (!run->targets[i].gone && !roll_back(run, &run->targets[i], hold)) {
            take_back(run, take_rollback_back);
            return false;
        }
    }
    for (size_t i = 0; hold && i < run->delivery->target_count; i++) {
        if (!run->targets[i].gone)
            settle(run, &run->targets[i], false);
    }
    return true;
}

static bool deliver(struct run *run)
{
    if (!each(run, open_target))
        return false;
    if (!run->delivery->patch)
        return !cancelled(run) && roll_back_all(run);
    if (!each(run, catch_up) || !each(run, prepare) || cancelled(run))
        return false;
    if (each(run, commit))
        return true;
    take_back(run, take_commit_back);
    return false;
}

static double largest(double a, double b)
{
    return a > b ? a : b;
}

/* Those of RESULT that ALL has not. */
static void add_warnings(json_t *all, const json_t *result)
{
    json_t *warning, *known;
    size_t i, k;

    json_array_foreach(json_object_get(result, "warnings"), i, warning)
    {
        json_array_foreach(all, k, known)
        {
            if (json_equal(warning, known))
                break;
        }
        if (k == json_array_size(all))
            json_array_append(all, warning);
    }
}

/* One object out of those of all programs. */
static json_t *sum_up(const struct run *run, bool done)
{
    double functions = 0, types = 0, instances = 0, moved = 0, waited = 0, pause = 0, total = 0,
           transferred = 0;
    const char *word = link_result_word(run->delivery->patch ? LINK_RESULT_NOTHING : LINK_RESULT_ROLLED_BACK);
    const char *reason = run->reason    ? run->reason
                         : run->failure ? json_text(run->failure, "reason", "")
                                        : run->lost;
    bool applied = false;
    json_t *warnings = json_array(), *transfers = json_array();

    for (size_t i = 0; i < run->delivery->target_count; i++) {
        const json_t *result = run->targets[i].result;

        if (!run->targets[i].committed)
            continue;
        applied = true;
        if (!strcmp(word, link_result_word(LINK_RESULT_NOTHING)))
            word = json_text(result, "result", word);
        functions = largest(functions, json_number(result, "functions", 0));
        types = largest(types, json_number(result, "types", 0));
        instances += json_number(result, "instances", 0);
        moved += json_number(result, "moved", 0);
        transferred += json_number(result, "transferred", 0);
        json_array_extend(transfers, json_object_get(result, "transfers"));
        waited = largest(waited, json_number(result, "waited_ms", 0));
        pause = largest(pause, json_number(result, "pause_ms", 0));
        total = largest(total, json_number(result, "total_ms", 0));
        add_warnings(warnings, result);
    }
    if (!done || (!applied && reason))
        word = run->failure ? json_text(run->failure, "result", "failed") : "failed";
    return json_pack("{s:s,s:b,s:f,s:f,s:f,s:f,s:f,s:o,s:f,s:f,s:f,s:s,s:s,s:o,s:O?,s:O?}", "result", word,
                     "applied", applied, "functions", functions, "types", types, "instances", instances,
                     "moved", moved, "transferred", transferred, "transfers", transfers, "waited_ms", waited,
                     "pause_ms", pause, "total_ms", total, "reason", reason ? reason : "", "blocked_by",
                     run->failure ? json_text(run->failure, "blocked_by", "") : "", "warnings", warnings,
                     "validation", json_object_get(run->failure, "validation"), "program",
                     json_object_get(run->failure, "program"));
}

json_t *delivery_run(const struct delivery *delivery)
{
    struct run run = { .delivery = delivery,
                       .targets = calloc(delivery->target_count + 1, sizeof *run.targets) };
    json_t *result;
    bool done;

    if (!run.targets)
        return NULL;
    for (size_t i = 0; i < delivery->target_count; i++)
        run.targets[i].who = &delivery->targets[i];
    done = deliver(&run);
    result = sum_up(&run, done);
    for (size_t i = 0; i < delivery->target_count; i++) {
        link_client_close(run.targets[i].client);
        json_decref(run.targets[i].update);
        json_decref(run.targets[i].result);
    }
    json_decref(run.failure);
    free(run.reason);
    free(run.lost);
    free(run.targets);
    return result;
}

void delivery_targets_free(struct delivery_target *targets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(targets[i].name);
        free(targets[i].path);
        json_decref(targets[i].missing);
    }
    free(targets);
}
