/*
 * publishDiagnostics. A notification replaces all that was said about its file, so the messages are gathered
 * by file first. The compiler counts columns in bytes, the editor in whatever was agreed on, so the line's
 * text is needed: the recorder has it, or the disk.
 */
#include "lsp-server/diagnostics.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/files.h"
#include "lsp-server/lsp.h"
#include "lsp-server/workspace.h"

/* From COLUMN (1-based byte, 0: the whole line) to the end of the word there, or of the character. */
static json_t *range_in(enum position_encoding encoding, const char *line, size_t length, unsigned number,
                        unsigned column)
{
    size_t start = column ? column - 1 : 0, end = length;

    if (start > length)
        start = length;
    if (!column) {
        while (start < length && isspace((unsigned char)line[start]))
            start++;
    } else {
        end = start;
        while (end < length && (isalnum((unsigned char)line[end]) || line[end] == '_'))
            end++;
        if (end == start && end < length)
            end++;
        while (end < length && ((unsigned char)line[end] & 0xc0) == 0x80)
            end++;
    }
    return lsp_range(number, lsp_position_of_byte(encoding, line, length, start),
                     lsp_position_of_byte(encoding, line, length, end));
}

static json_t *range_of(struct workspace *workspace, const char *file, unsigned line, unsigned column)
{
    const char *text = NULL, *found;
    char *read = NULL;
    size_t length = 0, line_length;
    json_t *range;

    if (!line)
        line = 1;
    if (!workspace->recorder || !recorder_text(workspace->recorder, file, &text, &length)) {
        if (!files_read(file, &read, &length))
            text = read;
    }
    found = lsp_line(text ? text : "", text ? length : 0, line, &line_length);
    range = range_in(workspace->server->encoding, found, line_length, line - 1, column);
    free(read);
    return range;
}

/* Adds one to BY_FILE, an object of arrays keyed by URI. */
static void gather(struct workspace *workspace, json_t *by_file, const struct molt_diagnostic *item)
{
    char *path = path_normalise(workspace->root, item->file),
         *uri = path ? uri_from_path("file", path) : NULL;
    json_t *list = uri ? json_object_get(by_file, uri) : NULL;

    if (uri && !list) {
        list = json_array();
        json_object_set_new(by_file, uri, list);
    }
    if (list)
        json_array_append_new(list,
                              json_pack("{s:o,s:i,s:s,s:s,s:s}", "range",
                                        range_of(workspace, path, item->line, item->column), "severity",
                                        item->severity, "code", item->code ? item->code : "molt", "source",
                                        "molt", "message", item->message ? item->message : ""));
    free(uri);
    free(path);
}

static bool has_place(const struct molt_diagnostics *list, const struct molt_error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].file && list->items[i].severity == MOLT_SEVERITY_ERROR &&
            (!strcmp(list->items[i].file, error->file) && list->items[i].line == error->line))
            return true;
    }
    return false;
}

/* What was said of the last attempt, and the notes. */
static json_t *gathered(const struct workspace *workspace)
{
    json_t *all = json_deep_copy(workspace->said), *notes;
    const char *uri;

    json_object_foreach(workspace->notes, uri, notes)
    {
        if (json_object_get(all, uri))
            json_array_extend(json_object_get(all, uri), notes);
        else
            json_object_set(all, uri, notes);
    }
    return all;
}

/* Sends BY_FILE, and an empty list for each file that had diagnostics and has none now. */
static void publish(struct workspace *workspace, json_t *by_file)
{
    const char *uri;
    json_t *list;

    json_object_foreach(workspace->published, uri, list)
    {
        if (!json_object_get(by_file, uri))
            server_notify(workspace->server, "textDocument/publishDiagnostics",
                          json_pack("{s:s,s:[]}", "uri", uri, "diagnostics"));
    }
    json_object_clear(workspace->published);
    json_object_foreach(by_file, uri, list)
    {
        server_notify(workspace->server, "textDocument/publishDiagnostics",
                      json_pack("{s:s,s:O}", "uri", uri, "diagnostics", list));
        json_object_set_new(workspace->published, uri, json_true());
    }
}

static void publish_all(struct workspace *workspace)
{
    json_t *all = gathered(workspace);

    publish(workspace, all);
    json_decref(all);
}

void diagnostics_publish(struct workspace *workspace, const struct molt_diagnostics *list,
                         const struct molt_error *error, const char *code)
{
    json_t *by_file = json_object();

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].file)
            gather(workspace, by_file, &list->items[i]);
    }
    if (error && error->file && !has_place(list, error)) {
        struct molt_diagnostic item = { .severity = MOLT_SEVERITY_ERROR,
                                        .file = error->file,
                                        .line = error->line,
                                        .code = code,
                                        .message = error->message };

        gather(workspace, by_file, &item);
    }
    json_decref(workspace->said);
    workspace->said = by_file;
    publish_all(workspace);
}

void diagnostics_publish_notes(struct workspace *workspace, const struct molt_diagnostics *notes)
{
    json_t *by_file = json_object();

    for (size_t i = 0; i < notes->count; i++)
        gather(workspace, by_file, &notes->items[i]);
    if (json_equal(by_file, workspace->notes)) {
        json_decref(by_file);
        return;
    }
    json_decref(workspace->notes);
    workspace->notes = by_file;
    publish_all(workspace);
}
