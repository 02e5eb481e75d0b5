/* A census in words: a type with its places, instances with their values, a table of all types. */
#include "base/census.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_WIDTH = 28, MEMBER_WIDTH = 32, UNKNOWN_SHOWN = 8 };

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static long long number_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *plural(long long count)
{
    return count == 1 ? "" : "s";
}

/* "812 B", "62.5 kB", in BUFFER. */
static const char *size_in(char *buffer, size_t room, long long bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 999.5 && unit + 1 < sizeof(units) / sizeof(*units)) {
        value /= 1000;
        unit++;
    }
    snprintf(buffer, room, "%.*f %s", unit && value < 99.95 ? 1 : 0, value, units[unit]);
    return buffer;
}

#define SIZE(bytes) size_in((char[24]){ 0 }, 24, bytes)

/* ---- places ---------------------------------------------------------------------------------------- */

/* FILE as seen from ROOT (may be NULL), if it lies below. */
static const char *seen_from(const char *root, const char *file)
{
    const char *below = root && *file ? path_below(root, file) : NULL;

    return below && *below ? below : file;
}

/* "conn_new, memcached.c:812" */
static void write_site(struct text *text, const json_t *place, const char *root)
{
    const char *file = text_at(place, "file");

    if (!*file) {
        text_puts(text, "code without debug information");
        return;
    }
    if (*text_at(place, "function")) {
        text_printf(text, "%s, ", text_at(place, "function"));
    }
    text_printf(text, "%s:%lld", seen_from(root, file), number_at(place, "line"));
}

static void write_variable(struct text *text, const json_t *place, const char *root)
{
    text_puts(text, text_at(place, "name"));
    if (*text_at(place, "file")) {
        text_printf(text, ", %s", seen_from(root, text_at(place, "file")));
        if (number_at(place, "line")) {
            text_printf(text, ":%lld", number_at(place, "line"));
        }
    }
}

struct kind {
    const char *kind, *one, *many;
};

static const char *kind_words(const json_t *place)
{
    static const struct kind kinds[] = {
        { "heap", "heap block", "heap blocks" },
        { "array", "element of an array", "elements of arrays" },
        { "tail", "element of a flexible array", "elements of flexible arrays" },
        { "variable", "variable", "elements of a variable" },
        { "thread-local", "thread-local variable", "elements of a thread-local" },
        { "member", "member", "members" },
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i].kind, text_at(place, "kind")) == 0) {
            return number_at(place, "count") == 1 ? kinds[i].one : kinds[i].many;
        }
    }
    return text_at(place, "kind");
}

/* Where PLACE is: the call, the variable, the type around it. */
static void write_where(struct text *text, const json_t *place, const char *root)
{
    const char *kind = text_at(place, "kind");

    if (strcmp(kind, "member") == 0) {
        text_printf(text, "%s of %s", text_at(place, "name"), text_at(place, "owner"));
    } else if (strcmp(kind, "tail") == 0) {
        text_printf(text, "%s, ", text_at(place, "owner"));
        write_site(text, place, root);
    } else if (*text_at(place, "name")) {
        write_variable(text, place, root);
    } else {
        write_site(text, place, root);
        if (strcmp(kind, "array") == 0) {
            text_printf(text, " (%lld block%s)", number_at(place, "blocks"),
                        plural(number_at(place, "blocks")));
        }
    }
}

static void write_place(struct text *text, const json_t *place, const char *root)
{
    text_printf(text, "  %8lld  %-27s  ", number_at(place, "count"), kind_words(place));
    write_where(text, place, root);
    text_puts(text,
              json_is_true(json_object_get(place, "guessed")) ? "; by the pointers that lead there\n" : "\n");
}

void census_write_type(struct text *text, const json_t *type, const char *root)
{
    const json_t *places = json_object_get(type, "places");
    long long count = number_at(type, "count"), more = number_at(type, "place_count");
    json_t *place;
    size_t index;

    text_puts(text, text_at(type, "name"));
    if (*text_at(type, "unit")) {
        text_printf(text, " of %s", text_at(type, "unit"));
    }
    text_printf(text, ": %s%.0lld instance%s", count ? "" : "no", count, plural(count));
    if (count) {
        text_printf(text, " of %lld bytes", number_at(type, "size"));
    }
    text_puts(text, "\n");
    json_array_foreach(places, index, place) write_place(text, place, root);
    if (more > (long long)json_array_size(places)) {
        more -= (long long)json_array_size(places);
        text_printf(text, "            and %lld more place%s\n", more, plural(more));
    }
}

/* ---- what has no type ------------------------------------------------------------------------------ */

/* The remedy, with the first place that it is about. */
static void write_remedy(struct text *text, const json_t *sites, const char *root)
{
    json_t *site;
    size_t index;

    json_array_foreach(sites, index, site)
    {
        const char *file = text_at(site, "file");
        if (*file) {
            text_printf(text,
                        "  Say in molt.toml what such a call makes, and ask again:\n"
                        "      [heap]\n      types = { \"%s:%lld\" = \"struct ...\" }\n",
                        seen_from(root, file), number_at(site, "line"));
            return;
        }
    }
}

static void write_sites(struct text *text, const json_t *sites, const char *root)
{
    json_t *site;
    size_t index;

    json_array_foreach(sites, index, site)
    {
        if (index == UNKNOWN_SHOWN) {
            text_printf(text, "            and %zu more places\n", json_array_size(sites) - index);
            break;
        }
        text_printf(text, "  %8lld  %-8s  ", number_at(site, "blocks"), SIZE(number_at(site, "bytes")));
        write_site(text, site, root);
        text_printf(text, "%s%s\n", *text_at(site, "reason") ? ": " : "", text_at(site, "reason"));
    }
}

void census_write_unknown(struct text *text, const json_t *answer, const char *root)
{
    const json_t *unknown = json_object_get(answer, "unknown"), *sites = json_object_get(unknown, "sites");
    long long blocks = number_at(unknown, "blocks");

    if (json_is_false(json_object_get(answer, "tracked"))) {
        text_puts(
            text,
            "The program has an allocator of its own in its executable: blocks of the heap are not known, "
            "only variables are counted.\n");
    }
    if (blocks) {
        text_printf(text, "Of unknown type: %lld block%s, %s\n", blocks, plural(blocks),
                    SIZE(number_at(unknown, "bytes")));
        write_sites(text, sites, root);
        write_remedy(text, sites, root);
    }
    if (*text_at(answer, "obstacle")) {
        text_printf(text, "An update of this type would be refused: %s\n", text_at(answer, "obstacle"));
    }
}

/* ---- instances ------------------------------------------------------------------------------------- */

static int member_width(const json_t *values)
{
    size_t width = 0, index;
    json_t *row;

    json_array_foreach(values, index, row)
    {
        size_t length = strlen(text_at(row, "member"));
        width = length > width ? length : width;
    }
    return width > MEMBER_WIDTH ? MEMBER_WIDTH : (int)width;
}

static void write_values(struct text *text, const json_t *values)
{
    int width = member_width(values);
    json_t *row;
    size_t index;

    json_array_foreach(values, index, row)
    {
        const char *leads = text_at(row, "leads");
        text_printf(text, "    %-*s  %s%s%s\n", width, text_at(row, "member"), text_at(row, "value"),
                    *leads ? " -> " : "", leads);
    }
}

void census_write_instances(struct text *text, const json_t *answer, const char *root)
{
    json_t *instance;
    size_t index;

    json_array_foreach(json_object_get(answer, "instances"), index, instance)
    {
        const char *variable = text_at(instance, "variable"), *path = text_at(instance, "path");
        text_printf(text, "\n%s at 0x%llx, ", text_at(instance, "type"), number_at(instance, "address"));
        if (*variable) {
            text_printf(text, "%s%s%s%s", variable, path, *text_at(instance, "file") ? " of " : "",
                        seen_from(root, text_at(instance, "file")));
            text_puts(text, json_is_true(json_object_get(instance, "thread_local")) ? " of a thread" : "");
        } else {
            text_printf(text, "%s%sheap block of ", path + (*path == '.'), *path ? " in a " : "");
            write_site(text, instance, root);
        }
        text_puts(text, "\n");
        write_values(text, json_object_get(instance, "values"));
    }
}

/* ---- the table ------------------------------------------------------------------------------------- */

struct row {
    long long bytes, count;
    const json_t *type; /* NULL: blocks without one */
    const json_t *untyped;
    const char *name;
};

static int larger_first(const void *one, const void *other)
{
    const struct row *a = one, *b = other;

    return a->bytes != b->bytes ? (a->bytes < b->bytes) - (a->bytes > b->bytes)
                                : (a->count < b->count) - (a->count > b->count);
}

static void write_row(struct text *text, const struct row *row, const char *root)
{
    const json_t *places =
        json_object_get(row->type ? row->type : row->untyped, row->type ? "places" : "sites");
    long long more = row->type ? number_at(row->type, "place_count") : number_at(row->untyped, "site_count");
    const json_t *first = json_array_get(places, 0);

    text_printf(text, "%9s  %9lld  %-*s  ", SIZE(row->bytes), row->count, NAME_WIDTH, row->name);
    if (first && row->type) {
        write_where(text, first, root);
    } else if (first) {
        write_site(text, first, root);
    }
    if (first && more > 1) {
        text_printf(text, ", and %lld more", more - 1);
    }
    text_puts(text, "\n");
}

/* Rows of what occupies memory of its own; what only lies in others is counted there. */
static size_t collect_rows(const json_t *answer, struct row *rows, struct row *all)
{
    const json_t *untyped[] = { json_object_get(answer, "buffers"), json_object_get(answer, "unknown"),
                                json_object_get(answer, "foreign") };
    static const char *const names[] = { "(buffers)", "(unknown)", "(libraries)" };
    size_t count = 0, index;
    json_t *type;

    json_array_foreach(json_object_get(answer, "types"), index, type)
    {
        if (number_at(type, "bytes")) {
            rows[count++] = (struct row){ number_at(type, "bytes"), number_at(type, "count"), type, NULL,
                                          text_at(type, "name") };
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        if (number_at(untyped[i], "blocks")) {
            rows[count++] = (struct row){ number_at(untyped[i], "bytes"), number_at(untyped[i], "blocks"),
                                          NULL, untyped[i], names[i] };
        }
    }
    for (size_t i = 0; i < count; i++) {
        all->bytes += rows[i].bytes;
    }
    qsort(rows, count, sizeof(*rows), larger_first);
    return count;
}

void census_write_table(struct text *text, const json_t *answer, const char *root, size_t limit)
{
    struct row *rows = calloc(json_array_size(json_object_get(answer, "types")) + 3, sizeof(*rows));
    struct row all = { 0 };
    size_t count = rows ? collect_rows(answer, rows, &all) : 0;
    long long rest = 0;

    text_printf(text, "%9s  %9s  %-*s  %s\n", "bytes", "instances", NAME_WIDTH, "type", "mostly from");
    for (size_t i = 0; i < count; i++) {
        if (i < limit) {
            write_row(text, &rows[i], root);
        }
        rest += i < limit ? 0 : rows[i].bytes;
    }
    if (count > limit) {
        text_printf(text, "%9s  %9s  %zu more\n", SIZE(rest), "", count - limit);
    }
    text_printf(text, "%9s  %9s  in all: blocks of the heap, and variables of structures\n", SIZE(all.bytes),
                "");
    free(rows);
}
