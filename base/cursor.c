/* Bounds-checked reading. Every read comes down to cursor_take. */
#include "base/cursor.h"

#include <string.h>

struct cursor cursor_of(const void *bytes, size_t size)
{
    return (struct cursor){ .bytes = bytes, .size = size };
}

struct cursor cursor_range(const struct cursor *whole, uint64_t offset, uint64_t size)
{
    if (whole->failed || offset > whole->size || size > whole->size - offset) {
        return (struct cursor){ .failed = true };
    }
    return cursor_of(whole->bytes + offset, size);
}

const void *cursor_take(struct cursor *cursor, uint64_t size)
{
    if (cursor->failed || size > cursor->size - cursor->position) {
        cursor->failed = true;
        return NULL;
    }
    const void *bytes = cursor->bytes + cursor->position;
    cursor->position += size;
    return bytes;
}

void cursor_copy(struct cursor *cursor, void *target, size_t size)
{
    const void *bytes = cursor_take(cursor, size);

    if (bytes) {
        memcpy(target, bytes, size);
    } else {
        memset(target, 0, size);
    }
}

uint8_t cursor_u8(struct cursor *cursor)
{
    uint8_t value;

    cursor_copy(cursor, &value, sizeof(value));
    return value;
}

uint16_t cursor_u16(struct cursor *cursor)
{
    uint16_t value;

    cursor_copy(cursor, &value, sizeof(value));
    return value;
}

uint32_t cursor_u32(struct cursor *cursor)
{
    uint32_t value;

    cursor_copy(cursor, &value, sizeof(value));
    return value;
}

uint64_t cursor_u64(struct cursor *cursor)
{
    uint64_t value;

    cursor_copy(cursor, &value, sizeof(value));
    return value;
}

const char *cursor_string_at(const struct cursor *cursor, uint64_t offset)
{
    if (cursor->failed || offset >= cursor->size ||
        !memchr(cursor->bytes + offset, '\0', cursor->size - offset)) {
        return NULL;
    }
    return (const char *)cursor->bytes + offset;
}

void cursor_seek(struct cursor *cursor, uint64_t offset)
{
    if (cursor->failed || offset > cursor->size) {
        cursor->failed = true;
        return;
    }
    cursor->position = offset;
}
