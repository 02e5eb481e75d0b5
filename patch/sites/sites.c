/*
 * From a binary to its sites: find the calls that lead to memory (sites/select.c), ask the sources of their
 * units (sites/ask.c), judge each by its surroundings (sites/resolve.c, sites/judge.c), and tell the result
 * (sites/make.c). What a binary's code says is worked out once per session, what its sources say once per
 * state of them.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/session_private.h"
#include "patch/sites/private.h"

static int compare_sites(const void *left, const void *right)
{
    const struct site *a = left, *b = right;

    if (a->symbol != b->symbol) {
        return a->symbol->index < b->symbol->index ? -1 : 1;
    }
    return a->address < b->address ? -1 : a->address > b->address;
}

static void work_deinit(struct site_work *work)
{
    for (size_t i = 0; i < work->calls.count; i++) {
        LIST_FREE(&work->calls.items[i].frames);
    }
    for (size_t i = 0; i < work->jumps.count; i++) {
        LIST_FREE(&work->jumps.items[i].frames);
    }
    for (size_t i = 0; i < work->owned.count; i++) {
        free(work->owned.items[i]);
    }
    LIST_FREE(&work->calls);
    LIST_FREE(&work->jumps);
    LIST_FREE(&work->all);
    LIST_FREE(&work->probes);
    LIST_FREE(&work->owned);
    table_deinit(&work->forms);
    table_deinit(&work->allocators);
}

/* What is in probes of the whole program, for new code that calls into it. */
static void borrow_probes(struct site_work *work, const struct sites *program)
{
    for (size_t i = 0; program && i < program->keeps.count; i++) {
        LIST_ADD(&work->probes, program->keeps.items[i]);
    }
}

static bool has_named_call(const struct site_work *work)
{
    for (size_t i = 0; i < work->calls.count; i++) {
        if (work->calls.items[i].call.callee) {
            return true;
        }
    }
    return false;
}

static void make_sites(struct site_work *work, const struct site_subject *subject, const struct tree *tree,
                       struct sites *sites)
{
    site_find_shifted(work, subject->image);
    for (size_t i = 0; i < work->calls.count; i++) {
        site_add(sites, work, subject, tree, &work->calls.items[i]);
    }
    if (sites->items.count) {
        qsort(sites->items.items, sites->items.count, sizeof(*sites->items.items), compare_sites);
    }
}

/* Works out the sites of SUBJECT, WORK having its index, wrappers and settings, and frees WORK. PROGRAM:
 * of the whole program; NULL if the subject is that. */
static struct molt_error *work_out(struct patch_session *session, const struct patch_request *request,
                                   struct tree *tree, const struct site_subject *subject,
                                   struct site_work *work, const struct sites *program, struct sites **ret)
{
    struct sites *sites = must_calloc(1, sizeof(*sites));
    struct molt_error *error = site_ask_sources(session, request, tree, subject, work);

    for (size_t i = 0; i < work->probes.count; i++) {
        LIST_ADD(&sites->keeps, (void *)work->probes.items[i]);
    }
    work->own_probes = work->probes.count;
    if (!error) {
        borrow_probes(work, program);
        make_sites(work, subject, tree, sites);
        *ret = sites;
    } else {
        sites_destroy(sites);
    }
    work_deinit(work);
    return error;
}

/* ---- binaries -------------------------------------------------------------------------------------- */

/* The names that count as wrappers whatever they look like. */
static void names_of_settings(const struct heap_settings *settings, name_list *ret)
{
    for (size_t i = 0; i < settings->wrappers.count; i++) {
        LIST_ADD(ret, settings->wrappers.items[i]);
    }
    for (size_t i = 0; i < settings->allocators.count; i++) {
        LIST_ADD(ret, settings->allocators.items[i].allocate);
    }
    LIST_ADD(ret, NULL);
    ret->count--;
}

static void free_code(struct site_code *code)
{
    wrappers_deinit(&code->wrappers);
    code_index_deinit(&code->index);
    call_targets_deinit(&code->targets);
    free(code->settings);
    free(code);
}

/* What the code of IMAGE says; stays the session's. NAMES are those of SETTINGS. */
static const struct site_code *code_of(struct patch_session *session, const struct image *image,
                                       const struct heap_settings *settings, const name_list *names)
{
    const char *text = settings->text ? settings->text : "";

    for (size_t i = 0; i < session->codes.count; i++) {
        struct site_code *known = session->codes.items[i];
        if (known->image == image && strcmp(known->settings, text) == 0) {
            return known;
        }
    }
    struct site_code *code = must_calloc(1, sizeof(*code));
    code->image = image;
    code->settings = must_strdup(text);
    call_targets_init(&code->targets, image);
    code_index_init(&code->index, image->dwarf);
    struct code_source source = { .targets = &code->targets };
    wrappers_find(&code->wrappers, &source, &code->index, names->items);
    LIST_ADD(&session->codes, code);
    return code;
}

/* What the sites of IMAGE depend on: sources and settings. Owned by the caller. */
static char *key_of(struct patch_session *session, const struct tree *from, const struct image *image,
                    const struct heap_settings *settings)
{
    struct hash hash;
    char hex[HASH_HEX];

    hash_init(&hash);
    for (size_t i = 0; i < session->unit_count; i++) {
        const struct dependencies *files = unit_dependencies(&session->units[i], from, session->hashes);
        hash_add_string(&hash, files ? files->key : "");
    }
    hash_add_string(&hash, settings->text ? settings->text : "");
    hash_end(&hash, hex);
    return must_printf("%s %s", image->path, hex);
}

static const struct sites *find_kept(struct patch_session *session, const char *key)
{
    for (size_t i = 0; i < session->sites.count; i++) {
        if (strcmp(session->sites.items[i]->key, key) == 0) {
            return session->sites.items[i];
        }
    }
    return NULL;
}

/* Keeps SITES of IMAGE in the place of those from other sources. */
static void keep(struct patch_session *session, const struct image *image, struct sites *sites)
{
    size_t length = strlen(image->path);

    for (size_t i = 0; i < session->sites.count; i++) {
        struct sites *known = session->sites.items[i];
        if (strncmp(known->key, image->path, length) == 0 && known->key[length] == ' ') {
            sites_destroy(known);
            session->sites.items[i] = sites;
            return;
        }
    }
    LIST_ADD(&session->sites, sites);
}

static struct molt_error *image_sites(struct patch_session *session, const struct patch_request *request,
                                      struct tree *from, const struct image *image, const char *const *stale,
                                      const struct heap_settings *settings, const struct sites **ret)
{
    char *key = key_of(session, from, image, settings);
    const struct sites *kept = find_kept(session, key);
    name_list names = { 0 };
    struct sites *sites;

    free(key);
    if (kept) {
        *ret = kept;
        return NULL;
    }
    names_of_settings(settings, &names);
    const struct site_code *code = code_of(session, image, settings, &names);
    struct site_subject subject = { .code = { .targets = &code->targets },
                                    .image = image,
                                    .dwarf = image->dwarf,
                                    .names = names.items,
                                    .stale = stale,
                                    .image_code = code };
    struct site_work work = { .settings = settings,
                              .names = names.items,
                              .wrappers = &code->wrappers,
                              .index = &code->index,
                              .dwarf = image->dwarf };
    site_select_calls(&work, &subject);
    struct molt_error *error = work_out(session, request, from, &subject, &work, NULL, &sites);
    if (!error) {
        sites->key = key_of(session, from, image, settings); /* now that all sources have been read */
        keep(session, image, sites);
        *ret = sites;
    }
    LIST_FREE(&names);
    return error;
}

struct molt_error *sites_of_image(struct patch_session *session, const struct patch_request *request,
                                  struct tree *from, const char *const *stale, const struct image *image,
                                  const struct sites **ret)
{
    struct heap_settings settings;
    struct molt_error *error = heap_settings_read(session->db.root, &settings);

    if (!error) {
        error = image_sites(session, request, from, image, stale, &settings, ret);
        heap_settings_deinit(&settings);
    }
    return error;
}

const struct sites *sites_known(const struct patch_session *session, const struct image *image)
{
    size_t length = strlen(image->path);

    for (size_t i = 0; i < session->sites.count; i++) {
        const struct sites *known = session->sites.items[i];
        if (strncmp(known->key, image->path, length) == 0 && known->key[length] == ' ') {
            return known;
        }
    }
    return NULL;
}

void session_forget_sites(struct patch_session *session)
{
    for (size_t i = 0; i < session->sites.count; i++) {
        sites_destroy(session->sites.items[i]);
    }
    for (size_t i = 0; i < session->codes.count; i++) {
        free_code(session->codes.items[i]);
    }
    LIST_FREE(&session->sites);
    LIST_FREE(&session->codes);
}

/* ---- new code -------------------------------------------------------------------------------------- */

/* The sites of IMAGE as far as they are known already, else from what TREE holds: new code goes by how the
 * functions it calls take their sizes. */
static struct molt_error *sites_of_program(struct patch_session *session, const struct patch_request *request,
                                           struct tree *tree, const struct image *image,
                                           const struct heap_settings *settings, const struct sites **ret)
{
    const struct sites *known = sites_known(session, image);

    if (known) {
        *ret = known;
        return NULL;
    }
    return image_sites(session, request, tree, image, NULL, settings, ret);
}

static struct molt_error *object_sites(struct patch_session *session, const struct patch_request *request,
                                       struct tree *tree, struct site_subject *subject,
                                       const struct heap_settings *settings, struct sites **ret)
{
    struct code_index index;
    struct wrappers wrappers = { 0 };
    const struct sites *program = NULL;
    struct molt_error *error = NULL;

    code_index_init(&index, subject->dwarf);
    wrappers_find(&wrappers, &subject->code, &index, subject->names);
    struct site_work work = { .settings = settings,
                              .names = subject->names,
                              .wrappers = &wrappers,
                              .index = &index,
                              .dwarf = subject->dwarf };
    site_select_calls(&work, subject);
    if (has_named_call(&work)) {
        error = sites_of_program(session, request, tree, subject->image, settings, &program);
    } else {
        work.calls.count = work.jumps.count =
            0; /* a save that allocates nothing need not wait for the probe */
    }
    if (!error) {
        error = work_out(session, request, tree, subject, &work, program, ret);
    } else {
        work_deinit(&work);
    }
    wrappers_deinit(&wrappers);
    code_index_deinit(&index);
    return error;
}

struct molt_error *sites_of_object(struct patch_session *session, const struct patch_request *request,
                                   struct tree *tree, struct unit *unit, struct object *object,
                                   const bool *wanted, const struct image *image, struct sites **ret)
{
    struct heap_settings settings;
    name_list names = { 0 };
    struct molt_error *error = heap_settings_read(session->db.root, &settings);

    if (error) {
        return error;
    }
    names_of_settings(&settings, &names);
    const struct site_code *code = code_of(session, image, &settings, &names);
    for (size_t i = 0; i < code->wrappers.items.count; i++) {
        LIST_ADD(&names, code->wrappers.items.items[i].name);
    }
    LIST_ADD(&names, NULL);
    struct site_subject subject = { .code = { .object = object },
                                    .image = image,
                                    .dwarf = object_dwarf(object),
                                    .names = names.items,
                                    .image_code = code,
                                    .wanted = wanted,
                                    .unit = unit };
    error = object_sites(session, request, tree, &subject, &settings, ret);
    LIST_FREE(&names);
    heap_settings_deinit(&settings);
    return error;
}

void sites_destroy(struct sites *sites)
{
    if (!sites) {
        return;
    }
    for (size_t i = 0; i < sites->keeps.count; i++) {
        probe_destroy(sites->keeps.items[i]);
    }
    for (size_t i = 0; i < sites->owned.count; i++) {
        free(sites->owned.items[i]);
    }
    LIST_FREE(&sites->items);
    LIST_FREE(&sites->allocators);
    LIST_FREE(&sites->owned);
    LIST_FREE(&sites->keeps);
    LIST_FREE(&sites->hint_units);
    free(sites->key);
    free(sites);
}

json_t *sites_to_json(const struct sites *sites)
{
    json_t *unknown = json_array();
    size_t counts[MOLT_SITE_KINDS] = { 0 };

    for (size_t i = 0; i < sites->items.count; i++) {
        const struct site *site = &sites->items.items[i];
        counts[site->kind]++;
        if (site->kind == MOLT_SITE_UNKNOWN) {
            json_array_append_new(unknown, json_pack("{s:s, s:i, s:s, s:s}", "file", site->file, "line",
                                                     (int)site->line, "function", site->function, "reason",
                                                     site->reason));
        }
    }
    return must_have(json_pack(
        "{s:i, s:i, s:i, s:o}", "typed", (int)(counts[MOLT_SITE_OBJECT] + counts[MOLT_SITE_ARRAY]), "bytes",
        (int)counts[MOLT_SITE_BYTES], "wrapper", (int)counts[MOLT_SITE_WRAPPER], "unknown", unknown));
}
