/*
 * The failed validation, as status, review and diagnostic show it. The engine says which function failed and
 * on which bytes; the manifest of the patch has the members' places (base/failed_validation.h); here it
 * becomes a place in the editor. A check that nobody wrote is shown at the type's declaration.
 */
#include "lsp-server/validation.h"

#include <stdlib.h>
#include <string.h>

#include "base/failed_validation.h"
#include "lsp-server/diagnostics.h"
#include "lsp-server/lsp.h"
#include "lsp-server/workspace.h"

enum { VALUES_IN_DIAGNOSTIC = 12 };

static bool names_type(const json_t *entry, const char *key, const char *type)
{
    const char *name = json_text(entry, key, ""), *tag = strchr(type, ' ');

    return *type && (!strcmp(name, type) || (tag && !strcmp(name, tag + 1)));
}

/* The declaration of TYPE: among the changed types, else among the changes. *RET_FILE stays if it is not
 * found. */
static void find_declaration(const json_t *manifest, const char *type, const char **ret_file,
                             json_int_t *ret_line)
{
    static const char *const lists[] = { "types", "changes" };
    json_t *entry;
    size_t i;

    for (size_t k = 0; k < 2 && !**ret_file; k++) {
        json_array_foreach(json_object_get(manifest, lists[k]), i, entry)
        {
            if (!**ret_file && names_type(entry, "name", type)) {
                *ret_file = json_text(entry, "file", "");
                *ret_line = json_integer_value(json_object_get(entry, "line"));
            }
        }
    }
}

/* VALIDATION, explained, with the place where it is shown: "uri" and "row", 0-based; null if there is
 * none. */
static void locate(const struct workspace *workspace, json_t *validation, const json_t *manifest)
{
    const char *file = json_text(validation, "file", "");
    json_int_t line = json_integer_value(json_object_get(validation, "line"));
    char *path, *uri;

    if (!*file)
        find_declaration(manifest, json_text(validation, "type", ""), &file, &line);
    path = *file ? path_normalise(workspace->root, file) : NULL;
    uri = path ? uri_from_path("file", path) : NULL;
    if (path && *json_text(validation, "file", "") && path_below(workspace->root, path))
        json_object_set_new(validation, "file", json_string(path_below(workspace->root, path)));
    json_object_set_new(validation, "uri", uri ? json_string(uri) : json_null());
    json_object_set_new(validation, "row", uri && line > 0 ? json_integer(line - 1) : json_null());
    free(uri);
    free(path);
}

void validation_say(struct text *text, const json_t *validation)
{
    const char *file = json_text(validation, "file", ""), *instance = json_text(validation, "instance", "");
    const char *message = json_text(validation, "message", "");

    text_puts(text, json_text(validation, "title", ""));
    if (*file)
        text_printf(text, " (%s:%.0f)", file, json_number(validation, "line", 0));
    if (*instance)
        text_printf(text, ", instance %s", instance);
    if (*message)
        text_printf(text, ": %s", message);
    if (json_is_true(json_object_get(validation, "rehearsal")))
        text_puts(text, " (in the rehearsal, in a copy of the process)");
}

/* What to do about a migration that nobody wrote; empty for the user's own, whose lines are shown. */
static void say_remedy(struct text *text, const json_t *validation, const char *before, const char *after)
{
    const char *type = json_text(validation, "type", "");

    if (*type && !*json_text(validation, "file", "") && !strcmp(json_text(validation, "kind", ""), "policy"))
        text_printf(
            text,
            "%sNo policy says how: the light bulb at %s (:Molt policy in Neovim) writes one to start from.%s",
            before, type, after);
}

static const char *value_of(const json_t *row, const char *key)
{
    return json_text(row, key, "-");
}

/* The message for an editor's list of problems: the words, and the values that differ. */
static char *message_of(const json_t *validation)
{
    const json_t *values = json_object_get(validation, "values");
    struct text text = { 0 };
    size_t i, shown = 0;
    json_t *row;

    text_puts(&text, "validation failed, the update was discarded: ");
    validation_say(&text, validation);
    json_array_foreach(values, i, row)
    {
        if (!json_equal(json_object_get(row, "old"), json_object_get(row, "new")) &&
            shown++ < VALUES_IN_DIAGNOSTIC)
            text_printf(&text, "\n%s: %s -> %s", json_text(row, "member", ""), value_of(row, "old"),
                        value_of(row, "new"));
    }
    if (shown > VALUES_IN_DIAGNOSTIC)
        text_printf(&text, "\nand %zu more members", shown - VALUES_IN_DIAGNOSTIC);
    say_remedy(&text, validation, "\n", "");
    return text_steal(&text);
}

static void publish(struct workspace *workspace, const struct molt_diagnostics *diagnostics)
{
    const char *uri = json_text(workspace->failed, "uri", NULL);
    char *path = uri ? uri_to_path(uri) : NULL, *message = message_of(workspace->failed);
    struct molt_error error = { .code = MOLT_ERROR_REFUSED,
                                .message = message,
                                .file = path,
                                .line = (unsigned)json_number(workspace->failed, "row", 0) + 1 };

    if (message)
        diagnostics_publish(workspace, diagnostics, &error, "validation-failed");
    free(message);
    free(path);
}

void validation_failed(struct workspace *workspace, const json_t *result, const json_t *manifest,
                       const struct molt_diagnostics *diagnostics)
{
    json_t *validation = failed_validation_explain(json_object_get(result, "validation"), manifest);

    if (!validation)
        return;
    if (!*json_text(validation, "message", ""))
        json_object_set_new(validation, "message", json_string(json_text(result, "reason", "")));
    if (json_object_get(result, "program"))
        json_object_set(validation, "program", json_object_get(result, "program"));
    locate(workspace, validation, manifest);
    json_decref(workspace->failed);
    workspace->failed = validation;
    publish(workspace, diagnostics);
}

void validation_show(const struct workspace *workspace)
{
    struct text text = { 0 };

    if (workspace->failed)
        validation_say(&text, workspace->failed);
    if (text.length && !text_failed(&text))
        server_show(workspace->server, 1, "Molt: the program was not updated: %s", text.bytes);
    text_deinit(&text);
}

void validation_clear(struct workspace *workspace)
{
    if (!workspace->failed)
        return;
    json_decref(workspace->failed);
    workspace->failed = NULL;
    diagnostics_publish(workspace, &(struct molt_diagnostics){ 0 }, NULL, NULL);
}

void validation_write(struct text *text, const json_t *validation)
{
    const char *instance = json_text(validation, "instance", ""), *file = json_text(validation, "file", "");
    const json_t *program = json_object_get(validation, "program");

    text_printf(text, "\nValidation failed\n  %s", json_text(validation, "title", ""));
    if (*file)
        text_printf(text, ", %s:%.0f", file, json_number(validation, "line", 0));
    text_printf(text, "\n    %s\n", json_text(validation, "message", ""));
    if (*instance)
        text_printf(text, "    instance %s", instance);
    if (*instance && program)
        text_printf(text, " in %s (pid %.0f)", json_text(program, "name", ""),
                    json_number(program, "pid", 0));
    text_puts(text, *instance ? "\n" : "");
    failed_validation_write_values(text, json_object_get(validation, "values"));
    say_remedy(text, validation, "  ", "\n");
    text_puts(
        text,
        "  The program has not noticed. Save again to retry, hold the changes back, or go on editing.\n");
}
