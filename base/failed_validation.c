/*
 * The engine knows bytes, the manifest what they mean. Old and new values are put side by side by the names
 * that members had and have.
 */
#include "base/failed_validation.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/instance.h"
#include "base/type_change.h"

#define COLUMN_MAX 40 /* what is longer pushes the next column to the right */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* The manifest's entry of the type NAME, or NULL. */
static const json_t *type_named(const json_t *manifest, const char *name)
{
    json_t *type;
    size_t i;

    json_array_foreach(json_object_get(manifest, "types"), i, type)
    {
        if (!strcmp(text_at(type, "name"), name))
            return type;
    }
    return NULL;
}

static int digit_of(char digit)
{
    const char *digits = "0123456789abcdef", *at = digit ? strchr(digits, digit) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The bytes that HEX stands for, spaces passed over, as far as it is well-formed. From malloc. */
static uint8_t *bytes_of(const char *hex, size_t *ret_size)
{
    uint8_t *bytes = malloc(strlen(hex) / 2 + 1);
    size_t size = 0;

    while (bytes && *hex) {
        int high = digit_of(hex[0]), low = high < 0 ? -1 : digit_of(hex[1]);

        if (*hex == ' ') {
            hex++;
            continue;
        }
        if (low < 0)
            break;
        bytes[size++] = (uint8_t)(high << 4 | low);
        hex += 2;
    }
    *ret_size = size;
    return bytes;
}

/* Values by member of INSTANCE: {"bytes": hex} is read by SHAPE, anything else is taken as it is. A new
 * object. */
static json_t *values_of(const json_t *instance, const json_t *shape)
{
    const char *hex = json_string_value(json_object_get(instance, "bytes"));
    size_t size = 0;
    uint8_t *bytes = hex ? bytes_of(hex, &size) : NULL;
    json_t *values = bytes && shape ? instance_values(shape, bytes, size) : NULL;

    free(bytes);
    if (json_object_size(values) == 0) {
        json_decref(values);
        values = json_is_object(instance) ? json_copy((json_t *)instance) : json_object();
    }
    return values;
}

/* What the member PATH of the new type was called, by the entries of TYPE; PATH itself if nothing else is
 * known. */
static const char *old_path(const json_t *type, const char *path)
{
    json_t *member;
    size_t i;

    json_array_foreach(type_change_members(type), i, member)
    {
        const char *from = json_string_value(json_object_get(member, "from"));

        if (from && !strcmp(text_at(member, "name"), path))
            return from;
    }
    return path;
}

static json_t *row(const char *member, json_t *old, json_t *new)
{
    return json_pack("{s:s, s:O?, s:O?}", "member", member, "old", old, "new", new);
}

static json_t *side_by_side(const json_t *type, json_t *old, json_t *new)
{
    json_t *rows = json_array(), *value;
    const char *path;

    json_object_foreach(new, path, value)
    {
        const char *was = old_path(type, path);
        json_t *before = json_object_get(old, was);
        struct text name = { 0 };

        text_puts(&name, path);
        if (before && strcmp(was, path))
            text_printf(&name, " (was %s)", was);
        if (!text_failed(&name))
            json_array_append_new(rows, row(name.bytes, before, value));
        text_deinit(&name);
        if (before)
            json_object_del(old, was);
    }
    json_object_foreach(old, path, value) json_array_append_new(rows, row(path, value, NULL));
    return rows;
}

/* "validation of struct conn", "invariant named_employee of struct employee" */
static char *title_of(const json_t *validation)
{
    const char *kind = text_at(validation, "kind"), *name = text_at(validation, "name");
    const char *type = text_at(validation, "type");
    struct text title = { 0 };

    if (!strcmp(kind, "policy"))
        text_puts(&title, "migration");
    else if (!strcmp(kind, "transfer"))
        text_puts(&title, "MOLT_TRANSFER of");
    else if (!strcmp(kind, "system"))
        text_puts(&title, "Molt's own check");
    else
        text_puts(&title, *kind ? kind : "validation");
    if (*name)
        text_printf(&title, " %s", name);
    if (*type)
        text_printf(&title, " of %s", type);
    return text_steal(&title);
}

json_t *failed_validation_explain(const json_t *validation, const json_t *manifest)
{
    const json_t *type = type_named(manifest, text_at(validation, "type"));
    json_t *old = values_of(json_object_get(validation, "old"), json_object_get(type, "old"));
    json_t *new = values_of(json_object_get(validation, "new"), json_object_get(type, "new"));
    json_t *rows = side_by_side(type, old, new);
    char *title = title_of(validation);
    bool rehearsal = json_is_true(json_object_get(validation, "rehearsal"));
    json_t *explained = json_pack("{s:b, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:o}", "rehearsal",
                                  rehearsal, "title", title ? title : "", "kind", text_at(validation, "kind"),
                                  "name", text_at(validation, "name"), "file", text_at(validation, "file"),
                                  "line", json_integer_value(json_object_get(validation, "line")), "type",
                                  text_at(validation, "type"), "instance", text_at(validation, "instance"),
                                  "message", text_at(validation, "message"), "values", rows);

    json_decref(old);
    json_decref(new);
    free(title);
    return explained;
}

static const char *cell(const json_t *row, const char *column)
{
    const char *value = json_string_value(json_object_get(row, column));

    return value ? value : "-";
}

static int width_of(const json_t *values, const char *column)
{
    size_t width = strlen(column), i;
    json_t *row;

    json_array_foreach(values, i, row)
    {
        size_t length = strlen(cell(row, column));
        width = length > width ? length : width;
    }
    return width > COLUMN_MAX ? COLUMN_MAX : (int)width;
}

void failed_validation_write_values(struct text *text, const json_t *values)
{
    int member = width_of(values, "member"), old = width_of(values, "old");
    size_t i;
    json_t *row;

    if (json_array_size(values))
        text_printf(text, "      %-*s  %-*s  %s\n", member, "member", old, "old", "new");
    json_array_foreach(values, i, row)
    {
        bool same = json_equal(json_object_get(row, "old"), json_object_get(row, "new"));
        text_printf(text, "    %c %-*s  %-*s  %s\n", same ? ' ' : '*', member, cell(row, "member"), old,
                    cell(row, "old"), cell(row, "new"));
    }
}
