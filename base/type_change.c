/* Manifest entries in words. Words that are not known here are shown as they are: a newer builder may have
 * made the patch. */
#include "base/type_change.h"

#include <stdbool.h>
#include <string.h>

enum { SITES_SHOWN = 50 };

/* how, words */
static const char *const sources[][2] = {
    { "same", "as it was" },
    { "renamed", "" },
    { "union", "as it was" },
    { "converted", "converted" },
    { "checked", "converted: it must fit" },
    { "remapped", "by the enumerators' names" },
    { "array", "element by element" },
    { "migrated", "migrated" },
    { "choice", "if the union holds it" },
    { "default", "by the policy's default" },
    { "custom", "set by the policy" },
    { "new", "zero" },
    { "gone", "dropped" },
    { "impossible", "needs a policy" },
};

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static const char *words_of(const json_t *member)
{
    const char *how = text_at(member, "how");

    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (!strcmp(sources[i][0], how))
            return sources[i][1];
    }
    return how;
}

const json_t *type_change_members(const json_t *type)
{
    return json_object_get(type, "change");
}

void type_change_source(struct text *text, const json_t *member)
{
    const char *name = text_at(member, "name"), *from = text_at(member, "from"), *words = words_of(member);
    bool renamed = *name && *from && strcmp(name, from) != 0;

    if (renamed)
        text_printf(text, "was %s", from);
    if (renamed && *words && strcmp(words, "as it was") != 0)
        text_printf(text, ", %s", words);
    else if (!renamed)
        text_puts(text, *words ? words : "as it was");
    if (*text_at(member, "policy"))
        text_printf(text, " (%s)", text_at(member, "policy"));
    if (*text_at(member, "set_by"))
        text_printf(text, ", where %s sets %s", text_at(member, "set_by"), text_at(member, "set_to"));
    if (*text_at(member, "why"))
        text_printf(text, ": %s", text_at(member, "why"));
}

static const char *member_name(const json_t *member)
{
    const char *name = text_at(member, "name");

    return *name ? name : text_at(member, "from");
}

static void write_members(struct text *text, const json_t *members, int indent)
{
    int width = 0;
    size_t i;
    json_t *member;

    json_array_foreach(members, i, member)
    {
        int length = (int)strlen(member_name(member));

        width = length > width ? length : width;
    }
    json_array_foreach(members, i, member)
    {
        text_printf(text, "%*s%-*s  ", indent, "", width, member_name(member));
        type_change_source(text, member);
        text_puts(text, "\n");
    }
}

void type_change_write(struct text *text, const json_t *type, unsigned indent)
{
    const char *policy = text_at(type, "policy"), *reason = text_at(type, "reason");
    const char *name = text_at(type, "name"), *new_name = text_at(type, "new_name");
    bool generated = !*policy || !strcmp(policy, "generated");
    json_t *validation;
    size_t i;

    text_printf(text, "%*s%s", (int)indent, "", name);
    if (*new_name && strcmp(name, new_name) != 0)
        text_printf(text, " becomes %s", new_name);
    text_printf(text, ", %s%s\n", generated ? "migrated by name" : "migrated by ", generated ? "" : policy);
    if (*reason)
        text_printf(text, "%*s%s\n", (int)indent + 4, "", reason);
    if (*text_at(type, "stops"))
        text_printf(text, "%*san instance of it stops the update: %s\n", (int)indent + 4, "",
                    text_at(type, "stops"));
    json_array_foreach(json_object_get(type, "validations"), i, validation)
    {
        if (json_is_string(validation))
            text_printf(text, "%*svalidated by %s\n", (int)indent + 4, "", json_string_value(validation));
    }
    write_members(text, type_change_members(type), (int)indent + 4);
    if (json_is_false(json_object_get(type, "invertible")))
        text_printf(text, "%*sno way back%s%s\n", (int)indent + 4, "", *text_at(type, "why_not") ? ": " : "",
                    text_at(type, "why_not"));
}

/* Where the definition of FUNCTION begins in SOURCE: the line, and not a prototype's. */
static const char *find_definition(const char *source, const char *function)
{
    size_t length = strlen(function);

    for (const char *at = source; length && (at = strstr(at, function)); at += length) {
        const char *line = at, *end = at + strcspn(at, "\n");

        while (line > source && line[-1] != '\n')
            line--;
        if (at[length] == '(' && *line != ' ' && end[-1] != ';')
            return line;
    }
    return NULL;
}

void type_change_function(struct text *text, const json_t *type, const char *source, unsigned indent)
{
    const char *at = find_definition(source, text_at(type, "function"));

    while (at && *at) {
        int length = (int)strcspn(at, "\n");

        text_printf(text, "%*s%.*s\n", length ? (int)indent : 0, "", length, at);
        if (*at == '}')
            return;
        at += length + (at[length] == '\n');
    }
}

void type_sites_write(struct text *text, const json_t *sites, unsigned indent)
{
    const json_t *unknown = json_object_get(sites, "unknown");
    size_t count = json_array_size(unknown), i;
    json_t *site;

    if (!json_is_object(sites))
        return;
    text_printf(text, "%*sallocation calls: %lld with a type, %lld of buffers", (int)indent, "",
                (long long)json_integer_value(json_object_get(sites, "typed")),
                (long long)json_integer_value(json_object_get(sites, "bytes")));
    text_printf(text, count ? ", %zu not understood:\n" : "\n", count);
    json_array_foreach(unknown, i, site)
    {
        if (i == SITES_SHOWN) {
            text_printf(text, "%*s... and %zu more\n", (int)indent + 4, "", count - i);
            return;
        }
        text_printf(text, "%*s%s:%lld in %s: %s\n", (int)indent + 4, "", text_at(site, "file"),
                    (long long)json_integer_value(json_object_get(site, "line")), text_at(site, "function"),
                    text_at(site, "reason"));
    }
}
