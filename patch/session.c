/*
 * A session: what one build of one source tree looks like, and what was compiled of it. patch/build.c makes
 * patches out of it.
 */
#include "patch/session_private.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/unseen.h"

#define SCAN_DEPTH 6     /* directories below the build directory that binaries are looked for in */
#define KEPT_OBJECTS 256 /* analysed objects kept in memory */

typedef LIST(char *) path_list;

static void scan_binaries(const char *directory, unsigned depth, path_list *ret)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        struct stat status;
        char *path = must_printf("%s/%s", directory, entry->d_name);
        const char *dot = strrchr(entry->d_name, '.');
        bool known = lstat(path, &status) == 0 && entry->d_name[0] != '.';
        known = known || (strcmp(entry->d_name, ".libs") == 0);
        if (known && S_ISDIR(status.st_mode) && depth < SCAN_DEPTH) {
            scan_binaries(path, depth + 1, ret);
        } else if (known && S_ISREG(status.st_mode) &&
                   (!dot || (strcmp(dot, ".o") && strcmp(dot, ".debug"))) && image_is_binary(path)) {
            LIST_ADD(ret, path);
            continue;
        }
        free(path);
    }
    if (stream) {
        closedir(stream);
    }
}

/* Whether the debug information of IMAGE names a file of the database. */
static bool is_ours(const struct patch_session *session, const struct image *image)
{
    for (size_t i = 0; i < session->db.entries.count; i++) {
        const struct compile_entry *entry = session->db.entries.items[i];
        if (image_find_unit(image, entry->file, entry->name)) {
            return true;
        }
    }
    return false;
}

/* Opens the binaries at PATHS. Those that were found rather than named may be foreign. */
static struct molt_error *open_images(struct patch_session *session, const path_list *paths, bool named)
{
    struct molt_error *first = NULL;
    char *split = NULL;

    for (size_t i = 0; i < paths->count; i++) {
        struct image *image = NULL;
        struct molt_error *error = image_open(paths->items[i], &image);
        if (error && named) {
            molt_error_destroy(first);
            free(split);
            return error;
        }
        if (error) {
            molt_error_destroy(first ? error : NULL);
            first = first ? first : error;
            continue;
        }
        if (!named && !is_ours(session, image)) {
            split = split || !image->split ? split : must_strdup(image->path);
            image_close(image);
            continue;
        }
        LIST_ADD(&session->images, image);
    }
    if (session->images.count) {
        molt_error_destroy(first);
        free(split);
        return NULL;
    }
    if (split) {
        molt_error_destroy(first);
        first = molt_error_new(
            MOLT_ERROR_REFUSED,
            "%s was built with -gsplit-dwarf, so that its debug information is elsewhere: build it without",
            split);
        free(split);
    }
    return first ? first
                 : molt_error_new(
                       MOLT_ERROR_REFUSED,
                       "no executable or shared library below %s was built from the files of its compile "
                       "database with debug information: build it with -g, or name it with --binary",
                       session->db.build);
}

static struct molt_error *find_images(struct patch_session *session, const struct patch_options *options)
{
    path_list paths = { 0 };

    for (size_t i = 0; i < options->binary_count; i++) {
        LIST_ADD(&paths, must_strdup(options->binaries[i]));
    }
    if (!options->binary_count) {
        scan_binaries(session->db.build, 0, &paths);
    }
    struct molt_error *error = open_images(session, &paths, options->binary_count > 0);
    for (size_t i = 0; i < paths.count; i++) {
        free(paths.items[i]);
    }
    LIST_FREE(&paths);
    return error;
}

static struct molt_error *init(struct patch_session *session, const struct patch_options *options)
{
    struct molt_error *error = compile_db_load(options->build, options->root, options->tree, &session->db);

    error = error || !options->to_build
                ? error
                : compile_db_load(options->to_build, NULL, options->tree, &session->to_db);
    if (error) {
        return error;
    }
    session->cache = options->cache ? must_have(path_normalise(session->db.build, options->cache))
                                    : must_printf("%s/.molt/cache", session->db.root);
    if (options->cache && options->cache[0] != '/') {
        char *cwd = must_have(realpath(".", NULL));
        free(session->cache);
        session->cache = must_have(path_normalise(cwd, options->cache));
        free(cwd);
    }
    session->jobs = options->jobs > 0 ? (unsigned)options->jobs : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    session->hashes = file_hashes_create();
    build_time_load(session->cache, session->db.path, &session->db.time);
    session->unit_count = session->db.entries.count;
    session->units = must_calloc(session->unit_count, sizeof(*session->units));
    for (size_t i = 0; i < session->unit_count; i++) {
        unit_init(&session->units[i], session->db.entries.items[i], &session->db, session->cache);
    }
    return find_images(session, options);
}

struct molt_error *patch_session_create(const struct patch_options *options, struct patch_session **ret)
{
    struct patch_session *session = must_calloc(1, sizeof(*session));
    struct molt_error *error = init(session, options);

    if (error) {
        patch_session_destroy(session);
        return error;
    }
    *ret = session;
    return NULL;
}

void patch_session_destroy(struct patch_session *session)
{
    if (!session) {
        return;
    }
    for (size_t i = 0; i < session->objects.count; i++) {
        object_destroy(session->objects.items[i]);
    }
    for (size_t i = 0; i < session->unlisted.count; i++) {
        unseen_deinit(&session->unlisted.items[i]);
    }
    LIST_FREE(&session->unlisted);
    for (size_t i = 0; i < session->images.count; i++) {
        image_close(session->images.items[i]);
    }
    for (size_t i = 0; i < session->unit_count; i++) {
        unit_deinit(&session->units[i]);
    }
    for (size_t i = 0; i < session->checked_keys.count; i++) {
        free(session->checked_keys.items[i]);
    }
    session_forget_sites(session);
    LIST_FREE(&session->checked_keys);
    table_deinit(&session->checked);
    LIST_FREE(&session->objects);
    LIST_FREE(&session->images);
    free(session->units);
    free(session->cache);
    file_hashes_destroy(session->hashes);
    compile_db_deinit(&session->db);
    compile_db_deinit(&session->to_db);
    free(session);
}

const char *patch_session_root(const struct patch_session *session)
{
    return session->db.root;
}

struct molt_error *session_object(struct patch_session *session, const char *path, struct object **ret)
{
    for (size_t i = session->objects.count; i-- > 0;) {
        if (strcmp(session->objects.items[i]->path, path) == 0) {
            *ret = session->objects.items[i];
            return NULL;
        }
    }
    struct object *object;
    struct molt_error *error = object_load(path, &object);
    if (error) {
        return error;
    }
    LIST_ADD(&session->objects, object);
    *ret = object;
    return NULL;
}

bool session_is_checked(const struct patch_session *session, const char *path, const char *binary,
                        size_t earlier)
{
    char *key = must_printf("%s %s %zu", path, binary, earlier);
    bool known = table_get(&session->checked, key) != NULL;

    free(key);
    return known;
}

void session_set_checked(struct patch_session *session, const char *path, const char *binary, size_t earlier)
{
    char *key = must_printf("%s %s %zu", path, binary, earlier);

    LIST_ADD(&session->checked_keys, key);
    table_put(&session->checked, key, session);
}

bool session_is_linked(const struct patch_session *session, const struct unit *unit)
{
    for (size_t i = 0; i < session->images.count; i++) {
        if (image_find_unit(session->images.items[i], unit->entry->file, unit->entry->name)) {
            return true;
        }
    }
    return false;
}

void session_trim(struct patch_session *session)
{
    size_t extra = session->objects.count > KEPT_OBJECTS ? session->objects.count - KEPT_OBJECTS : 0;

    for (size_t i = 0; i < extra; i++) {
        object_destroy(session->objects.items[i]);
    }
    if (extra) {
        session->objects.count -= extra;
        memmove(session->objects.items, session->objects.items + extra,
                session->objects.count * sizeof(*session->objects.items));
    }
    for (size_t i = 0; i < session->unit_count; i++) {
        unit_prune(&session->units[i]);
    }
}

static struct molt_error *copy_file(const char *from, const char *to)
{
    char *bytes, *directory = must_strdup(to);
    size_t size;
    struct molt_error *error = file_read(from, &bytes, &size);

    if (!error) {
        *strrchr(directory, '/') = '\0';
        error = file_make_directory(directory);
        if (!error) {
            error = file_write(to, bytes, size);
        }
        free(bytes);
    }
    free(directory);
    return error;
}

struct molt_error *patch_session_snapshot(struct patch_session *session, const char *directory)
{
    struct patch_request request = { .from = session->db.root };
    struct table done = { 0 };
    file_hashes_refresh(session->hashes);
    struct molt_error *error = session_dependencies(session, &request);

    for (size_t i = 0; !error && i < session->unit_count; i++) {
        struct unit *unit = &session->units[i];
        struct tree root = { .db = &session->db, .directory = session->db.root, .in_place = true };
        const struct dependencies *files = unit_dependencies(unit, &root, session->hashes);
        for (size_t k = 0; !error && files && k < files->count; k++) {
            const char *below = path_below(session->db.root, files->files[k]);
            if (below && !table_put(&done, files->files[k], unit)) {
                char *target = must_printf("%s/%s", directory, below);
                error = copy_file(files->files[k], target);
                free(target);
            }
        }
    }
    table_deinit(&done);
    return error;
}

json_t *patch_session_modules(const struct patch_session *session)
{
    json_t *modules = json_array();

    for (size_t i = 0; i < session->images.count; i++) {
        const struct image *image = session->images.items[i];
        char hex[2 * MOLT_BUILD_ID_MAX + 1] = "";

        for (size_t k = 0; k < image->build_id_size; k++)
            snprintf(hex + 2 * k, 3, "%02x", image->build_id[k]);
        json_array_append_new(modules, json_pack("{s:s,s:s}", "path", image->path, "build_id", hex));
    }
    return modules;
}

json_t *patch_session_include_directories(const struct patch_session *session)
{
    return compile_db_include_directories(&session->db);
}
