/*
 * The recorder works the edits out (recorder/loop); here they become a workspace edit. Where the loop stays
 * as it is, the action is shown as disabled with the reason, to clients that can show that.
 */
#include "lsp-server/loop_action.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lsp-server/lsp.h"
#include "lsp-server/suspended.h"
#include "lsp-server/workspace.h"

#define KIND "refactor.extract"

/* Where byte OFFSET of TEXT is, for the client. */
static json_t *position(enum position_encoding encoding, const char *text, uint32_t offset)
{
    unsigned line = 0;
    uint32_t start = 0, end;

    for (uint32_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    for (end = offset; text[end] && text[end] != '\n'; end++)
        ;
    return json_pack("{s:i,s:i}", "line", (int)line, "character",
                     (int)lsp_position_of_byte(encoding, text + start, end - start, offset - start));
}

static json_t *edit_of(const struct workspace *workspace, const char *path,
                       const struct loop_extraction *extraction)
{
    char *uri = uri_from_path("file", path);
    const char *text;
    size_t length;
    json_t *edits = json_array();

    if (uri && recorder_text(workspace->recorder, path, &text, &length)) {
        for (size_t i = 0; i < sizeof(extraction->edits) / sizeof(*extraction->edits); i++) {
            const struct loop_edit *edit = &extraction->edits[i];
            json_array_append_new(edits,
                                  json_pack("{s:{s:o,s:o},s:s}", "range", "start",
                                            position(workspace->server->encoding, text, edit->start), "end",
                                            position(workspace->server->encoding, text, edit->end), "newText",
                                            edit->text));
        }
    }
    json_t *edit = json_pack("{s:[{s:{s:s,s:n},s:o}]}", "documentChanges", "textDocument", "uri",
                             uri ? uri : "", "version", "edits", edits);
    free(uri);
    return edit;
}

static void add_action(const struct workspace *workspace, const char *path,
                       const struct loop_extraction *extraction, json_t *actions)
{
    struct text title = { 0 };

    text_puts(&title, "Molt: extract the loop's body");
    if (extraction->name)
        text_printf(&title, " into %s", extraction->name);
    if (text_failed(&title) || extraction->is_call ||
        (extraction->reason && !workspace->server->client.shows_disabled)) {
        text_deinit(&title);
        return;
    }
    json_t *action = json_pack("{s:s,s:s}", "title", title.bytes, "kind", KIND);
    if (extraction->reason)
        json_object_set_new(action, "disabled", json_pack("{s:s}", "reason", extraction->reason));
    else
        json_object_set_new(action, "edit", edit_of(workspace, path, extraction));
    json_array_append_new(actions, action);
    text_deinit(&title);
}

void loop_actions(struct workspace *workspace, const char *path, unsigned first, unsigned last,
                  json_t *actions)
{
    unsigned line = first;
    json_t *suspended = suspended_at(workspace, path, first, last, &line);
    const char *callee = suspended ? json_text(suspended, "callee", "") : NULL;
    struct loop_wish wish = { .first_line = callee ? line : first,
                              .last_line = callee ? line : last,
                              .callee = callee };
    const char **directories = json_strings(workspace->include_directories);
    struct loop_extraction extraction = { 0 };
    struct molt_error *error =
        recorder_extract_loop(workspace->recorder, path, &wish, directories, &extraction);

    workspace_log(workspace, error);
    if (extraction.found)
        add_action(workspace, path, &extraction, actions);
    loop_extraction_deinit(&extraction);
    free(directories);
    json_decref(suspended);
}
