/*
 * A settings file into JSON, by recursive descent over the bytes: each function reads one thing of the
 * grammar and leaves the reader behind it, or sets `reason` (once) and returns false or NULL.
 */
#include "base/toml.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define NESTING_MAX 16

struct reader {
    const char *at, *end;
    unsigned line;
    unsigned nesting;
    const char *reason; /* what is wrong; NULL while nothing is */
    unsigned reason_line;
};

static json_t *read_value(struct reader *reader);
static void read_pair(struct reader *reader, json_t *table);

static bool fail(struct reader *reader, const char *reason)
{
    if (!reader->reason) {
        reader->reason = reason;
        reader->reason_line = reader->line;
    }
    return false;
}

static int peek(const struct reader *reader)
{
    return reader->at < reader->end ? (unsigned char)*reader->at : -1;
}

static bool accept(struct reader *reader, char c)
{
    if (peek(reader) != (unsigned char)c)
        return false;
    reader->at++;
    return true;
}

static void skip_blanks(struct reader *reader)
{
    while (peek(reader) == ' ' || peek(reader) == '\t')
        reader->at++;
}

static void skip_comment(struct reader *reader)
{
    if (peek(reader) != '#')
        return;
    while (reader->at < reader->end && *reader->at != '\n')
        reader->at++;
}

/* Blanks, comments and ends of lines. */
static void skip_lines(struct reader *reader)
{
    for (;;) {
        skip_blanks(reader);
        skip_comment(reader);
        if (accept(reader, '\r'))
            continue;
        if (!accept(reader, '\n'))
            return;
        reader->line++;
    }
}

static bool end_of_line(struct reader *reader)
{
    skip_blanks(reader);
    skip_comment(reader);
    accept(reader, '\r');
    if (reader->at == reader->end)
        return true;
    if (peek(reader) != '\n')
        return fail(reader, "something follows the value on its line");
    return true;
}

static void append_utf8(struct text *text, unsigned long c)
{
    char bytes[4];
    size_t length;

    if (c < 0x80) {
        bytes[0] = (char)c;
        length = 1;
    } else if (c < 0x800) {
        bytes[0] = (char)(0xc0 | c >> 6);
        bytes[1] = (char)(0x80 | (c & 0x3f));
        length = 2;
    } else if (c < 0x10000) {
        bytes[0] = (char)(0xe0 | c >> 12);
        bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (c & 0x3f));
        length = 3;
    } else {
        bytes[0] = (char)(0xf0 | c >> 18);
        bytes[1] = (char)(0x80 | (c >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (c >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (c & 0x3f));
        length = 4;
    }
    text_append(text, bytes, length);
}

static bool read_unicode(struct reader *reader, unsigned digits, struct text *text)
{
    unsigned long c = 0;

    for (unsigned i = 0; i < digits; i++) {
        int digit = peek(reader);

        if (digit < 0 || !isxdigit(digit))
            return fail(reader, "a \\u escape lacks digits");
        c = c * 16 + (unsigned long)(isdigit(digit) ? digit - '0' : tolower(digit) - 'a' + 10);
        reader->at++;
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return fail(reader, "a \\u escape names no character");
    append_utf8(text, c);
    return true;
}

static bool read_escape(struct reader *reader, struct text *text)
{
    static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    const char *name;
    int c = peek(reader);

    if (c < 0)
        return fail(reader, "a string does not end");
    reader->at++;
    if (c == 'u' || c == 'U')
        return read_unicode(reader, c == 'u' ? 4 : 8, text);
    name = c ? strchr(names, c) : NULL;
    if (!name)
        return fail(reader, "unknown escape in a string");
    text_append(text, &values[name - names], 1);
    return true;
}

/* A string behind its opening QUOTE. Owned by the caller, NULL on failure. */
static char *read_string(struct reader *reader, char quote)
{
    struct text text = { 0 };

    text_puts(&text, "");
    while (!accept(reader, quote)) {
        int c = peek(reader);

        if (c <= 0 || c == '\n') {
            fail(reader, "a string does not end on its line");
            break;
        }
        reader->at++;
        if (c == '\\' && quote == '"') {
            if (!read_escape(reader, &text))
                break;
        } else {
            text_append(&text, reader->at - 1, 1);
        }
    }
    if (reader->reason) {
        text_deinit(&text);
        return NULL;
    }
    return text_steal(&text);
}

static json_t *read_string_value(struct reader *reader, char quote)
{
    char *string;
    json_t *value;

    if (reader->end - reader->at >= 2 && reader->at[0] == quote && reader->at[1] == quote) {
        fail(reader, "multi-line strings are not supported");
        return NULL;
    }
    string = read_string(reader, quote);
    if (!string)
        return NULL;
    value = json_string(string);
    free(string);
    if (!value)
        fail(reader, "a string is not UTF-8");
    return value;
}

static json_t *read_array(struct reader *reader)
{
    json_t *array = json_array();

    if (++reader->nesting > NESTING_MAX)
        fail(reader, "arrays are nested too deep");
    for (skip_lines(reader); !reader->reason && !accept(reader, ']'); skip_lines(reader)) {
        if (json_array_append_new(array, read_value(reader)))
            break;
        skip_lines(reader);
        if (accept(reader, ','))
            continue;
        if (!accept(reader, ']'))
            fail(reader, "an array does not end");
        break;
    }
    reader->nesting--;
    if (reader->reason) {
        json_decref(array);
        return NULL;
    }
    return array;
}

/* The characters of a bare word: a number, a boolean, or something unsupported such as a date. */
static json_t *read_word(struct reader *reader)
{
    char word[64], *end;
    size_t length = 0;

    while (reader->at < reader->end && (isalnum(peek(reader)) || strchr("+-._:", *reader->at))) {
        if (*reader->at != '_' && length < sizeof word - 1)
            word[length++] = *reader->at;
        reader->at++;
    }
    word[length] = '\0';
    if (!strcmp(word, "true") || !strcmp(word, "false"))
        return json_boolean(word[0] == 't');
    if (length && length < sizeof word - 1 && strspn(word, "+-.0123456789eE") == length) {
        bool integer = strspn(word, "+-0123456789") == length;
        json_t *number = integer ? json_integer(strtoll(word, &end, 10)) : json_real(strtod(word, &end));

        if (!*end)
            return number;
        json_decref(number);
    }
    fail(reader, "not a value: strings need quotes");
    return NULL;
}

/* "{ key = value, ... }" behind its brace; on one line, as TOML has it. */
static json_t *read_inline_table(struct reader *reader)
{
    json_t *table = json_object();

    if (++reader->nesting > NESTING_MAX)
        fail(reader, "tables are nested too deep");
    skip_blanks(reader);
    while (!reader->reason && !accept(reader, '}')) {
        read_pair(reader, table);
        skip_blanks(reader);
        if (!reader->reason && accept(reader, ',')) {
            skip_blanks(reader);
            if (peek(reader) == '}')
                fail(reader, "an inline table ends with a comma");
        } else if (!reader->reason && peek(reader) != '}') {
            fail(reader, "an inline table does not end on its line");
        }
    }
    reader->nesting--;
    if (reader->reason) {
        json_decref(table);
        return NULL;
    }
    return table;
}

static json_t *read_value(struct reader *reader)
{
    if (accept(reader, '"'))
        return read_string_value(reader, '"');
    if (accept(reader, '\''))
        return read_string_value(reader, '\'');
    if (accept(reader, '['))
        return read_array(reader);
    if (accept(reader, '{'))
        return read_inline_table(reader);
    return read_word(reader);
}

static char *read_key(struct reader *reader)
{
    const char *start = reader->at;

    if (accept(reader, '"'))
        return read_string(reader, '"');
    if (accept(reader, '\''))
        return read_string(reader, '\'');
    while (reader->at < reader->end && (isalnum(peek(reader)) || *reader->at == '_' || *reader->at == '-'))
        reader->at++;
    if (reader->at == start) {
        fail(reader, "a key is expected here");
        return NULL;
    }
    return strndup(start, (size_t)(reader->at - start));
}

/* "[name]": the object that the keys after it belong to (borrowed from TOP). */
static json_t *read_table(struct reader *reader, json_t *top)
{
    json_t *table = NULL;
    char *name = NULL;

    if (peek(reader) == '[')
        fail(reader, "arrays of tables are not supported");
    else
        name = read_key(reader);
    if (name && !accept(reader, ']'))
        fail(reader, "a table's name does not end with ]");
    else if (name && json_object_get(top, name))
        fail(reader, "this name is already taken");
    else if (name && !json_object_set_new(top, name, json_object()))
        table = json_object_get(top, name);
    free(name);
    return table;
}

static void read_pair(struct reader *reader, json_t *table)
{
    char *key = read_key(reader);
    json_t *value = NULL;

    if (!key)
        return;
    skip_blanks(reader);
    if (json_object_get(table, key))
        fail(reader, "this key is already set");
    else if (peek(reader) == '.')
        fail(reader, "dotted keys are not supported");
    else if (!accept(reader, '='))
        fail(reader, "= is missing after the key");
    skip_blanks(reader);
    if (!reader->reason)
        value = read_value(reader);
    if (value)
        json_object_set_new(table, key, value);
    free(key);
}

int toml_parse(const char *bytes, size_t length, json_t **ret, unsigned *ret_line, const char **ret_reason)
{
    struct reader reader = { .at = bytes, .end = bytes + length, .line = 1 };
    json_t *top = json_object(), *table = top;

    if (!top)
        return -ENOMEM;
    for (skip_lines(&reader); !reader.reason && reader.at < reader.end; skip_lines(&reader)) {
        if (accept(&reader, '['))
            table = read_table(&reader, top);
        else
            read_pair(&reader, table);
        if (!table)
            fail(&reader, "out of memory");
        if (!reader.reason)
            end_of_line(&reader);
    }
    if (reader.reason) {
        json_decref(top);
        *ret_line = reader.reason_line;
        *ret_reason = reader.reason;
        return -EBADMSG;
    }
    *ret = top;
    return 0;
}
