/*
 * The transaction, as in figure 4 of the gDSU paper: receive (control.c), verify, load, plan | safe point,
 * migrate, validate, commit or discard | resume, retire. What is left of the first bar runs beside the
 * program and leaves it untouched; what is between the bars runs while all threads are stopped and is taken
 * back by the undo log if anything fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/tls.h"
#include "engine/code/unwind_tables.h"
#include "engine/threads/barrier.h"
#include "engine/threads/transfer.h"
#include "engine/threads/unwind.h"
#include "engine/update/history.h"
#include "engine/update/plan.h"
#include "engine/update/recipes.h"
#include "engine/update/rehearsal.h"
#include "engine/update/stage.h"
#include "engine/update/update.h"

#define SECOND_WAIT_MS 1000 /* at least, for the safe point behind a rehearsal */

static struct update *awaited; /* its definitions are published, its safe point is awaited */

const char *update_outcome_word(enum update_outcome outcome)
{
    static const char *const words[] = {
#define X(name, word) [UPDATE_##name] = word,
        UPDATE_OUTCOMES(X)
#undef X
    };
    return words[outcome];
}

int engine_core_init(void)
{
    stop_init();
    rehearsal_init();
    int status = unwind_init();
    status = status < 0 ? status : unwind_tables_init();
    status = status < 0 ? status : barrier_init();
    return status < 0 ? status : transfer_init();
}

static void withdraw_definitions(const struct update *update)
{
    registry_forget_definitions(update->definitions_before);
    registry_forget_functions(update->functions_before);
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
    if (awaited) { /* the parent's; there is nobody here to commit it */
        withdraw_definitions(awaited);
        awaited = NULL;
    }
    leave_critical();
}

/* ---- verify, load, plan ------------------------------------------------------------------------------ */

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
    free(update->id);
    free(update->title);
    free(update);
}

/* ---- in the stopped world ---------------------------------------------------------------------------- */

static int write_jump(struct undo_log *undo, uintptr_t from, uintptr_t to)
{
    uint8_t jump[JUMP_SIZE] = { 0xe9 };
    int64_t distance = (int64_t)(to - (from + sizeof(jump)));
    int32_t encoded = (int32_t)distance;

    if (distance != encoded) {
        return -ERANGE;
    }
    memcpy(jump + 1, &encoded, sizeof(encoded));
    return undo_write(undo, UNDO_CODE, from, jump, sizeof(jump));
}

/* Leads the function's first address, and the entry of the version that was in force, to the new one. */
static int redirect(struct undo_log *undo, const struct transition *transition)
{
    const struct code_range *before = &transition->before.ranges[0];
    uintptr_t target = transition->after.ranges[0].start;
    int status = transition->bypassed ? 0 : write_jump(undo, transition->function->identity, target);

    /* Code of the same patch calls the version that came with it directly. */
    if (status == 0 && before->start != transition->function->identity &&
        transition->before.room >= JUMP_SIZE) {
        status = write_jump(undo, before->start, target);
    }
    return status;
}

static int write_constants(struct update *update)
{
    const struct patch_file *file = &update->patch.file;
    int status = 0;

    for (size_t i = 0; i < file->patch_data_count && status == 0; i++) {
        const struct molt_patch_data *data = &file->patch_data[i];
        if (update->patch.modules[data->module].absent) {
            continue;
        }
        uintptr_t source = update->patch.symbols[data->symbol].address;
        uintptr_t target = load_data_place(&update->patch, data);
        if (!source || !target) {
            return -EFAULT;
        }
        status = undo_write(&update->undo, UNDO_CONSTANT, target, (const void *)source, data->size);
    }
    return status;
}

static int initialise_thread_locals(struct update *update, const struct world *world)
{
    int status = 0;

    for (size_t i = 1; i < update->patch.file.section_count && status == 0; i++) {
        const struct loaded_section *section = &update->patch.sections[i];
        if (section->class == SECTION_TLS && section->bytes) {
            status = tls_initialise(world, section->address, section->bytes,
                                    update->patch.file.sections[i].sh_size);
        }
    }
    return status;
}

/* System validation: every function that was to change leads to its new code. */
static int validate(const struct update *update)
{
    for (size_t i = 0; i < update->transition_count; i++) {
        const uint8_t *code = (const uint8_t *)update->transitions[i].function->identity;
        int32_t distance;
        if (update->transitions[i].bypassed) {
            continue;
        }
        memcpy(&distance, code + 1, sizeof(distance));
        if (code[0] != 0xe9 || (uintptr_t)code + 5 + (uintptr_t)(intptr_t)distance !=
                                   update->transitions[i].after.ranges[0].start) {
            return -EIO;
        }
    }
    return 0;
}

static void take_back(struct update *update)
{
    undo_revert(&update->undo);
    undo_synchronise_code();
    if (state_changes(update->state)) {
        state_revert(update->state);
    }
}

/* Makes all changes: state first, so that policies meet the old program as a whole. On failure they are to be taken back. */
static int change(struct update *update, const struct world *world, struct update_report *report)
{
    int status = initialise_thread_locals(update, world);

    status =
        status < 0 || !state_changes(update->state) ? status : state_migrate(update->state, world, report);
    for (size_t i = 0; i < update->transition_count && status == 0; i++) {
        status = redirect(&update->undo, &update->transitions[i]);
    }
    status = status < 0 ? status : write_constants(update);
    status = status < 0 ? status : validate(update);
    undo_synchronise_code(); /* validations run the new code */
    return status < 0 || !state_changes(update->state) ? status : state_validate(update->state, report);
}

/* The same in the process itself: on failure everything is as before. */
static int change_or_not(struct update *update, const struct world *world, struct update_report *report)
{
    undo_begin();
    int status = change(update, world, report);
    if (status < 0) {
        take_back(update);
    }
    undo_end();
    return status;
}

/* There is no way back from here on. */
static void make_final(struct update *update, const struct safe_point *point, struct update_report *report)
{
    safe_point_transfer(point);
    if (state_changes(update->state)) {
        state_commit(update->state, report);
    }
    for (size_t i = 0; i < update->transition_count; i++) {
        update->transitions[i].function->current = update->transitions[i].after;
    }
}

/* Says why the change failed, unless that has been said. */
static int change_failed(struct update_report *report, int status)
{
    return *report->reason ? status : fail(report, UPDATE_FAILED, status, NULL);
}

/* ---- rehearsal ---------------------------------------------------------------------------------------- */

/* In the copy, which has no need to take anything back. */
static int play(void *context, const struct world *world, struct update_report *report, void *notes)
{
    struct update *update = context;

    state_note_in(update->state, notes);
    undo_begin();
    int status = change(update, world, report);
    report->pause_us = monotonic_us() - world->began_us;
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

/* As reach_safe_point, after a rehearsal at an earlier one if that is wanted. PLAYED is what the copy reported; with ONLY, the
 * world runs when that has passed. */
static int reach_rehearsed(struct update *update, struct update_wait wait, bool only,
                           const struct watcher *watcher, struct safe_point *point, struct world *world,
                           struct update_report *played, struct update_report *report)
{
    struct rehearsal rehearsal = { .play = play, .perished = perished, .context = update };
    struct transfers transfers = recipes_transfers(update->forth, update->back, wait.transfer_ms);
    int status = reach_safe_point(update->ranges, update->range_count, &transfers, wait.timeout_ms, watcher,
                                  point, world, report);

    if (status < 0 || !is_rehearsed(update, wait.rehearsal)) {
        return status;
    }
    rehearsal.limit_ms = state_rehearsal_limit(update->state);
    status = rehearsal_run(&rehearsal, world, watcher, report);
    *played = rehearsal.played;
    if (status < 0 || (only && status == REHEARSAL_PASSED)) {
        return status;
    }
    uint64_t waited_us = report->waited_us, least_us = 1000ull * SECOND_WAIT_MS,
             all_us = 1000ull * wait.timeout_ms;
    uint64_t left_us = waited_us + least_us < all_us ? all_us - waited_us : least_us;
    status = reach_safe_point(update->ranges, update->range_count, &transfers,
                              (uint32_t)((left_us < all_us ? left_us : all_us) / 1000), watcher, point, world,
                              report);
    report->waited_us += waited_us;
    return status;
}

/* ---- commit, try ------------------------------------------------------------------------------------- */

/* Registers what the patch defines, so that later patches can bind to it. */
static int publish_definitions(struct update *update)
{
    const struct patch_file *file = &update->patch.file;
    int status = 0;

    update->definitions_before = registry_definition_count();
    update->functions_before = registry_function_count();
    for (size_t i = 0; i < file->patch_definitions_count && status == 0; i++) {
        const struct molt_patch_definition *definition = &file->patch_definitions[i];
        const Elf64_Sym *symbol = &file->symbols[definition->symbol];
        const struct loaded_section *section = &update->patch.sections[symbol->st_shndx];
        if (section->class == SECTION_UNLOADED) {
            continue; /* for a module that is absent */
        }
        const char *unit = patch_file_string(file, definition->unit),
                   *name = patch_file_string(file, definition->name);
        bool is_tls = section->class == SECTION_TLS;
        uintptr_t address =
            is_tls ? section->address + symbol->st_value : update->patch.symbols[definition->symbol].address;
        status = registry_define(unit, name, is_tls, address);
        if (status == 0 && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && !registry_function_at(address)) {
            struct image *home = update->patch.modules[section->module].image;
            uint32_t size = (uint32_t)symbol->st_size;
            status =
                registry_add_function(unit, name, address, size, plan_room(file, definition->symbol), home)
                    ? 0
                    : -ENOMEM;
        }
    }
    if (status < 0) {
        withdraw_definitions(update);
    }
    return status;
}

/* Both in the critical section. A child that is born while the safe point is awaited takes the definitions back. */
static int publish(struct update *update)
{
    enter_critical();
    int status = publish_definitions(update);
    awaited = status == 0 ? update : NULL;
    leave_critical();
    return status;
}

static void withdraw(struct update *update)
{
    enter_critical();
    withdraw_definitions(update);
    awaited = NULL;
    leave_critical();
}

/* Several clients may have prepared updates; the plans of those that come late are for a program that is no more. */
static int check_current(const struct update *update, struct update_report *report)
{
    return update->planned_at == changes_made
               ? 0
               : fail(report, UPDATE_REFUSED, -EINVAL,
                      "another update was made or rolled back since this one was prepared; apply again");
}

static bool changes_nothing(const struct update *update)
{
    return !update->transition_count && !update->patch.file.patch_data_count && !state_changes(update->state);
}

int update_commit(struct update *update, struct update_wait wait, update_progress *progress, void *context,
                  struct update_report *report)
{
    const struct watcher watcher = { progress, context };
    uint64_t start = monotonic_us() - update->prepare_us;
    struct update_report played;
    struct safe_point point;
    struct world world;

    *report = (struct update_report){ 0 };
    if (changes_nothing(update)) {
        report->outcome = UPDATE_NOTHING;
        update_discard(update);
        return 0;
    }
    int status = check_current(update, report);
    if (status < 0) {
        update_discard(update);
        return status;
    }
    status = update->state ? state_reserve(update->state) : 0;
    status = status < 0 ? status : publish(update);
    if (status < 0) {
        fail(report, UPDATE_FAILED, status, NULL);
        update_discard(update);
        return status;
    }
    tell(progress, context, "safe-point", "");
    status = reach_rehearsed(update, wait, false, &watcher, &point, &world, &played, report);
    if (status == 0) {
        status = change_or_not(update, &world, report);
        if (status == 0) {
            make_final(update, &point, report);
        }
        resume(&world, report);
        if (status < 0) {
            change_failed(report, status);
            leave_critical();
        }
    }
    if (status < 0) {
        report->total_us = monotonic_us() - start;
        withdraw(update);
        update_discard(update);
        return status;
    }
    report->outcome = UPDATE_UPDATED;
    report->functions = (unsigned)update->transition_count;
    report->total_us = monotonic_us() - start;
    awaited = NULL;
    changes_made++;
    debug_object_register(update->debug);
    perf_map_add(&update->patch);
    history_push(update);
    leave_critical();
    tell(progress, context, "retire", "");
    return 0;
}

/* The whole change, and back, in the process itself. Code alone needs no trial. */
static int try_here(struct update *update, const struct world *world, struct update_report *report)
{
    if (!state_changes(update->state)) {
        return 0;
    }
    undo_begin();
    int status = change(update, world, report);
    take_back(update);
    undo_end();
    return status < 0 ? change_failed(report, status) : 0;
}

static int try_at_safe_point(struct update *update, struct update_wait wait, const struct watcher *watcher,
                             struct update_report *report)
{
    struct update_report played;
    struct safe_point point;
    struct world world;
    int status = update->state ? state_reserve(update->state) : 0;

    if (status < 0) {
        return fail(report, UPDATE_REFUSED, -ENOMEM, NULL);
    }
    status = reach_rehearsed(update, wait, true, watcher, &point, &world, &played, report);
    if (status < 0) {
        return status;
    }
    if (report->rehearsal.passed) { /* what the copy says is what would have been */
        report->instances = played.instances;
        report->moved = played.moved;
        report->pause_us = played.pause_us;
        memcpy(report->warnings, played.warnings, sizeof(report->warnings));
    } else {
        status = try_here(update, &world, report);
        resume(&world, report);
        leave_critical();
    }
    report->outcome = status < 0 ? report->outcome : UPDATE_PREPARED;
    return status;
}

int update_try(struct update *update, struct update_wait wait, update_progress *progress, void *context,
               struct update_report *report)
{
    const struct watcher watcher = { progress, context };
    uint64_t start = monotonic_us() - update->prepare_us;

    *report = (struct update_report){ .functions = (unsigned)update->transition_count };
    int status = check_current(update, report);
    if (status == 0 && changes_nothing(update)) {
        report->outcome = UPDATE_NOTHING;
    } else if (status == 0) {
        status = try_at_safe_point(update, wait, &watcher, report);
    }
    report->total_us = monotonic_us() - start;
    update_discard(update);
    return status;
}
