/*
 * A recipe that gives a local another place relies on nobody having its address, as far as the code tells
 * that the builder knows: the binary's, and that of the updates in force. Code of an update that was rolled
 * back has run here, too, and may have kept any address that it could get:
 *
 * - that of a local, by a version of the local's own function;
 * - that of a local which its function hands out, by a version of whatever it was handed to. Which functions
 *   those are only the builder could tell, so any counts.
 *
 * Versions of which the builder has found that they keep nothing are left out.
 *
 * An update that is rolled back and comes again is known like all that are in force. The way into it needs no
 * care either: if its own code has kept the address of a local before, that leads to where the local is in
 * its version, and so again when the function is back there.
 */
#include "engine/update/withdrawn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct withdrawn {
    char *id, *reason;                 /* never freed: recipes that are pending name it */
    const struct function **functions; /* that may have kept something */
    size_t function_count;
    bool in_force; /* again */
};

static struct {
    struct withdrawn *items;
    size_t count;
    bool incomplete; /* for want of memory */
} withdrawn;

static struct withdrawn *find(const char *id)
{
    for (size_t i = 0; i < withdrawn.count; i++) {
        if (strcmp(withdrawn.items[i].id, id) == 0) {
            return &withdrawn.items[i];
        }
    }
    return NULL;
}

static char *make_reason(const char *name)
{
    char *reason;
    int length =
        asprintf(&reason,
                 "the update \"%s\", which was rolled back, may have kept the address of a local that "
                 "the new version keeps elsewhere; apply that one again and build upon it, or restart "
                 "the program",
                 name);

    return length < 0 ? NULL : reason;
}

static struct withdrawn *add(const char *id, const char *title)
{
    struct withdrawn *grown = realloc(withdrawn.items, (withdrawn.count + 1) * sizeof(*grown));

    if (!grown) {
        return NULL;
    }
    withdrawn.items = grown;
    struct withdrawn *item = &grown[withdrawn.count];
    *item = (struct withdrawn){ .id = strdup(id), .reason = make_reason(*title ? title : id) };
    if (!item->id || !item->reason) {
        free(item->id);
        free(item->reason);
        return NULL;
    }
    withdrawn.count++;
    return item;
}

void withdrawn_note(const char *id, const char *title, const struct transition *transitions, size_t count)
{
    struct withdrawn *item = find(id);
    const struct function **functions = calloc(count + 1, sizeof(*functions));

    item = item ? item : add(id, title);
    if (!item || !functions) {
        free(functions);
        withdrawn.incomplete = true;
        return;
    }
    free(item->functions);
    item->functions = functions;
    item->function_count = 0;
    item->in_force = false;
    for (size_t i = 0; i < count; i++) {
        if (!transitions[i].keeps_nothing) {
            functions[item->function_count++] = transitions[i].function;
        }
    }
}

void withdrawn_return(const char *id)
{
    struct withdrawn *item = find(id);

    if (item) {
        item->in_force = true;
    }
}

/* ---- whom it concerns ------------------------------------------------------------------------------ */

static bool is_within(const struct version *version, uintptr_t return_address)
{
    for (size_t i = 0; i < version->count; i++) {
        const struct code_range *range = &version->ranges[i];
        if (return_address > range->start && return_address <= range->start + range->size) {
            return true;
        }
    }
    return false;
}

static bool has_version_of(const struct withdrawn *item, const struct function *function)
{
    for (size_t i = 0; i < item->function_count; i++) {
        if (item->functions[i] == function) {
            return true;
        }
    }
    return false;
}

/* Whether ITEM had a version of the function that RECIPE is for. */
static bool has_function(const struct withdrawn *item, const struct transition *transitions, size_t count,
                         const struct transfer *recipe)
{
    bool known = false, found = false;

    for (size_t i = 0; i < count; i++) {
        const struct transition *each = &transitions[i];
        if (is_within(&each->before, recipe->from) || is_within(&each->after, recipe->from)) {
            known = true;
            found = found || has_version_of(item, each->function);
        }
    }
    return found || !known;
}

/* Why RECIPE is not to be followed; NULL: it may. */
static const char *objection(const char *id, const struct transition *transitions, size_t count,
                             const struct transfer *recipe)
{
    if (!recipe->moves && !recipe->moves_taken) {
        return NULL;
    }
    for (size_t i = 0; i < withdrawn.count; i++) {
        const struct withdrawn *item = &withdrawn.items[i];
        if (!item->in_force && item->function_count && strcmp(item->id, id) != 0 &&
            (recipe->moves_taken || has_function(item, transitions, count, recipe))) {
            return item->reason;
        }
    }
    return withdrawn.incomplete ? "for want of memory it is not known what updates that were rolled back "
                                  "have run; restart the "
                                  "program"
                                : NULL;
}

void withdrawn_forbid(const char *id, const struct transition *transitions, size_t count,
                      struct recipes *recipes)
{
    for (size_t i = 0; recipes && i < recipes->count; i++) {
        struct transfer *recipe = &recipes->items[i];
        recipe->reason = recipe->reason ? recipe->reason : objection(id, transitions, count, recipe);
    }
    if (recipes) {
        recipes_share_refusals(recipes);
    }
}
