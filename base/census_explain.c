/* A census made complete: bytes become values, addresses of calls the functions that make them. */
#include "base/census.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/instance.h"

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static json_int_t number_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* ---- allocation calls ------------------------------------------------------------------------------ */

/* Adds the function that stands at the "file" and "line" of OBJECT. */
static void name_function(json_t *object, const json_t *sites)
{
    struct text place = { 0 };
    text_printf(&place, "%s:%lld", text_at(object, "file"), (long long)number_at(object, "line"));
    json_t *function = place.bytes ? json_object_get(json_object_get(sites, "functions"), place.bytes) : NULL;

    if (function && *text_at(object, "file")) {
        json_object_set(object, "function", function);
    }
    text_deinit(&place);
}

/* Names the function that POINTER leads to. */
static void name_code(json_t *pointer, const json_t *sites)
{
    struct text place = { 0 };
    text_printf(&place, "%lld:%lld", (long long)number_at(pointer, "module"),
                (long long)number_at(pointer, "code"));
    json_t *name = place.bytes && json_object_get(pointer, "code")
                       ? json_object_get(json_object_get(sites, "code"), place.bytes)
                       : NULL;

    if (name) {
        json_object_set(pointer, "memory", name);
    } else if (json_object_get(pointer, "code")) {
        json_object_set_new(pointer, "memory", json_string("code"));
    }
    text_deinit(&place);
}

static void name_reason(json_t *site, const json_t *sites)
{
    json_t *known;
    size_t index;

    json_array_foreach(json_object_get(sites, "unknown"), index, known)
    {
        if (json_equal(json_object_get(known, "file"), json_object_get(site, "file")) &&
            json_equal(json_object_get(known, "line"), json_object_get(site, "line"))) {
            json_object_set(site, "function", json_object_get(known, "function"));
            json_object_set(site, "reason", json_object_get(known, "reason"));
        }
    }
}

static void explain_untyped(json_t *untyped, const json_t *sites, json_int_t least)
{
    json_t *list = json_object_get(untyped, "sites");
    json_int_t blocks = number_at(untyped, "blocks"), bytes = number_at(untyped, "bytes");

    for (size_t i = 0; i < json_array_size(list);) {
        json_t *site = json_array_get(list, i);
        if (number_at(site, "largest") < least) { /* too small to hold what was asked for */
            blocks -= number_at(site, "blocks");
            bytes -= number_at(site, "bytes");
            json_array_remove(list, i);
            continue;
        }
        name_function(site, sites);
        name_reason(site, sites);
        i++;
    }
    json_object_set_new(untyped, "blocks", json_integer(blocks));
    json_object_set_new(untyped, "bytes", json_integer(bytes));
}

/* ---- instances ------------------------------------------------------------------------------------- */

static uint8_t digit(char character)
{
    return (uint8_t)(character <= '9' ? character - '0' : character - 'a' + 10);
}

/* The bytes that HEX tells; from malloc. */
static uint8_t *read_hex(const char *hex, size_t *ret_size)
{
    size_t size = strspn(hex, "0123456789abcdef") / 2;
    uint8_t *bytes = malloc(size + 1);

    for (size_t i = 0; bytes && i < size; i++) {
        bytes[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    }
    *ret_size = bytes ? size : 0;
    return bytes;
}

static const json_t *with_layout(const json_t *list, json_int_t layout)
{
    json_t *item;
    size_t index;

    json_array_foreach(list, index, item)
    {
        if (number_at(item, "layout") == layout) {
            return item;
        }
    }
    return NULL;
}

/* "struct item + 8 (item_alloc, items.c:42): "GET /"" */
static char *describe_pointer(const json_t *pointer)
{
    struct text text = { 0 };
    const char *type = text_at(pointer, "type"), *variable = text_at(pointer, "variable");
    json_int_t distance = number_at(pointer, "distance");

    if (*text_at(pointer, "text")) {
        text_printf(&text, "\"%s\"", text_at(pointer, "text"));
    } else if (*text_at(pointer, "memory")) {
        text_puts(&text, text_at(pointer, "memory"));
    } else if (*variable) {
        text_printf(&text, "variable %s", variable);
    } else if (*type) {
        text_puts(&text, type);
    } else {
        text_puts(&text, "a block");
        if (*text_at(pointer, "function")) {
            text_printf(&text, " of %s", text_at(pointer, "function"));
        }
    }
    if (distance && !*text_at(pointer, "text")) {
        text_printf(&text, " + %lld", (long long)distance);
    }
    return text_steal(&text);
}

/* What the pointer at OFFSET leads to; NULL if nothing is known. From malloc. */
static char *leads_to(const json_t *instance, json_int_t offset)
{
    json_t *pointer;
    size_t index;

    json_array_foreach(json_object_get(instance, "pointers"), index, pointer)
    {
        if (number_at(pointer, "offset") == offset) {
            return describe_pointer(pointer);
        }
    }
    return NULL;
}

static json_t *explain_values(const json_t *instance, const json_t *shape)
{
    json_t *rows = json_array(), *member;
    size_t size, index;
    uint8_t *bytes = read_hex(text_at(instance, "bytes"), &size);
    json_t *values = bytes ? instance_values(shape, bytes, size) : NULL;

    json_array_foreach(json_object_get(shape, "members"), index, member)
    {
        const char *path = text_at(member, "path");
        json_t *value = json_object_get(values, path);
        bool pointer = strcmp(text_at(member, "kind"), "pointer") == 0 && !json_object_get(member, "count");
        char *leads = pointer ? leads_to(instance, number_at(member, "offset")) : NULL;
        if (value) {
            json_t *row = json_pack("{s:s, s:O}", "member", path, "value", value);
            if (leads) {
                json_object_set_new(row, "leads", json_string(leads));
            }
            json_array_append_new(rows, row);
        }
        free(leads);
    }
    json_decref(values);
    free(bytes);
    return rows;
}

static void explain_instance(json_t *instance, const json_t *types, const json_t *sites)
{
    const json_t *type = with_layout(types, number_at(instance, "layout"));
    json_t *pointer;
    size_t index;

    name_function(instance, sites);
    json_array_foreach(json_object_get(instance, "pointers"), index, pointer)
    {
        name_function(pointer, sites);
        name_code(pointer, sites);
    }
    json_object_set_new(instance, "type", json_string(text_at(type, "name")));
    json_object_set_new(instance, "values", explain_values(instance, json_object_get(type, "shape")));
    json_object_del(instance, "bytes");
    json_object_del(instance, "pointers");
}

void census_explain(json_t *answer, const json_t *types, const json_t *sites)
{
    json_t *item, *place;
    size_t index, inner;
    json_int_t least = 0;

    json_array_foreach(json_object_get(answer, "types"), index, item)
    {
        const json_t *asked = with_layout(types, number_at(item, "layout"));
        if (asked) {
            json_object_set(item, "declared", json_object_get(asked, "file"));
            json_object_set(item, "declared_line", json_object_get(asked, "line"));
            least = !least || number_at(item, "size") < least ? number_at(item, "size") : least;
        }
        json_array_foreach(json_object_get(item, "places"), inner, place)
        {
            name_function(place, sites);
        }
    }
    explain_untyped(json_object_get(answer, "unknown"), sites, least);
    explain_untyped(json_object_get(answer, "buffers"), sites, 0);
    json_array_foreach(json_object_get(answer, "instances"), index, item)
    {
        explain_instance(item, types, sites);
    }
}
