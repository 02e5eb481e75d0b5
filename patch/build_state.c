/*
 * State in a build. Most changes touch no type: that shows in the objects of the units that changed, and then nothing more is
 * done. Otherwise the types of the whole program are asked for, from its debug information (or, where earlier patches
 * have changed them, from all units compiled as patched), since instances may be anywhere.
 */
#include "patch/build_state.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/emit_roots.h"
#include "patch/policy.h"
#include "patch/sites_emit.h"
#include "patch/variables.h"

/* What a binary allocates; the session's. */
struct image_sites {
    const struct image *image;
    const struct sites *sites;
};

/* What the functions that a unit brings allocate. */
struct code_sites {
    const struct contribution *contribution;
    const struct comparison *comparison; /* whose new object the addresses are of */
    struct sites *sites;
};

struct build_state {
    struct type_model *old, *new;
    struct type_changes *changes;
    struct policies *policies;
    struct policy_input input;
    struct compile_setup setup;
    bool migrates; /* something changed that instances may have */
    LIST(struct image_sites) images;
    LIST(struct code_sites) code;
    LIST(struct sites *)
    outdated; /* of code that was compiled again; types are from their debug information */
};

/* ---- models ------------------------------------------------------------------------------------------------------ */

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
        if (dwarf_offdie(image->dwarf, image->units.items[i].die, &die)) {
            type_model_add(model, &die, name_in_image(build, &image->units.items[i]));
        }
    }
    if (image->dwarf) {
        add_type_units(model, image->dwarf);
    }
}

static bool is_patched(const struct build *build, const struct image *image)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        if (build->contributions.items[i]->image == image) {
            return true;
        }
    }
    return false;
}

static void forget_models(struct build_state *state)
{
    type_changes_destroy(state->changes);
    type_model_destroy(state->old);
    type_model_destroy(state->new);
    state->changes = NULL;
    state->old = state->new = NULL;
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

/* Models of the changed units, and with WHOLE of the program. */
static void make_models(struct build *build, struct build_state *state, bool whole)
{
    forget_models(state);
    state->old = type_model_create();
    state->new = type_model_create();
    add_objects(build, state);
    for (size_t i = 0; whole && !build->earlier_count && i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        if (is_patched(build, image)) {
            add_image(build, state->old, image);
        }
    }
    if (whole) {
        add_sites(state);
    }
    state->changes = type_changes_create(state->old, state->new, build->request->changes);
}

/* ---- does anything change? --------------------------------------------------------------------------------------- */

static bool any_type_changed(const struct build_state *state)
{
    for (size_t i = 0; i < type_changes_count(state->changes); i++) {
        const struct type_change *change = type_changes_at(state->changes, i);
        if (change->old && change->new) {
            return true;
        }
    }
    return false;
}

static bool is_variable(const struct object *object, const struct object_symbol *symbol)
{
    enum section_kind kind = object->sections[symbol->section].kind;

    return symbol->key && symbol->section && (kind == SECTION_DATA || kind == SECTION_TLS);
}

/* Whether the variable OLD of the old object is something else in the new one. */
static bool variable_changed(const struct build_state *state, const struct comparison *comparison,
                             const struct object_symbol *old, const variable_list *before,
                             const variable_list *after)
{
    struct object_symbol *new = object_find(comparison->new, old->key);

    if (!new || !is_variable(comparison->new, new)) {
        return false;
    }
    bool old_tls = comparison->old->sections[old->section].kind == SECTION_TLS;
    bool new_tls = comparison->new->sections[new->section].kind == SECTION_TLS;
    const struct variable *one = variables_find(before, object_address(comparison->old, old), old_tls);
    const struct variable *other = variables_find(after, object_address(comparison->new, new), new_tls);
    return old->size != new->size ||
           (one && other &&
            types_conversion(state->changes, type_of_object(state->old, &one->die),
                             type_of_object(state->new, &other->die)) != TYPE_CONVERT_COPY);
}

static bool any_variable_changed(const struct build_state *state, const struct comparison *comparison)
{
    variable_list before, after;
    bool changed = false;

    variables_of_all(object_dwarf(comparison->old), &before);
    variables_of_all(object_dwarf(comparison->new), &after);
    for (size_t i = 1; !changed && i < comparison->old->symbol_count; i++) {
        const struct object_symbol *old = &comparison->old->symbols[i];
        changed =
            is_variable(comparison->old, old) && variable_changed(state, comparison, old, &before, &after);
    }
    LIST_FREE(&before);
    LIST_FREE(&after);
    return changed;
}

static bool anything_changed(const struct build *build, const struct build_state *state)
{
    bool changed = any_type_changed(state);

    for (size_t i = 0; !changed && i < build->units.count; i++) {
        const struct changed_unit *unit = build->units.items[i];
        changed = is_changed(unit) && any_variable_changed(state, &unit->comparison);
    }
    return changed;
}

/* ---- sites --------------------------------------------------------------------------------------------------------- */

/* Works out what the changed and new functions of CONTRIBUTION allocate. */
static struct molt_error *find_code_sites(struct build *build, const struct contribution *contribution,
                                          struct code_sites *ret)
{
    const struct comparison *comparison = contribution->comparison;
    bool *wanted = must_calloc(comparison->new->symbol_count, sizeof(*wanted)), any = false;
    struct molt_error *error = NULL;

    *ret = (struct code_sites){ contribution, comparison, NULL };
    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        const struct object_symbol *symbol = &comparison->new->symbols[i];
        wanted[i] = symbol_is_function(comparison->new, symbol) && comparison->new_change[i] != CHANGE_NONE;
        any = any || wanted[i];
    }
    if (any) {
        error = sites_of_object(build->session, build->request, &build->to,
                                build_unit_of(build, comparison)->unit, comparison->new, wanted,
                                contribution->image, &ret->sites);
    }
    free(wanted);
    return error;
}

/* Works out what the program allocates, and what the patch's code does. The engine remembers the former from one patch to the
 * next. */
static struct molt_error *find_sites(struct build *build, struct build_state *state)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && i < build->contributions.count; i++) {
        struct code_sites code;
        error = find_code_sites(build, build->contributions.items[i], &code);
        if (!error && code.sites) {
            LIST_ADD(&state->code, code);
        }
    }
    for (size_t i = 0; !error && state->migrates && !build->earlier_count && i < build->session->images.count;
         i++) {
        const struct image *image = build->session->images.items[i];
        const struct sites *sites = NULL;
        error = is_patched(build, image)
                    ? sites_of_image(build->session, build->request, &build->from, image, &sites)
                    : NULL;
        if (!error && sites) {
            LIST_ADD(&state->images, (struct image_sites){ image, sites });
        }
    }
    return error;
}

static void emit_image_sites(struct build_state *state, struct state_emission *records)
{
    for (size_t i = 0; i < state->images.count; i++) {
        sites_emit(state->images.items[i].sites, records, state->old, state->images.items[i].image, NULL);
    }
}

/* Code that was compiled again to reach its data in another way has its calls elsewhere. */
static struct molt_error *emit_code_sites(struct build *build, struct state_emission *records)
{
    struct build_state *state = build->state;
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && i < state->code.count; i++) {
        struct code_sites *code = &state->code.items[i];
        if (code->contribution->comparison != code->comparison) {
            LIST_ADD(&state->outdated, code->sites);
            error = find_code_sites(build, code->contribution, code);
        }
        if (!error && code->sites) {
            sites_emit(code->sites, records, state->new, code->contribution->image, code->contribution);
        }
    }
    return error;
}

/* ---- preparing --------------------------------------------------------------------------------------------------- */

static struct molt_error *make_policies(struct build *build, struct build_state *state)
{
    const struct changed_unit *first = build_unit_of(build, build->contributions.items[0]->comparison);

    state->setup = build_setup(build->session, build->request);
    state->input = (struct policy_input){ .setup = { .session = build->session,
                                                     .compile = &state->setup,
                                                     .to = &build->to,
                                                     .neighbour = first->unit->entry,
                                                     .diagnostics = &build->result->diagnostics },
                                          .changes = state->changes,
                                          .old_types = state->old,
                                          .new_types = state->new,
                                          .hints = build->request->changes,
                                          .earlier = build->earlier,
                                          .earlier_count = build->earlier_count };
    return policies_create(&state->input, &state->policies);
}

struct molt_error *build_state_prepare(struct build *build)
{
    struct molt_error *error = NULL;

    if (!build->request->state || !build->contributions.count) {
        return NULL;
    }
    struct build_state *state = build->state = must_calloc(1, sizeof(*state));
    make_models(build, state, false);
    state->migrates = anything_changed(build, state);
    if (!state->migrates) {
        return find_sites(build, state);
    }
    build_progress(build, "types", 0, 1);
    if (build->earlier_count) {
        error = build_take_all(build);
    }
    if (!error) {
        error = find_sites(build, state);
    }
    if (!error) {
        make_models(build, state, true);
        error = make_policies(build, state);
    }
    return error;
}

void build_state_contribute(struct build *build, struct emission *emission)
{
    LIST(const struct image *) images = { 0 };

    for (size_t i = 0; i < build->session->images.count; i++) {
        if (is_patched(build, build->session->images.items[i])) {
            LIST_ADD(&images, build->session->images.items[i]);
        }
    }
    if (build->state && build->state->policies) {
        policies_contribute(build->state->policies, emission, images.items, images.count);
    }
    LIST_FREE(&images);
}

/* ---- records -------------------------------------------------------------------------------------------------------- */

static bool is_contributed(const struct build *build, const struct image_unit *unit)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        if (build->contributions.items[i]->image_unit == unit) {
            return true;
        }
    }
    return false;
}

/* The variables of units that the patch does not touch, in IMAGE: by its own debug information. */
static void emit_other_roots(struct build *build, struct root_emission *roots, const struct image *image)
{
    for (size_t i = 0; i < image->units.count; i++) {
        if (!is_contributed(build, &image->units.items[i])) {
            emit_roots_of_image_unit(roots, image, &image->units.items[i]);
        }
    }
}

/* The same where earlier patches changed types: by all units as they are compiled from the patched sources. */
static void emit_patched_roots(struct build *build, struct root_emission *roots, const struct image *image)
{
    for (size_t i = 0; i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        const struct compile_entry *entry = changed->unit->entry;
        const struct image_unit *unit = image_find_unit(image, entry->file, entry->name);
        if (changed->compared && unit && !is_contributed(build, unit)) {
            struct contribution contribution = { .comparison = &changed->comparison,
                                                 .image = image,
                                                 .image_unit = unit,
                                                 .name = entry->name,
                                                 .key = entry->name,
                                                 .source = entry->file };
            emit_roots_of_unit(roots, &contribution, &changed->comparison);
        }
    }
}

static void emit_roots(struct build *build, struct state_emission *records)
{
    struct root_emission roots = { .state = records, .old = build->state->old, .new = build->state->new };

    for (size_t i = 0; i < build->contributions.count; i++) {
        struct contribution *contribution = build->contributions.items[i];
        emit_roots_of_unit(&roots, contribution, &build_unit_of(build, contribution->comparison)->comparison);
    }
    for (size_t i = 0; i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        if (is_patched(build, image) && build->earlier_count) {
            emit_patched_roots(build, &roots, image);
        } else if (is_patched(build, image)) {
            emit_other_roots(build, &roots, image);
        }
    }
    root_emission_deinit(&roots);
}

static struct molt_error *emit_migration(struct build *build, struct state_emission *records)
{
    emit_image_sites(build->state, records);
    emit_roots(build, records);
    policies_emit(build->state->policies, records);
    struct molt_error *error = records->emission->error;
    records->emission->error = NULL;
    return error;
}

struct molt_error *build_state_emit(struct build *build, struct emission *emission)
{
    struct state_emission records;
    struct molt_error *error = NULL;

    if (!build->state) {
        return NULL;
    }
    state_emission_init(&records, emission, build->state->changes);
    if (build->state->migrates) {
        error = emit_migration(build, &records);
    }
    error = error ? error : emit_code_sites(build, &records);
    state_emission_deinit(&records);
    return error;
}

static json_t *tell_sites(const struct build_state *state)
{
    json_t *all = must_have(json_object());

    for (size_t i = 0; i < state->images.count; i++) {
        sites_join_json(all, sites_to_json(state->images.items[i].sites));
    }
    for (size_t i = 0; i < state->code.count; i++) {
        if (state->code.items[i].sites) {
            sites_join_json(all, sites_to_json(state->code.items[i].sites));
        }
    }
    return all;
}

void build_state_tell(const struct build *build, json_t *manifest)
{
    if (build->state && build->state->policies) {
        json_object_set_new(manifest, "types", policies_to_json(build->state->policies));
        build->result->skeletons = policies_skeletons(build->state->policies);
        json_object_set_new(manifest, "sites", tell_sites(build->state));
    }
}

void build_state_deinit(struct build *build)
{
    struct build_state *state = build->state;

    if (!state) {
        return;
    }
    policies_destroy(state->policies);
    forget_models(state);
    for (size_t i = 0; i < state->code.count; i++) {
        sites_destroy(state->code.items[i].sites);
    }
    for (size_t i = 0; i < state->outdated.count; i++) {
        sites_destroy(state->outdated.items[i]);
    }
    LIST_FREE(&state->images);
    LIST_FREE(&state->code);
    LIST_FREE(&state->outdated);
    free(state);
    build->state = NULL;
}
