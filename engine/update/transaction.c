/*
 * The transaction, as in figure 4 of the gDSU paper: receive (control.c), verify, load, plan, rehearse | safe
 * point, migrate, validate, commit or discard | resume, retire. update_prepare is what comes before anybody
 * is stopped; update_commit is the rest, from top to bottom. What is left of the first bar runs beside the
 * program and leaves it untouched; what is between the bars (change.c) runs while all threads are stopped and
 * is taken back by the undo log if anything fails.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/unwind_tables.h"
#include "engine/threads/barrier.h"
#include "engine/threads/transfer.h"
#include "engine/threads/unwind.h"
#include "engine/update/change.h"
#include "engine/update/definitions.h"
#include "engine/update/history.h"
#include "engine/update/recipes.h"
#include "engine/update/rehearsal.h"
#include "engine/update/stage.h"
#include "engine/update/update.h"
#include "engine/update/withdrawn.h"

#define SECOND_WAIT_MS 1000 /* at least, for the safe point behind a rehearsal */

int engine_core_init(void)
{
    stop_init();
    rehearsal_init();
    int status = unwind_init();
    status = status < 0 ? status : unwind_tables_init();
    status = status < 0 ? status : barrier_init();
    return status < 0 ? status : transfer_init();
}

void engine_core_fork_prepare(void)
{
    enter_critical();
}

void engine_core_fork_parent(void)
{
    leave_critical();
}

void engine_core_fork_child(void)
{
    stop_after_fork();
    barrier_after_fork();
    definitions_after_fork();
    leave_critical();
}

/* ---- verify, load, plan ---------------------------------------------------------------------------- */

static int prepare(struct update *update)
{
    const char *reason = NULL;
    int status = patch_file_open(update->patch.bytes, update->patch.file.size, &update->patch.file, &reason);

    if (status < 0) {
        return load_refuse(&update->patch, "the patch cannot be read: %s; make it again", reason);
    }
    status = load_patch(&update->patch);
    status = status < 0 ? status : plan_update(update);
    if (status == 0) {
        update->debug = debug_object_create(&update->patch);
        status = history_reserve();
    }
    return status;
}

int update_prepare(void *bytes, size_t size, struct update **ret, struct update_report *report)
{
    uint64_t start = monotonic_us();
    struct update *update = calloc(1, sizeof(*update));

    *report = (struct update_report){ 0 };
    if (!update) {
        free(bytes);
        return fail(report, UPDATE_REFUSED, -ENOMEM, NULL);
    }
    update->patch.bytes = bytes;
    update->patch.file.size = size;
    enter_critical();
    int status = prepare(update);
    leave_critical();
    if (status < 0) {
        fail(report, UPDATE_REFUSED, status, update->patch.reason);
        update_discard(update);
        return status;
    }
    update->planned_at = changes_made;
    update->prepare_us = monotonic_us() - start;
    report->outcome = UPDATE_PREPARED;
    report->functions = (unsigned)update->transition_count;
    report->total_us = update->prepare_us;
    *ret = update;
    return 0;
}

void update_discard(struct update *update)
{
    if (!update) {
        return;
    }
    enter_critical();
    state_destroy(update->state);
    load_discard(&update->patch);
    leave_critical();
    undo_deinit(&update->undo);
    debug_object_destroy(update->debug);
    recipes_release(update->forth);
    recipes_release(update->back);
    free(update->transitions);
    free(update->ranges);
    free(update->rebounds);
    free(update->id);
    free(update->title);
    free(update);
}

/* ---- rehearse, safe point -------------------------------------------------------------------------- */

/* An update on its way through the figure. */
struct transaction {
    struct update *update;
    struct update_wait wait;
    struct watcher watcher;
    struct update_report *report;
    struct safe_point point; /* where the world stands */
    struct world world;
    struct update_report played; /* what the copy reported, if it was at it to the end */
};

/* Says why the change failed, unless that has been said. */
static int change_failed(struct update_report *report, int status)
{
    return *report->reason ? status : fail(report, UPDATE_FAILED, status, NULL);
}

/* In the copy, which has no need to take anything back. */
static int play(void *context, const struct world *world, struct update_report *report, void *notes)
{
    struct update *update = context;

    state_note_in(update->state, notes);
    undo_begin();
    int status = change_make(update, world, report);
    report->pause_us = monotonic_us() - world->began_us;
    if (status == 0 && state_changes(update->state)) {
        status = state_find_leftovers(update->state, report->rehearsal.leftovers,
                                      sizeof(report->rehearsal.leftovers));
    }
    return status < 0 ? change_failed(report, status) : 0;
}

static void perished(void *context, const void *notes, const char *how, struct update_report *report)
{
    state_perished(notes, how, report);
}

/* Code alone needs no rehearsal. */
static bool is_rehearsed(const struct update *update, enum update_rehearsal wanted)
{
    return wanted == REHEARSE_STATE       ? state_changes(update->state)
           : wanted == REHEARSE_FUNCTIONS ? state_runs_functions(update->state)
                                          : false;
}

/* What is left of the time that may be waited, of which a rehearsal has taken its part; it never takes all.
 */
static uint32_t time_left_ms(const struct transaction *transaction)
{
    uint64_t waited_us = transaction->report->waited_us, least_us = 1000ull * SECOND_WAIT_MS;
    uint64_t all_us = 1000ull * transaction->wait.timeout_ms;
    uint64_t left_us = waited_us + least_us < all_us ? all_us - waited_us : least_us;

    return (uint32_t)((left_us < all_us ? left_us : all_us) / 1000);
}

/* Stops the world at a safe point, in the critical section. On failure the world runs, and nothing is held.
 */
static int reach(struct transaction *transaction)
{
    struct update *update = transaction->update;

    withdrawn_forbid(update->id, update->transitions, update->transition_count, update->forth);
    struct transfers transfers =
        recipes_transfers(update->forth, update->back, transaction->wait.transfer_ms);
    uint64_t waited_us = transaction->report->waited_us;

    transfers.known_only = transaction->wait.known_stacks;
    update->point = &transaction->point;
    int status = reach_safe_point(update->ranges, update->range_count, &transfers, time_left_ms(transaction),
                                  &transaction->watcher, &transaction->point, &transaction->world,
                                  transaction->report);

    transaction->report->waited_us += waited_us;
    return status;
}

/* Makes the change in a copy of the process, at a safe point of its own, if that is wanted. The world runs
 * afterwards. 0 whether there could be a copy or not (the report says so), or negative if it went wrong
 * there. */
static int rehearse(struct transaction *transaction)
{
    struct update *update = transaction->update;
    struct rehearsal rehearsal = { .play = play, .perished = perished, .context = update };

    if (!is_rehearsed(update, transaction->wait.rehearsal)) {
        return 0;
    }
    int status = reach(transaction);
    if (status < 0) {
        return status;
    }
    rehearsal.limit_ms = state_rehearsal_limit(update->state);
    status = rehearsal_run(&rehearsal, &transaction->world, &transaction->watcher, transaction->report);
    transaction->played = rehearsal.played;
    return status < 0 ? status : 0;
}

/* ---- commit or discard, retire --------------------------------------------------------------------- */

/* Several clients may have prepared updates; the plans of those that come late are for a program that is no
 * more. */
static int check_current(const struct update *update, struct update_report *report)
{
    return update->planned_at == changes_made
               ? 0
               : fail(report, UPDATE_REFUSED, -EINVAL,
                      "another update was made or rolled back since this one was prepared; apply again");
}

static bool changes_nothing(const struct update *update)
{
    const struct patch_file *file = &update->patch.file;

    return !update->transition_count && !update->rebound_count && !file->patch_data_count &&
           !file->patch_aliases_count && !state_changes(update->state);
}

/* What is needed before the world is stopped: memory, and definitions for those who come later. */
static int make_ready(struct update *update, struct update_report *report)
{
    int status = update->state ? state_reserve(update->state) : 0;

    status = status < 0 ? status : definitions_publish(update);
    return status < 0 ? fail(report, UPDATE_FAILED, status, NULL) : 0;
}

/* In the critical section: a child has both the change and our records of it, or neither. */
static void record(struct update *update)
{
    definitions_keep();
    changes_made++;
    debug_object_register(update->debug);
    perf_map_add(&update->patch);
    history_push(update);
}

static int discard(struct update *update, int status)
{
    definitions_withdraw(update);
    update_discard(update);
    return status;
}

int update_commit(struct update *update, struct update_wait wait, update_progress *progress, void *context,
                  struct update_report *report)
{
    struct transaction transaction = {
        .update = update, .wait = wait, .watcher = { progress, context }, .report = report
    };
    uint64_t start = monotonic_us() - update->prepare_us;

    *report = (struct update_report){ 0 };
    if (changes_nothing(update)) {
        report->outcome = UPDATE_NOTHING;
        return discard(update, 0);
    }
    int status = check_current(update, report);
    status = status < 0 ? status : make_ready(update, report);
    if (status < 0) {
        return discard(update, status);
    }
    tell(progress, context, "safe-point", "");
    status = rehearse(&transaction);
    if (status == 0 && update->state) {
        state_reserve_blocks(update->state);
    }
    status = status < 0 ? status : reach(&transaction);
    if (status == 0) { /* the world stands */
        status = change_or_not(update, &transaction.world, report);
        if (status == 0) {
            change_make_final(update, report);
        }
        resume(&transaction.world, report);
        if (status < 0) {
            change_failed(report, status);
            leave_critical();
        }
    }
    report->total_us = monotonic_us() - start;
    if (status < 0) {
        return discard(update, status);
    }
    report->outcome = UPDATE_UPDATED;
    report->functions = (unsigned)update->transition_count;
    record(update);
    leave_critical();
    tell(progress, context, "retire", "");
    return 0;
}

/* ---- try ------------------------------------------------------------------------------------------- */

/* The whole change, and back, in the process itself. Code alone, without policies for frames, needs no trial.
 */
static int try_here(struct update *update, const struct world *world, struct update_report *report)
{
    const struct transfers transfers = recipes_transfers(update->forth, NULL, 0);

    if (!state_changes(update->state) && !frames_have_policies(&transfers)) {
        return 0;
    }
    undo_begin();
    int status = change_make(update, world, report);
    change_take_back(update);
    undo_end();
    return status < 0 ? change_failed(report, status) : 0;
}

/* What the copy says is what would have been. */
static void take_from_rehearsal(struct transaction *transaction)
{
    struct update_report *report = transaction->report;
    const struct update_report *played = &transaction->played;

    report->instances = played->instances;
    report->moved = played->moved;
    report->pause_us = played->pause_us;
    memcpy(report->warnings, played->warnings, sizeof(report->warnings));
}

static int try_at_safe_point(struct transaction *transaction)
{
    struct update *update = transaction->update;
    struct update_report *report = transaction->report;

    if (update->state && state_reserve(update->state) < 0) {
        return fail(report, UPDATE_REFUSED, -ENOMEM, NULL);
    }
    int status = rehearse(transaction);
    if (report->rehearsal.passed) {
        take_from_rehearsal(transaction);
    } else {
        status = status < 0 ? status : reach(transaction);
        if (status < 0) {
            return status;
        }
        status = try_here(update, &transaction->world, report);
        resume(&transaction->world, report);
        leave_critical();
    }
    report->outcome = status < 0 ? report->outcome : UPDATE_PREPARED;
    return status;
}

int update_try(struct update *update, struct update_wait wait, update_progress *progress, void *context,
               struct update_report *report)
{
    struct transaction transaction = {
        .update = update, .wait = wait, .watcher = { progress, context }, .report = report
    };
    uint64_t start = monotonic_us() - update->prepare_us;

    *report = (struct update_report){ .functions = (unsigned)update->transition_count };
    int status = check_current(update, report);
    if (status == 0 && changes_nothing(update)) {
        report->outcome = UPDATE_NOTHING;
    } else if (status == 0) {
        status = try_at_safe_point(&transaction);
    }
    report->total_us = monotonic_us() - start;
    update_discard(update);
    return status;
}
