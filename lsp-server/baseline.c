/*
 * The sources of the running program. Every step that a crash could cut in two is either one rename, or
 * repeated safely: copying the files of an update into the tree twice gives the same tree, and baseline.json,
 * written last, says that it is done.
 */
#include "lsp-server/baseline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"

/* "A/B/C" with any of them NULL left out; NULL without memory. */
static char *join(const char *a, const char *b, const char *c)
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
    return join(baseline->state, name, NULL);
}

static struct molt_error *failed(int error, const char *what)
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
    baseline->state = join(root, ".molt", NULL);
    baseline->tree = join(root, ".molt", "baseline");
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
    if (!path || !baseline->root || !baseline->tree || !baseline->build_ids || !baseline->updates) {
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

static int save(const struct baseline *baseline)
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
        return failed(error, "keep the program's sources");
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
        error = save(baseline);
    }
    free(fresh);
    free(key);
    free(updates);
    return failed(error, "keep the program's sources");
}

struct staging {
    struct baseline *baseline;
    char *pending;
    json_t *files;
};

static int copy_if_there(const char *from_directory, const char *name, const char *to_directory,
                         const char *kind, bool *ret)
{
    char *from = path_join(from_directory, name), *to = join(to_directory, kind, name);
    int error = from && to ? files_copy(from, to) : -ENOMEM;

    free(from);
    free(to);
    *ret = !error;
    return error == -ENOENT || error == -ENOTDIR ? 0 : error;
}

static int stage_file(void *context, const char *name)
{
    struct staging *staging = context;
    struct baseline *baseline = staging->baseline;
    char *old = path_join(baseline->tree, name), *new = path_join(baseline->root, name);
    bool same = old && new &&files_same(old, new), before = false, after = false;
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
    struct staging staging = { baseline, join(baseline->state, "updates", "pending"), json_array() };
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
        return failed(error, "compare the sources with those of the running program");
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
    char *after = join(baseline->state, "updates", "pending/after");
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
static char *update_directory(const struct baseline *baseline, size_t index, const char *id)
{
    struct text text = { 0 };

    text_printf(&text, "%s/updates/%04zu-%s", baseline->state, index + 1, id);
    return text_steal(&text);
}

static char *last_update(const struct baseline *baseline)
{
    size_t count = json_array_size(baseline->updates);

    return count ? update_directory(baseline, count - 1,
                                    json_string_value(json_array_get(baseline->updates, count - 1)))
                 : NULL;
}

/* record.json of an update's directory: the array of its files. NULL: there is none. */
static json_t *read_record(const char *directory)
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
    char *directory = last_update(baseline), *before = directory ? path_join(directory, "before") : NULL;
    json_t *record = directory ? read_record(directory) : NULL, *file;
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

struct molt_error *baseline_publish(struct baseline *baseline, const char *id, const char *title,
                                    const void *patch, size_t size, const json_t *files)
{
    char *pending = join(baseline->state, "updates", "pending");
    char *final = update_directory(baseline, json_array_size(baseline->updates), id);
    char *patch_path = pending ? path_join(pending, "patch.molt") : NULL;
    char *record_path = pending ? path_join(pending, "record.json") : NULL;
    json_t *record = json_pack("{s:s,s:s,s:O}", "id", id, "title", title, "files", (json_t *)files);
    char *text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;
    int error = final && patch_path && record_path && text ? files_write(patch_path, patch, size) : -ENOMEM;

    if (!error)
        error = files_write(record_path, text, strlen(text));
    if (!error)
        error = files_remove_tree(final);
    if (!error && rename(pending, final))
        error = -errno;
    free(text);
    json_decref(record);
    free(record_path);
    free(patch_path);
    free(final);
    free(pending);
    return failed(error, "keep the update");
}

/* Makes the baseline's files what they are in DIRECTORY/KIND, for all of FILES. */
static int move_files(struct baseline *baseline, const char *directory, const char *kind, const json_t *files)
{
    int error = 0;
    size_t i;
    json_t *file;

    json_array_foreach(files, i, file)
    {
        const char *name = json_text(file, "path", "");
        char *from = join(directory, kind, name), *to = path_join(baseline->tree, name);

        if (!error)
            error = from && to ? 0 : -ENOMEM;
        if (!error && json_flag(file, kind, false))
            error = files_copy(from, to);
        else if (!error && unlink(to) && errno != ENOENT)
            error = -errno;
        free(from);
        free(to);
    }
    return error;
}

/* Takes over DIRECTORY/KIND as recorded there. */
static int move_by_record(struct baseline *baseline, const char *directory, const char *kind)
{
    json_t *files = directory ? read_record(directory) : NULL;
    int error = files ? move_files(baseline, directory, kind, files) : -ENOENT;

    json_decref(files);
    return error;
}

static int step_forward(struct baseline *baseline, const char *id)
{
    char *directory = update_directory(baseline, json_array_size(baseline->updates), id);
    int error = move_by_record(baseline, directory, "after");

    free(directory);
    if (!error && json_array_append_new(baseline->updates, json_string(id)))
        error = -ENOMEM;
    return error;
}

static int step_back(struct baseline *baseline)
{
    char *directory = last_update(baseline);
    int error = move_by_record(baseline, directory, "before");

    if (!error)
        json_array_remove(baseline->updates, json_array_size(baseline->updates) - 1);
    free(directory);
    return error;
}

struct molt_error *baseline_commit(struct baseline *baseline, const char *id)
{
    int error = step_forward(baseline, id);

    if (!error)
        error = save(baseline);
    return failed(error, "move the baseline on");
}

void baseline_withdraw(struct baseline *baseline, const char *id)
{
    char *directory = update_directory(baseline, json_array_size(baseline->updates), id);

    if (directory && files_remove_tree(directory))
        molt_log(MOLT_LOG_WARNING, "cannot remove %s", directory);
    free(directory);
}

struct molt_error *baseline_absorb(struct baseline *baseline, const json_t *files)
{
    char *pending = join(baseline->state, "updates", "pending");
    int error = pending ? move_files(baseline, pending, "after", files) : -ENOMEM;

    free(pending);
    return failed(error, "move the baseline on");
}

struct molt_error *baseline_roll_back(struct baseline *baseline)
{
    char *directory = last_update(baseline);
    int error = step_back(baseline);

    if (!error)
        error = save(baseline);
    if (!error && directory)
        files_remove_tree(directory);
    free(directory);
    return failed(error, "move the baseline back");
}

static bool recorded(const struct baseline *baseline, size_t index, const char *id)
{
    char *directory = update_directory(baseline, index, id);
    json_t *files = directory ? read_record(directory) : NULL;
    bool there = files != NULL;

    json_decref(files);
    free(directory);
    return there;
}

struct molt_error *baseline_follow(struct baseline *baseline, const json_t *updates,
                                   enum baseline_follow *ret)
{
    size_t common = 0, wanted = json_array_size(updates), had = json_array_size(baseline->updates);
    int error = 0;

    while (common < wanted && common < had &&
           json_equal(json_array_get(updates, common), json_array_get(baseline->updates, common)))
        common++;
    for (size_t i = common; i < wanted; i++) {
        const char *id = json_string_value(json_array_get(updates, i));

        if (!id || !recorded(baseline, i, id)) {
            *ret = BASELINE_UNKNOWN;
            return NULL;
        }
    }
    while (!error && json_array_size(baseline->updates) > common)
        error = step_back(baseline);
    for (size_t i = common; !error && i < wanted; i++)
        error = step_forward(baseline, json_string_value(json_array_get(updates, i)));
    if (!error && (common < had || common < wanted))
        error = save(baseline);
    if (error)
        return failed(error, "follow the running program");
    *ret = common == had && common == wanted ? BASELINE_SAME : BASELINE_MOVED;
    return NULL;
}

json_t *baseline_patches(const struct baseline *baseline)
{
    json_t *paths = json_array(), *id;
    size_t i;

    json_array_foreach(baseline->updates, i, id)
    {
        char *directory = update_directory(baseline, i, json_string_value(id));
        char *path = directory ? path_join(directory, "patch.molt") : NULL;

        json_array_append_new(paths, json_string(path ? path : ""));
        free(path);
        free(directory);
    }
    return paths;
}

char *baseline_path(const struct baseline *baseline, const char *absolute)
{
    const char *name = path_below(baseline->root, absolute);

    return name ? path_join(baseline->tree, name) : NULL;
}
