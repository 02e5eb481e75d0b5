/*
 * A policy file per type, molt/NAME.c, or per function whose locals are given values (MOLT_TRANSFER). The
 * first piece of it is the builder's own skeleton if a preview has one, else made of what the recorder knows;
 * each further one is added at the end. What is there already is only shown.
 */
#include "lsp-server/policy_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/type_change.h"
#include "lsp-server/files.h"
#include "lsp-server/handlers.h"
#include "lsp-server/lsp.h"
#include "lsp-server/preview.h"
#include "lsp-server/workspace.h"

/* A policy on its way into the editor. */
struct writing {
    struct workspace *workspace;
    const char *type; /* "struct conn"; with `frames` "serve" */
    bool validation, frames;
    char *path, *uri; /* of the file */
    char *text;       /* that it holds now; NULL: there is none */
    size_t length;
};

bool policy_file_is(const struct workspace *workspace, const char *path)
{
    const char *below = path_below(workspace->root, path), *dot = strrchr(path, '.');

    return below && !strncmp(below, "molt/", 5) && !strchr(below + 5, '/') && dot && !strcmp(dot, ".c");
}

void policy_file_settle(struct workspace *workspace, const char *path)
{
    const char *text;
    char *copy = NULL;
    size_t length;

    if (!policy_file_is(workspace, path))
        return;
    if (recorder_text(workspace->recorder, path, &text, &length) && (copy = malloc(length + 1)))
        memcpy(copy, text, length);
    if (copy)
        workspace_log(workspace, recorder_set_baseline(workspace->recorder, path, copy, length));
    free(copy);
    workspace->plan_wanted = 0;
}

/* "conn" of "struct conn". */
static const char *bare_name(const char *type)
{
    const char *space = strrchr(type, ' ');

    return space ? space + 1 : type;
}

static bool changes_type(const struct change *change, const char *name)
{
    const char *owner = change->owner ? change->owner : "";
    size_t length = strlen(name);

    if (change->kind == DECLARATION_MEMBER)
        return !strncmp(owner, name, length) && (!owner[length] || owner[length] == '.');
    return change->kind == DECLARATION_TYPE && change->action != CHANGE_REMOVED &&
           !strcmp(change->name, name);
}

bool policy_type_changes(struct workspace *workspace, const char *name)
{
    struct change_set *set = NULL;
    bool found = preview_type(workspace, name) != NULL;

    workspace_log(workspace, recorder_changes(workspace->recorder, &set));
    for (size_t i = 0; set && i < set->count && !found; i++)
        found = changes_type(&set->items[i], bare_name(name));
    change_set_destroy(set);
    return found;
}

/* The first type among the changes, as recorder_types calls it. Owned by the caller; NULL if none changes. */
static char *first_changed(struct workspace *workspace)
{
    struct change_set *set = NULL;
    char *found = NULL;

    workspace_log(workspace, recorder_changes(workspace->recorder, &set));
    for (size_t i = 0; set && i < set->file_count && !found; i++) {
        char *path = path_normalise(workspace->root, set->files[i].path);
        json_t *types = path ? recorder_types(workspace->recorder, path) : NULL, *type;
        size_t k;

        json_array_foreach(types, k, type)
        {
            if (!found && policy_type_changes(workspace, json_text(type, "name", "")))
                found = strdup(json_text(type, "name", ""));
        }
        json_decref(types);
        free(path);
    }
    change_set_destroy(set);
    return found;
}

/* ---- what is written ------------------------------------------------------------------------------- */

/* The file among the changed ones that defines the type, relative to the root. Owned by the caller; NULL
 * if it is none of them. */
static char *defining_file(const struct writing *writing)
{
    struct change_set *set = NULL;
    char *found = NULL;

    workspace_log(writing->workspace, recorder_changes(writing->workspace->recorder, &set));
    for (size_t i = 0; set && i < set->file_count && !found; i++) {
        char *path = path_normalise(writing->workspace->root, set->files[i].path);
        json_t *types = path ? recorder_types(writing->workspace->recorder, path) : NULL, *type;
        size_t k;

        json_array_foreach(types, k, type)
        {
            if (!found && !strcmp(json_text(type, "name", ""), writing->type))
                found = strdup(set->files[i].path);
        }
        json_decref(types);
        free(path);
    }
    change_set_destroy(set);
    return found;
}

/* What only a source file declares needs no include. */
static void write_includes(struct text *text, const struct writing *writing)
{
    char *file = defining_file(writing);
    const char *dot = file ? strrchr(file, '.') : NULL;

    text_puts(text, "#include <molt/policy.h>\n\n");
    if (dot && !strcmp(dot, ".h") && *file != '/')
        text_printf(text, "#include \"../%s\"\n\n", file);
    free(file);
}

/* A comment for each member that is not simply there before and after. */
static void write_change(struct text *text, const struct change *change, size_t owner_length)
{
    const char *inner = change->owner[owner_length] == '.' ? change->owner + owner_length + 1 : "";
    const char *dot = *inner ? "." : "";

    switch (change->action) {
    case CHANGE_ADDED:
        text_printf(text, "    /* new->%s%s%s is zero unless it is set here. */\n", inner, dot, change->name);
        break;
    case CHANGE_REMOVED:
        text_printf(text, "    /* old->%s%s%s is not there any more. */\n", inner, dot, change->name);
        break;
    case CHANGE_RENAMED:
        text_printf(text, "    /* new->%s%s%s has the value of old->%s%s%s. */\n", inner, dot, change->name,
                    inner, dot, change->old_name);
        break;
    case CHANGE_RETYPED:
        text_printf(text,
                    "    /* new->%s%s%s has another type than old->%s%s%s: numbers are converted, anything "
                    "else is set "
                    "here. */\n",
                    inner, dot, change->name, inner, dot, change->name);
        break;
    default:
        break;
    }
}

static void write_known(struct text *text, const struct writing *writing)
{
    const json_t *type = preview_type(writing->workspace, writing->type);
    struct change_set *set = NULL;
    json_t *member;
    size_t i;

    json_array_foreach(type_change_members(type), i, member)
    {
        const char *name = json_text(member, "name", NULL), *from = json_text(member, "from", "");

        if (!strcmp(json_text(member, "how", ""), "same"))
            continue;
        text_printf(text, "    /* %s->%s: ", name ? "new" : "old", name ? name : from);
        type_change_source(text, member);
        text_puts(text, " */\n");
    }
    if (type)
        return;
    workspace_log(writing->workspace, recorder_changes(writing->workspace->recorder, &set));
    for (i = 0; set && i < set->count; i++) {
        if (set->items[i].kind == DECLARATION_MEMBER &&
            changes_type(&set->items[i], bare_name(writing->type)))
            write_change(text, &set->items[i], strlen(bare_name(writing->type)));
    }
    change_set_destroy(set);
}

/* The builder's file for what is written, or NULL. */
static const char *skeleton_of(const struct writing *writing)
{
    struct text key = { 0 };
    const char *skeleton;

    text_printf(&key, writing->frames ? "%s()" : "%s", writing->type);
    skeleton =
        key.bytes ? json_text(json_object_get(writing->workspace->plan, "skeletons"), key.bytes, NULL) : NULL;
    text_deinit(&key);
    return skeleton;
}

static void write_piece(struct text *text, const struct writing *writing)
{
    static const char include[] = "#include <molt/policy.h>\n\n";

    if (writing->frames) {
        const char *skeleton = skeleton_of(writing), *behind = strstr(skeleton, include);

        text_puts(text, behind ? behind + strlen(include) : skeleton);
        return;
    }
    if (writing->validation)
        text_printf(text,
                    "/* Whether `new` is a right successor of `old`. If not, the update is discarded. */\n"
                    "MOLT_VALIDATE(%s, old, new)\n{\n    (void)old;\n    (void)new;\n    return 1;\n}\n",
                    writing->type);
    else
        text_printf(text,
                    "/* Makes `new` of `old`. Members that are not mentioned here follow their names. */\n"
                    "MOLT_MIGRATE(%s, old, new)\n{\n    (void)old;\n    (void)new;\n",
                    writing->type);
    if (!writing->validation) {
        write_known(text, writing);
        text_puts(text, "}\n");
    }
}

/* ---- where it goes --------------------------------------------------------------------------------- */

/* molt/NAME.c, and what it holds in the editor or on disk. */
static bool find_file(struct writing *writing)
{
    struct text name = { 0 };
    const char *text;
    size_t length;

    text_printf(&name, "molt/%s.c", bare_name(writing->type));
    writing->path = text_failed(&name) ? NULL : path_join(writing->workspace->root, name.bytes);
    writing->uri = writing->path ? uri_from_path("file", writing->path) : NULL;
    text_deinit(&name);
    if (!writing->uri)
        return false;
    if (recorder_text(writing->workspace->recorder, writing->path, &text, &length)) {
        writing->text = strndup(text, length);
        writing->length = length;
    } else if (files_read(writing->path, &writing->text, &writing->length)) {
        writing->text = NULL;
    }
    return true;
}

static unsigned lines_in(const char *text, size_t length)
{
    unsigned lines = 0;

    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    return lines;
}

/* The line, 0-based, of the piece that is wanted, if TEXT (may be NULL) has it; else -1. */
static int find_piece(const struct writing *writing, const char *text)
{
    const char *macro = writing->frames       ? "MOLT_TRANSFER"
                        : writing->validation ? "MOLT_VALIDATE"
                                              : "MOLT_MIGRATE";

    for (const char *at = text; at && (at = strstr(at, macro)); at++) {
        const char *argument = at + strlen(macro);
        size_t length = strlen(writing->type);

        if (*argument != '(')
            continue;
        argument += 1 + strspn(argument + 1, " ");
        if (!strncmp(argument, writing->type, length) &&
            (argument[length] == ',' || isspace((unsigned char)argument[length])))
            return (int)lines_in(text, (size_t)(at - text));
    }
    return -1;
}

/* The edit that adds PIECE at the end of the file, which is created if need be. */
static json_t *edit_of(const struct writing *writing, const char *piece)
{
    unsigned lines = writing->text ? lines_in(writing->text, writing->length) : 0;
    size_t width = 0;
    json_t *changes = json_array();

    if (!writing->text)
        json_array_append_new(changes, json_pack("{s:s,s:s,s:{s:b}}", "kind", "create", "uri", writing->uri,
                                                 "options", "ignoreIfExists", true));
    if (writing->text) {
        const char *last = lsp_line(writing->text, writing->length, lines + 1, &width);

        width = lsp_position_of_byte(writing->workspace->server->encoding, last, width, width);
    }
    json_array_append_new(changes,
                          json_pack("{s:{s:s,s:n},s:[{s:o,s:s}]}", "textDocument", "uri", writing->uri,
                                    "version", "edits", "range",
                                    lsp_range(lines, (unsigned)width, (unsigned)width), "newText", piece));
    return json_pack("{s:s,s:{s:o}}", "label", "Molt: write a policy", "edit", "documentChanges", changes);
}

struct showing {
    char *uri;
    int line;
};

static void showing_free(struct showing *showing)
{
    if (showing)
        free(showing->uri);
    free(showing);
}

static void show(struct server *server, const char *uri, int line)
{
    if (server->client.show_document)
        server_ask(server, "window/showDocument",
                   json_pack("{s:s,s:b,s:o}", "uri", uri, "takeFocus", true, "selection",
                             lsp_range((unsigned)line, 0, 0)),
                   NULL, NULL);
}

static void edited(struct server *server, void *context, json_t *result)
{
    struct showing *showing = context;

    if (json_flag(result, "applied", false))
        show(server, showing->uri, showing->line);
    showing_free(showing);
}

/* What a new file holds: what the builder has for the type, with all that it knows, else what is wanted
 * alone. */
static void write_new_file(struct text *text, const struct writing *writing)
{
    const char *skeleton = skeleton_of(writing);

    if (skeleton && find_piece(writing, skeleton) >= 0) {
        text_puts(text, skeleton);
        return;
    }
    write_includes(text, writing);
    write_piece(text, writing);
}

/* Not every editor makes the directory of a file that it is to create. */
static void make_directory(const struct writing *writing)
{
    char *directory = path_join(writing->workspace->root, "molt");
    int error = directory ? files_make_directory(directory) : -ENOMEM;

    if (error)
        molt_log(MOLT_LOG_WARNING, "cannot make %s: %s", directory ? directory : "molt", strerror(-error));
    free(directory);
}

/* Returns the line, 0-based, that the new piece begins in. */
static int add_piece(const struct writing *writing)
{
    struct text text = { 0 };
    struct showing *showing = malloc(sizeof *showing);
    int line;

    if (writing->text) {
        text_puts(&text, writing->length && writing->text[writing->length - 1] != '\n' ? "\n\n" : "\n");
        write_piece(&text, writing);
    } else {
        make_directory(writing);
        write_new_file(&text, writing);
    }
    line =
        find_piece(writing, text.bytes) + (writing->text ? (int)lines_in(writing->text, writing->length) : 0);
    if (showing)
        *showing = (struct showing){ strdup(writing->uri), line };
    if (showing && showing->uri && !text_failed(&text))
        server_ask(writing->workspace->server, "workspace/applyEdit", edit_of(writing, text.bytes), edited,
                   showing);
    else
        showing_free(showing);
    text_deinit(&text);
    return line;
}

void policy_file_write(struct workspace *workspace, const json_t *argument, struct reply *reply)
{
    const char *function = json_text(argument, "function", NULL);
    char *found = function || json_text(argument, "type", NULL) || !workspace->recorder
                      ? NULL
                      : first_changed(workspace);
    struct writing writing = { .workspace = workspace,
                               .type = function ? function : json_text(argument, "type", found),
                               .validation = json_flag(argument, "validation", false),
                               .frames = function != NULL };
    int line;

    if (!workspace->recorder || !writing.type || !*writing.type || strpbrk(writing.type, "/\"\\\n") ||
        (function && !skeleton_of(&writing)) || !find_file(&writing)) {
        reply_error(reply, JSONRPC_REQUEST_FAILED,
                    function       ? "no local of this function lacks a value where it waits"
                    : writing.type ? "no policy can be written for this type"
                                   : "no structure has changed");
    } else {
        line = find_piece(&writing, writing.text);
        if (line >= 0)
            show(workspace->server, writing.uri, line);
        else
            line = add_piece(&writing);
        reply_result(reply, json_pack("{s:s,s:i}", "uri", writing.uri, "line", line));
    }
    free(writing.path);
    free(writing.uri);
    free(writing.text);
    free(found);
}
