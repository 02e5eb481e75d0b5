/*
 * Building a patch, top to bottom:
 *
 *     open what was applied before, find the units whose files differ, compile both states (the old one is in
 *     the cache), compare, widen (build_widen.c, build_bypass.c), check the old state against the program and
 *     emit (build_assemble.c).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "patch/build_files.h"
#include "patch/build_private.h"
#include "patch/build_state.h"
#include "patch/transfer/frame_policy.h"
#include "patch/unseen.h"

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

struct compile_setup build_setup(struct patch_session *session, const struct patch_request *request)
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
        return molt_error_new(MOLT_ERROR_REFUSED, "%s: %s; make the patch again", path, reason);
    }
    json_t *manifest = json_loadb(patch->file.manifest, patch->file.manifest_size, 0, NULL);
    const char *id = json_string_value(json_object_get(manifest, "id"));
    patch->id = must_strdup(id ? id : "");
    patch->manifest = manifest;
    return NULL;
}

/* The cache hides itself from version control. Where it cannot be written that is said when it is used. */
static void hide_cache(const struct patch_session *session)
{
    char *ignore = must_printf("%s/.gitignore", session->cache);

    if (access(ignore, F_OK) != 0) {
        struct molt_error *error = file_make_directory(session->cache);
        molt_error_destroy(error ? error : file_write(ignore, "*\n", 2));
    }
    free(ignore);
}

struct molt_error *build_open(struct build *build)
{
    const struct patch_request *request = build->request;
    struct patch_session *session = build->session;
    struct molt_error *error = tree_init(&build->from, &session->db, request->from, session->cache);

    if (!error) {
        error = tree_init(&build->to, &session->db, request->to, session->cache);
    }
    hide_cache(session);
    build->earlier = must_calloc(request->after_count, sizeof(*build->earlier));
    for (size_t i = 0; !error && i < request->after_count; i++) {
        build->earlier_count++;
        error = open_earlier(&build->earlier[i], request->after[i]);
    }
    build->nothing = object_empty();
    build->lines = source_lines_create(&build->from, &build->to);
    build->inlining = inlining_create(build->lines, session->db.root);
    return error;
}

const struct dependencies *session_known_files(struct patch_session *session, const struct unit *unit,
                                               const struct tree *from, const struct tree *to)
{
    const struct dependencies *files = unit_dependencies(unit, from, session->hashes);

    return files ? files : unit_dependencies(unit, to, session->hashes);
}

/* Asks the compiler about units that nothing is known of yet, and that may be the same in both trees. */
static struct molt_error *learn_dependencies(struct patch_session *session,
                                             const struct patch_request *request, struct tree *from,
                                             struct tree *to)
{
    struct compile_setup setup = build_setup(session, request);
    struct molt_diagnostics ignored = { 0 };
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < session->unit_count; i++) {
        struct unit *unit = &session->units[i];
        if ((session_is_linked(session, unit) || session_hides(session, unit)) &&
            !session_known_files(session, unit, from, to) &&
            !unit_source_differs(unit, from, to, session->hashes)) {
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

/* A unit counts as changed unless its files are known and the same; if the preprocessor failed, the
 * compiler will tell. */
static void find_changed(struct build *build)
{
    struct patch_session *session = build->session;

    for (size_t i = 0; i < session->unit_count; i++) {
        struct unit *unit = &session->units[i];
        if (!session_is_linked(session, unit)) {
            continue;
        }
        const struct dependencies *files = session_known_files(session, unit, &build->from, &build->to);
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

struct changed_unit *build_unit_of(const struct build *build, const struct comparison *comparison)
{
    size_t i = 0;

    while (&build->units.items[i]->comparison != comparison &&
           &build->units.items[i]->through_got != comparison) {
        i++;
    }
    return build->units.items[i];
}

struct molt_error *build_compile(struct build *build, compile_jobs *jobs)
{
    struct compile_setup setup = build_setup(build->session, build->request);
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
    struct molt_error *error = build_compile(build, &jobs);
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
    return NULL;
}

void build_progress(const struct build *build, const char *phase, unsigned done, unsigned total)
{
    if (build->request->progress) {
        build->request->progress(build->request->context, phase, done, total);
    }
}

static struct molt_error *compare_all(struct build *build)
{
    struct molt_error *error = NULL;

    build_progress(build, "comparing", 0, build->units.count);
    for (size_t i = 0; !error && i < build->units.count; i++) {
        error = compare_unit(build, build->units.items[i]);
    }
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

void build_close(struct build *build)
{
    build_state_deinit(build);
    frame_policies_destroy(build->frames);
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
    for (size_t i = 0; i < build->texts.count; i++) {
        free(build->texts.items[i]);
    }
    LIST_FREE(&build->texts);
    LIST_FREE(&build->moved);
    LIST_FREE(&build->refiled);
    LIST_FREE(&build->rebound);
    LIST_FREE(&build->units);
    LIST_FREE(&build->contributions);
    LIST_FREE(&build->asked);
    LIST_FREE(&build->stale);
    free(build->earlier);
    inlining_destroy(build->inlining);
    source_lines_destroy(build->lines);
    new_sources_free(&build->added);
    object_destroy(build->nothing);
    tree_deinit(&build->from);
    tree_deinit(&build->to);
}

static struct molt_error *run(struct build *build)
{
    struct molt_error *error = build_open(build);

    if (!error) {
        error = learn_dependencies(build->session, build->request, &build->from, &build->to);
    }
    if (!error && build->request->from_is_named) {
        error = build_files_check(build);
    }
    if (!error) {
        error = build_refuse_unseen(build);
    }
    if (!error) {
        find_changed(build);
        error = compile_changed(build);
    }
    if (!error) {
        error = compare_all(build);
    }
    if (!error) {
        error = build_add_new_sources(build);
    }
    if (!error) {
        error = build_follow_moved(build);
    }
    if (!error) {
        error = build_place(build);
    }
    if (!error) {
        error = build_follow_refiled(build);
    }
    if (!error) {
        error = build_rebind_find(build);
    }
    if (!error) {
        error = build_bypass(build);
    }
    if (!error) {
        error = build_state_prepare(build);
    }
    if (!error) {
        error = frame_policies_make(build);
    }
    if (!error) {
        error = build_emit(build);
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
    build_close(&build);
    ret->total_ms = now_ms() - start;
    return error;
}

static bool is_first(const struct patch_request *request, const char *path)
{
    for (size_t i = 0; i < request->first_count; i++) {
        if (!strcmp(request->first[i], path)) {
            return true;
        }
    }
    return false;
}

/* When the unit's turn is: 0 if its source is one of REQUEST->first, 1 if it is known to read one of them,
 * else 2. */
static unsigned turn_of(struct build *build, const struct unit *unit)
{
    const struct patch_request *request = build->request;

    if (!request->first_count || is_first(request, unit->entry->file)) {
        return 0;
    }
    const struct dependencies *files = unit_dependencies(unit, &build->from, build->session->hashes);
    for (size_t i = 0; files && i < files->count; i++) {
        if (is_first(request, files->files[i])) {
            return 1;
        }
    }
    return 2;
}

/* The jobs of all units, those whose turn is first in front. */
static void order_jobs(struct build *build, compile_jobs *jobs)
{
    for (unsigned turn = 0; turn <= 2; turn++) {
        for (size_t i = 0; i < build->units.count; i++) {
            if (turn_of(build, build->units.items[i]->unit) == turn) {
                LIST_ADD(jobs, &build->units.items[i]->old);
            }
        }
    }
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
        }
    }
    order_jobs(build, &jobs);
    struct molt_error *error = build_compile(build, &jobs);
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
    struct molt_error *error = build_open(&build);
    if (!error) {
        error = compile_baseline(&build);
    }
    if (!error) {
        error = build_place(&build);
    }
    for (size_t i = 0; !error && !request->after_count && i < session->images.count; i++) {
        const struct sites *sites;
        error = sites_of_image(session, request, &build.from, NULL, session->images.items[i], &sites);
    }
    build_close(&build);
    patch_result_deinit(&result);
    return error;
}

void patch_result_deinit(struct patch_result *result)
{
    free(result->bytes);
    json_decref(result->manifest);
    json_decref(result->skeletons);
    json_decref(result->stage);
    molt_diagnostics_deinit(&result->diagnostics);
    *result = (struct patch_result){ 0 };
}
