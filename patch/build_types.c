/*
 * The types of a build: models of both sides, and whether anything in them changed. The changed units' own
 * objects are enough to tell; for the rest of the program its debug information is asked, but for units that
 * earlier patches have changed: those are compiled from the patched sources (build_take.c).
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/build_state_private.h"
#include "patch/build_take.h"
#include "patch/types/variables.h"

/* ---- models ---------------------------------------------------------------------------------------- */

/* The name under which the patch knows CHANGED. */
static const char *key_of(const struct build *build, const struct changed_unit *changed)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        if (build_unit_of(build, build->contributions.items[i]->comparison) == changed) {
            return build->contributions.items[i]->key;
        }
    }
    return changed->unit->entry->name;
}

static bool is_changed(const struct changed_unit *changed)
{
    return changed->compared && changed->comparison.old != changed->comparison.new;
}

static void add_objects(struct build *build, struct build_state *state)
{
    for (size_t i = 0; i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        const char *key = key_of(build, changed);
        if (changed->compared) {
            type_model_add_all(state->old, object_dwarf(changed->comparison.old), key);
        }
        if (is_changed(changed)) {
            type_model_add_all(state->new, object_dwarf(changed->comparison.new), key);
        }
    }
}

/* The name of a unit of a binary, as patches have it. */
static const char *name_in_image(const struct build *build, const struct image_unit *unit)
{
    const char *below = path_below(build->session->db.root, unit->path);

    for (size_t i = 0; i < build->contributions.count; i++) {
        if (build->contributions.items[i]->image_unit == unit) {
            return build->contributions.items[i]->key;
        }
    }
    return below ? below : unit->path;
}

/* Types in units of their own (-fdebug-types-section). */
static void add_type_units(struct type_model *model, Dwarf *dwarf)
{
    Dwarf_CU *unit = NULL;
    Dwarf_Die top;
    uint8_t kind;

    while (dwarf_get_units(dwarf, unit, &unit, NULL, &kind, &top, NULL) == 0) {
        if (kind == DW_UT_type) {
            type_model_add(model, &top, "");
        }
    }
}

static void add_image(const struct build *build, struct type_model *model, const struct image *image)
{
    Dwarf_Die die;

    for (size_t i = 0; image->dwarf && i < image->units.count; i++) {
        const struct image_unit *unit = &image->units.items[i];
        if ((!build->earlier_count || build_image_tells(build, image, unit)) &&
            dwarf_offdie(image->dwarf, unit->die, &die)) {
            type_model_add(model, &die, name_in_image(build, unit));
        }
    }
    if (image->dwarf && !build->earlier_count) {
        add_type_units(model, image->dwarf);
    }
}

bool build_is_patched(const struct build *build, const struct image *image)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        if (build->contributions.items[i]->image == image) {
            return true;
        }
    }
    for (size_t i = 0; i < build->asked.count; i++) {
        if (build->asked.items[i] == image) {
            return true;
        }
    }
    return false;
}

void build_types_forget(struct build_state *state)
{
    type_changes_destroy(state->changes);
    type_model_destroy(state->old);
    type_model_destroy(state->new);
    state->changes = NULL;
    state->old = state->new = NULL;
    json_decref(state->hints);
    state->hints = NULL;
}

/* The types that sites speak of. */
static void add_sites(struct build_state *state)
{
    for (size_t i = 0; i < state->images.count; i++) {
        sites_add_units(state->images.items[i].sites, state->old);
    }
    for (size_t i = 0; i < state->code.count; i++) {
        sites_add_units(state->code.items[i].sites, state->new);
    }
}

void build_types_make(struct build *build, bool whole)
{
    struct build_state *state = build->state;

    build_types_forget(state);
    state->old = type_model_create();
    state->new = type_model_create();
    add_objects(build, state);
    for (size_t i = 0; whole && i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        if (build_is_patched(build, image)) {
            add_image(build, state->old, image);
        }
    }
    add_sites(state);
    state->hints = policy_mentions_hints(&state->mentions, state->old, build->request->changes);
    state->changes = type_changes_create_for(state->old, state->new, state->hints, state->spoken_of.items,
                                             state->spoken_of.count);
}

/* ---- does anything change? ------------------------------------------------------------------------- */

/* Whether values of ONE are not values of OTHER as they are. Numbers that need a conversion are noted. */
static bool value_changed(const struct build_state *state, const struct variable *one,
                          const struct variable *other)
{
    const struct type *old = type_part(type_of_object(state->old, &one->die), one->offset, one->size);
    const struct type *new = type_part(type_of_object(state->new, &other->die), other->offset, other->size);
    if (!old || !new) {
        return false;
    }
    enum type_conversion each =
        types_conversion(state->changes, type_element(old, NULL), type_element(new, NULL));

    if (each == TYPE_CONVERT_NUMBER || each == TYPE_CONVERT_ENUM) {
        (void)type_changes_of_value(state->changes, type_element(old, NULL), type_element(new, NULL));
    }
    return types_conversion(state->changes, old, new) != TYPE_CONVERT_COPY;
}

/* Whether the variable OLD of the old object is something else in the new one. */
static bool variable_changed(const struct build_state *state, const struct comparison *comparison,
                             const struct object_symbol *old, const variable_list *before,
                             const variable_list *after)
{
    struct object_symbol *new = comparison->now_of[old->index];

    if (!new || !object_is_variable(comparison->new, new)) {
        return false;
    }
    bool old_tls = comparison->old->sections[old->section].kind == SECTION_TLS;
    bool new_tls = comparison->new->sections[new->section].kind == SECTION_TLS;
    const struct variable *one = variables_find(before, object_address(comparison->old, old), old_tls);
    const struct variable *other = variables_find(after, object_address(comparison->new, new), new_tls);
    bool changed = one && other && value_changed(state, one, other);
    return changed || old->size != new->size;
}

static bool any_variable_changed(const struct build_state *state, const struct comparison *comparison)
{
    variable_list before, after;
    bool changed = false;

    variables_of_all(object_dwarf(comparison->old), &before);
    variables_of_all(object_dwarf(comparison->new), &after);
    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        const struct object_symbol *old = &comparison->old->symbols[i];
        changed = (object_is_variable(comparison->old, old) &&
                   variable_changed(state, comparison, old, &before, &after)) ||
                  changed;
    }
    LIST_FREE(&before);
    LIST_FREE(&after);
    return changed;
}

bool build_types_changed(const struct build *build)
{
    const struct build_state *state = build->state;
    bool changed = type_changes_any(state->changes);

    for (size_t i = 0; i < build->units.count; i++) {
        const struct changed_unit *unit = build->units.items[i];
        changed = (is_changed(unit) && any_variable_changed(state, &unit->comparison)) || changed;
    }
    return changed;
}
