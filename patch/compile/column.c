/*
 * gcc counts columns as a terminal shows them: tabs go to the next multiple of eight, most characters take
 * one, those of East Asian scripts and pictures two, marks that combine none. There is a flag for bytes, but
 * older compilers stop at flags that they do not know, so the columns are counted back.
 */
#include "patch/compile/column.h"

#include <stdint.h>

enum { TAB = 8 };

/* The character at LINE and, in *RET_SIZE, its bytes; what is not UTF-8 counts byte by byte. */
static uint32_t character_at(const char *line, size_t length, size_t *ret_size)
{
    const unsigned char *bytes = (const unsigned char *)line;
    size_t size = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : bytes[0] >= 0xc0 ? 2 : 1;
    uint32_t character = size == 1 ? bytes[0] : bytes[0] & (0xffu >> (size + 1));

    *ret_size = 1;
    for (size_t i = 1; i < size; i++) {
        if (i >= length || (bytes[i] & 0xc0) != 0x80) {
            return bytes[0];
        }
        character = character << 6 | (bytes[i] & 0x3f);
    }
    *ret_size = size;
    return character;
}

static unsigned width_of(uint32_t character)
{
    static const struct {
        uint32_t first, last;
        unsigned width;
    } ranges[] = {
        { 0x300, 0x36f, 0 },     { 0x200b, 0x200f, 0 },   { 0xfe00, 0xfe0f, 0 }, { 0x1100, 0x115f, 2 },
        { 0x2e80, 0x303e, 2 },   { 0x3041, 0xa4cf, 2 },   { 0xac00, 0xd7a3, 2 }, { 0xf900, 0xfaff, 2 },
        { 0xfe30, 0xfe6f, 2 },   { 0xff00, 0xff60, 2 },   { 0xffe0, 0xffe6, 2 }, { 0x1f300, 0x1f64f, 2 },
        { 0x1f900, 0x1f9ff, 2 }, { 0x20000, 0x3fffd, 2 },
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        if (character >= ranges[i].first && character <= ranges[i].last) {
            return ranges[i].width;
        }
    }
    return 1;
}

unsigned column_to_byte(const char *line, size_t length, unsigned column)
{
    unsigned display = 1;
    size_t at = 0, size;

    while (at < length && display < column) {
        uint32_t character = character_at(line + at, length - at, &size);
        display += character == '\t' ? TAB - (display - 1) % TAB : width_of(character);
        at += size;
    }
    return (unsigned)at + 1 + (column > display ? column - display : 0);
}
