/*
 * In which units the functions are that numbers go to, and what was read of them. Units that take part in a
 * patch are read for all that they say about numbers; of whatever unit, functions are read when a number gets
 * there.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/build_numbers.h"

static bool has_name(const struct number_reading *reading, const char *name)
{
    bool found = false;

    for (size_t i = 0; i < reading->names.count && !found; i++) {
        found = reading->names.items[i] && strcmp(reading->names.items[i], name) == 0;
    }
    return found;
}

static struct unit *unit_of(const struct patch_session *session, const struct image *image, uint64_t address)
{
    Dwarf_Die die;
    const struct image_unit *there = image_unit_at(image, address, &die);

    for (size_t i = 0; there && i < session->unit_count; i++) {
        const struct compile_entry *entry = session->units[i].entry;
        if (image_find_unit(image, entry->file, entry->name) == there) {
            return &session->units[i];
        }
    }
    return NULL;
}

/* The unit that defines the extern FUNCTION, or NULL. */
static struct unit *find_definer(struct numbers *numbers, const char *function)
{
    const struct patch_session *session = numbers->build->session;
    struct unit *unit = table_get(&numbers->definers, function);

    for (size_t i = 0; i < session->images.count && !unit; i++) {
        const struct image *image = session->images.items[i];
        const struct image_symbol *symbol = image->dwarf ? image_find_global(image, function) : NULL;
        unit = symbol ? unit_of(session, image, symbol->value) : NULL;
    }
    if (unit) {
        (void)table_put(&numbers->definers, function, unit);
    }
    return unit;
}

static bool defines(const struct probe *probe, const char *function)
{
    bool found = false;

    for (size_t i = 0; i < probe->functions.count && !found; i++) {
        found = strcmp(probe->functions.items[i], function) == 0;
    }
    return found;
}

void numbers_want(struct numbers *numbers, struct unit *unit, const char *name)
{
    struct number_reading *reading = NULL;

    for (size_t i = 0; i < numbers->wanted.count; i++) {
        reading = numbers->wanted.items[i]->unit == unit ? numbers->wanted.items[i] : reading;
    }
    if (!reading) {
        reading = must_calloc(1, sizeof(*reading));
        reading->unit = unit;
        reading->key = unit->entry->name;
        LIST_ADD(&numbers->wanted, reading);
    }
    if (!has_name(reading, name)) {
        LIST_ADD(&reading->names, name);
    }
}

const struct number_reading *numbers_find_reading(const struct numbers *numbers, const struct unit *unit,
                                                  const char *name)
{
    for (size_t i = 0; i < numbers->readings.count; i++) {
        const struct number_reading *reading = numbers->readings.items[i];
        if (reading->unit == unit && has_name(reading, name)) {
            return reading;
        }
    }
    return NULL;
}

const struct number_reading *numbers_find_function(struct numbers *numbers,
                                                   const struct number_reading *reading, const char *function,
                                                   bool *ret_known)
{
    struct unit *unit = defines(reading->probe, function) ? reading->unit : find_definer(numbers, function);
    const struct number_reading *known = unit ? numbers_find_reading(numbers, unit, function) : NULL;

    if (unit && !known) {
        numbers_want(numbers, unit, function);
    }
    *ret_known = unit && (!known || defines(known->probe, function));
    return *ret_known ? known : NULL;
}

static void add_unit(number_units *units, struct unit *unit)
{
    for (size_t i = 0; i < units->count; i++) {
        if (units->items[i] == unit) {
            return;
        }
    }
    if (unit) {
        LIST_ADD(units, unit);
    }
}

void numbers_find_callers(const struct numbers *numbers, const char *function, struct unit *own,
                          number_units *ret)
{
    const struct patch_session *session = numbers->build->session;

    add_unit(ret, own);
    for (size_t i = 0; i < session->images.count; i++) {
        const struct image *image = session->images.items[i];
        const struct image_symbol *symbol = image->dwarf ? image_find_global(image, function) : NULL;
        image_references references = { 0 };
        if (symbol) {
            image_find_references(image, &symbol->value, 1, &references);
        }
        for (size_t k = 0; k < references.count; k++) {
            add_unit(ret, unit_of(session, image, references.items[k].address));
        }
        LIST_FREE(&references);
    }
}
