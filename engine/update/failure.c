/* What failed, told so that it can be found: which function of which file, on which instance, and what the
 * instance was. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/update/frame_instances.h"
#include "engine/update/rehearsal.h"
#include "engine/update/state_private.h"

static const char *const kinds[] = {
    [STATE_SELECT] = "policy",       [STATE_ALLOCATE] = "policy",     [STATE_MIGRATE] = "policy",
    [STATE_VALIDATE] = "validation", [STATE_INVARIANT] = "invariant", [STATE_SYSTEM] = "system",
};

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + length, size - length, format, arguments);
    va_end(arguments);
}

static uint32_t show(const struct layout *layout, const uint8_t *object, uint8_t *bytes)
{
    uint32_t size = layout->size < UPDATE_SHOWN_MAX ? layout->size : UPDATE_SHOWN_MAX;

    memcpy(bytes, object, size);
    return size;
}

static void locate(const struct state *state, struct update_failure *failure)
{
    const struct patch_file *file = state->layouts.file;
    const struct molt_patch_migration *record = state->current->record;
    bool validation = state->current_function == STATE_VALIDATE;

    snprintf(failure->file, sizeof(failure->file), "%s",
             patch_file_string(file, validation ? record->validate_file : record->file));
    failure->line = validation ? record->validate_line : record->line;
    snprintf(failure->type, sizeof(failure->type), "%s", state->current->from->name);
}

static void locate_invariant(const struct state *state, struct update_failure *failure)
{
    const struct patch_file *file = state->layouts.file;
    const struct molt_patch_invariant *invariant = state->current_invariant;

    snprintf(failure->file, sizeof(failure->file), "%s", patch_file_string(file, invariant->file));
    snprintf(failure->name, sizeof(failure->name), "%s", patch_file_string(file, invariant->name));
    snprintf(failure->type, sizeof(failure->type), "%s", state->layouts.items[invariant->layout].name);
    failure->line = invariant->line;
}

/* Which of the conversion's items the current one is. */
static size_t number_of(const struct state *state)
{
    struct staging_position position = { 0 };
    const struct item *item;
    size_t number = 0;

    while ((item = item_next(state->current, &position))) {
        number++;
        if (item == state->current_item) {
            break;
        }
    }
    return number;
}

/* The local that is at PLACE, if that is in a suspended function's frame. */
static void name_local(const struct state *state, uintptr_t place, struct update_failure *failure)
{
    for (size_t i = 0; i < state->instance_count; i++) {
        const struct frame_instance *instance = &state->instances[i];
        if (instance->place == place) {
            append(failure->instance, sizeof(failure->instance), ", %.120s",
                   patch_file_string(state->layouts.file, instance->record->name));
        }
    }
}

/* NUMBERED: counting which one it is may take a while. */
static void show_instance(const struct state *state, bool numbered, struct update_failure *failure)
{
    const struct layout *from, *to;

    if (state->current_function == STATE_INVARIANT) {
        from = to = &state->layouts.items[state->current_invariant->layout];
    } else {
        from = state->current->from;
        to = state->current->to;
    }
    const uint8_t *old = state->current_old;
    const uint8_t *new = state->current_new;
    bool many = state->current_item && state->current_item->kind != PLACE_OBJECT;
    size_t index = state->current_index,
           count =
               many ? conversion_count(state->current, state->current_item->kind, state->current_item->size)
                    : 1;
    uintptr_t place = state->current_item ? state->current_item->place : (uintptr_t)(old ? old : new);

    snprintf(failure->instance, sizeof(failure->instance), "0x%lx", (unsigned long)place);
    if (count > 1) {
        append(failure->instance, sizeof(failure->instance), " (%zu of %zu)", index + 1, count);
    } else if (numbered && state->current_function == STATE_VALIDATE && state->current->count > 1) {
        append(failure->instance, sizeof(failure->instance), " (%zu of %zu)", number_of(state),
               (size_t)state->current->count);
    }
    name_local(state, place, failure);
    if (old) {
        failure->old_size = show(from, old + (many ? index * from->size : 0), failure->old_bytes);
    }
    if (new) {
        failure->new_size = show(to, new + (many ? index * to->size : 0), failure->new_bytes);
    }
}

/* What is being worked on. */
static void describe(const struct state *state, bool numbered, struct update_failure *failure)
{
    bool invariant = state->current_function == STATE_INVARIANT && state->current_invariant;

    *failure = (struct update_failure){ .kind = kinds[state->current_function] };
    if (invariant) {
        locate_invariant(state, failure);
    } else if (state->current) {
        locate(state, failure);
    }
    if (invariant || state->current) {
        show_instance(state, numbered, failure);
    }
}

/* Outcome and reason, of the report's failure. */
static void conclude(struct update_report *report, enum state_function function)
{
    const struct update_failure *failure = &report->failure;

    report->outcome = UPDATE_FAILED;
    snprintf(report->reason, sizeof(report->reason), "%s",
             function == STATE_MIGRATE    ? "migration"
             : function == STATE_SELECT   ? "the split"
             : function == STATE_ALLOCATE ? "the allocation for a successor"
             : function == STATE_SYSTEM   ? "Molt's own check"
                                          : failure->kind);
    if (*failure->type) {
        append(report->reason, sizeof(report->reason), " of %s%s%s", failure->type, *failure->name ? " " : "",
               failure->name);
    }
    if (*failure->file) {
        append(report->reason, sizeof(report->reason), " (%s:%u)", failure->file, failure->line);
    }
    if (*failure->instance) {
        append(report->reason, sizeof(report->reason), ", instance %s", failure->instance);
    }
    append(report->reason, sizeof(report->reason), ": %s", failure->message);
}

int state_fail(struct state *state, const char *format, ...)
{
    struct update_failure *failure = &state->report->failure;
    va_list arguments;

    describe(state, true, failure);
    va_start(arguments, format);
    vsnprintf(failure->message, sizeof(failure->message), format, arguments);
    va_end(arguments);
    conclude(state->report, state->current_function);
    return -EFAULT;
}

/* ---- for those who cannot ask ---------------------------------------------------------------------- */

struct state_notes {
    enum state_function function;
    struct update_failure failure; /* if it ends here */
};

_Static_assert(sizeof(struct state_notes) <= REHEARSAL_NOTES, "room for the notes");

void state_note_in(struct state *state, void *notes)
{
    state->notes = notes;
    *state->notes = (struct state_notes){ STATE_SYSTEM, { .kind = kinds[STATE_SYSTEM] } };
}

void state_note_now(const struct state *state)
{
    state->notes->function = state->current_function;
    describe(state, false, &state->notes->failure);
}

void state_perished(const void *notes, const char *how, struct update_report *report)
{
    const struct state_notes *last = notes;

    report->failure = last->failure;
    snprintf(report->failure.message, sizeof(report->failure.message), "%s", how);
    conclude(report, last->function);
}

int state_exhausted(struct state *state, const char *whose, size_t size)
{
    state_refuse(state,
                 "not enough memory: %s could not have %zu bytes for migrated instances; the update was "
                 "discarded, give the process more memory or make the update when it holds less",
                 whose, size);
    return -ENOMEM;
}
