/*
 * The new state is looked at while it can still be taken back: validations of this update with old and new
 * instance side by side, then what the program says holds always, of every object that a block or a variable
 * has, embedded ones included. All of it is the patch's code and runs under the guard, with the program's
 * memory protected: a predicate that writes is undone with the rest.
 */
#include <errno.h>
#include <string.h>

#include "engine/update/guard.h"
#include "engine/update/release.h"
#include "engine/update/state_private.h"

typedef int check_function(const void *instance);

/* ---- of this update -------------------------------------------------------------------------------- */

static int validate_item(struct state *state, const struct conversion *conversion, const struct item *item)
{
    const uint8_t *old = item_old(item), *new = item_new(item);
    size_t count = conversion_count(conversion, item->kind, item->size);

    state->current = conversion;
    state->current_item = item;
    state->current_old = old;
    state->current_new = item_new(item);
    state->current_function = STATE_VALIDATE;
    for (size_t i = 0; i < count; i++) {
        state->current_index = i;
        state_note(state);
        if (!conversion->validate(old + i * conversion->from->size, new + i * conversion->to->size)) {
            return state_fail(state, "it does not hold");
        }
    }
    return 0;
}

static void validate_all(void *context)
{
    struct state *state = context;

    for (size_t i = 0; i < state->conversion_count; i++) {
        const struct conversion *conversion = &state->conversions[i];
        struct staging_position position = { 0 };
        const struct item *item;
        while (conversion->validate && state->status == 0 && (item = item_next(conversion, &position))) {
            state->status = validate_item(state, conversion, item);
        }
    }
}

/* ---- always ---------------------------------------------------------------------------------------- */

static bool has_invariant(const struct state *state, uint32_t layout)
{
    const struct molt_patch_layout *record = state->layouts.items[layout].record;

    if (state->invariants[layout]) {
        return true;
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct molt_patch_field *field = &state->layouts.file->patch_fields[record->field + i];
        if (field->kind == MOLT_FIELD_MEMBER && state->invariants[field->layout]) {
            return true;
        }
    }
    return record->tail_stride && state->invariants[record->tail];
}

/* Whether the program has INDEX: a patch for several binaries has each invariant for each of them, and the
 * first that is loaded counts. */
static bool is_first_there(const struct state *state, size_t index)
{
    const struct patch_file *file = state->layouts.file;
    const struct molt_patch_invariant *all = file->patch_invariants;

    for (size_t i = 0; i < index; i++) {
        if (all[i].layout == all[index].layout && all[i].line == all[index].line && state->checks[i] &&
            strcmp(patch_file_string(file, all[i].file), patch_file_string(file, all[index].file)) == 0) {
            return false;
        }
    }
    return state->patch->symbols[all[index].check].address;
}

/* Layouts contain only earlier ones: one pass tells which ones contain, somewhere, what an invariant is
 * about. */
static void mark_layouts(struct state *state)
{
    const struct patch_file *file = state->layouts.file;

    for (size_t i = 0; i < file->patch_invariants_count; i++) {
        state->checks[i] = is_first_there(state, i);
        state->invariants[file->patch_invariants[i].layout] = true;
    }
    for (uint32_t i = 1; i < state->layouts.count; i++) {
        state->invariants[i] = has_invariant(state, i);
    }
}

static bool check_object(struct state *state, uint32_t layout, uintptr_t at)
{
    const struct patch_file *file = state->layouts.file;
    const struct molt_patch_layout *record = state->layouts.items[layout].record;

    for (size_t i = 0; i < file->patch_invariants_count; i++) {
        const struct molt_patch_invariant *invariant = &file->patch_invariants[i];
        if (invariant->layout != layout || !state->checks[i]) {
            continue;
        }
        state->current_invariant = invariant;
        state->current_new = (void *)at;
        state_note(state);
        if (!((check_function *)state->patch->symbols[invariant->check].address)((const void *)at)) {
            state->status = state_fail(state, "it does not hold");
            return false;
        }
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct molt_patch_field *field = &file->patch_fields[record->field + i];
        for (uint32_t k = 0;
             field->kind == MOLT_FIELD_MEMBER && state->invariants[field->layout] && k < field->count; k++) {
            if (!check_object(state, field->layout, at + field->offset + (uintptr_t)k * field->stride)) {
                return false;
            }
        }
    }
    return true;
}

static bool check_place(struct state *state, uint32_t layout, enum place_kind kind, uintptr_t start,
                        size_t size)
{
    const struct molt_patch_layout *record = state->layouts.items[layout].record;
    size_t count = kind == PLACE_OBJECT ? 1 : record->size ? size / record->size : 0;

    for (size_t i = 0; i < count; i++) {
        state->current_index = i;
        if (!check_object(state, layout, start + i * record->size)) {
            return false;
        }
    }
    count = kind == PLACE_OBJECT && record->tail_stride && size > record->tail_offset &&
                    state->invariants[record->tail]
                ? (size - record->tail_offset) / record->tail_stride
                : 0;
    for (size_t i = 0; i < count; i++) {
        if (!check_object(state, record->tail, start + record->tail_offset + i * record->tail_stride)) {
            return false;
        }
    }
    return true;
}

static bool visit_block(void *context, const struct heap_block *block)
{
    struct state *state = context;
    struct place place;

    if (!state_place(state, block, &place) || state->layouts.items[place.layout].changed ||
        !state->invariants[place.layout]) {
        return true; /* instances that were migrated have their items */
    }
    return check_place(state, place.layout, place.kind, place.start, place.size);
}

static bool is_concerned(const struct state *state, const struct meaning *meaning)
{
    return meaning->layout ? state->invariants[meaning->layout]
                           : meaning->kind == MOLT_SITE_UNKNOWN && state->guesses.count;
}

static bool check_items(struct state *state, const struct conversion *conversion)
{
    uint32_t layout = conversion->record->new_layout;
    struct staging_position position = { 0 };
    const struct item *item;
    bool holds = true;

    while (state->invariants[layout] && holds && (item = item_next(conversion, &position))) {
        size_t size = conversion_size(conversion, item->kind, item->size);
        holds = check_place(state, layout, item->kind, (uintptr_t)item_new(item), size);
    }
    return holds;
}

static void check_invariants(void *context)
{
    struct state *state = context;
    bool holds = true;

    state->current_function = STATE_INVARIANT;
    state->current_item = NULL;
    state->current_old = NULL;
    for (size_t i = 0; i < state->conversion_count && holds; i++) {
        holds = check_items(state, &state->conversions[i]);
    }
    for (size_t i = 0; i < state->roots.count && holds; i++) {
        const struct root *root = &state->roots.items[i];
        if (root->record->kind == MOLT_FIELD_MEMBER && !state->layouts.items[root->record->layout].changed) {
            holds = check_place(state, root->record->new_layout, PLACE_ROOT, root->target,
                                (size_t)root->record->new_count *
                                    state->layouts.items[root->record->new_layout].size);
        }
    }
    if (holds) {
        state_want(state, is_concerned);
        heap_walk(state->wanted, visit_block, state);
    }
}

/* ---- all ------------------------------------------------------------------------------------------- */

static bool is_asked(const struct state *state)
{
    for (size_t i = 0; i < state->conversion_count; i++) {
        if (state->conversions[i].validate) {
            return true;
        }
    }
    return state->layouts.file->patch_invariants_count > 0;
}

int state_validate(struct state *state, struct update_report *report)
{
    struct guard_result result;

    state->report = report;
    int status = state->custom || state->lost.at ? check_pointers(state) : 0;
    if (status < 0 || !is_asked(state)) {
        return status;
    }
    status = page_log_begin(&state->pages, state->world);
    heap_defer_frees(release_later);
    guard_limit(state_limit(state));
    state->status = 0;
    if (status == 0 && guard_run(validate_all, state, &result) != GUARD_RETURNED) {
        status = state_fail(state, "%s", result.message);
    }
    status = status < 0 ? status : state->status;
    if (status == 0 && state->layouts.file->patch_invariants_count) {
        mark_layouts(state);
        if (guard_run(check_invariants, state, &result) != GUARD_RETURNED) {
            status = state_fail(state, "%s", result.message);
        }
    }
    heap_defer_frees(NULL);
    page_log_pause(&state->pages);
    return status < 0 ? status : state->status;
}
