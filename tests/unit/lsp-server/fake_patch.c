/*
 * A patch builder for the tests of the language server: no compiler, no binaries. The build's binary has the
 * build-id that the file BUILD/build-id names ("b1" without one). A patch is a text that names the files that
 * differ. What a source contains steers it: a line "#error" does not compile, the word "layout" is refused,
 * "same" makes no difference to the program, "slow" compiles until it is cancelled. What the file
 * manifest.json in the root says is in every manifest, and its "skeletons" are those of the result. A source
 * that is also in BUILD/built is not what the binary was built from if it is another one there.
 */
#include "patch/session.h"

#include "patch/emit/manifest.h"
#include "patch/query.h"
#include "patch/transfer/suspended.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "lsp-server/files.h"

struct patch_session {
    char *build, *root;
};

struct molt_error *patch_session_create(const struct patch_options *options, struct patch_session **ret)
{
    struct patch_session *session = calloc(1, sizeof *session);
    char *database = path_join(options->build, "compile_commands.json"), *text, *slash;
    size_t length;
    int error = files_read(database, &text, &length);

    free(database);
    if (error || strstr(text, "broken")) {
        if (!error)
            free(text);
        free(session);
        return molt_error_new(MOLT_ERROR_REFUSED, "compile_commands.json is broken");
    }
    free(text);
    session->build = strdup(options->build);
    session->root = strdup(options->root ? options->root : options->build);
    if (!options->root && (slash = strrchr(session->root, '/')) && !strcmp(slash, "/build"))
        *slash = '\0';
    *ret = session;
    return NULL;
}

void patch_session_destroy(struct patch_session *session)
{
    if (!session)
        return;
    free(session->build);
    free(session->root);
    free(session);
}

const char *patch_session_root(const struct patch_session *session)
{
    return session->root;
}

json_t *patch_session_include_directories(const struct patch_session *session)
{
    return json_pack("[s]", session->root);
}

json_t *patch_session_modules(const struct patch_session *session)
{
    char *path = path_join(session->build, "build-id"), *id = NULL;
    size_t length;
    json_t *modules;

    if (!files_read(path, &id, &length))
        id[strcspn(id, "\n")] = '\0';
    free(path);
    path = path_join(session->build, "server");
    modules = json_pack("[{s:s,s:s}]", "path", path, "build_id", id ? id : "b1");
    free(path);
    free(id);
    return modules;
}

/* Calls VISIT for each C source right below the root. */
static void each_source(const char *root, void (*visit)(void *context, const char *name), void *context)
{
    DIR *directory = opendir(root);
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot && (!strcmp(dot, ".c") || !strcmp(dot, ".h")))
            visit(context, entry->d_name);
    }
    if (directory)
        closedir(directory);
}

struct checking {
    const char *tree, *built;
    bool differs;
};

static void check_source(void *context, const char *name)
{
    struct checking *checking = context;
    char *built = path_join(checking->built, name), *source = path_join(checking->tree, name);

    checking->differs |= !access(built, F_OK) && !files_same(built, source);
    free(built);
    free(source);
}

static bool was_built_from(struct patch_session *session, const char *tree)
{
    struct checking checking = { tree, path_join(session->build, "built"), false };

    each_source(tree, check_source, &checking);
    free((char *)checking.built);
    return !checking.differs;
}

struct molt_error *patch_session_warm(struct patch_session *session, const struct patch_request *request)
{
    return was_built_from(session, request->from)
               ? NULL
               : molt_error_new(MOLT_ERROR_REFUSED, "server was not built from this source");
}

struct copying {
    const char *from, *to;
};

static void copy_source(void *context, const char *name)
{
    struct copying *copying = context;
    char *from = path_join(copying->from, name), *to = path_join(copying->to, name);

    files_copy(from, to);
    free(from);
    free(to);
}

struct molt_error *patch_session_snapshot(struct patch_session *session, const char *directory)
{
    struct copying copying = { session->root, directory };

    each_source(session->root, copy_source, &copying);
    return NULL;
}

struct building {
    const struct patch_request *request;
    const char *from, *to;
    struct patch_result *result;
    struct text patch;
    bool empty, layout;
    unsigned long hash;
};

static unsigned line_of(const char *text, const char *at)
{
    unsigned line = 1;

    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static void build_source(void *context, const char *name)
{
    struct building *building = context;
    char *old = path_join(building->from, name), *new = path_join(building->to, name), *text = NULL, *at;
    size_t length;

    if (!files_same(old, new) && !files_read(new, &text, &length)) {
        at = strstr(text, "#error");
        if (at)
            molt_diagnostics_add(&building->result->diagnostics, MOLT_SEVERITY_ERROR, new, line_of(text, at),
                                 2, "compile", "#error said so");
        while (strstr(text, "slow") && !*building->request->cancel)
            usleep(1000);
        building->layout |= strstr(text, "layout") != NULL;
        building->empty &= strstr(text, "same") != NULL;
        text_printf(&building->patch, " %s", name);
        for (at = text; *at; at++)
            building->hash = building->hash * 31 + (unsigned char)*at;
    }
    free(text);
    free(old);
    free(new);
}

static void add_to_manifest(json_t *manifest, const char *root)
{
    char *path = path_join(root, "manifest.json");
    json_t *more = json_load_file(path, 0, NULL);

    json_object_update(manifest, more);
    json_decref(more);
    free(path);
}

struct molt_error *patch_session_build(struct patch_session *session, const struct patch_request *request,
                                       struct patch_result *ret)
{
    struct building building = { request, request->from, request->to ? request->to : session->root, ret,
                                 .empty = true };
    char id[40];

    *ret = (struct patch_result){ .compile_ms = 1, .total_ms = 2 };
    if (!request->after_count && !was_built_from(session, request->from)) {
        molt_diagnostics_add(&ret->diagnostics, MOLT_SEVERITY_ERROR, "main.c", 1, 0, "baseline-differs",
                             "server was not built from this source");
        return molt_error_new(MOLT_ERROR_REFUSED, "server was not built from this source");
    }
    if (request->progress)
        request->progress(request->context, "compiling", 0, 1);
    each_source(building.to, build_source, &building);
    if (molt_diagnostics_has_error(&ret->diagnostics) || building.layout || *request->cancel) {
        text_deinit(&building.patch);
        return building.layout
                   ? molt_error_at(MOLT_ERROR_REFUSED, "main.c", 1, "the layout of struct s changed")
                   : molt_error_new(MOLT_ERROR_REFUSED, "the sources do not compile");
    }
    snprintf(id, sizeof id, "%zu%lx", request->after_count, building.hash & 0xffff);
    ret->empty = building.empty;
    ret->bytes = malloc(building.patch.length + sizeof id + 4);
    ret->size =
        (size_t)sprintf(ret->bytes, "id %s%s\n", id, building.patch.length ? building.patch.bytes : "");
    text_deinit(&building.patch);
    ret->manifest = json_pack("{s:s,s:[{s:s}]}", "id", id, "functions", "name", "answer");
    add_to_manifest(ret->manifest, session->root);
    ret->skeletons = json_incref(json_object_get(ret->manifest, "skeletons"));
    ret->functions = 1;
    return NULL;
}

/* Programs of the fakes tell what is known of their frames themselves. */
struct molt_error *patch_session_suspended(struct patch_session *session, const struct patch_request *request,
                                           json_t *frames)
{
    return NULL;
}

/* What is asked for has layout 3. */
struct molt_error *patch_session_query(struct patch_session *session, const struct patch_request *request,
                                       const json_t *build_ids, const char *type, struct patch_query *ret)
{
    *ret = (struct patch_query){ .types = json_array(), .sites = json_object() };
    if (type && !strcmp(type, "nothing"))
        return molt_error_new(MOLT_ERROR_NOT_FOUND, "the program has no structure or union 'nothing'");
    if (type)
        json_array_append_new(ret->types, json_pack("{s:i,s:s,s:{s:i,s:[{s:s,s:i,s:i,s:s}]}}", "layout", 3,
                                                    "name", type, "shape", "size", 4, "members", "path", "x",
                                                    "offset", 0, "size", 4, "kind", "int"));
    ret->bytes = strdup("id query\n");
    ret->size = strlen(ret->bytes);
    return NULL;
}

void patch_query_deinit(struct patch_query *query)
{
    free(query->bytes);
    json_decref(query->types);
    json_decref(query->sites);
}

char *patch_source_of(const void *bytes, size_t size)
{
    return strdup(
        "void molt_migrate_v(const struct v_molt_old *old, struct v *new)\n{\n    new->x = old->x;\n}\n");
}

void patch_result_deinit(struct patch_result *result)
{
    free(result->bytes);
    json_decref(result->manifest);
    json_decref(result->skeletons);
    molt_diagnostics_deinit(&result->diagnostics);
}
