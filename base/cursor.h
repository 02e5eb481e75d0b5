/*
 * The one way to read untrusted bytes: patch files, ELF images, journals. A cursor never leaves its
 * bounds; the first read that would is remembered, yields zeros, and so does every read after it, so a
 * parser reads a whole record and asks cursor_failed once.
 */
#ifndef MOLT_BASE_CURSOR_H
#define MOLT_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const uint8_t *bytes; /* borrowed */
    size_t size;
    size_t position;
    bool failed;
};

/* A cursor over SIZE bytes, which must outlive it. */
struct cursor cursor_of(const void *bytes, size_t size);

/* A cursor over bytes [offset, offset + size) of WHOLE; failed if they are not all there. */
struct cursor cursor_range(const struct cursor *whole, uint64_t offset, uint64_t size);

/* Little-endian integers. */
uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_u16(struct cursor *cursor);
uint32_t cursor_u32(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);

/* The next SIZE bytes, inside the cursor's memory, or NULL. */
const void *cursor_take(struct cursor *cursor, uint64_t size);

/* Copies the next SIZE bytes to TARGET, zeros if they are not there. */
void cursor_copy(struct cursor *cursor, void *target, size_t size);

/* The NUL-terminated string at OFFSET, or NULL if it does not end inside the bounds. */
const char *cursor_string_at(const struct cursor *cursor, uint64_t offset);

/* Moves to OFFSET. */
void cursor_seek(struct cursor *cursor, uint64_t offset);

static inline size_t cursor_left(const struct cursor *cursor)
{
    return cursor->failed ? 0 : cursor->size - cursor->position;
}

static inline bool cursor_failed(const struct cursor *cursor)
{
    return cursor->failed;
}

#endif
