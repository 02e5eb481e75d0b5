/*
 * The change itself. The same is made in the process, in the copy that rehearses it, and in a trial that is
 * taken back. Every write to the program's memory goes through the undo log; state has its own way back.
 */
#include "engine/update/change.h"

#include <errno.h>
#include <string.h>

#include "engine/code/tls.h"
#include "engine/threads/setjmp_sites.h"
#include "engine/update/rebind.h"
#include "engine/update/recipes.h"

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

/* Leads what longjmp comes back to on to the new version. */
static int lead_on(struct update *update)
{
    uint8_t code[SETJMP_SITE_SIZE];
    int status = 0;

    setjmp_site_code(code);
    for (size_t i = 0; update->forth && i < update->forth->count && status == 0; i++) {
        const struct transfer *recipe = &update->forth->items[i];
        if (recipe->is_setjmp && !recipe->reason) {
            status = undo_write(&update->undo, UNDO_CODE, recipe->from, code, sizeof(code));
        }
    }
    recipes_lead_on(update->forth, true);
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

/* State first, so that policies meet the old program as a whole. */
int change_make(struct update *update, const struct world *world, struct update_report *report)
{
    int status = initialise_thread_locals(update, world);

    status = status < 0 ? status : frames_prepare(&update->frames, update->point, update->state, report);
    status =
        status < 0 || !state_changes(update->state) ? status : state_migrate(update->state, world, report);
    for (size_t i = 0; i < update->transition_count && status == 0; i++) {
        status = redirect(&update->undo, &update->transitions[i]);
    }
    status = status < 0 ? status : lead_on(update);
    status = status < 0 ? status : rebind_make(update);
    status = status < 0 ? status : write_constants(update);
    status = status < 0 ? status : validate(update);
    undo_synchronise_code(); /* policies for frames, and validations, run the new code */
    status = status < 0 ? status : frames_give(&update->frames, update->point, world, update->state, report);
    return status < 0 || !state_changes(update->state) ? status : state_validate(update->state, report);
}

void change_take_back(struct update *update)
{
    frames_revert(&update->frames);
    undo_revert(&update->undo);
    recipes_lead_on(update->forth, false);
    undo_synchronise_code();
    if (state_changes(update->state)) {
        state_revert(update->state);
    }
    frames_free(&update->frames);
}

int change_or_not(struct update *update, const struct world *world, struct update_report *report)
{
    undo_begin();
    int status = change_make(update, world, report);
    if (status < 0) {
        change_take_back(update);
    }
    undo_end();
    return status;
}

void change_make_final(struct update *update, struct update_report *report)
{
    safe_point_transfer(update->point, state_now_at, update->state);
    frames_commit(&update->frames);
    if (state_changes(update->state)) {
        state_commit(update->state, report);
    }
    for (size_t i = 0; i < update->transition_count; i++) {
        update->transitions[i].function->current = update->transitions[i].after;
    }
}
