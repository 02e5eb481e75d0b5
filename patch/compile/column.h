/* Where in a line a compiler means. */
#ifndef MOLT_PATCH_COLUMN_H
#define MOLT_PATCH_COLUMN_H

#include <stddef.h>

/* The 1-based byte of LINE (LENGTH bytes) at which display column COLUMN (1-based, tabs to every eighth)
 * begins, as gcc has counted since version 11. A column behind the end counts as if the line went on with
 * spaces. */
unsigned column_to_byte(const char *line, size_t length, unsigned column);

#endif
