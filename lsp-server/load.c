/*
 * Everything about a workspace that has to be read before edits make sense, in the order in which one thing
 * needs the other: settings say where the build is, the build says where the root is, in the root are the
 * lock, the baseline and the journal.
 *
 * The baseline belongs to the build-ids of the binaries. If there is none for them, the sources on disk are
 * taken for it: they are what was built last, or the builder's own check of objects against the binary says
 * that they are not.
 */
#include "lsp-server/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/text.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"

static void keep_first(struct load *load, struct molt_error *error)
{
    if (!load->error)
        load->error = error;
    else
        molt_error_destroy(error);
}

int load_lock(const char *root, char **ret_holder)
{
    char *directory = path_join(root, ".molt"), *path = directory ? path_join(directory, "lock") : NULL;
    char pid[32];
    ssize_t length;
    int fd = -1;

    if (path && !files_make_directory(directory))
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    free(path);
    free(directory);
    if (fd < 0) {
        *ret_holder = NULL;
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        length = read(fd, pid, sizeof pid - 1);
        pid[length > 0 ? length : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        *ret_holder = strdup(pid[0] ? pid : "?");
        close(fd);
        return -1;
    }
    length = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)length, 0) < 0)
        length = 0; /* the lock counts, not who is named in it */
    return fd;
}

/* The distinct build-ids of MODULES: a new array of strings. */
static json_t *distinct_build_ids(const json_t *modules)
{
    json_t *ids = json_array(), *seen = json_object(), *module;
    size_t i;

    json_array_foreach(modules, i, module)
    {
        const char *id = json_text(module, "build_id", "");

        if (!*id || json_object_get(seen, id))
            continue;
        json_object_set_new(seen, id, json_true());
        json_array_append_new(ids, json_string(id));
    }
    json_decref(seen);
    return ids;
}

static void open_build(struct load *load)
{
    struct patch_options options = {
        .build = load->settings.build,
        .root = load->settings.root,
        .binaries = (const char *const *)load->settings.binaries,
        .binary_count = settings_binary_count(&load->settings),
    };

    keep_first(load, patch_session_create(&options, &load->session));
    if (!load->session)
        return;
    load->root = strdup(patch_session_root(load->session));
    load->modules = patch_session_modules(load->session);
    load->include_directories = patch_session_include_directories(load->session);
}

/* Takes the baseline of the build as it is, unless it is there already. */
static void open_baseline(struct load *load)
{
    json_t *ids = distinct_build_ids(load->modules);
    struct molt_error *error = baseline_load(load->root, &load->baseline);
    char *directory = NULL;

    if (!error && load->session && json_array_size(ids) && load->lock >= 0 &&
        !baseline_fits(load->baseline, ids)) {
        error = baseline_begin(load->baseline, &directory);
        if (!error)
            error = patch_session_snapshot(load->session, directory);
        if (!error)
            error = baseline_finish(load->baseline, ids);
        load->baseline_new = !error;
    }
    free(directory);
    json_decref(ids);
    keep_first(load, error);
}

/* A file of the baseline that is not so on disk: its changes are pending, opened or not. */
static int note_difference(void *context, const char *name)
{
    struct load *load = context;
    char *old = path_join(load->baseline->tree, name), *new = path_join(load->root, name), *text = NULL;
    size_t length;

    if (old && new && !files_same(old, new) && !files_read(old, &text, &length)) {
        molt_error_destroy(recorder_set_baseline(load->recorder, new, text, length));
        molt_error_destroy(recorder_disk_changed(load->recorder, new));
    }
    free(text);
    free(old);
    free(new);
    return 0;
}

static void open_recorder(struct load *load)
{
    char *state = path_join(load->root, ".molt");
    struct molt_error *error = recorder_create(load->root, load->lock >= 0 ? state : NULL, &load->recorder);

    if (error && load->lock >= 0) { /* no journal is better than no recorder */
        keep_first(load, molt_error_prefix(error, "edits are not kept"));
        error = recorder_create(load->root, NULL, &load->recorder);
    }
    keep_first(load, error);
    if (load->recorder && load->baseline && json_array_size(load->baseline->build_ids))
        files_walk_tree(load->baseline->tree, note_difference, load);
    free(state);
}

void load_run(struct load *load)
{
    load->error = settings_read(load->folder, load->options, &load->settings);
    if (load->settings.build)
        open_build(load);
    else
        keep_first(
            load,
            molt_error_new(MOLT_ERROR_NOT_FOUND,
                           "no compile_commands.json in %s or its build* directories: have your build write "
                           "one, or name its directory in molt.toml (build = \"...\")",
                           load->folder));
    if (!load->root)
        load->root = strdup(load->settings.root ? load->settings.root : load->folder);
    if (!load->root) {
        keep_first(load, molt_error_nomem());
        return;
    }
    if (load->session && load->lock < 0)
        load->lock = load_lock(load->root, &load->lock_holder);
    if (load->session)
        open_baseline(load);
    if (load->want_recorder)
        open_recorder(load);
}

void load_free(struct load *load)
{
    if (!load)
        return;
    settings_deinit(&load->settings);
    molt_error_destroy(load->error);
    patch_session_destroy(load->session);
    recorder_destroy(load->recorder);
    baseline_destroy(load->baseline);
    json_decref(load->modules);
    json_decref(load->include_directories);
    json_decref(load->options);
    free(load->root);
    free(load->folder);
    free(load->lock_holder);
    free(load);
}
