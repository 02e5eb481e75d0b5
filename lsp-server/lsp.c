/*
 * URIs and JSON. Editors escape URIs differently (VS Code writes %3A for a colon, Neovim does not), so a URI
 * is turned into a path as soon as it comes in, and files are known by their paths.
 */
#include "lsp-server/lsp.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *decode(const char *escaped)
{
    struct text text = { 0 };

    for (const char *at = escaped; *at && *at != '?' && *at != '#'; at++) {
        char c = *at;

        if (c == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
            c = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
            at += 2;
        }
        if (c)
            text_append(&text, &c, 1);
    }
    return text_steal(&text);
}

char *uri_to_path(const char *uri)
{
    char *decoded, *path;

    if (strncasecmp(uri, "file:", 5))
        return NULL;
    uri += 5;
    if (!strncmp(uri, "//", 2)) {
        uri += 2;
        if (!strncasecmp(uri, "localhost/", 10))
            uri += 9;
    }
    if (*uri != '/')
        return NULL;
    decoded = decode(uri);
    path = decoded ? path_normalise("/", decoded) : NULL;
    free(decoded);
    return path;
}

char *uri_from_path(const char *scheme, const char *path)
{
    struct text text = { 0 };

    text_printf(&text, "%s://", scheme);
    for (const char *at = path; *at; at++) {
        if (isalnum((unsigned char)*at) || strchr("/-._~", *at))
            text_append(&text, at, 1);
        else
            text_printf(&text, "%%%02X", (unsigned char)*at);
    }
    return text_steal(&text);
}

json_t *lsp_range(unsigned line, unsigned start, unsigned end)
{
    return json_pack("{s:{s:i,s:i},s:{s:i,s:i}}", "start", "line", (int)line, "character", (int)start, "end",
                     "line", (int)line, "character", (int)end);
}

json_t *json_at(const json_t *object, ...)
{
    va_list keys;
    const char *key;
    json_t *value = (json_t *)object;

    va_start(keys, object);
    while (value && (key = va_arg(keys, const char *)))
        value = json_object_get(value, key);
    va_end(keys);
    return value;
}

const char *json_text(const json_t *object, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : otherwise;
}

double json_number(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool json_flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

const char **json_strings(const json_t *array)
{
    const char **strings = calloc(json_array_size(array) + 1, sizeof *strings);
    size_t i;
    json_t *item;

    json_array_foreach(array, i, item)
    {
        if (strings)
            strings[i] = json_is_string(item) ? json_string_value(item) : "";
    }
    return strings;
}

char *lsp_document_path(const json_t *params)
{
    const char *uri = json_string_value(json_at(params, "textDocument", "uri", NULL));

    return uri ? uri_to_path(uri) : NULL;
}

const char *lsp_line(const char *text, size_t length, unsigned line, size_t *ret_length)
{
    const char *at = text, *end = text + length, *stop;

    while (--line && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        at = newline ? newline + 1 : end;
    }
    stop = memchr(at, '\n', (size_t)(end - at));
    *ret_length = (size_t)((stop ? stop : end) - at);
    return at;
}

unsigned lsp_position_of_byte(enum position_encoding encoding, const char *line, size_t length, size_t byte)
{
    unsigned position = 0;

    if (byte > length)
        byte = length;
    if (encoding == POSITION_UTF8)
        return (unsigned)byte;
    for (size_t i = 0; i < byte; i++) {
        unsigned char c = (unsigned char)line[i];

        if ((c & 0xc0) == 0x80)
            continue;
        position += encoding == POSITION_UTF16 && c >= 0xf0 ? 2 : 1;
    }
    return position;
}
