/* The plan (preview.h) in the review. The words are those of molt inspect (base/type_change.h); places
 * become the editor's. */
#include "lsp-server/review_types.h"

#include <stdlib.h>
#include <string.h>

#include "base/type_change.h"
#include "lsp-server/instances.h"
#include "lsp-server/lsp.h"
#include "lsp-server/workspace.h"

size_t review_lines(const struct text *text)
{
    size_t lines = 0;

    for (const char *at = text->bytes; at && (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

/* FILE as the manifest has it, as a URI. A new JSON string, or null. */
static json_t *uri_of(const struct workspace *workspace, const char *file)
{
    char *path = *file ? path_normalise(workspace->root, file) : NULL,
         *uri = path ? uri_from_path("file", path) : NULL;
    json_t *json = uri ? json_string(uri) : json_null();

    free(uri);
    free(path);
    return json;
}

static json_t *members_of(const json_t *type)
{
    json_t *members = json_array(), *member;
    size_t i;

    json_array_foreach(type_change_members(type), i, member)
    {
        struct text source = { 0 };

        type_change_source(&source, member);
        json_array_append_new(
            members, json_pack("{s:O?,s:O?,s:s,s:s}", "name", json_object_get(member, "name"), "from",
                               json_object_get(member, "from"), "how", json_text(member, "how", ""), "source",
                               source.bytes ? source.bytes : ""));
        text_deinit(&source);
    }
    return members;
}

/* The line of "FILE:LINE", 0-based, and where the file's name ends; -1 without one. */
static int split_place(const char *place, size_t *ret_length)
{
    const char *colon = strrchr(place, ':');
    int line = colon ? atoi(colon + 1) : 0;

    *ret_length = colon ? (size_t)(colon - place) : strlen(place);
    return line - 1;
}

/* {"uri", "line"} of the user's policy, or null if it is generated. */
static json_t *policy_of(const struct workspace *workspace, const json_t *type)
{
    const char *place = json_text(type, "policy", "generated");
    size_t length;
    int line = split_place(place, &length);
    char *file = line < 0 ? NULL : strndup(place, length);
    json_t *json = file ? json_pack("{s:o,s:i}", "uri", uri_of(workspace, file), "line", line) : json_null();

    free(file);
    return json;
}

/* How many instances live, or null if that is not known (yet). */
static json_t *count_of(const struct workspace *workspace, const json_t *type)
{
    double count;

    return instances_known(workspace, json_text(type, "name", ""), &count) ? json_integer((json_int_t)count)
                                                                           : json_null();
}

json_t *review_types(const struct workspace *workspace)
{
    json_t *types = json_array(), *type;
    size_t i;

    json_array_foreach(json_object_get(workspace->plan, "types"), i, type)
    {
        double line = json_number(type, "line", 0);

        json_array_append_new(
            types,
            json_pack("{s:s,s:s,s:o,s:o,s:s,s:s?,s:b,s:s?,s:o,s:o,s:o}", "name", json_text(type, "name", ""),
                      "newName", json_text(type, "new_name", json_text(type, "name", "")), "uri",
                      uri_of(workspace, json_text(type, "file", "")), "line",
                      line > 0 ? json_integer((json_int_t)line - 1) : json_null(), "reason",
                      json_text(type, "reason", ""), "stops", json_text(type, "stops", NULL), "invertible",
                      json_flag(type, "invertible", true), "whyNot", json_text(type, "why_not", NULL),
                      "policy", policy_of(workspace, type), "members", members_of(type), "instances",
                      count_of(workspace, type)));
    }
    return types;
}

/* TYPE as molt inspect has it, with how many instances live behind its first line's words. */
static void write_type(struct text *text, const struct workspace *workspace, const json_t *type)
{
    struct text words = { 0 };
    const char *rest;
    double count;

    type_change_write(&words, type, 2);
    rest = words.bytes ? strchr(words.bytes, '\n') : NULL;
    if (rest && instances_known(workspace, json_text(type, "name", ""), &count)) {
        text_append(text, words.bytes, (size_t)(rest - words.bytes));
        if (count > 0)
            text_printf(text, ", %.0f live instance%s", count, count == 1 ? "" : "s");
        else
            text_puts(text, ", no live instances");
        text_puts(text, rest);
    } else if (words.bytes) {
        text_puts(text, words.bytes);
    }
    text_deinit(&words);
}

/* Blocks that may hold more of them. */
static void write_unknown(struct text *text, const struct workspace *workspace)
{
    const json_t *unknown = json_object_get(instances_census(workspace), "unknown");
    double blocks = json_number(unknown, "blocks", 0);
    json_t *site;
    size_t i;

    if (blocks > 0)
        text_printf(text, "  live blocks of unknown type: %.0f\n", blocks);
    json_array_foreach(json_object_get(unknown, "sites"), i, site)
    {
        const char *below = path_below(workspace->root, json_text(site, "file", ""));

        text_printf(text, "      %.0f of %s:%.0f", json_number(site, "blocks", 0),
                    below ? below : json_text(site, "file", ""), json_number(site, "line", 0));
        text_printf(text, *json_text(site, "reason", "") ? ": %s\n" : "%s\n", json_text(site, "reason", ""));
    }
}

void review_write_types(struct text *text, const struct workspace *workspace, json_t *types)
{
    const json_t *planned = json_object_get(workspace->plan, "types");

    if (!json_array_size(planned))
        return;
    text_puts(text, "\nTypes of live instances\n");
    for (size_t i = 0; i < json_array_size(planned); i++) {
        json_object_set_new(json_array_get(types, i), "row", json_integer((json_int_t)review_lines(text)));
        write_type(text, workspace, json_array_get(planned, i));
        type_change_function(text, json_array_get(planned, i), json_text(workspace->plan, "source", ""), 6);
    }
    type_sites_write(text, json_object_get(workspace->plan, "sites"), 2);
    write_unknown(text, workspace);
}
