/*
 * The sources of the running program. Every step that a crash could cut in two is either one rename, or
 * repeated safely: copying the files of an update into the tree twice gives the same tree, and baseline.json,
 * written last, says that it is done.
 */
#include "lsp-server/baseline.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "lsp-server/baseline_private.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"

/* "A/B/C" with any of them NULL left out; NULL without memory. */
char *baseline_join(const char *a, const char *b, const char *c)
{
    struct text text = { 0 };

    text_puts(&text, a);
    if (b)
        text_printf(&text, "/%s", b);
    if (c)
        text_printf(&text, "/%s", c);
    return text_steal(&text);
}

static char *in_state(const struct baseline *baseline, const char *name)
{
    return baseline_join(baseline->state, name, NULL);
}

struct molt_error *baseline_failed(int error, const char *what)
{
    return error ? molt_error_errno(error, "cannot %s in .molt", what) : NULL;
}

struct molt_error *baseline_load(const char *root, struct baseline **ret)
{
    struct baseline *baseline = calloc(1, sizeof *baseline);
    char *path = NULL;
    json_t *json = NULL;

    if (!baseline)
        return molt_error_nomem();
    baseline->root = strdup(root);
    baseline->state = baseline_join(root, ".molt", NULL);
    baseline->tree = baseline_join(root, ".molt", "baseline");
    baseline->same = json_object();
    if (baseline->state)
        path = in_state(baseline, "baseline.json");
    if (path)
        json = json_load_file(path, 0, NULL);
    baseline->build_ids = json_incref(json_object_get(json, "build_ids"));
    baseline->updates = json_incref(json_object_get(json, "updates"));
    if (!json_is_array(baseline->build_ids) || !json_is_array(baseline->updates)) {
        json_decref(baseline->build_ids);
        json_decref(baseline->updates);
        baseline->build_ids = json_array();
        baseline->updates = json_array();
    }
    json_decref(json);
    free(path);
    if (!path || !baseline->root || !baseline->tree || !baseline->same || !baseline->build_ids ||
        !baseline->updates) {
        baseline_destroy(baseline);
        return molt_error_nomem();
    }
    *ret = baseline;
    return NULL;
}

void baseline_destroy(struct baseline *baseline)
{
    if (!baseline)
        return;
    free(baseline->root);
    free(baseline->state);
    free(baseline->tree);
    json_decref(baseline->build_ids);
    json_decref(baseline->updates);
    json_decref(baseline->same);
    free(baseline);
}

static bool has_string(const json_t *array, const char *string)
{
    size_t i;
    json_t *item;

    json_array_foreach(array, i, item)
    {
        if (json_is_string(item) && !strcmp(json_string_value(item), string))
            return true;
    }
    return false;
}

bool baseline_fits(const struct baseline *baseline, const json_t *build_ids)
{
    size_t i;
    json_t *id;

    if (!json_array_size(build_ids) || json_array_size(build_ids) != json_array_size(baseline->build_ids))
        return false;
    json_array_foreach(build_ids, i, id)
    {
        if (!json_is_string(id) || !has_string(baseline->build_ids, json_string_value(id)))
            return false;
    }
    return true;
}

int baseline_save(const struct baseline *baseline)
{
    json_t *json = json_pack("{s:O,s:O}", "build_ids", baseline->build_ids, "updates", baseline->updates);
    char *path = in_state(baseline, "baseline.json"), *bytes = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    int error = path && bytes ? files_write(path, bytes, strlen(bytes)) : -ENOMEM;

    free(bytes);
    free(path);
    json_decref(json);
    return error;
}

/* The state directory hides itself from version control. */
static int make_state(const struct baseline *baseline)
{
    char *ignore = in_state(baseline, ".gitignore");
    int error = ignore ? files_make_directory(baseline->state) : -ENOMEM;

    if (!error && access(ignore, F_OK))
        error = files_write(ignore, "*\n", 2);
    free(ignore);
    return error;
}

struct molt_error *baseline_begin(struct baseline *baseline, char **ret_directory)
{
    char *directory = in_state(baseline, "baseline.new");
    int error = directory ? make_state(baseline) : -ENOMEM;

    if (!error)
        error = files_remove_tree(directory);
    if (!error)
        error = files_make_directory(directory);
    if (error) {
        free(directory);
        return baseline_failed(error, "keep the program's sources");
    }
    *ret_directory = directory;
    return NULL;
}

struct molt_error *baseline_finish(struct baseline *baseline, const json_t *build_ids)
{
    char *fresh = in_state(baseline, "baseline.new"), *key = in_state(baseline, "baseline.json");
    char *updates = in_state(baseline, "updates");
    int error = fresh && key && updates ? 0 : -ENOMEM;

    if (!error && unlink(key) && errno != ENOENT) /* until it is there again, there is no baseline */
        error = -errno;
    if (!error)
        error = files_remove_tree(baseline->tree);
    if (!error)
        error = files_remove_tree(updates);
    if (!error && rename(fresh, baseline->tree))
        error = -errno;
    if (!error) {
        json_decref(baseline->build_ids);
        json_decref(baseline->updates);
        baseline->build_ids = json_deep_copy(build_ids);
        baseline->updates = json_array();
        error = baseline_save(baseline);
    }
    free(fresh);
    free(key);
    free(updates);
    return baseline_failed(error, "keep the program's sources");
}

struct staging {
    struct baseline *baseline;
    char *pending;
    json_t *files;
};

static int copy_if_there(const char *from_directory, const char *name, const char *to_directory,
                         const char *kind, bool *ret)
{
    char *from = path_join(from_directory, name), *to = baseline_join(to_directory, kind, name);
    int error = from && to ? files_copy(from, to) : -ENOMEM;

    free(from);
    free(to);
    *ret = !error;
    return error == -ENOENT || error == -ENOTDIR ? 0 : error;
}

/* What stat says about both files, or "" if that does not identify their content: one is missing, or was
 * written so recently that a later change could bear the same time. */
static void signature(const char *a, const char *b, char *ret, size_t size)
{
    struct stat sa, sb;
    time_t now = time(NULL);

    *ret = '\0';
    if (stat(a, &sa) || stat(b, &sb) || sa.st_mtim.tv_sec + 2 > now || sb.st_mtim.tv_sec + 2 > now)
        return;
    snprintf(ret, size, "%ju %jd.%09ld %ju %jd.%09ld %jd", (uintmax_t)sa.st_ino, (intmax_t)sa.st_mtim.tv_sec,
             sa.st_mtim.tv_nsec, (uintmax_t)sb.st_ino, (intmax_t)sb.st_mtim.tv_sec, sb.st_mtim.tv_nsec,
             (intmax_t)sa.st_size);
}

static bool known_same(struct baseline *baseline, const char *name, const char *old, const char *new)
{
    char now[160];
    bool same;

    signature(old, new, now, sizeof now);
    if (now[0] && !strcmp(json_text(baseline->same, name, ""), now))
        return true;
    same = files_same(old, new);
    if (same && now[0])
        json_object_set_new(baseline->same, name, json_string(now));
    return same;
}

static int stage_file(void *context, const char *name)
{
    struct staging *staging = context;
    struct baseline *baseline = staging->baseline;
    char *old = path_join(baseline->tree, name), *new = path_join(baseline->root, name);
    bool same = old && new &&known_same(baseline, name, old, new), before = false, after = false;
    int error = old && new ? 0 : -ENOMEM;

    free(old);
    free(new);
    if (error || same)
        return error;
    error = copy_if_there(baseline->tree, name, staging->pending, "before", &before);
    if (!error)
        error = copy_if_there(baseline->root, name, staging->pending, "after", &after);
    if (!error && (before || after) &&
        json_array_append_new(staging->files,
                              json_pack("{s:s,s:b,s:b}", "path", name, "before", before, "after", after)))
        error = -ENOMEM;
    return error;
}

struct molt_error *baseline_stage(struct baseline *baseline, const json_t *extra, json_t **ret)
{
    struct staging staging = { baseline, baseline_join(baseline->state, "updates", "pending"), json_array() };
    int error = staging.pending && staging.files ? files_remove_tree(staging.pending) : -ENOMEM;
    size_t i;
    json_t *name;

    if (!error)
        error = files_make_directory(staging.pending);
    if (!error)
        error = files_walk_tree(baseline->tree, stage_file, &staging);
    json_array_foreach(extra, i, name)
    {
        char *known = path_join(baseline->tree, json_string_value(name));

        if (!error && known && access(known, F_OK))
            error = stage_file(&staging, json_string_value(name));
        free(known);
    }
    free(staging.pending);
    if (error) {
        json_decref(staging.files);
        return baseline_failed(error, "compare the sources with those of the running program");
    }
    *ret = staging.files;
    return NULL;
}

/* Whether DIRECTORY_A/NAME and DIRECTORY_B/NAME have the same content, or both do not exist. */
static bool same_state(const char *directory_a, const char *directory_b, const char *name)
{
    char *a = path_join(directory_a, name), *b = path_join(directory_b, name);
    bool same = a && b && (files_same(a, b) || (access(a, F_OK) && access(b, F_OK)));

    free(a);
    free(b);
    return same;
}

bool baseline_stage_current(const struct baseline *baseline, const json_t *files)
{
    char *after = baseline_join(baseline->state, "updates", "pending/after");
    bool current = after != NULL;
    size_t i;
    json_t *file;

    json_array_foreach(files, i, file)
    {
        if (current)
            current = same_state(after, baseline->root, json_text(file, "path", ""));
    }
    free(after);
    return current;
}

/* "ROOT/.molt/updates/NNNN-ID", N counting from 1. */
char *baseline_update_directory(const struct baseline *baseline, size_t index, const char *id)
{
    struct text text = { 0 };

    text_printf(&text, "%s/updates/%04zu-%s", baseline->state, index + 1, id);
    return text_steal(&text);
}

char *baseline_last_update(const struct baseline *baseline)
{
    size_t count = json_array_size(baseline->updates);

    return count ? baseline_update_directory(baseline, count - 1,
                                             json_string_value(json_array_get(baseline->updates, count - 1)))
                 : NULL;
}

/* record.json of an update's directory: the array of its files. NULL: there is none. */
json_t *baseline_read_record(const char *directory)
{
    char *path = path_join(directory, "record.json");
    json_t *record = path ? json_load_file(path, 0, NULL) : NULL, *files = json_object_get(record, "files");

    json_incref(files);
    json_decref(record);
    free(path);
    return files;
}

static bool lists(const json_t *files, const char *name)
{
    size_t i;
    json_t *file;

    json_array_foreach(files, i, file)
    {
        if (!strcmp(json_text(file, "path", ""), name))
            return true;
    }
    return false;
}

/* All files of the last update are back as they were, and no other file differs from the baseline. */
bool baseline_stage_undoes(const struct baseline *baseline, const json_t *files)
{
    char *directory = baseline_last_update(baseline),
         *before = directory ? path_join(directory, "before") : NULL;
    json_t *record = directory ? baseline_read_record(directory) : NULL, *file;
    bool undoes = json_array_size(record) > 0 && before;
    size_t i;

    json_array_foreach(record, i, file) undoes =
        undoes && same_state(before, baseline->root, json_text(file, "path", ""));
    json_array_foreach(files, i, file) undoes = undoes && lists(record, json_text(file, "path", ""));
    json_decref(record);
    free(before);
    free(directory);
    return undoes;
}

char *baseline_path(const struct baseline *baseline, const char *absolute)
{
    const char *name = path_below(baseline->root, absolute);

    return name ? path_join(baseline->tree, name) : NULL;
}
