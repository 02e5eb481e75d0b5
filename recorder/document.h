/*
 * The text of one file, and where its lines begin. Positions of an editor become byte offsets here and
 * nowhere else.
 */
#ifndef MOLT_RECORDER_DOCUMENT_H
#define MOLT_RECORDER_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "recorder/recorder.h"

#define DOCUMENT_MAX 0x3fffffffu /* bytes; more is refused */

struct document {
    char *text; /* NUL-terminated; NULL while empty and never written */
    uint32_t length;
    size_t capacity;
    uint32_t *lines; /* offset of each line's first byte; the first is always 0 */
    uint32_t line_count;
    size_t line_capacity;
};

/* Replaces bytes [start, end) by LENGTH bytes at TEXT, which must not point into the document. On failure
 * nothing has changed. */
struct molt_error *document_splice(struct document *document, uint32_t start, uint32_t end, const char *text,
                                   size_t length);
void document_deinit(struct document *document);

/* The byte offset of a position, inside the document whatever the position is. A character inside of a longer
 * code unit sequence means its beginning. */
uint32_t document_offset(const struct document *document, uint32_t line, uint32_t character,
                         enum position_encoding encoding);

/* The line, from 0, that holds the byte at OFFSET. */
uint32_t document_line(const struct document *document, uint32_t offset);

#endif
