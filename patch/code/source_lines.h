/* Lines of the old and the new sources, side by side. */
#ifndef MOLT_PATCH_SOURCE_LINES_H
#define MOLT_PATCH_SOURCE_LINES_H

#include <stdbool.h>

#include "patch/compile/tree.h"

struct source_lines;

/* FROM and TO are borrowed. Files are read when asked about. */
struct source_lines *source_lines_create(const struct tree *from, const struct tree *to);
void source_lines_destroy(struct source_lines *lines);

/* Whether line OLD_LINE of FILE in the old tree reads as line NEW_LINE in the new one (and says anything
 * at all). A same_line of patch/code/compare.h. */
bool source_lines_same(void *lines, const char *file, unsigned old_line, unsigned new_line);

/* Whether the two lines read the same, be they empty; false where there is none. */
bool source_lines_equal(struct source_lines *lines, const char *file, unsigned old_line, unsigned new_line);

#endif
