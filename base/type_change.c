/* Manifest entries in words. Words that are not known here are shown as they are: a newer builder may have made the patch. */
#include "base/type_change.h"

#include <stdbool.h>
#include <string.h>

enum { SITES_SHOWN = 50 };

/* how, words */
static const char *const sources[][2] = {
    { "same", "as it was" },
    { "renamed", "" },
    { "union", "as it was" },
    { "converted", "converted: it must fit" },
    { "remapped", "by the enumerators' names" },
    { "array", "element by element" },
    { "migrated", "migrated" },
    { "default", "by the policy's default" },
    { "expression", "by the policy's default" },
    { "custom", "set by the policy" },
    { "new", "zero" },
    { "gone", "dropped" },
    { "dropped", "dropped" },
    { "impossible", "needs a policy" },
};

/* conversion of a "value", words */
static const char *const conversions[][2] = {
    { "copy", "" },
    { "number", "converted: it must fit" },
    { "enum", "by the enumerators' names" },
    { "array", "element by element" },
    { "migrate", "migrated" },
    { "none", "zero" },
};

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static const char *look_up(const char *const (*table)[2], size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(table[i][0], word))
            return table[i][1];
    }
    return word;
}

static const char *words_of(const json_t *member)
{
    const char *how = text_at(member, "how");

    if (!strcmp(how, "value"))
        return look_up(conversions, sizeof conversions / sizeof conversions[0],
                       text_at(member, "conversion"));
    return look_up(sources, sizeof sources / sizeof sources[0], how);
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
    const char *policy = text_at(type, "policy"), *change = text_at(type, "change");
    bool generated = !*policy || !strcmp(policy, "generated");
    json_t *validation;
    size_t i;

    text_printf(text, "%*s%s, %s%s\n", (int)indent, "", text_at(type, "name"),
                generated ? "migrated by name" : "migrated by ", generated ? "" : policy);
    if (*change)
        text_printf(text, "%*s%s\n", (int)indent + 4, "", change);
    json_array_foreach(json_object_get(type, "validations"), i, validation)
    {
        if (json_is_string(validation))
            text_printf(text, "%*svalidated by %s\n", (int)indent + 4, "", json_string_value(validation));
    }
    write_members(text, json_object_get(type, "members"), (int)indent + 4);
    if (json_is_false(json_object_get(type, "invertible")))
        text_printf(text, "%*sno way back%s%s\n", (int)indent + 4, "", *text_at(type, "why_not") ? ": " : "",
                    text_at(type, "why_not"));
}

void type_sites_write(struct text *text, const json_t *sites, unsigned indent)
{
    const json_t *unknown = json_object_get(sites, "unknown");
    size_t count = json_array_size(unknown), i;
    json_t *site;

    if (!json_is_object(sites))
        return;
    text_printf(text, "%*s%lld allocation calls have a type, %lld make buffers", (int)indent, "",
                (long long)json_integer_value(json_object_get(sites, "typed")),
                (long long)json_integer_value(json_object_get(sites, "bytes")));
    text_printf(text, count ? "; of %zu it is not known what they make\n" : "\n", count);
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
