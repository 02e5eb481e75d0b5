/*
 * State in a build. Most changes touch no type: that shows in the objects of the units that changed, and then
 * nothing more is done. Otherwise the types of the whole program are asked for, from its debug information
 * (and, where earlier patches have changed units, from those compiled as patched), since instances may be
 * anywhere.
 */
#include "patch/build_state.h"

#include <stdlib.h>
#include <string.h>

#include "patch/build_locals.h"
#include "patch/build_state_private.h"
#include "patch/build_take.h"
#include "patch/emit/roots.h"
#include "patch/transfer/frame_policy.h"
#include "patch/policy/stage.h"

/* ---- sites ----------------------------------------------------------------------------------------- */

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

/* Whether an earlier patch told what the program allocates: the engine remembers that. */
static bool earlier_told_sites(const struct build *build)
{
    for (size_t i = 0; i < build->earlier_count; i++) {
        const struct patch_file *file = &build->earlier[i].file;
        for (size_t k = 0; k < file->patch_sites_count; k++) {
            if (!file->patch_sites[k].symbol) {
                return true;
            }
        }
    }
    return false;
}

/* The sites of IMAGE. Sources that earlier patches changed have other lines than the program's debug
 * information. */
static struct molt_error *find_image_sites(struct build *build, const struct image *image,
                                           const struct sites **ret)
{
    LIST(const char *) stale = { 0 };

    *ret = sites_known(build->session, image);
    if (*ret && build->earlier_count) {
        return NULL;
    }
    for (size_t i = 0; i < build->earlier_count; i++) {
        const struct patch_file *file = &build->earlier[i].file;
        for (size_t k = 0; k < file->patch_functions_count; k++) {
            LIST_ADD(&stale, patch_file_string(file, file->patch_functions[k].unit));
        }
    }
    for (size_t i = 0; i < build->stale.count; i++) {
        LIST_ADD(&stale, build->stale.items[i]);
    }
    LIST_ADD(&stale, NULL);
    struct molt_error *error =
        sites_of_image(build->session, build->request, &build->from, stale.items, image, ret);
    LIST_FREE(&stale);
    return error;
}

/* The sites of the binaries are told by the first patch that migrates, or by an earlier one if it costs
 * nothing. */
struct molt_error *build_find_sites(struct build *build)
{
    struct build_state *state = build->state;
    bool told = earlier_told_sites(build);
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && !told && i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        const struct sites *sites = NULL;
        bool wanted = state->migrates || (!build->earlier_count && sites_known(build->session, image));
        error = wanted && build_is_patched(build, image) ? find_image_sites(build, image, &sites) : NULL;
        if (!error && sites) {
            LIST_ADD(&state->images, (struct image_sites){ image, sites });
        }
    }
    for (size_t i = 0; !error && i < build->contributions.count; i++) {
        struct code_sites code;
        error = find_code_sites(build, build->contributions.items[i], &code);
        if (!error && code.sites) {
            LIST_ADD(&state->code, code);
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

/* Gives the types of SITES as the models know them, from those worked out BEFORE of the same source. */
static void keep_types(struct sites *sites, const struct sites *before)
{
    for (size_t i = 0; i < sites->items.count; i++) {
        struct site *site = &sites->items.items[i];
        bool found = site->kind != MOLT_SITE_OBJECT && site->kind != MOLT_SITE_ARRAY;
        for (size_t k = 0; !found && k < before->items.count; k++) {
            const struct site *known = &before->items.items[k];
            found = known->kind == site->kind && known->line == site->line &&
                    strcmp(known->type_name, site->type_name) == 0;
            site->type = found ? known->type : site->type;
        }
        site->kind = found ? site->kind : MOLT_SITE_UNKNOWN;
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
            struct sites *before = code->sites;
            LIST_ADD(&state->outdated, before);
            error = find_code_sites(build, code->contribution, code);
            if (!error && code->sites) {
                keep_types(code->sites, before);
            }
        }
        if (!error && code->sites) {
            sites_emit(code->sites, records, state->new, code->contribution->image, code->contribution);
        }
    }
    return error;
}

/* ---- preparing ------------------------------------------------------------------------------------- */

/* A policy_initialisers of the units that changed. */
static struct molt_error *visit_initialisers(void *context, initialiser_visitor *visit, void *visit_context)
{
    struct build *build = context;
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && i < build->units.count; i++) {
        const char *file = build->units.items[i]->unit->entry->file;
        char *old_path = tree_file(&build->from, file), *new_path = tree_file(&build->to, file);
        char *old = NULL, *new = NULL;
        size_t old_size = 0, new_size = 0;
        error = file_read(old_path, &old, &old_size);
        error = error ? error : file_read(new_path, &new, &new_size);
        if (!error && (old_size != new_size || memcmp(old, new, old_size) != 0)) {
            error = initialisers_between(file, old, old_size, new, new_size, visit, visit_context);
        }
        free(old);
        free(new);
        free(old_path);
        free(new_path);
    }
    return error;
}

static struct molt_error *make_policies(struct build *build, struct build_state *state)
{
    const struct changed_unit *first = build_unit_of(build, build->contributions.items[0]->comparison);

    state->setup = build_setup(build->session, build->request);
    state->input = (struct policy_input){ .setup = { .session = build->session,
                                                     .compile = &state->setup,
                                                     .to = &build->to,
                                                     .neighbour = first->unit->entry,
                                                     .diagnostics = &build->result->diagnostics,
                                                     .strict = build->request->is_stage },
                                          .changes = state->changes,
                                          .old_types = state->old,
                                          .new_types = state->new,
                                          .earlier = build->earlier,
                                          .earlier_count = build->earlier_count,
                                          .visit_initialisers = visit_initialisers,
                                          .initialisers_context = build,
                                          .stages = build->request->stages,
                                          .is_stage = build->request->is_stage };
    return policies_create(&state->input, &state->policies);
}

static bool has_sites(const struct build_state *state)
{
    bool any = false;

    for (size_t i = 0; i < state->images.count; i++) {
        any = any || state->images.items[i].sites->items.count;
    }
    for (size_t i = 0; i < state->code.count; i++) {
        any = any || state->code.items[i].sites->items.count;
    }
    return any;
}

static void read_mentions(struct build *build, struct build_state *state)
{
    policy_mentions_read(build->session, &build->from, &build->to, &state->mentions);
    for (size_t i = 0; i < state->mentions.count; i++) {
        LIST_ADD(&state->spoken_of, state->mentions.items[i].type);
    }
}

static void check_mentions(struct build *build, struct build_state *state)
{
    policy_mentions_check(&state->mentions, state->old, state->changes, &build->result->diagnostics);
}

bool build_state_migrates(const struct build *build)
{
    return build->state && build->state->migrates;
}

/* Whether the layout of a type changed: a member in what was padding, say, two that trade places, or an
 * alignment. No code shows it before something uses them, and by then the sources that have it would be those
 * that the program runs: nobody would lead live instances there. */
static bool changes_unseen(const struct build_state *state)
{
    for (size_t i = 0; i < type_changes_count(state->changes); i++) {
        const struct type_change *change = type_changes_at(state->changes, i);
        if (change->old && change->new && change->kinds & ~(unsigned)TYPE_CHANGE_RENAMED) {
            return true;
        }
    }
    return false;
}

/* Places the units whose sources changed, although their code did not. */
static struct molt_error *place_all(struct build *build)
{
    for (size_t i = 0; i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        if (changed->compared && changed->comparison.old != changed->comparison.new) {
            changed->comparison.different = true;
        }
    }
    return build_place(build);
}

struct molt_error *build_state_prepare(struct build *build)
{
    struct molt_error *error = NULL;

    struct build_state *state = build->state = must_calloc(1, sizeof(*state));
    read_mentions(build, state);
    build_types_make(build, false);
    if (!build->contributions.count && changes_unseen(state)) {
        error = place_all(build);
    }
    if (error || !build->contributions
                      .count) { /* types may have other names all the same: the code does not show it */
        return error;
    }
    error = build_forms_check(build);
    if (error) {
        return error;
    }
    state->migrates = build_types_changed(build);
    if (!state->migrates) {
        error = build_find_sites(build);
        if (!error && has_sites(state)) {
            build_types_make(build, false); /* with the types that the sites speak of */
        }
        check_mentions(build, state);
        return error;
    }
    build_progress(build, "types", 0, 1);
    error = build_take_holders(build);
    if (!error) {
        error = build_take_patched(build);
    }
    if (!error) {
        error = build_find_sites(build);
    }
    if (!error) {
        build_types_make(build, true);
        (void)build_types_changed(build); /* notes the conversions of numbers */
        error = build_offsets_check(build);
        error = error ? error : make_policies(build, state);
        check_mentions(build, state);
    }
    return error;
}

/* Policies are there once for each binary that the patch changes: which of them a program has, nobody
 * knows before. */
void build_state_contribute(struct build *build, struct emission *emission)
{
    LIST(const struct image *) images = { 0 };

    for (size_t i = 0; i < build->session->images.count; i++) {
        if (build_is_patched(build, build->session->images.items[i])) {
            LIST_ADD(&images, build->session->images.items[i]);
        }
    }
    frame_policies_contribute(build->frames, emission, images.items, images.count);
    if (build->state && build->state->policies) {
        policies_contribute(build->state->policies, emission, images.items, images.count);
    }
    LIST_FREE(&images);
}

/* ---- records --------------------------------------------------------------------------------------- */

static bool is_contributed(const struct build *build, const struct image_unit *unit)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        if (build->contributions.items[i]->image_unit == unit) {
            return true;
        }
    }
    return false;
}

/* The variables of units that no patch has touched, in IMAGE: by its own debug information. */
static void emit_other_roots(struct build *build, struct root_emission *roots, const struct image *image)
{
    for (size_t i = 0; i < image->units.count; i++) {
        const struct image_unit *unit = &image->units.items[i];
        if (!is_contributed(build, unit) &&
            (!build->earlier_count || build_image_tells(build, image, unit))) {
            emit_roots_of_image_unit(roots, image, unit);
        }
    }
}

/* The variables of units that earlier patches touched, and this one does not: by their objects as they are
 * compiled from the patched sources. */
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

/* All variables that hold addresses or instances if anything migrates or is asked about; with VALUES_ONLY
 * those that begin with another value now. */
static void emit_roots(struct build *build, struct state_emission *records, struct type_model *new,
                       bool values_only)
{
    struct root_emission roots = { .state = records,
                                   .old = build->state->old,
                                   .new = new,
                                   .values_only = values_only,
                                   .folded = build->state->folded.items,
                                   .folded_count = build->state->folded.count };

    for (size_t i = 0; i < build->contributions.count; i++) {
        struct contribution *contribution = build->contributions.items[i];
        emit_roots_of_unit(&roots, contribution, &build_unit_of(build, contribution->comparison)->comparison);
    }
    for (size_t i = 0; !values_only && i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        if (build_is_patched(build, image) && build->earlier_count) {
            emit_patched_roots(build, &roots, image);
        }
        if (build_is_patched(build, image)) {
            emit_other_roots(build, &roots, image);
        }
    }
    root_emission_deinit(&roots);
}

void build_emit_program(struct build *build, struct state_emission *records, struct type_model *new)
{
    emit_image_sites(build->state, records);
    emit_roots(build, records, new, false);
}

static struct molt_error *emit_migration(struct build *build, struct state_emission *records)
{
    build_emit_program(build, records, build->state->new);
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
    } else {
        emit_image_sites(build->state, &records);
        emit_roots(build, &records, build->state->new, true);
        error = emission->error;
        emission->error = NULL;
    }
    error = error ? error : emit_code_sites(build, &records);
    emit_aliases(&records);
    if (build->state->migrates) {
        emit_namesakes(&records, build->state->old);
    }
    error = error || !build->state->migrates ? error : build_mark_behind(build, &records);
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
    if (build->request->is_stage) {
        build->result->stage = policies_stage(build->state ? build->state->policies : NULL, manifest);
    }
}

void build_state_deinit(struct build *build)
{
    struct build_state *state = build->state;

    if (!state) {
        return;
    }
    policies_destroy(state->policies);
    build_types_forget(state);
    for (size_t i = 0; i < state->code.count; i++) {
        sites_destroy(state->code.items[i].sites);
    }
    for (size_t i = 0; i < state->outdated.count; i++) {
        sites_destroy(state->outdated.items[i]);
    }
    policy_mentions_free(&state->mentions);
    LIST_FREE(&state->spoken_of);
    LIST_FREE(&state->images);
    LIST_FREE(&state->code);
    LIST_FREE(&state->outdated);
    LIST_FREE(&state->folded);
    free(state);
    build->state = NULL;
}
