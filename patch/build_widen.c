/*
 * What takes part in a patch besides the units whose files differ: files that are new to the build, as far as
 * what changed refers to them.
 */
#include <stdlib.h>

#include "patch/build_private.h"

/* Compiles the files that are new to the build. One that does not compile is no reason to refuse: it may
 * not belong to the program at all. */
static struct molt_error *compile_added(struct build *build, struct changed_unit *candidates)
{
    struct compile_setup setup = build_setup(build->session, build->request);
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

/* Whether OBJECT defines something extern that UNIT does not define any more. */
static bool has_taken_from(const struct object *object, const struct changed_unit *unit)
{
    const struct comparison *comparison = &unit->comparison;

    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        const struct object_symbol *old = &comparison->old->symbols[i];
        if (old->key && old->bind != STB_LOCAL && !comparison->now_of[i] && object_find(object, old->key)) {
            return true;
        }
    }
    return false;
}

/* Whether a unit that takes part in the patch refers to something that OBJECT defines, or defined it before.
 */
static bool is_needed(const struct build *build, const struct object *object)
{
    for (size_t i = 0; i < build->units.count; i++) {
        const struct changed_unit *changed = build->units.items[i];
        if (changed->compared &&
            (new_source_is_needed(object, changed->comparison.new) || has_taken_from(object, changed))) {
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
    return NULL;
}

/* Adds the new files that what changed refers to, and those that they refer to. */
struct molt_error *build_add_new_sources(struct build *build)
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
