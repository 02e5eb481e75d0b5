/*
 * Building a patch, top to bottom:
 *
 *     open what was applied before, find the units whose files differ, compile both states (the old one is in the cache),
 *     compare, check the old state against the program, emit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "patch/baseline.h"
#include "patch/definition_line.h"
#include "patch/emit.h"
#include "patch/layout.h"
#include "patch/new_sources.h"
#include "patch/session_private.h"
#include "patch/source_lines.h"

/* A unit whose files differ. */
struct changed_unit {
    struct unit *unit;
    struct compile_job old, new, indirect;
    const struct unit *neighbour; /* of a new file: the unit whose place it shares; else NULL */
    bool compared;
    struct comparison comparison;
    struct comparison through_got; /* the same with the indirect object */
    bool uses_got;
};

struct build {
    struct patch_session *session;
    const struct patch_request *request;
    struct patch_result *result;
    struct tree from, to;
    struct earlier_patch *earlier;
    size_t earlier_count;
    LIST(struct changed_unit *) units;
    LIST(struct contribution *) contributions;
    struct source_lines *lines;
    new_sources added;
    struct object *nothing; /* what a new file is compared with */
};

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static struct compile_setup setup_of(struct patch_session *session, const struct patch_request *request)
{
    return (struct compile_setup){ .hashes = session->hashes,
                                   .jobs = session->jobs,
                                   .progress = request->progress,
                                   .context = request->context,
                                   .cancel = request->cancel };
}

static struct molt_error *open_earlier(struct earlier_patch *patch, const char *path)
{
    const char *reason;
    size_t size;

    patch->path = must_strdup(path);
    struct molt_error *error = file_read(path, &patch->bytes, &size);
    if (error) {
        error->code = MOLT_ERROR_USAGE;
        return error;
    }
    if (patch_file_open(patch->bytes, size, &patch->file, &reason) < 0) {
        return molt_error_new(MOLT_ERROR_REFUSED, "%s: %s", path, reason);
    }
    json_t *manifest = json_loadb(patch->file.manifest, patch->file.manifest_size, 0, NULL);
    const char *id = json_string_value(json_object_get(manifest, "id"));
    patch->id = must_strdup(id ? id : "");
    patch->manifest = manifest;
    return NULL;
}

static struct molt_error *open_inputs(struct build *build)
{
    const struct patch_request *request = build->request;
    struct patch_session *session = build->session;
    struct molt_error *error = tree_init(&build->from, &session->db, request->from, session->cache);

    if (!error) {
        error = tree_init(&build->to, &session->db, request->to, session->cache);
    }
    build->earlier = must_calloc(request->after_count, sizeof(*build->earlier));
    for (size_t i = 0; !error && i < request->after_count; i++) {
        build->earlier_count++;
        error = open_earlier(&build->earlier[i], request->after[i]);
    }
    build->nothing = object_empty();
    build->lines = source_lines_create(&build->from, &build->to);
    return error;
}

static const struct dependencies *known_files(struct patch_session *session, const struct unit *unit,
                                              const struct tree *from, const struct tree *to)
{
    const struct dependencies *files = unit_dependencies(unit, from, session->hashes);

    return files ? files : unit_dependencies(unit, to, session->hashes);
}

/* Asks the compiler about units that nothing is known of yet. */
static struct molt_error *learn_dependencies(struct patch_session *session,
                                             const struct patch_request *request, struct tree *from,
                                             struct tree *to)
{
    struct compile_setup setup = setup_of(session, request);
    struct molt_diagnostics ignored = { 0 };
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < session->unit_count; i++) {
        struct unit *unit = &session->units[i];
        if (session_is_linked(session, unit) && !known_files(session, unit, from, to)) {
            struct compile_job *job = must_calloc(1, sizeof(*job));
            *job = (struct compile_job){ unit, to->in_place ? to : from, COMMAND_DEPENDENCIES };
            LIST_ADD(&jobs, job);
        }
    }
    struct molt_error *error = compile_run(&setup, &jobs, &ignored);
    for (size_t i = 0; i < jobs.count; i++) {
        free(jobs.items[i]);
    }
    LIST_FREE(&jobs);
    molt_diagnostics_deinit(&ignored);
    return error;
}

struct molt_error *session_dependencies(struct patch_session *session, const struct patch_request *request)
{
    struct tree from, to;
    struct molt_error *error = tree_init(&from, &session->db, request->from, session->cache);

    if (error) {
        return error;
    }
    error = tree_init(&to, &session->db, request->to, session->cache);
    if (!error) {
        error = learn_dependencies(session, request, &from, &to);
        tree_deinit(&to);
    }
    tree_deinit(&from);
    return error;
}

/* A unit counts as changed unless its files are known and the same; if the preprocessor failed, the compiler will tell. */
static void find_changed(struct build *build)
{
    struct patch_session *session = build->session;

    for (size_t i = 0; i < session->unit_count; i++) {
        struct unit *unit = &session->units[i];
        if (!session_is_linked(session, unit)) {
            continue;
        }
        const struct dependencies *files = known_files(session, unit, &build->from, &build->to);
        if (files && unit_same_files(files, &build->from, &build->to, session->hashes)) {
            continue;
        }
        struct changed_unit *changed = must_calloc(1, sizeof(*changed));
        *changed = (struct changed_unit){ .unit = unit,
                                          .old = { unit, &build->from, COMMAND_OBJECT },
                                          .new = { unit, &build->to, COMMAND_OBJECT },
                                          .indirect = { unit, &build->to, COMMAND_INDIRECT } };
        LIST_ADD(&build->units, changed);
    }
}

/* The refusal for a compile that failed: the compiler's first error. */
static struct molt_error *compile_refusal(const struct molt_diagnostics *diagnostics, const char *what)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct molt_diagnostic *item = &diagnostics->items[i];
        if (item->severity == MOLT_SEVERITY_ERROR) {
            return molt_error_at(MOLT_ERROR_REFUSED, item->file, item->line, "%s: %s", what, item->message);
        }
    }
    return molt_error_new(MOLT_ERROR_REFUSED, "%s", what);
}

static struct molt_error *run_jobs(struct build *build, compile_jobs *jobs)
{
    struct compile_setup setup = setup_of(build->session, build->request);
    double start = now_ms();
    struct molt_error *error = compile_run(&setup, jobs, &build->result->diagnostics);

    build->result->compile_ms += now_ms() - start;
    for (size_t i = 0; !error && i < jobs->count; i++) {
        if (jobs->items[i]->failed) {
            error = compile_refusal(&build->result->diagnostics,
                                    jobs->items[i]->tree == &build->to
                                        ? "the new source does not compile"
                                        : "the source that the program was built from does not compile");
        }
    }
    return error;
}

static struct molt_error *compile_changed(struct build *build)
{
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < build->units.count; i++) {
        LIST_ADD(&jobs, &build->units.items[i]->new);
    }
    for (size_t i = 0; i < build->units.count; i++) {
        LIST_ADD(&jobs, &build->units.items[i]->old);
    }
    struct molt_error *error = run_jobs(build, &jobs);
    LIST_FREE(&jobs);
    return error;
}

static struct molt_error *compare_unit(struct build *build, struct changed_unit *changed)
{
    struct object *old, *new;
    struct molt_error *error = session_object(build->session, changed->old.object, &old);

    if (!error) {
        error = session_object(build->session, changed->new.object, &new);
    }
    if (error || old == new) {
        return error;
    }
    comparison_init(&changed->comparison, old, new, source_lines_same, build->lines);
    changed->compared = true;
    return layout_check(&changed->comparison, &build->result->diagnostics);
}

static void progress(const struct build *build, const char *phase, unsigned done, unsigned total)
{
    if (build->request->progress) {
        build->request->progress(build->request->context, phase, done, total);
    }
}

static struct molt_error *compare_all(struct build *build)
{
    struct molt_error *error = NULL;

    progress(build, "comparing", 0, build->units.count);
    for (size_t i = 0; !error && i < build->units.count; i++) {
        error = compare_unit(build, build->units.items[i]);
    }
    return error;
}

/* Compiles the files that are new to the build. One that does not compile is no reason to refuse: it may not belong to the
 * program at all. */
static struct molt_error *compile_added(struct build *build, struct changed_unit *candidates)
{
    struct compile_setup setup = setup_of(build->session, build->request);
    struct molt_diagnostics problems = { 0 };
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < build->added.count; i++) {
        struct new_source *source = build->added.items[i];
        candidates[i] = (struct changed_unit){ .unit = &source->unit,
                                               .neighbour = source->neighbour,
                                               .old = { &source->unit, &build->from, COMMAND_OBJECT },
                                               .new = { &source->unit, &build->to, COMMAND_OBJECT },
                                               .indirect = { &source->unit, &build->to, COMMAND_INDIRECT } };
        LIST_ADD(&jobs, &candidates[i].new);
        if (source->earlier) {
            LIST_ADD(&jobs, &candidates[i].old);
        }
    }
    struct molt_error *error = compile_run(&setup, &jobs, &problems);
    for (size_t i = 0; i < problems.count; i++) {
        const struct molt_diagnostic *item = &problems.items[i];
        if (item->severity == MOLT_SEVERITY_ERROR) {
            molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_WARNING, item->file, item->line,
                                 item->column, "new-file", "%s", item->message);
        }
    }
    molt_diagnostics_deinit(&problems);
    LIST_FREE(&jobs);
    return error;
}

/* Whether a unit that takes part in the patch refers to something that OBJECT defines. */
static bool is_needed(const struct build *build, const struct object *object)
{
    for (size_t i = 0; i < build->units.count; i++) {
        const struct changed_unit *changed = build->units.items[i];
        if (changed->compared && new_source_is_needed(object, changed->comparison.new)) {
            return true;
        }
    }
    return false;
}

static struct molt_error *take_added(struct build *build, struct changed_unit *candidate, bool earlier,
                                     bool *ret_taken)
{
    struct object *old = build->nothing, *new;
    struct molt_error *error = session_object(build->session, candidate->new.object, &new);

    if (!error && earlier) {
        error = session_object(build->session, candidate->old.object, &old);
    }
    if (error || old == new || (!earlier && !is_needed(build, new))) {
        return error;
    }
    struct changed_unit *changed = must_calloc(1, sizeof(*changed));
    *changed = *candidate;
    candidate->new.object = candidate->old.object = NULL;
    comparison_init(&changed->comparison, old, new, source_lines_same, build->lines);
    changed->compared = true;
    LIST_ADD(&build->units, changed);
    *ret_taken = true;
    return earlier ? layout_check(&changed->comparison, &build->result->diagnostics) : NULL;
}

/* Adds the new files that what changed refers to, and those that they refer to. */
static struct molt_error *add_new_sources(struct build *build)
{
    new_sources_find(build->session, &build->from, &build->to, build->earlier, build->earlier_count,
                     &build->added);
    if (!build->added.count) {
        return NULL;
    }
    struct changed_unit *candidates = must_calloc(build->added.count, sizeof(*candidates));
    struct molt_error *error = compile_added(build, candidates);
    bool more = true;
    while (!error && more) {
        more = false;
        for (size_t i = 0; !error && i < build->added.count; i++) {
            bool taken = false;
            if (candidates[i].new.object && (!build->added.items[i]->earlier || candidates[i].old.object)) {
                error = take_added(build, &candidates[i], build->added.items[i]->earlier, &taken);
            }
            more = more || taken;
        }
    }
    for (size_t i = 0; i < build->added.count; i++) {
        free(candidates[i].new.object);
        free(candidates[i].old.object);
    }
    free(candidates);
    return error;
}

/* Whether NAME is an extern constant that a changed unit defines with another size: it has moved. */
static bool has_moved(const struct build *build, const char *name)
{
    for (size_t i = 0; i < build->units.count; i++) {
        const struct comparison *comparison = &build->units.items[i]->comparison;
        const struct object_symbol *symbol =
            build->units.items[i]->compared ? object_find(comparison->new, name) : NULL;
        if (symbol && symbol->bind != STB_LOCAL && !symbol_is_function(comparison->new, symbol) &&
            comparison->new_change[symbol->index] == CHANGE_NEW && object_find(comparison->old, name)) {
            return true;
        }
    }
    return false;
}

static bool any_moved(const struct build *build)
{
    for (size_t i = 0; i < build->units.count; i++) {
        const struct changed_unit *changed = build->units.items[i];
        for (size_t k = 1; changed->compared && k < changed->comparison.new->symbol_count; k++) {
            const struct object_symbol *symbol = &changed->comparison.new->symbols[k];
            if (symbol->key && symbol->bind != STB_LOCAL && has_moved(build, symbol->name)) {
                return true;
            }
        }
    }
    return false;
}

/* Marks the functions that refer to what has moved. */
static void mark_users(const struct build *build, struct comparison *comparison)
{
    struct object *object = comparison->new;

    for (size_t i = 1; i < object->section_count; i++) {
        const struct object_section *section = &object->sections[i];
        for (size_t k = 0; section->kind == SECTION_CODE && k < section->relocation_count; k++) {
            const struct object_symbol *named = &object->symbols[section->relocations[k].symbol];
            if (named->section || !has_moved(build, named->name)) {
                continue;
            }
            for (size_t n = 0; n < section->definition_count; n++) {
                comparison_mark(comparison, section->definitions[n], "refers to a constant of another size");
            }
        }
    }
}

/* An extern constant that grew has moved: functions of all units that refer to it change, although their source did not. */
static struct molt_error *follow_moved(struct build *build)
{
    compile_jobs jobs = { 0 };
    struct molt_error *error = NULL;
    size_t known = build->units.count;

    if (!any_moved(build)) {
        return NULL;
    }
    for (size_t i = 0; i < build->session->unit_count; i++) {
        struct unit *unit = &build->session->units[i];
        bool listed = !session_is_linked(build->session, unit);
        for (size_t k = 0; k < known; k++) {
            listed = listed || (build->units.items[k]->unit == unit && build->units.items[k]->compared);
        }
        if (!listed) {
            struct changed_unit *changed = must_calloc(1, sizeof(*changed));
            *changed = (struct changed_unit){ .unit = unit,
                                              .old = { unit, &build->from, COMMAND_OBJECT },
                                              .indirect = { unit, &build->to, COMMAND_INDIRECT } };
            LIST_ADD(&build->units, changed);
            LIST_ADD(&jobs, &changed->old);
        }
    }
    error = run_jobs(build, &jobs);
    LIST_FREE(&jobs);
    for (size_t i = 0; !error && i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        struct object *object;
        if (i >= known) {
            error = session_object(build->session, changed->old.object, &object);
        }
        if (!error && i >= known) {
            comparison_init(&changed->comparison, object, object, NULL, NULL);
            changed->compared = true;
        }
        if (!error && changed->compared) {
            mark_users(build, &changed->comparison);
        }
    }
    return error;
}

static struct contribution *contribute(struct build *build, struct changed_unit *changed,
                                       const struct image *image, const struct image_unit *image_unit)
{
    struct contribution *contribution = must_calloc(1, sizeof(*contribution));

    *contribution = (struct contribution){ .comparison = &changed->comparison,
                                           .image = image,
                                           .image_unit = image_unit,
                                           .name = changed->unit->entry->name,
                                           .source = changed->unit->entry->file };
    LIST_ADD(&build->contributions, contribution);
    return contribution;
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
        char *message = must_printf(
            "%s was not built from this source or with these flags: %s %s of %s differs (%s)",
            contribution->image->path, symbol_is_function(old, difference->symbol) ? "function" : "variable",
            difference->symbol->name, contribution->name, difference->why);
        molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_ERROR, contribution->source, line, 0,
                             "baseline-differs", "%s", message);
        if (!error) {
            error = molt_error_at(MOLT_ERROR_REFUSED, contribution->source, line, "%s", message);
        }
        free(message);
    }
    return error;
}

/* Functions that only differ because of our own flags: the object compiled exactly as the program was has them. They are
 * replaced, since what is known of them is not what runs. False: others differ too. */
static struct molt_error *differences_by_flags(struct build *build, struct changed_unit *changed,
                                               struct contribution *contribution,
                                               const baseline_differences *differences, bool *ret)
{
    compile_jobs jobs = { 0 };
    baseline_differences plain = { 0 };
    struct compile_job job = { changed->unit, &build->from, COMMAND_PLAIN };
    struct object *object;

    LIST_ADD(&jobs, &job);
    struct molt_error *error = run_jobs(build, &jobs);
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

    if (session_is_checked(build->session, changed->old.object, contribution->image->path,
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
        session_set_checked(build->session, changed->old.object, contribution->image->path,
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

/*
 * Finds the binaries that hold the unit and were made from its old state. A file may be compiled with other flags for
 * another binary of the same build (a test program, a debug variant): a binary that does not agree is left out as long as one
 * does. *RET_PLACED: one does; else the error says what the first one lacks.
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
        struct contribution *contribution =
            contribute(build, changed, image, changed->neighbour ? NULL : image_unit);
        struct molt_error *error = changed->neighbour ? NULL : check_baseline(build, changed, contribution);
        *ret_placed = *ret_placed || !error;
        if (error) {
            free(contribution);
            build->contributions.count--;
            molt_error_destroy(first ? error : NULL);
            first = first ? first : error;
        }
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

static bool is_canceled(const struct build *build)
{
    return build->request->cancel && *build->request->cancel;
}

static struct molt_error *place_all(struct build *build)
{
    struct molt_error **problems = must_calloc(build->units.count, sizeof(struct molt_error *));
    struct molt_error *error = NULL;
    size_t said = build->result->diagnostics.count;

    progress(build, "checking", 0, build->units.count);
    for (size_t i = 0; i < build->units.count && !is_canceled(build); i++) {
        struct changed_unit *changed = build->units.items[i];
        bool placed = false;
        if (changed->compared && changed->comparison.different) {
            problems[i] = place_unit(build, changed, &placed);
            build->result->units += placed;
        }
    }
    for (size_t i = 0; i < build->units.count; i++) {
        bool counts = problems[i] && !error && !is_placed_otherwise(build, build->units.items[i]);
        error = counts ? problems[i] : error;
        molt_error_destroy(counts ? NULL : problems[i]);
    }
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
    error = jobs.count ? run_jobs(build, &jobs) : NULL;
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
    for (size_t i = 0; i < build->contributions.count; i++) {
        emission_add(emission, build->contributions.items[i]);
    }
    if (!build->contributions.count) { /* a patch that changes nothing still says for which program */
        emission_module(emission, build->session->images.items[0]);
    }
    return emission_build(emission);
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

static json_t *make_manifest(const struct build *build, const struct emission *emission)
{
    char created[32];
    time_t now = time(NULL);
    struct tm parts;
    json_t *after = json_array();

    strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    for (size_t i = 0; i < build->earlier_count; i++) {
        json_array_append_new(after, json_string(build->earlier[i].id));
    }
    return must_have(json_pack("{s:i, s:o, s:s, s:s, s:o, s:O, s:O, s:o, s:o}", "format", MOLT_PATCH_FORMAT,
                               "after", after, "title", build->request->title ? build->request->title : "",
                               "created", created, "modules", modules_to_json(emission), "functions",
                               emission->json_functions, "data", emission->json_data, "changes",
                               build->request->changes ? json_incref(build->request->changes) : json_array(),
                               "warnings", warnings_to_json(&build->result->diagnostics)));
}

static struct molt_error *emit_patch(struct build *build)
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
        result->manifest = make_manifest(build, &emission);
        result->bytes = emission_finish(&emission, result->manifest, &result->size);
        result->functions = emission.functions.count;
        result->empty = !emission.functions.count && !emission.data.count && !emission.definitions.count;
    }
    emission_deinit(&emission);
    return error;
}

static struct molt_error *self_check(struct build *build)
{
    struct patch_file file;
    const char *reason;

    if (patch_file_open(build->result->bytes, build->result->size, &file, &reason) < 0) {
        return molt_error_new(MOLT_ERROR_INTERNAL, "the patch that was built is malformed: %s", reason);
    }
    return NULL;
}

static void build_deinit(struct build *build)
{
    for (size_t i = 0; i < build->units.count; i++) {
        struct changed_unit *changed = build->units.items[i];
        if (changed->compared) {
            comparison_deinit(&changed->comparison);
        }
        if (changed->uses_got) {
            comparison_deinit(&changed->through_got);
        }
        free(changed->old.object);
        free(changed->new.object);
        free(changed->indirect.object);
        free(changed);
    }
    for (size_t i = 0; i < build->contributions.count; i++) {
        free(build->contributions.items[i]);
    }
    for (size_t i = 0; i < build->earlier_count; i++) {
        free(build->earlier[i].path);
        free(build->earlier[i].bytes);
        free(build->earlier[i].id);
        json_decref(build->earlier[i].manifest);
    }
    LIST_FREE(&build->units);
    LIST_FREE(&build->contributions);
    free(build->earlier);
    source_lines_destroy(build->lines);
    new_sources_free(&build->added);
    object_destroy(build->nothing);
    tree_deinit(&build->from);
    tree_deinit(&build->to);
}

static struct molt_error *run(struct build *build)
{
    struct molt_error *error = open_inputs(build);

    if (!error) {
        error = learn_dependencies(build->session, build->request, &build->from, &build->to);
    }
    if (!error) {
        find_changed(build);
        error = compile_changed(build);
    }
    if (!error) {
        error = compare_all(build);
    }
    if (!error) {
        error = add_new_sources(build);
    }
    if (!error) {
        error = follow_moved(build);
    }
    if (!error) {
        error = place_all(build);
    }
    if (!error) {
        error = emit_patch(build);
    }
    return error ? error : self_check(build);
}

struct molt_error *patch_session_build(struct patch_session *session, const struct patch_request *request,
                                       struct patch_result *ret)
{
    struct build build = { .session = session, .request = request, .result = ret };
    double start = now_ms();

    *ret = (struct patch_result){ 0 };
    session_trim(session);
    file_hashes_refresh(session->hashes);
    struct molt_error *error = run(&build);
    build_deinit(&build);
    ret->total_ms = now_ms() - start;
    return error;
}

/* Adds each unit that is linked, as it was, compared with itself: all there is to do is to place it. */
static struct molt_error *compile_baseline(struct build *build)
{
    struct patch_session *session = build->session;
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < session->unit_count; i++) {
        if (session_is_linked(session, &session->units[i])) {
            struct changed_unit *unit = must_calloc(1, sizeof(*unit));
            unit->unit = &session->units[i];
            unit->old = (struct compile_job){ unit->unit, &build->from, COMMAND_OBJECT };
            LIST_ADD(&build->units, unit);
            LIST_ADD(&jobs, &unit->old);
        }
    }
    struct molt_error *error = run_jobs(build, &jobs);
    LIST_FREE(&jobs);
    for (size_t i = 0; !error && i < build->units.count; i++) {
        struct changed_unit *unit = build->units.items[i];
        struct object *object;
        error = session_object(session, unit->old.object, &object);
        if (!error) {
            comparison_init(&unit->comparison, object, object, NULL, NULL);
            unit->comparison.different = unit->compared = true;
        }
    }
    return error;
}

struct molt_error *patch_session_warm(struct patch_session *session, const struct patch_request *request)
{
    struct patch_result result = { 0 };
    struct build build = { .session = session, .request = request, .result = &result };

    file_hashes_refresh(session->hashes);
    struct molt_error *error = open_inputs(&build);
    if (!error) {
        error = compile_baseline(&build);
    }
    if (!error) {
        error = place_all(&build);
    }
    build_deinit(&build);
    patch_result_deinit(&result);
    return error;
}

void patch_result_deinit(struct patch_result *result)
{
    free(result->bytes);
    json_decref(result->manifest);
    molt_diagnostics_deinit(&result->diagnostics);
    *result = (struct patch_result){ 0 };
}
