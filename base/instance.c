/*
 * Values in words. Each kind of member has a function that writes one element; arrays, bounds and bit-fields
 * are dealt with around it. Shapes come out of patch files and bytes out of processes: nothing in them is
 * believed.
 */
#include "base/instance.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { ELEMENTS_SHOWN = 8, TEXT_SHOWN = 48, BYTES_SHOWN = 16 };

/* A member within its bounds. */
struct element {
    const json_t *member;
    const uint8_t *bytes;
    size_t size;
    unsigned bit, bits; /* bits 0: no bit-field */
};

static uint64_t bits_of(const struct element *element)
{
    uint64_t value = 0;

    memcpy(&value, element->bytes, element->size < sizeof value ? element->size : sizeof value);
    if (element->bits && element->bits < 64)
        value = value >> element->bit & ((UINT64_C(1) << element->bits) - 1);
    return value;
}

static unsigned width_of(const struct element *element)
{
    return element->bits ? element->bits : element->size >= 8 ? 64 : (unsigned)element->size * 8;
}

static int64_t signed_of(const struct element *element)
{
    unsigned spare = 64 - width_of(element);

    return (int64_t)(bits_of(element) << spare) >> spare;
}

static void write_bytes(struct text *text, const struct element *element)
{
    for (size_t i = 0; i < element->size && i < BYTES_SHOWN; i++)
        text_printf(text, "%s%02x", i ? " " : "", element->bytes[i]);
    if (element->size > BYTES_SHOWN)
        text_puts(text, " ...");
}

static void write_character(struct text *text, unsigned char character)
{
    if (character == '"' || character == '\\')
        text_printf(text, "\\%c", character);
    else if (character == '\n')
        text_puts(text, "\\n");
    else if (character < 0x80 && isprint(character))
        text_printf(text, "%c", character);
    else
        text_printf(text, "\\x%02x", character);
}

static void write_text(struct text *text, const struct element *element)
{
    size_t i;

    text_puts(text, "\"");
    for (i = 0; i < element->size && element->bytes[i] && i < TEXT_SHOWN; i++)
        write_character(text, element->bytes[i]);
    text_puts(text, i == TEXT_SHOWN && i < element->size && element->bytes[i] ? "\"..." : "\"");
}

static void write_int(struct text *text, const struct element *element)
{
    int64_t value = signed_of(element);

    text_printf(text, "%" PRId64, value);
    if (element->size == 1 && !element->bits && value >= ' ' && value < 0x7f)
        text_printf(text, " '%c'", (int)value);
}

static void write_unsigned(struct text *text, const struct element *element)
{
    text_printf(text, "%" PRIu64, bits_of(element));
}

static void write_bool(struct text *text, const struct element *element)
{
    uint64_t value = bits_of(element);

    if (value > 1)
        text_printf(text, "%" PRIu64 " (neither true nor false)", value);
    else
        text_puts(text, value ? "true" : "false");
}

static void write_pointer(struct text *text, const struct element *element)
{
    uint64_t value = bits_of(element);

    if (value)
        text_printf(text, "0x%" PRIx64, value);
    else
        text_puts(text, "NULL");
}

static void write_enum(struct text *text, const struct element *element)
{
    char number[24];
    const char *name;

    snprintf(number, sizeof number, "%" PRId64, signed_of(element));
    name = json_string_value(json_object_get(json_object_get(element->member, "names"), number));
    if (!name && width_of(element) < 64) { /* of an unsigned one the highest bit is no sign */
        snprintf(number, sizeof number, "%" PRIu64, bits_of(element));
        name = json_string_value(json_object_get(json_object_get(element->member, "names"), number));
    }
    text_puts(text, name ? name : number);
}

/* The fewest digits that read back as VALUE. */
static void write_number(struct text *text, double value, int most)
{
    char digits[40];

    for (int precision = 6; precision <= most; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        double read = strtod(digits, NULL);
        if (most == 9 ? (float)read == (float)value : read == value)
            break;
    }
    text_puts(text, digits);
}

static void write_float(struct text *text, const struct element *element)
{
    long double wide = 0;
    double value;
    float narrow;

    if (element->size == sizeof narrow) {
        memcpy(&narrow, element->bytes, sizeof narrow);
        write_number(text, (double)narrow, 9);
    } else if (element->size == sizeof value) {
        memcpy(&value, element->bytes, sizeof value);
        write_number(text, value, 17);
    } else if (element->size == sizeof wide) {
        memcpy(&wide, element->bytes, sizeof wide);
        text_printf(text, "%.19Lg", wide);
    } else {
        write_bytes(text, element);
    }
}

static const struct {
    const char *kind;
    size_t most; /* bytes that an element may have; 0: any number */
    void (*write)(struct text *text, const struct element *element);
} writers[] = {
    { "int", 8, write_int },      { "unsigned", 8, write_unsigned }, { "bool", 8, write_bool },
    { "float", 16, write_float }, { "pointer", 8, write_pointer },   { "text", 0, write_text },
    { "enum", 8, write_enum },
};

static void write_element(struct text *text, const struct element *element)
{
    const char *kind = json_string_value(json_object_get(element->member, "kind"));

    for (size_t i = 0; kind && i < sizeof writers / sizeof writers[0]; i++) {
        if (!strcmp(writers[i].kind, kind) && (!writers[i].most || element->size <= writers[i].most)) {
            writers[i].write(text, element);
            return;
        }
    }
    write_bytes(text, element);
}

/* "{1, 2, 0, 0, ... 60 more}" */
static void write_array(struct text *text, struct element element, size_t count)
{
    text_puts(text, "{");
    for (size_t i = 0; i < count && i < ELEMENTS_SHOWN; i++) {
        text_puts(text, i ? ", " : "");
        write_element(text, &element);
        element.bytes += element.size;
    }
    if (count > ELEMENTS_SHOWN)
        text_printf(text, ", ... %zu more", count - ELEMENTS_SHOWN);
    text_puts(text, "}");
}

static json_int_t number_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The value of MEMBER, or NULL if it does not lie within SIZE bytes at BYTES. */
static char *value_of(const json_t *member, const uint8_t *bytes, size_t size)
{
    json_int_t offset = number_at(member, "offset"), width = number_at(member, "size");
    json_int_t count = json_object_get(member, "count") ? number_at(member, "count") : -1;
    json_int_t bit = number_at(member, "bit"), bits = number_at(member, "bits");
    struct text text = { 0 };

    if (offset < 0 || width <= 0 || (size_t)offset > size || (size_t)width > size - (size_t)offset ||
        count < -1 || (count > 0 && (size_t)count > (size - (size_t)offset) / (size_t)width) || bit < 0 ||
        bits < 0 || bit > 63 || bits > 64 - bit)
        return NULL;
    struct element element = { member, bytes + offset, (size_t)width, (unsigned)bit, (unsigned)bits };
    if (count >= 0)
        write_array(&text, element, (size_t)count);
    else
        write_element(&text, &element);
    return text_steal(&text);
}

json_t *instance_values(const json_t *shape, const uint8_t *bytes, size_t size)
{
    json_t *values = json_object(), *member;
    size_t i;

    json_array_foreach(json_object_get(shape, "members"), i, member)
    {
        const char *path = json_string_value(json_object_get(member, "path"));
        char *value = path ? value_of(member, bytes, size) : NULL;

        if (value)
            json_object_set_new(values, path, json_string(value));
        free(value);
    }
    return values;
}
