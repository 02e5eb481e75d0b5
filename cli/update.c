/*
 * molt apply and molt rollback. Several processes of one program change together: all are prepared before the
 * first commits, and if one fails to commit, those that did are rolled back. A rollback of several can be
 * taken back until all have.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/result.h"
#include "cli/targets.h"
#include "link/protocol.h"
#include "patch/emit/manifest.h"

#define DEFAULT_TIMEOUT_MS 5000
#define GRACE_MS 60000 /* beyond the safe point's time, for everything else an engine does */

struct batch {
    struct targets targets;
    json_t **results; /* per target: its last result object, owned; NULL: not reached */
    json_t **updates; /* per target: what "prepare" called the update */
    int timeout_ms;
    bool strict;       /* suspended functions are waited for */
    bool known_stacks; /* there are no other stacks than those that the engine knows */
    bool quiet;
    char told[1024]; /* the progress message that was printed last */
};

/* ---- one call ---------------------------------------------------------------------------------------- */

static void show_progress(void *context, const char *method, json_t *params)
{
    struct batch *batch = context;
    const char *phase = NULL, *message = "";

    if (!batch->quiet && strcmp(method, link_method_name(LINK_METHOD_PROGRESS)) == 0 &&
        json_unpack(params, "{s:s, s?s}", "phase", &phase, "message", &message) == 0 && *message &&
        strcmp(message, batch->told) != 0) {
        snprintf(batch->told, sizeof(batch->told), "%s", message);
        fprintf(stderr, "molt: waiting for a %s: %s\n",
                strcmp(phase, "safe-point") == 0 ? "safe point" : phase, message);
    }
}

/* Calls METHOD of target INDEX; its result replaces results[INDEX]. */
static struct molt_error *call(struct batch *batch, size_t index, enum link_method method, json_t *params)
{
    const struct target *target = &batch->targets.items[index];
    json_t *result = NULL;
    int status = link_client_call(target->client, link_method_name(method), params,
                                  batch->timeout_ms + GRACE_MS, show_progress, batch, &result);
    struct molt_error *error = target_error(target, status, result);

    if (!error) {
        json_decref(batch->results[index]);
        batch->results[index] = result;
    }
    return error;
}

static enum link_result result_of(const struct batch *batch, size_t index)
{
    const char *word = json_string_value(json_object_get(batch->results[index], "result"));
    int result = word ? link_result_of(word) : -1;

    return result < 0 ? LINK_RESULT_REFUSED : (enum link_result)result;
}

static bool succeeded(const struct batch *batch, size_t index)
{
    return batch->results[index] && link_result_exit_status(result_of(batch, index)) == 0;
}

/* ---- output ------------------------------------------------------------------------------------------ */

/* One result as it is; several as an array, each with its pid. */
static void print_json(const struct batch *batch)
{
    json_t *all = json_array();

    for (size_t i = 0; i < batch->targets.count; i++) {
        if (batch->results[i]) {
            json_object_set_new(batch->results[i], "pid", json_integer(batch->targets.items[i].pid));
            json_array_append(all, batch->results[i]);
        }
    }
    json_dumpf(json_array_size(all) == 1 ? json_array_get(all, 0) : all, stdout,
               JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(all);
}

static int print_results(const struct batch *batch, bool as_json)
{
    int status = 0;

    for (size_t i = 0; i < batch->targets.count; i++) {
        int one = batch->results[i] ? link_result_exit_status(result_of(batch, i)) : 0;
        status = one > status ? one : status;
        if (!as_json && batch->results[i]) {
            if (batch->targets.count > 1) {
                printf("%d: ", (int)batch->targets.items[i].pid);
            }
            result_print(batch->results[i]);
        }
    }
    if (as_json) {
        print_json(batch);
    }
    return status;
}

/* ---- the batch --------------------------------------------------------------------------------------- */

static struct molt_error *batch_init(struct batch *batch, const char *who,
                                     const struct cli_arguments *arguments)
{
    *batch = (struct batch){ .quiet = cli_flag(arguments, "quiet"),
                             .strict = cli_flag(arguments, "strict"),
                             .known_stacks = cli_flag(arguments, "known-stacks") };
    struct molt_error *error = cli_timeout(arguments, DEFAULT_TIMEOUT_MS, &batch->timeout_ms);

    error = error ? error : targets_find(who, &batch->targets);
    if (!error) {
        batch->results = calloc(batch->targets.count, sizeof(*batch->results));
        batch->updates = calloc(batch->targets.count, sizeof(*batch->updates));
        error = batch->results && batch->updates ? NULL : molt_error_nomem();
    }
    return error;
}

static void batch_deinit(struct batch *batch)
{
    for (size_t i = 0; i < batch->targets.count; i++) {
        if (batch->results) {
            json_decref(batch->results[i]);
        }
        if (batch->updates) {
            json_decref(batch->updates[i]);
        }
    }
    free(batch->results);
    free(batch->updates);
    targets_deinit(&batch->targets);
}

static struct molt_error *prepare_one(struct batch *batch, size_t index, const void *bytes, size_t size)
{
    const struct target *target = &batch->targets.items[index];
    json_t *upload = NULL;
    int status = link_client_upload(target->client, bytes, size, &upload);
    struct molt_error *error = target_error(target, status, upload);

    if (error) {
        return error;
    }
    json_t *params = json_pack("{s:O}", "upload", json_object_get(upload, "upload"));
    json_decref(upload);
    error = call(batch, index, LINK_METHOD_PREPARE, params);
    if (!error) {
        batch->updates[index] = json_incref(json_object_get(batch->results[index], "update"));
    }
    return error;
}

/* Drops what was prepared and not committed, from INDEX on. The connection's end would do it, too; this is
 * sooner. */
static void discard_from(struct batch *batch, size_t index)
{
    for (; index < batch->targets.count; index++) {
        if (batch->updates[index] && succeeded(batch, index)) {
            json_t *kept = json_incref(batch->results[index]);
            molt_error_destroy(
                call(batch, index, LINK_METHOD_DISCARD, json_pack("{s:O}", "update", batch->updates[index])));
            json_decref(batch->results[index]);
            batch->results[index] = kept;
        }
    }
}

/* PARAMS, which is taken, with how to wait for a safe point. */
static json_t *waiting(const struct batch *batch, json_t *params)
{
    json_object_set_new(params, "timeout_ms", json_integer(batch->timeout_ms));
    json_object_set_new(params, "strict", json_boolean(batch->strict));
    json_object_set_new(params, "known_stacks", json_boolean(batch->known_stacks));
    return params;
}

/* Takes back the commits of targets [0, count): the last of COUNT failed. */
static struct molt_error *undo_commits(struct batch *batch, size_t count)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; i < count && !error; i++) {
        if (result_of(batch, i) == LINK_RESULT_UPDATED) {
            error = call(batch, i, LINK_METHOD_ROLLBACK, waiting(batch, json_object()));
            error = molt_error_prefix(error,
                                      "another process could not be updated, and undoing the update failed");
        }
    }
    return error;
}

static struct molt_error *prepare_all(struct batch *batch, const void *bytes, size_t size, bool *ret_ready)
{
    *ret_ready = true;
    for (size_t i = 0; i < batch->targets.count; i++) {
        struct molt_error *error = prepare_one(batch, i, bytes, size);
        if (error || !succeeded(batch, i)) {
            *ret_ready = false;
            discard_from(batch, 0);
            return error;
        }
    }
    return NULL;
}

/* What to rehearse, as link/protocol.h has it. */
static json_t *rehearsal_of(const struct cli_arguments *arguments)
{
    return cli_flag(arguments, "rehearse") ? json_string("always")
                                           : json_boolean(!cli_flag(arguments, "no-rehearse"));
}

static struct molt_error *commit_all(struct batch *batch, const struct cli_arguments *arguments)
{
    bool dry_run = cli_flag(arguments, "dry-run");

    for (size_t i = 0; i < batch->targets.count; i++) {
        if (!batch->updates[i]) {
            continue; /* nothing to update */
        }
        struct molt_error *error =
            call(batch, i, LINK_METHOD_COMMIT,
                 waiting(batch, json_pack("{s:O, s:b, s:o}", "update", batch->updates[i], "dry_run", dry_run,
                                          "rehearse", rehearsal_of(arguments))));
        if (error || !succeeded(batch, i)) {
            discard_from(batch, i + 1);
            struct molt_error *second = undo_commits(batch, i);
            if (error) {
                molt_error_destroy(second);
                return error;
            }
            return second;
        }
    }
    return NULL;
}

/* ---- commands ---------------------------------------------------------------------------------------- */

static struct molt_error *read_file(const char *path, void **ret_bytes, size_t *ret_size)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0 || fstat(file, &info) < 0) {
        struct molt_error *error =
            molt_error_new(MOLT_ERROR_USAGE, "cannot read %s: %s", path, strerror(errno));
        if (file >= 0) {
            close(file);
        }
        return error;
    }
    char *bytes = malloc((size_t)info.st_size + 1);
    size_t size = 0;
    ssize_t got = 1;
    while (bytes && size < (size_t)info.st_size &&
           (got = read(file, bytes + size, (size_t)info.st_size - size)) > 0) {
        size += (size_t)got;
    }
    close(file);
    if (bytes && got >= 0 && size == 0) {
        free(bytes);
        return molt_error_new(MOLT_ERROR_REFUSED, "%s is empty, not a patch; make it again", path);
    }
    if (!bytes || got < 0) {
        free(bytes);
        return bytes ? molt_error_new(MOLT_ERROR_USAGE, "cannot read %s: %s", path, strerror(errno))
                     : molt_error_nomem();
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return NULL;
}

/* Of failed validations: what the members of the instances are called is known by the patch at PATH, if
 * there is one. */
static void explain_failures(struct batch *batch, const char *path)
{
    json_t *manifest = NULL;

    for (size_t i = 0; i < batch->targets.count; i++) {
        if (!json_is_object(json_object_get(batch->results[i], "validation"))) {
            continue;
        }
        if (path && !manifest) {
            molt_error_destroy(patch_manifest_load(path, &manifest)); /* bytes are shown without it */
        }
        result_explain(batch->results[i], manifest);
    }
    json_decref(manifest);
}

static struct molt_error *run_apply(const struct cli_arguments *arguments, int *ret_status)
{
    struct batch batch = { 0 };
    void *bytes = NULL;
    size_t size = 0;
    bool ready = false;
    struct molt_error *error = NULL;

    if (cli_flag(arguments, "rehearse") && cli_flag(arguments, "no-rehearse")) {
        return molt_error_new(MOLT_ERROR_USAGE, "--rehearse and --no-rehearse exclude each other");
    }
    error = read_file(arguments->operands[0], &bytes, &size);
    error = error ? error : batch_init(&batch, arguments->operands[1], arguments);
    error = error ? error : prepare_all(&batch, bytes, size, &ready);
    error = error || !ready ? error : commit_all(&batch, arguments);
    if (!error) {
        explain_failures(&batch, arguments->operands[0]);
        *ret_status = print_results(&batch, cli_flag(arguments, "json"));
    }
    batch_deinit(&batch);
    free(bytes);
    return error;
}

/* Whether every process has an update that can be undone: asked before the first is touched. */
static struct molt_error *check_revertible(const struct targets *targets)
{
    for (size_t i = 0; i < targets->count && targets->count > 1; i++) {
        const json_t *updates = json_object_get(targets->items[i].status, "updates");
        size_t count = json_array_size(updates);
        if (!count || !json_is_true(json_object_get(json_array_get(updates, count - 1), "revertible"))) {
            return molt_error_new(
                MOLT_ERROR_REFUSED,
                "process %d has no update that can be undone; none was rolled back. Name the others by pid",
                (int)targets->items[i].pid);
        }
    }
    return NULL;
}

/* Ends what roll_back_all began in targets [0, count): RESTORE brings the update back. Results of those
 * that are final stay. */
static struct molt_error *settle_all(struct batch *batch, size_t count, bool restore)
{
    struct molt_error *first = NULL;

    for (size_t i = 0; i < count; i++) {
        if (result_of(batch, i) != LINK_RESULT_ROLLED_BACK) {
            continue;
        }
        json_t *kept = json_incref(batch->results[i]);
        struct molt_error *error =
            call(batch, i, LINK_METHOD_SETTLE, waiting(batch, json_pack("{s:b}", "restore", restore)));
        if (!error && !restore) {
            json_decref(batch->results[i]);
            batch->results[i] = json_incref(kept);
        } else if (!error && result_of(batch, i) != LINK_RESULT_UPDATED) {
            const char *reason = json_string_value(json_object_get(batch->results[i], "reason"));
            error = molt_error_new(MOLT_ERROR_INTERNAL, "process %d stays rolled back: %s",
                                   (int)batch->targets.items[i].pid, reason ? reason : "");
        }
        json_decref(kept);
        error = restore ? molt_error_prefix(error, "another process could not be rolled back, and bringing "
                                                   "the update back failed")
                        : error;
        if (first) {
            molt_error_destroy(error);
        } else {
            first = error;
        }
    }
    return first;
}

/* All processes or none: each can bring its update back until the last has rolled back. */
static struct molt_error *roll_back_all(struct batch *batch)
{
    bool hold = batch->targets.count > 1;

    for (size_t i = 0; i < batch->targets.count; i++) {
        struct molt_error *error =
            call(batch, i, LINK_METHOD_ROLLBACK, waiting(batch, json_pack("{s:b}", "hold", hold)));
        if (error || !succeeded(batch, i)) {
            struct molt_error *second = settle_all(batch, i, true);
            if (error) {
                molt_error_destroy(second);
                return error;
            }
            return second;
        }
    }
    return hold ? settle_all(batch, batch->targets.count, false) : NULL;
}

static struct molt_error *run_rollback(const struct cli_arguments *arguments, int *ret_status)
{
    struct batch batch = { 0 };
    struct molt_error *error = batch_init(&batch, arguments->operands[0], arguments);

    error = error ? error : check_revertible(&batch.targets);
    error = error ? error : roll_back_all(&batch);
    if (!error) {
        explain_failures(&batch, NULL);
        *ret_status = print_results(&batch, cli_flag(arguments, "json"));
    }
    batch_deinit(&batch);
    return error;
}

static const struct cli_option apply_options[] = {
    { CLI_OPTION_TIMEOUT },
    { CLI_OPTION_STRICT },
    { CLI_OPTION_KNOWN_STACKS },
    { 'n', "dry-run", NULL, "go as far as the safe point, then discard" },
    { 0, "rehearse", NULL, "try the update in a copy of the process first, whatever it does to instances" },
    { 0, "no-rehearse", NULL, "do not; otherwise that is done if policies or validations run" },
    { CLI_OPTION_RESULT },
    { CLI_OPTION_QUIET },
    { 0 },
};

const struct cli_command command_apply = {
    .name = "apply",
    .synopsis = "[--timeout SECONDS] [--strict] [--known-stacks] [--dry-run] [--[no-]rehearse] [--json] "
                "[--quiet] FILE WHO",
    .summary = "apply a patch to a running program",
    .description =
        "Brings the patch FILE into WHO, a pid or a name, while it runs: waits for a safe point, "
        "at which no thread\n"
        "executes a function that changes, and commits; or discards the update and leaves the "
        "program as it was.\n"
        "If a policy or a validation fails, the message says which one, in which line, on which "
        "instance, with its\n"
        "values before and after; the exit status is 3.\n"
        "A function that does not return within 0.2 s, such as main with its loop, is taken over where it "
        "waits: its "
        "frame is turned\n"
        "into one of the new version when the call returns for which it waits. Where that cannot be done "
        "safely the "
        "update is given\n"
        "up after the time-out, naming the thread, the function and the reason.\n"
        "An update with policies, validations, or instances that the program's own functions "
        "allocate, is rehearsed:\n"
        "made in a copy of the process first, while the program runs on; whatever goes wrong "
        "there costs nothing.\n"
        "What a policy prints or sends is seen twice, and copying holds the program for some milliseconds "
        "per 100 MB that it uses.\n"
        "A name means all processes that bear it: they are updated together or not at all.",
    .options = apply_options,
    .operands_min = 2,
    .operands_max = 2,
    .operands = { CLI_OPERAND_FILE, CLI_OPERAND_WHO },
    .run = run_apply,
};

static const struct cli_option rollback_options[] = {
    { CLI_OPTION_TIMEOUT }, { CLI_OPTION_STRICT }, { CLI_OPTION_KNOWN_STACKS },
    { CLI_OPTION_RESULT },  { CLI_OPTION_QUIET },  { 0 },
};

const struct cli_command command_rollback = {
    .name = "rollback",
    .synopsis = "[--timeout SECONDS] [--strict] [--known-stacks] [--json] [--quiet] WHO",
    .summary = "undo the last update of a running program",
    .description =
        "Undoes the last update of WHO, a pid or a name, at a safe point. May be repeated: the "
        "last 16 updates\n"
        "are kept. A name means all processes that bear it: they are rolled back together or not at all.",
    .options = rollback_options,
    .operands_min = 1,
    .operands_max = 1,
    .operands = { CLI_OPERAND_WHO },
    .run = run_rollback,
};
