/*
 * The updates that the running program has, one directory each, and how the baseline moves along them. An
 * update is named before the program is asked to commit it; what the program says it runs decides afterwards
 * (see baseline.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "lsp-server/baseline_private.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"

struct molt_error *baseline_publish(struct baseline *baseline, const char *id, const char *title,
                                    const void *patch, size_t size, const json_t *files)
{
    char *pending = baseline_join(baseline->state, "updates", "pending");
    char *final = baseline_update_directory(baseline, json_array_size(baseline->updates), id);
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
    return baseline_failed(error, "keep the update");
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
        char *from = baseline_join(directory, kind, name), *to = path_join(baseline->tree, name);

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
    json_t *files = directory ? baseline_read_record(directory) : NULL;
    int error = files ? move_files(baseline, directory, kind, files) : -ENOENT;

    json_decref(files);
    return error;
}

static int step_forward(struct baseline *baseline, const char *id)
{
    char *directory = baseline_update_directory(baseline, json_array_size(baseline->updates), id);
    int error = move_by_record(baseline, directory, "after");

    free(directory);
    if (!error && json_array_append_new(baseline->updates, json_string(id)))
        error = -ENOMEM;
    return error;
}

static int step_back(struct baseline *baseline)
{
    char *directory = baseline_last_update(baseline);
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
        error = baseline_save(baseline);
    return baseline_failed(error, "move the baseline on");
}

void baseline_withdraw(struct baseline *baseline, const char *id)
{
    char *directory = baseline_update_directory(baseline, json_array_size(baseline->updates), id);

    if (directory && files_remove_tree(directory))
        molt_log(MOLT_LOG_WARNING, "cannot remove %s", directory);
    free(directory);
}

/* The entry of NAME in the array FILES, or NULL. */
static json_t *entry_of(const json_t *files, const char *name)
{
    size_t i;
    json_t *file;

    json_array_foreach(files, i, file)
    {
        if (!strcmp(json_text(file, "path", ""), name))
            return file;
    }
    return NULL;
}

/* Takes FILE, staged in PENDING, into the update in DIRECTORY whose files are RECORD: its old text unless
 * the update has one, its new text. */
static int merge_file(const char *pending, const char *directory, json_t *record, json_t *file)
{
    static const char *const kinds[] = { "before", "after" };
    const char *name = json_text(file, "path", "");
    json_t *entry = entry_of(record, name);
    int error = 0;

    for (size_t i = entry ? 1 : 0; i < 2 && !error; i++) {
        char *from = baseline_join(pending, kinds[i], name), *to = baseline_join(directory, kinds[i], name);

        error = from && to ? 0 : -ENOMEM;
        if (!error && json_flag(file, kinds[i], false))
            error = files_copy(from, to);
        free(from);
        free(to);
    }
    if (!error && entry)
        error = json_object_set(entry, "after", json_object_get(file, "after")) ? -ENOMEM : 0;
    else if (!error)
        error = json_array_append(record, file) ? -ENOMEM : 0;
    return error;
}

/* Without an effect of its own, the change belongs to the last update from now on: who undoes that must
 * undo this, too. */
static int merge_into_last(struct baseline *baseline, const char *pending, const json_t *files)
{
    char *directory = baseline_last_update(baseline),
         *path = directory ? path_join(directory, "record.json") : NULL;
    json_t *record = path ? json_load_file(path, 0, NULL) : NULL, *file;
    char *text = NULL;
    int error = 0;
    size_t i;

    json_array_foreach(files, i, file)
    {
        if (record && !error)
            error = merge_file(pending, directory, json_object_get(record, "files"), file);
    }
    if (record && !error)
        text = json_dumps(record, JSON_INDENT(1));
    if (text)
        error = files_write(path, text, strlen(text));
    free(text);
    json_decref(record);
    free(path);
    free(directory);
    return error;
}

struct molt_error *baseline_absorb(struct baseline *baseline, const json_t *files)
{
    char *pending = baseline_join(baseline->state, "updates", "pending");
    int error = pending ? merge_into_last(baseline, pending, files) : -ENOMEM;

    if (!error)
        error = move_files(baseline, pending, "after", files);

    free(pending);
    return baseline_failed(error, "move the baseline on");
}

struct molt_error *baseline_roll_back(struct baseline *baseline)
{
    char *directory = baseline_last_update(baseline);
    int error = step_back(baseline);

    if (!error)
        error = baseline_save(baseline);
    if (!error && directory)
        files_remove_tree(directory);
    free(directory);
    return baseline_failed(error, "move the baseline back");
}

static bool recorded(const struct baseline *baseline, size_t index, const char *id)
{
    char *directory = baseline_update_directory(baseline, index, id);
    json_t *files = directory ? baseline_read_record(directory) : NULL;
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
        error = baseline_save(baseline);
    if (error)
        return baseline_failed(error, "follow the running program");
    *ret = common == had && common == wanted ? BASELINE_SAME : BASELINE_MOVED;
    return NULL;
}

json_t *baseline_patches(const struct baseline *baseline)
{
    json_t *paths = json_array(), *id;
    size_t i;

    json_array_foreach(baseline->updates, i, id)
    {
        char *directory = baseline_update_directory(baseline, i, json_string_value(id));
        char *path = directory ? path_join(directory, "patch.molt") : NULL;

        json_array_append_new(paths, json_string(path ? path : ""));
        free(path);
        free(directory);
    }
    return paths;
}
