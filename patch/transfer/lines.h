/* Which line of the old source is which of the new one. */
#ifndef MOLT_PATCH_TRANSFER_LINES_H
#define MOLT_PATCH_TRANSFER_LINES_H

#include <stdint.h>

#include "patch/code/compare.h"

/* Lines [FIRST, END) of one file. */
struct line_range {
    unsigned first, end;
};

struct line_map {
    struct line_range old, new;
    uint32_t *new_of; /* by line of the old source, from its first on: the line that it is, or 0 */
    uint32_t *old_of;
};

/* Compares the two ranges of FILE. Lines that could be one of several are none. */
void line_map_init(struct line_map *map, same_line *lines, void *context, const char *file,
                   struct line_range old, struct line_range new);
void line_map_deinit(struct line_map *map);

/* Whether NEW is what OLD has become: the same text, ... */
bool line_map_same(const struct line_map *map, unsigned old, unsigned new);

/* ... or another one in its place, between lines that are the same, in as many as there were. */
bool line_map_edited(const struct line_map *map, unsigned old, unsigned new);

#endif
