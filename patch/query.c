/*
 * Making a query: the state part of a build in which nothing changes. Each type is emitted, whether or not
 * anything is known to lead to it, since what the engine remembers of earlier updates names types by their
 * hashes.
 */
#include "patch/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "patch/build_files.h"
#include "patch/build_state_private.h"
#include "patch/build_take.h"
#include "patch/emit/roots.h"
#include "patch/types/shape.h"
#include "patch/types/private.h"

#define SUGGESTIONS 3

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* ---- which binaries -------------------------------------------------------------------------------- */

static bool is_asked(const struct image *image, const json_t *build_ids)
{
    char hex[2 * MOLT_BUILD_ID_MAX + 1] = "";
    json_t *id;
    size_t index;

    for (size_t k = 0; k < image->build_id_size; k++) {
        snprintf(hex + 2 * k, 3, "%02x", image->build_id[k]);
    }
    json_array_foreach(build_ids, index, id)
    {
        if (json_is_string(id) && strcmp(json_string_value(id), hex) == 0) {
            return true;
        }
    }
    return false;
}

static struct molt_error *find_images(struct build *build, const json_t *build_ids)
{
    for (size_t i = 0; i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        if (is_asked(image, build_ids)) {
            LIST_ADD(&build->asked, image);
        }
    }
    return build->asked.count
               ? NULL
               : molt_error_new(
                     MOLT_ERROR_NOT_FOUND,
                     "the program was not made by this build: name its build directory with -p, or "
                     "start the program again after building it");
}

/* ---- which sources --------------------------------------------------------------------------------- */

static bool is_newer(const char *path, const struct timespec *than)
{
    struct stat st;

    return stat(path, &st) == 0 && (st.st_mtim.tv_sec > than->tv_sec || (st.st_mtim.tv_sec == than->tv_sec &&
                                                                         st.st_mtim.tv_nsec > than->tv_nsec));
}

/* Whether a file that UNIT was compiled from, or might be now, was written after the program was linked. */
static const char *newer_file(struct build *build, const struct unit *unit, const struct timespec *linked)
{
    const struct dependencies *files = unit_dependencies(unit, &build->from, build->session->hashes);

    if (is_newer(unit->entry->file, linked)) {
        return unit->entry->file;
    }
    for (size_t i = 0; files && i < files->count; i++) {
        if (is_newer(files->files[i], linked)) {
            return files->files[i];
        }
    }
    return NULL;
}

/* The lines of a source that was edited since are not those that the program's debug information speaks
 * of. */
static void find_stale(struct build *build, const struct image *image)
{
    const char *first = NULL;
    struct stat st;

    for (size_t i = 0; stat(image->path, &st) == 0 && i < build->session->unit_count; i++) {
        const struct unit *unit = &build->session->units[i];
        bool linked = image_find_unit(image, unit->entry->file, unit->entry->name);
        const char *newer = linked ? newer_file(build, unit, &st.st_mtim) : NULL;
        if (newer) {
            first = first ? first : newer;
            LIST_ADD(&build->stale, unit->entry->name);
        }
    }
    if (first) {
        molt_diagnostics_add(
            &build->result->diagnostics, MOLT_SEVERITY_WARNING, first, 0, 0, "newer-source",
            "was written after %s was linked, so what the allocation calls of %s and whatever "
            "includes it make is not known: name the sources that the program was built from, or "
            "build and start it again",
            image->path, first);
    }
}

/* ---- which type ------------------------------------------------------------------------------------ */

struct search {
    const char *wanted; /* key */
    const char *word;   /* as the user wrote it */
    struct state_emission *records;
    json_t *types;
    struct text similar[2]; /* what begins with the word; what has it somewhere else */
    unsigned similar_count[2];
};

static const char *without_tag(const char *name)
{
    const char *space = strrchr(name, ' ');

    return space ? space + 1 : name;
}

static void suggest(struct search *search, const char *key)
{
    const char *name = without_tag(key), *word = without_tag(search->word);
    bool begins = strncasecmp(name, word, strlen(word)) == 0;
    bool similar = *word && (strcasestr(name, word) || (strlen(name) > 2 && strcasestr(word, name)));
    struct text *text = &search->similar[!begins];

    if (similar && search->similar_count[!begins] < SUGGESTIONS && *key && !strchr(key, '{') &&
        (!text->bytes || !strstr(text->bytes, key))) {
        text_printf(text, "%s%s", search->similar_count[!begins]++ ? ", " : "", key);
    }
}

/* Types that differ in what their pointers lead to may share a layout. */
static bool is_told(const json_t *types, uint32_t layout)
{
    json_t *type;
    size_t index;

    json_array_foreach(types, index, type)
    {
        if (json_integer_value(json_object_get(type, "layout")) == layout) {
            return true;
        }
    }
    return false;
}

/* Every type becomes a layout; those that bear the wanted name are told. */
static bool visit_type(void *context, const struct type *type)
{
    struct search *search = context;
    uint32_t layout = emit_layout(search->records, type);
    char *key = type_key(type);

    if (layout && type_is_compound(type) && search->wanted && strcmp(key, search->wanted) == 0 &&
        !is_told(search->types, layout)) {
        json_array_append_new(
            search->types,
            must_have(json_pack("{s:i, s:s, s:s, s:s?, s:i, s:o}", "layout", (int)layout, "name", key, "unit",
                                type->ambiguous && type->unit ? type->unit : "", "file", type->file, "line",
                                (int)type->line, "shape", type_shape(type))));
    } else if (search->word && type_is_compound(type)) {
        suggest(search, key);
    }
    free(key);
    return true;
}

/* The key of what NAME means: with its tag, or by it, or by a typedef. NULL if it means no structure or
 * union. */
static char *key_of(struct type_model *model, const char *name)
{
    static const char *const tags[] = { "", "struct ", "union " };

    for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
        struct text text = { 0 };
        text_printf(&text, "%s%s", tags[i], name);
        const struct type *type = type_model_find_compound(model, must_have(text.bytes));
        text_deinit(&text);
        if (type) {
            return type_key(type);
        }
    }
    return NULL;
}

/* Emits all types, and tells which are called NAME. */
static struct molt_error *emit_types(struct type_model *model, struct state_emission *records,
                                     const char *name, json_t *types)
{
    char *key = name ? key_of(model, name) : NULL;
    struct search search = { .wanted = key, .word = name, .records = records, .types = types };
    struct molt_error *error = NULL;

    type_model_walk(model, visit_type, &search);
    if (name && !json_array_size(types)) {
        const char *similar = search.similar[search.similar_count[0] ? 0 : 1].bytes;
        error = molt_error_new(MOLT_ERROR_NOT_FOUND, "the program has no structure or union '%s'%s%s%s", name,
                               similar ? "; there is " : "", similar ? similar : "",
                               key ? ", or it has no size" : "");
    }
    text_deinit(&search.similar[0]);
    text_deinit(&search.similar[1]);
    free(key);
    return error;
}

/* ---- the file -------------------------------------------------------------------------------------- */

static void tell_functions(json_t *functions, const struct sites *sites)
{
    for (size_t i = 0; i < sites->items.count; i++) {
        const struct site *site = &sites->items.items[i];
        char *place = must_printf("%s:%u", site->file, site->line);
        if (*site->file && site->kind != MOLT_SITE_WRAPPER) {
            json_object_set_new(functions, place, json_string(site->function));
        }
        free(place);
    }
}

/* The functions of IMAGE, which is module NUMBER. */
static void tell_code(json_t *code, const struct image *image, size_t number)
{
    for (size_t i = 0; i < image->by_address_count; i++) {
        const struct image_symbol *symbol = image->by_address[i];
        char *place = must_printf("%zu:%llu", number, (unsigned long long)symbol->value);
        if (symbol->type == STT_FUNC && !json_object_get(code, place)) {
            json_object_set_new(code, place, json_string(symbol->name));
        }
        free(place);
    }
}

static json_t *tell_sites(const struct build *build)
{
    const struct build_state *state = build->state;
    json_t *all = must_have(json_object()), *functions = must_have(json_object());
    json_t *code = must_have(json_object());

    for (size_t i = 0; i < state->images.count; i++) {
        sites_join_json(all, sites_to_json(state->images.items[i].sites));
        tell_functions(functions, state->images.items[i].sites);
    }
    for (size_t i = 0; i < build->asked.count; i++) {
        tell_code(code, build->asked.items[i], i);
    }
    json_object_set_new(all, "functions", functions);
    json_object_set_new(all, "code", code);
    return all;
}

static json_t *make_manifest(const struct build *build)
{
    json_t *after = must_have(json_array());

    for (size_t i = 0; i < build->earlier_count; i++) {
        json_array_append_new(after, json_string(build->earlier[i].id));
    }
    return must_have(
        json_pack("{s:i, s:o, s:s}", "format", MOLT_PATCH_FORMAT, "after", after, "title", "query"));
}

static struct molt_error *emit(struct build *build, const char *type, struct patch_query *ret)
{
    struct type_model *model = build->state->old;
    struct state_emission records;
    struct emission emission;

    emission_init(&emission, build->earlier, build->earlier_count, &build->result->diagnostics);
    for (size_t i = 0; i < build->asked.count; i++) {
        emission_module(&emission, build->asked.items[i]);
    }
    struct molt_error *error = emission_build(&emission);
    state_emission_init(&records, &emission, NULL);
    if (!error) {
        build_emit_program(build, &records, model);
        error = emission.error;
        emission.error = NULL;
    }
    error = error ? error : emit_types(model, &records, type, ret->types);
    state_emission_deinit(&records);
    if (!error) {
        json_t *manifest = make_manifest(build);
        ret->bytes = emission_finish(&emission, manifest, &ret->size);
        ret->sites = tell_sites(build);
        json_decref(manifest);
    }
    emission_deinit(&emission);
    return error;
}

static struct molt_error *run(struct build *build, const json_t *build_ids, const char *type,
                              struct patch_query *ret)
{
    struct molt_error *error = build_open(build);

    error = error ? error : find_images(build, build_ids);
    if (!error && build->request->from_is_named) {
        error = build_files_check(build);
    }
    if (!error && build->earlier_count) {
        error = session_dependencies(build->session, build->request);
        error = error ? error : build_take_patched(build);
    }
    if (error) {
        return error;
    }
    for (size_t i = 0; build->from.in_place && !build->earlier_count && i < build->asked.count; i++) {
        find_stale(build, build->asked.items[i]);
    }
    build->state = must_calloc(1, sizeof(*build->state));
    build->state->migrates = true;
    build_progress(build, "types", 0, 1);
    error = build_find_sites(build);
    if (!error) {
        build_types_make(build, true);
        error = emit(build, type, ret);
    }
    return error;
}

struct molt_error *patch_session_query(struct patch_session *session, const struct patch_request *request,
                                       const json_t *build_ids, const char *type, struct patch_query *ret)
{
    struct patch_result result = { 0 };
    struct patch_request same = *request;
    double start = now_ms();

    same.to = request->from;
    struct build build = { .session = session, .request = &same, .result = &result };
    *ret = (struct patch_query){ .types = must_have(json_array()) };
    session_trim(session);
    file_hashes_refresh(session->hashes);
    struct molt_error *error = run(&build, build_ids, type, ret);
    build_close(&build);
    ret->diagnostics = result.diagnostics;
    ret->total_ms = now_ms() - start;
    return error;
}

void patch_query_deinit(struct patch_query *query)
{
    free(query->bytes);
    json_decref(query->types);
    json_decref(query->sites);
    molt_diagnostics_deinit(&query->diagnostics);
    *query = (struct patch_query){ 0 };
}
