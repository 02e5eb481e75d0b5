/*
 * From comparisons to the file: which binaries hold each unit, whether they were made from the old state, and
 * the patch with its manifest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "patch/code/baseline.h"
#include "patch/build_files.h"
#include "patch/build_private.h"
#include "patch/build_state.h"
#include "patch/build_transfer.h"
#include "patch/compile/command.h"
#include "patch/code/definition_line.h"
#include "patch/transfer/frame_policy.h"

/* How many compile units of IMAGE were made from the file of ENTRY. */
static unsigned twins_of(const struct image *image, const struct compile_entry *entry)
{
    unsigned count = 0;

    for (const struct image_unit *unit = image_find_unit(image, entry->file, entry->name); unit;
         unit = image_next_twin(image, unit)) {
        count++;
    }
    return count;
}

/* How many of the commands before ENTRY's are for the same file. */
static unsigned ordinal(const struct build *build, const struct compile_entry *entry)
{
    const struct compile_db *db = &build->session->db;
    unsigned count = 0;

    for (size_t i = 0; i < db->entries.count && db->entries.items[i] != entry; i++) {
        count += strcmp(db->entries.items[i]->file, entry->file) == 0;
    }
    return count;
}

static struct contribution *contribute(struct build *build, struct changed_unit *changed,
                                       const struct image *image, const struct image_unit *image_unit)
{
    struct contribution *contribution = must_calloc(1, sizeof(*contribution));
    const struct compile_entry *entry = changed->unit->entry;
    const char *key = entry->name;

    if (image_unit && twins_of(image, entry) > 1 && ordinal(build, entry)) {
        char *own = must_printf("%s#%u", entry->name, ordinal(build, entry) + 1);
        LIST_ADD(&build->texts, own);
        key = own;
    }
    *contribution = (struct contribution){ .comparison = &changed->comparison,
                                           .image = image,
                                           .image_unit = image_unit,
                                           .time = &build->session->db.time,
                                           .name = entry->name,
                                           .key = key,
                                           .source = changed->unit->entry->file };
    LIST_ADD(&build->contributions, contribution);
    return contribution;
}

/* What to do about sources that the program was not built from. Whoever names them may have left out a patch
 * that led to them. */
static const char *baseline_remedy(const struct build *build)
{
    return build->request->from_is_named && !build->earlier_count
               ? "; if a patch that is in force led to this source, name it with --after, else build the "
                 "program and start it again"
               : "; build it and start it again";
}

/* The refusal for a program that was built from something else. */
static struct molt_error *baseline_refusal(struct build *build, const struct contribution *contribution,
                                           const baseline_differences *differences)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; i < differences->count && i < 8; i++) {
        const struct baseline_difference *difference = &differences->items[i];
        struct object *old = contribution->comparison->old;
        unsigned line = definition_line(old, difference->symbol);
        bool is_lto = command_is_lto(build_unit_of(build, contribution->comparison)->unit->entry);
        char *message = must_printf(
            "%s was %s: %s %s of %s differs (%s)%s", contribution->image->path,
            is_lto ? "built with -flto, which compiles all files as one: build it without"
                   : "not built from this source or with these flags",
            symbol_is_function(old, difference->symbol) ? "function" : "variable", difference->symbol->name,
            contribution->name, difference->why, is_lto ? "" : baseline_remedy(build));
        molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_ERROR, contribution->source, line, 0,
                             "baseline-differs", "%s", message);
        if (!error) {
            error = molt_error_at(MOLT_ERROR_REFUSED, contribution->source, line, "%s", message);
        }
        free(message);
    }
    return error;
}

/* Functions that only differ because of our own flags: the object compiled exactly as the program was has
 * them. They are replaced, since what is known of them is not what runs. False: others differ too. */
static struct molt_error *differences_by_flags(struct build *build, struct changed_unit *changed,
                                               struct contribution *contribution,
                                               const baseline_differences *differences, bool *ret)
{
    compile_jobs jobs = { 0 };
    baseline_differences plain = { 0 };
    struct compile_job job = { changed->unit, &build->from, COMMAND_PLAIN };
    struct object *object;

    LIST_ADD(&jobs, &job);
    struct molt_error *error = build_compile(build, &jobs);
    LIST_FREE(&jobs);
    if (!error) {
        error = session_object(build->session, job.object, &object);
    }
    free(job.object);
    if (error) {
        return error;
    }
    baseline_compare(contribution, object, build->earlier, build->earlier_count, &plain);
    *ret = plain.count == 0;
    for (size_t i = 0; *ret && i < differences->count; i++) {
        struct object_symbol *new = changed->comparison.new_of[differences->items[i].symbol->index];
        if (new &&symbol_is_function(changed->comparison.new, new)) {
            comparison_mark(&changed->comparison, new, "compiled differently in the program");
        } else {
            *ret = false;
        }
    }
    LIST_FREE(&plain);
    return NULL;
}

static struct molt_error *check_baseline(struct build *build, struct changed_unit *changed,
                                         struct contribution *contribution)
{
    baseline_differences differences = { 0 };
    struct molt_error *error = NULL;
    bool by_flags = false;

    if (session_is_checked(build->session, changed->old.object, contribution->image_unit->checked_as,
                           build->earlier_count)) {
        return NULL;
    }
    baseline_compare(contribution, changed->comparison.old, build->earlier, build->earlier_count,
                     &differences);
    if (differences.count) {
        error = differences_by_flags(build, changed, contribution, &differences, &by_flags);
        if (!error && !by_flags) {
            error = baseline_refusal(build, contribution, &differences);
        }
    } else {
        session_set_checked(build->session, changed->old.object, contribution->image_unit->checked_as,
                            build->earlier_count);
    }
    LIST_FREE(&differences);
    return error;
}

static void drop_diagnostics(struct molt_diagnostics *list, size_t count)
{
    while (list->count > count) {
        list->count--;
        free(list->items[list->count].file);
        free(list->items[list->count].message);
    }
}

static bool is_claimed(const struct build *build, const struct image_unit *image_unit)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        if (build->contributions.items[i]->image_unit == image_unit) {
            return true;
        }
    }
    return false;
}

/* Whether another of several units of one file defines what the unit's object offers to others. */
static bool is_disowned(const struct image *image, const struct image_unit *image_unit,
                        const struct object *object)
{
    for (size_t i = 1; i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        const struct image_symbol *found =
            symbol->key && symbol->bind == STB_GLOBAL && symbol->type == STT_FUNC
                ? image_find_global(image, symbol->name)
                : NULL;
        if (found) {
            return !image_unit_has(image, image_unit, found);
        }
    }
    return false;
}

static void withdraw(struct build *build)
{
    free(build->contributions.items[--build->contributions.count]);
}

/* Places the unit in IMAGE, as one of its compile units of that file that no other unit is. */
static struct molt_error *place_in(struct build *build, struct changed_unit *changed,
                                   const struct image *image, const struct image_unit *image_unit,
                                   bool *ret_placed)
{
    bool several = image_next_twin(image, image_unit);
    struct molt_error *first = NULL;
    unsigned fitting = 0;

    for (; image_unit; image_unit = image_next_twin(image, image_unit)) {
        if (is_claimed(build, image_unit) ||
            (several && is_disowned(image, image_unit, changed->comparison.old))) {
            continue;
        }
        struct molt_error *error =
            check_baseline(build, changed, contribute(build, changed, image, image_unit));
        fitting += !error;
        if (error || fitting > 1) {
            withdraw(build);
            molt_error_destroy(first ? error : NULL);
            first = first ? first : error;
        }
    }
    if (fitting > 1) {
        withdraw(build);
        molt_error_destroy(first);
        return molt_error_at(MOLT_ERROR_REFUSED, changed->unit->entry->file, 0,
                             "%s holds %s several times, and nothing tells which of them a command of the "
                             "compile database made: give each a function of its own that is not static",
                             image->path, changed->unit->entry->name);
    }
    if (fitting) {
        *ret_placed = true;
        molt_error_destroy(first);
        return NULL;
    }
    return first;
}

/*
 * Finds the binaries that hold the unit and were made from its old state. A file may be compiled with other
 * flags for another binary of the same build (a test program, a debug variant): a binary that does not agree
 * is left out as long as one does. *RET_PLACED: one does; else the error says what the first one lacks.
 */
static struct molt_error *place_unit(struct build *build, struct changed_unit *changed, bool *ret_placed)
{
    const struct compile_entry *entry = (changed->neighbour ? changed->neighbour : changed->unit)->entry;
    size_t said = build->result->diagnostics.count;
    struct molt_error *first = NULL;

    for (size_t i = 0; i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        const struct image_unit *image_unit = image_find_unit(image, entry->file, entry->name);
        if (!image_unit) {
            continue;
        }
        if (changed->neighbour) {
            contribute(build, changed, image, NULL);
            *ret_placed = true;
            continue;
        }
        struct molt_error *error = place_in(build, changed, image, image_unit, ret_placed);
        molt_error_destroy(first ? error : NULL);
        first = first ? first : error;
    }
    if (*ret_placed) {
        drop_diagnostics(&build->result->diagnostics, said);
        molt_error_destroy(first);
        return NULL;
    }
    return first;
}

/* Whether another command for the same file made what is in the binaries. */
static bool is_placed_otherwise(const struct build *build, const struct changed_unit *changed)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        if (strcmp(build->contributions.items[i]->source, changed->unit->entry->file) == 0) {
            return true;
        }
    }
    return false;
}

/* Commands for the file of ENTRY whose objects did not change: what they made need not be found. */
static unsigned idle_commands(const struct build *build, const struct compile_entry *entry)
{
    const struct patch_session *session = build->session;
    unsigned count = 0;

    for (size_t i = 0; i < session->unit_count; i++) {
        bool changes = false;
        for (size_t k = 0; k < build->units.count; k++) {
            const struct changed_unit *changed = build->units.items[k];
            changes = changes || (changed->unit == &session->units[i] && changed->compared &&
                                  changed->comparison.different);
        }
        count += !changes && strcmp(session->units[i].entry->file, entry->file) == 0;
    }
    return count;
}

/* Refuses to change one of several units of a file in a binary while another, which changes too, was not
 * found. */
static struct molt_error *check_twins(const struct build *build)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        const struct contribution *contribution = build->contributions.items[i];
        const struct image *image = contribution->image;
        const struct changed_unit *changed = build_unit_of(build, contribution->comparison);
        unsigned all = contribution->image_unit ? twins_of(image, changed->unit->entry) : 0, open = 0;
        const struct image_unit *unit =
            all > 1 ? image_find_unit(image, changed->unit->entry->file, changed->unit->entry->name) : NULL;
        for (; unit; unit = image_next_twin(image, unit)) {
            open += !is_claimed(build, unit);
        }
        if (open && open > idle_commands(build, changed->unit->entry)) {
            return molt_error_at(
                MOLT_ERROR_REFUSED, contribution->source, 0,
                "%s holds %s %u times, and no command of the compile database made %u of them: "
                "write the database anew, with all commands for that file, or build the program "
                "from this source",
                image->path, contribution->name, all, open);
        }
    }
    return NULL;
}

static bool is_canceled(const struct build *build)
{
    return build->request->cancel && *build->request->cancel;
}

struct molt_error *build_place(struct build *build)
{
    struct molt_error **problems = must_calloc(build->units.count, sizeof(struct molt_error *));
    struct molt_error *error = NULL;
    size_t said = build->result->diagnostics.count;

    build_progress(build, "checking", 0, build->units.count);
    for (size_t i = 0; i < build->units.count && !is_canceled(build); i++) {
        struct changed_unit *changed = build->units.items[i];
        bool placed = false;
        if (changed->compared && changed->comparison.different && !changed->placed) {
            problems[i] = place_unit(build, changed, &placed);
            changed->placed = placed;
            build->result->units += placed;
        }
    }
    for (size_t i = 0; i < build->units.count; i++) {
        bool counts = problems[i] && !error && !is_placed_otherwise(build, build->units.items[i]);
        error = counts ? problems[i] : error;
        molt_error_destroy(counts ? NULL : problems[i]);
    }
    error = error ? error : check_twins(build);
    if (!error) {
        drop_diagnostics(&build->result->diagnostics, said);
    }
    free(problems);
    return error || !is_canceled(build) ? error : molt_error_new(MOLT_ERROR_REFUSED, "canceled");
}

/* Compiles once more, through the GOT, the units that refer to data of other modules directly. */
static struct molt_error *compile_indirect(struct build *build, bool *ret_any)
{
    compile_jobs jobs = { 0 };
    struct molt_error *error = NULL;

    for (size_t i = 0; i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        bool needed = false;
        for (size_t k = 0; k < build->contributions.count; k++) {
            needed = needed || (build->contributions.items[k]->comparison == &changed->comparison &&
                                build->contributions.items[k]->needs_indirect);
        }
        if (needed && !changed->uses_got) {
            LIST_ADD(&jobs, &changed->indirect);
        }
    }
    *ret_any = jobs.count > 0;
    error = jobs.count ? build_compile(build, &jobs) : NULL;
    for (size_t i = 0; !error && i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        struct object *object;
        if (!changed->indirect.object || changed->uses_got) {
            continue;
        }
        error = session_object(build->session, changed->indirect.object, &object);
        if (!error) {
            comparison_transfer(&changed->comparison, object, &changed->through_got);
            changed->uses_got = true;
        }
        for (size_t k = 0; !error && k < build->contributions.count; k++) {
            if (build->contributions.items[k]->comparison == &changed->comparison) {
                build->contributions.items[k]->comparison = &changed->through_got;
            }
        }
    }
    LIST_FREE(&jobs);
    return error;
}

static struct molt_error *emit_once(struct build *build, struct emission *emission)
{
    emission_init(emission, build->earlier, build->earlier_count, &build->result->diagnostics);
    emission->inlining = build->inlining;
    emission->refiled = &build->refiled;
    for (size_t i = 0; i < build->contributions.count; i++) {
        emission_add(emission, build->contributions.items[i]);
    }
    if (!build->contributions.count) { /* a patch that changes nothing still says for which program */
        emission_module(emission, build->session->images.items[0]);
    }
    build_state_contribute(build, emission);
    struct molt_error *error = emission_build(emission);
    return error ? error : build_state_emit(build, emission);
}

static json_t *modules_to_json(const struct emission *emission)
{
    json_t *array = json_array();

    for (size_t i = 0; i < emission->images.count; i++) {
        const struct image *image = emission->images.items[i];
        char hex[2 * MOLT_BUILD_ID_MAX + 1] = "";
        for (size_t k = 0; k < image->build_id_size; k++) {
            snprintf(hex + 2 * k, 3, "%02x", image->build_id[k]);
        }
        json_array_append_new(array, json_pack("{s:s, s:s}", "path", image->path, "build_id", hex));
    }
    return array;
}

static json_t *warnings_to_json(const struct molt_diagnostics *diagnostics)
{
    json_t *array = json_array();

    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct molt_diagnostic *item = &diagnostics->items[i];
        if (strcmp(item->code, "compile") != 0) {
            json_array_append_new(array,
                                  json_pack("{s:s?, s:i, s:s, s:s}", "file", item->file, "line",
                                            (int)item->line, "code", item->code, "message", item->message));
        }
    }
    return array;
}

/* Whether FILE changes nothing: then the engine does not keep it, and nothing can come after it. */
static bool is_nothing(const struct patch_file *file)
{
    return !file->patch_functions_count && !file->patch_data_count && !file->patch_migrations_count &&
           !file->patch_roots_count && !file->patch_initials_count && !file->patch_aliases_count;
}

static json_t *make_manifest(const struct build *build, const struct emission *emission)
{
    char created[32];
    time_t now = time(NULL);
    struct tm parts;
    json_t *after = json_array();

    strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    for (size_t i = 0; i < build->earlier_count; i++) {
        if (!is_nothing(&build->earlier[i].file)) {
            json_array_append_new(after, json_string(build->earlier[i].id));
        }
    }
    return must_have(json_pack(
        "{s:i, s:o, s:s, s:s, s:o, s:o, s:O, s:O, s:O, s:o, s:o}", "format", MOLT_PATCH_FORMAT, "after",
        after, "title", build->request->title ? build->request->title : "", "created", created, "modules",
        modules_to_json(emission), "files", build_files_note(build), "functions", emission->json_functions,
        "data", emission->json_data, "transfers", emission->json_transfers, "changes",
        build->request->changes ? json_incref(build->request->changes) : json_array(), "warnings",
        warnings_to_json(&build->result->diagnostics)));
}

struct molt_error *build_emit(struct build *build)
{
    struct emission emission;
    bool again = false;
    struct molt_error *error = emit_once(build, &emission);

    if (!error) {
        error = compile_indirect(build, &again);
    }
    if (!error && again) {
        emission_deinit(&emission);
        error = emit_once(build, &emission);
    }
    if (!error) {
        struct patch_result *result = build->result;
        json_t *operands = build_rebind_emit(build, &emission);
        build_transfers_emit(build, &emission);
        result->manifest = make_manifest(build, &emission);
        json_object_set_new(result->manifest, "operands", operands);
        build_state_tell(build, result->manifest);
        json_t *frames = frame_skeletons(emission.json_transfers);
        result->skeletons = result->skeletons ? result->skeletons : must_have(json_object());
        json_object_update(result->skeletons, frames);
        json_decref(frames);
        result->bytes = emission_finish(&emission, result->manifest, &result->size);
        result->functions = emission.functions.count;
        result->empty = !emission.functions.count && !emission.aliases.count && !emission.data.count &&
                        !emission.definitions.count && !emission.initials.count &&
                        !build_state_migrates(build);
    }
    emission_deinit(&emission);
    return error;
}
