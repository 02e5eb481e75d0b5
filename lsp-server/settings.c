/*
 * Settings, and where the compile database is. Order: the editor's options, molt.toml, the folder itself, its
 * build directories (the newest database among them, for that is the one last built with).
 */
#include "lsp-server/settings.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/toml.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"

#define TIMEOUT_MS 5000
#define TIMEOUT_MAX_S 3600.0
#define TRANSFER_MS 200

static const char *const save_words[] = {
#define X(name, word) [SAVE_##name] = word,
    SAVE_POLICIES(X)
#undef X
};

static struct molt_error *set_save(struct settings *settings, const char *where, const json_t *value)
{
    const char *word = json_string_value(value);

    for (size_t i = 0; word && i < sizeof save_words / sizeof save_words[0]; i++) {
        if (!strcmp(save_words[i], word)) {
            settings->save = (enum save_policy)i;
            return NULL;
        }
    }
    return molt_error_new(MOLT_ERROR_USAGE, "%s: save must be never, manual, manualIfDirty or all", where);
}

static struct molt_error *set_timeout(struct settings *settings, const char *where, const json_t *value)
{
    double seconds = json_is_number(value) ? json_number_value(value) : -1;

    if (!(seconds > 0 && seconds <= TIMEOUT_MAX_S))
        return molt_error_new(MOLT_ERROR_USAGE, "%s: timeout must be a number of seconds, such as 5.0",
                              where);
    settings->timeout_ms = (unsigned)(seconds * 1000);
    return NULL;
}

static struct molt_error *set_transfer_after(struct settings *settings, const char *where,
                                             const json_t *value)
{
    double seconds = json_is_number(value) ? json_number_value(value) : -1;

    if (!(seconds >= 0 && seconds <= TIMEOUT_MAX_S))
        return molt_error_new(MOLT_ERROR_USAGE, "%s: transferAfter must be a number of seconds, such as 0.2",
                              where);
    settings->transfer_ms = (unsigned)(seconds * 1000 + 0.5);
    return NULL;
}

static void free_binaries(struct settings *settings)
{
    for (size_t i = 0; settings->binaries && settings->binaries[i]; i++)
        free(settings->binaries[i]);
    free(settings->binaries);
    settings->binaries = NULL;
}

static struct molt_error *set_binaries(struct settings *settings, const char *where, const char *folder,
                                       const json_t *value)
{
    size_t i;
    json_t *item;

    free_binaries(settings);
    if (json_array_size(value) == 0 && json_is_array(value))
        return NULL;
    settings->binaries = calloc(json_array_size(value) + 1, sizeof *settings->binaries);
    if (!settings->binaries)
        return molt_error_nomem();
    json_array_foreach(value, i, item)
    {
        settings->binaries[i] = json_is_string(item) ? path_normalise(folder, json_string_value(item)) : NULL;
        if (!settings->binaries[i])
            break;
    }
    if (!json_is_array(value) || i < json_array_size(value)) {
        free_binaries(settings);
        return molt_error_new(MOLT_ERROR_USAGE, "%s: binaries must be a list of file names", where);
    }
    return NULL;
}

static struct molt_error *set_flag(bool *flag, const char *where, const char *key, const json_t *value)
{
    if (!json_is_boolean(value))
        return molt_error_new(MOLT_ERROR_USAGE, "%s: %s must be true or false", where, key);
    *flag = json_is_true(value);
    return NULL;
}

static struct molt_error *set_path(char **path, const char *where, const char *key, const char *folder,
                                   const json_t *value)
{
    const char *name = json_string_value(value);

    if (!name)
        return molt_error_new(MOLT_ERROR_USAGE, "%s: %s must be the name of a directory", where, key);
    free(*path);
    *path = path_normalise(folder, name);
    return *path ? NULL : molt_error_nomem();
}

/* Takes over what OBJECT says; the first thing wrong with it is returned, the rest is taken over. */
static struct molt_error *take(struct settings *settings, const char *where, const char *folder,
                               const json_t *object)
{
    struct molt_error *errors[10] = { NULL }, *first = NULL;
    json_t *value;

    if ((value = json_object_get(object, "build")))
        errors[0] = set_path(&settings->build, where, "build", folder, value);
    if ((value = json_object_get(object, "root")))
        errors[1] = set_path(&settings->root, where, "root", folder, value);
    if ((value = json_object_get(object, "binaries")))
        errors[2] = set_binaries(settings, where, folder, value);
    if ((value = json_object_get(object, "save")))
        errors[3] = set_save(settings, where, value);
    if ((value = json_object_get(object, "timeout")))
        errors[4] = set_timeout(settings, where, value);
    if ((value = json_object_get(object, "instances")))
        errors[5] = set_flag(&settings->instances, where, "instances", value);
    if ((value = json_object_get(object, "rehearse")))
        errors[6] = set_flag(&settings->rehearse, where, "rehearse", value);
    if ((value = json_object_get(object, "strict")))
        errors[7] = set_flag(&settings->strict, where, "strict", value);
    if ((value = json_object_get(object, "transferAfter")))
        errors[8] = set_transfer_after(settings, where, value);
    if ((value = json_object_get(object, "knownStacks")))
        errors[9] = set_flag(&settings->known_stacks, where, "knownStacks", value);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (first)
            molt_error_destroy(errors[i]);
        else
            first = errors[i];
    }
    return first;
}

static struct molt_error *take_file(struct settings *settings, const char *folder)
{
    char *path = path_join(folder, "molt.toml"), *bytes = NULL;
    const char *reason = NULL;
    struct molt_error *error = NULL;
    json_t *object = NULL;
    unsigned line = 0;
    size_t length;
    int status = path ? files_read(path, &bytes, &length) : -ENOMEM;

    if (status == 0)
        status = toml_parse(bytes, length, &object, &line, &reason);
    if (status == 0)
        error = take(settings, "molt.toml", folder, object);
    else if (status == -EBADMSG)
        error = molt_error_at(MOLT_ERROR_USAGE, path, line, "molt.toml: %s", reason);
    else if (status != -ENOENT)
        error = molt_error_errno(status, "cannot read molt.toml");
    json_decref(object);
    free(bytes);
    free(path);
    return error;
}

static bool has_file(const char *directory, const char *name, struct stat *ret)
{
    char *path = path_join(directory, name);
    bool has = path && !stat(path, ret) && S_ISREG(ret->st_mode);

    free(path);
    return has;
}

/* FOLDER itself, or the one of its build* directories with the newest database. NULL: none. */
static char *find_database(const char *folder)
{
    struct stat st;
    time_t newest = 0;
    char *found = NULL, *pattern;
    glob_t matches = { 0 };

    if (has_file(folder, "compile_commands.json", &st))
        return strdup(folder);
    pattern = path_join(folder, "build*");
    if (pattern && !glob(pattern, 0, NULL, &matches)) {
        for (size_t i = 0; i < matches.gl_pathc; i++) {
            if (!has_file(matches.gl_pathv[i], "compile_commands.json", &st) ||
                (found && st.st_mtime <= newest))
                continue;
            free(found);
            found = strdup(matches.gl_pathv[i]);
            newest = st.st_mtime;
        }
    }
    globfree(&matches);
    free(pattern);
    return found;
}

struct molt_error *settings_read(const char *folder, const json_t *options, struct settings *ret)
{
    struct molt_error *error, *second = NULL;
    struct stat st;

    *ret = (struct settings){
        .save = SAVE_MANUAL, .timeout_ms = TIMEOUT_MS, .instances = true, .transfer_ms = TRANSFER_MS
    };
    error = take_file(ret, folder);
    if (options)
        second = take(ret, "settings", folder, options);
    if (ret->build && !has_file(ret->build, "compile_commands.json", &st)) {
        if (!second)
            second =
                molt_error_new(MOLT_ERROR_NOT_FOUND, "there is no compile_commands.json in %s", ret->build);
        free(ret->build);
        ret->build = NULL;
    } else if (!ret->build) {
        ret->build = find_database(folder);
    }
    if (!error)
        return second;
    molt_error_destroy(second);
    return error;
}

void settings_deinit(struct settings *settings)
{
    free_binaries(settings);
    free(settings->build);
    free(settings->root);
    *settings = (struct settings){ 0 };
}

size_t settings_binary_count(const struct settings *settings)
{
    size_t count = 0;

    while (settings->binaries && settings->binaries[count])
        count++;
    return count;
}

char *settings_find_folder(const char *path)
{
    char *folder = strdup(path), *slash;

    while (folder && (slash = strrchr(folder, '/')) && slash != folder) {
        struct stat st;
        char *database;

        *slash = '\0';
        if (has_file(folder, "molt.toml", &st))
            return folder;
        database = find_database(folder);
        free(database);
        if (database)
            return folder;
    }
    free(folder);
    return NULL;
}
