/* What failed, told so that it can be found: which function of which file, on which instance, and what the instance was. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/update/state_private.h"

#define SHOWN_BYTES 96

static const char *const function_names[] = {
    [STATE_SELECT] = "split",        [STATE_ALLOCATE] = "allocation", [STATE_MIGRATE] = "migration",
    [STATE_VALIDATE] = "validation", [STATE_INVARIANT] = "invariant", [STATE_SYSTEM] = "check",
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

/* "name=0x55..., 48 65 6c ...": addresses by member, then the first bytes. */
static void describe(const struct layouts *layouts, const struct layout *layout, const uint8_t *object,
                     char *text, size_t size)
{
    for (uint32_t i = 0; i < layout->record->field_count; i++) {
        const struct molt_patch_field *field = &layouts->file->patch_fields[layout->record->field + i];
        uintptr_t value;
        if (field->kind == MOLT_FIELD_MEMBER || field->count != 1) {
            continue;
        }
        memcpy(&value, object + field->offset, sizeof(value));
        append(text, size, "%s=0x%lx ", patch_file_string(layouts->file, field->name), (unsigned long)value);
    }
    for (uint32_t i = 0; i < layout->size && i < SHOWN_BYTES; i++) {
        append(text, size, i % 8 ? "%02x" : i ? " %02x" : "%02x", object[i]);
    }
    if (layout->size > SHOWN_BYTES) {
        append(text, size, "...");
    }
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

static void show_instance(const struct state *state, struct update_failure *failure)
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
    failure->index = state->current_index;
    failure->address = state->current_item ? state->current_item->place : (uintptr_t)(old ? old : new);
    if (old) {
        describe(&state->layouts, from, old + (many ? failure->index * from->size : 0), failure->old_value,
                 sizeof(failure->old_value));
    }
    if (new) {
        describe(&state->layouts, to, new + (many ? failure->index * to->size : 0), failure->new_value,
                 sizeof(failure->new_value));
    }
}

int state_fail(struct state *state, const char *format, ...)
{
    struct update_report *report = state->report;
    struct update_failure *failure = &report->failure;
    va_list arguments;

    *failure = (struct update_failure){ 0 };
    va_start(arguments, format);
    vsnprintf(failure->message, sizeof(failure->message), format, arguments);
    va_end(arguments);
    snprintf(failure->function, sizeof(failure->function), "%s", function_names[state->current_function]);
    if (state->current_function == STATE_INVARIANT && state->current_invariant) {
        locate_invariant(state, failure);
    } else if (state->current) {
        locate(state, failure);
    }
    if (state->current || (state->current_function == STATE_INVARIANT && state->current_invariant)) {
        show_instance(state, failure);
    }
    report->outcome = UPDATE_FAILED;
    snprintf(report->reason, sizeof(report->reason), "%s of %s%s%s", failure->function, failure->type,
             *failure->name ? " " : "", failure->name);
    if (*failure->file) {
        append(report->reason, sizeof(report->reason), " (%s:%u)", failure->file, failure->line);
    }
    append(report->reason, sizeof(report->reason), ", instance at 0x%lx", (unsigned long)failure->address);
    if (failure->index) {
        append(report->reason, sizeof(report->reason), "[%lu]", (unsigned long)failure->index);
    }
    append(report->reason, sizeof(report->reason), ": %s", failure->message);
    return -EFAULT;
}
