/*
 * molt diff: a patch from two states of the sources. Where the states come from (directories, revisions, the
 * baseline that the editor keeps) is decided here; what a patch is, is patch/'s business.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/changes.h"
#include "cli/compose.h"
#include "cli/made.h"
#include "cli/trees.h"
#include "patch/session.h"

static void show_progress(void *context, const char *phase, unsigned done, unsigned total)
{
    if (total > 1 && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\rmolt: %s %u of %u\033[K%s", phase, done, total, done == total ? "\r\033[K" : "");
    }
}

/* All but the one that FAILURE says again, which is printed last. */
static void print_diagnostics(const struct molt_diagnostics *diagnostics, const struct molt_error *failure)
{
    static const char *const words[] = { "", "error", "warning", "note" };

    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct molt_diagnostic *item = &diagnostics->items[i];
        if (failure && strcmp(failure->message, item->message) == 0) {
            continue;
        }
        if (item->file && item->line && item->column) {
            fprintf(stderr, "%s:%u:%u: ", item->file, item->line, item->column);
        } else if (item->file && item->line) {
            fprintf(stderr, "%s:%u: ", item->file, item->line);
        } else if (item->file) {
            fprintf(stderr, "%s: ", item->file);
        }
        fprintf(stderr, "%s: %s\n", words[item->severity], item->message);
    }
}

/* Writes the patch under a name beside PATH and moves it there: nobody ever sees half of it. */
static struct molt_error *write_patch(const char *path, const void *bytes, size_t size)
{
    struct text name = { 0 };
    text_printf(&name, "%s.XXXXXX", path);
    char *temporary = text_steal(&name);
    if (!temporary) {
        return molt_error_nomem();
    }
    int file = mkostemp(temporary, O_CLOEXEC);
    int status = file < 0 ? -errno : 0;
    for (size_t done = 0; status == 0 && done < size;) {
        ssize_t written = write(file, (const char *)bytes + done, size - done);
        status = written < 0 ? -errno : 0;
        done += written > 0 ? (size_t)written : 0;
    }
    if (file >= 0) {
        mode_t mask = umask(0);
        umask(mask);
        status = status < 0 ? status : fchmod(file, 0666 & ~mask) < 0 ? -errno : 0;
        status = close(file) < 0 && status == 0 ? -errno : status;
    }
    if (status == 0 && rename(temporary, path) < 0) {
        status = -errno;
    }
    if (status < 0 && file >= 0) {
        unlink(temporary);
    }
    free(temporary);
    return status < 0 ? molt_error_errno(status, "cannot write %s", path) : NULL;
}

static void print_result(const struct patch_result *result, const char *output, bool as_json)
{
    if (as_json) {
        json_dumpf(result->manifest, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (result->empty) {
        printf("%s: nothing to update\n", output);
    } else {
        size_t types = json_array_size(json_object_get(result->manifest, "types"));
        printf("%s: %u function%s", output, result->functions, result->functions == 1 ? "" : "s");
        if (types) {
            printf(", %zu type%s", types, types == 1 ? "" : "s");
        }
        printf(" in %u unit%s, %zu bytes, made in %.0f ms\n", result->units, result->units == 1 ? "" : "s",
               result->size, result->total_ms);
    }
}

/* What a patch is called that was given no title: "handle_version, struct conn and 3 more". */
static char *title_of(const json_t *changes)
{
    struct text text = { 0 };
    json_t *change;
    size_t i;

    json_array_foreach(changes, i, change)
    {
        const char *name = json_string_value(json_object_get(change, "name"));
        if (i < 3) {
            text_printf(&text, "%s%s", i ? ", " : "", name ? name : "");
        }
    }
    if (i > 3) {
        text_printf(&text, " and %zu more", i - 3);
    }
    return text_steal(&text);
}

static struct molt_error *build(const struct cli_arguments *arguments, struct patch_session *session)
{
    char *title = NULL;
    const char *output = cli_value(arguments, "output");
    struct trees trees = { 0 };
    json_t *stages = NULL;
    struct patch_result result = { 0 };
    struct patch_request request = { .title = cli_value(arguments, "title"), .progress = show_progress };
    struct molt_error *error = trees_find(arguments, patch_session_root(session), &trees);

    request.after = cli_values(arguments, "after", &request.after_count);
    request.from = trees.from;
    request.from_is_named = true;
    request.to = trees.to;
    if (!error) {
        error = changes_of(session, trees.from, trees.to, &request.changes);
    }
    if (!error && !request.title) {
        request.title = title = title_of(request.changes);
    }
    if (!error && trees.via) {
        error = compose_steps(session, &request, trees.via, print_diagnostics, &stages);
        request.stages = stages;
    }
    if (!error) {
        error = patch_session_build(session, &request, &result);
        print_diagnostics(&result.diagnostics, error);
    }
    error = error ? error : write_patch(output, result.bytes, result.size);
    if (!error) {
        const char *id = json_string_value(json_object_get(result.manifest, "id"));
        made_keep(patch_session_root(session), id ? id : "", result.bytes, result.size);
        print_result(&result, output, cli_flag(arguments, "json"));
    }
    json_decref(request.changes);
    json_decref(stages);
    free(title);
    patch_result_deinit(&result);
    trees_deinit(&trees);
    return error;
}

static struct molt_error *run_diff(const struct cli_arguments *arguments, int *ret_status)
{
    const char *build_directory = cli_value(arguments, "build"), *output = cli_value(arguments, "output");
    struct patch_options options = {
        .build = build_directory                                    ? build_directory
                 : access("build/compile_commands.json", R_OK) == 0 ? "build"
                                                                    : ".",
        .root = cli_value(arguments, "root"),
        .tree = cli_value(arguments, "from") ? cli_value(arguments, "from") : cli_value(arguments, "to"),
        .to_build = cli_value(arguments, "to-build"),
    };
    struct patch_session *session = NULL;

    options.binaries = cli_values(arguments, "binary", &options.binary_count);
    if (!output) {
        return molt_error_new(MOLT_ERROR_USAGE, "name the patch file with -o FILE");
    }
    struct molt_error *error = patch_session_create(&options, &session);
    error = error ? error : build(arguments, session);
    patch_session_destroy(session);
    if (error && access(output, F_OK) == 0) {
        fprintf(stderr, "note: %s is still the one that was there before\n", output);
    }
    return error;
}

static const struct cli_option diff_options[] = {
    { 'o', "output", "FILE", "the patch file to write" },
    { CLI_OPTION_BUILD },
    { 0, "from", "DIR", "the sources that the program was built from, with the patches that are in force" },
    { 0, "to", "DIR", "the new sources (the source root itself)" },
    { 0, "via", "DIR",
      "sources in between, whose policies lead from the one to the other; repeat in order (with FROM..TO: a "
      "revision)" },
    { 0, "after", "PATCH", "a patch that is in force already; repeat in order" },
    { CLI_OPTION_BINARY },
    { CLI_OPTION_ROOT },
    { 0, "to-build", "DIR",
      "a build of the new sources, whose compile_commands.json has flags for new files" },
    { 0, "title", "TEXT", "a line about the patch, for people (what changes)" },
    { 'j', "json", NULL, "print the manifest" },
    { 0 },
};

const struct cli_command command_diff = {
    .name = "diff",
    .synopsis = "[-p BUILD] [FROM..TO | --from DIR --to DIR] -o FILE",
    .summary = "make a patch from two states of the sources",
    .description = "Makes the patch FILE that leads a running program from one state of its sources to "
                   "another: two revisions of git\n"
                   "(FROM.. leads to the working tree), two directories, or, without either, from the "
                   "sources that the program\n"
                   "was built from, as an editor with Molt keeps them, to the working tree.",
    .options = diff_options,
    .operands_min = 0,
    .operands_max = 1,
    .run = run_diff,
};
