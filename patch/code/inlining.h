/* What a function was changed by when its own source was not: functions that the compiler put into it. */
#ifndef MOLT_PATCH_INLINING_H
#define MOLT_PATCH_INLINING_H

#include "patch/code/compare.h"
#include "patch/code/source_lines.h"

struct inlining;

/* LINES and ROOT, the source root that files are named below, are borrowed. */
struct inlining *inlining_create(struct source_lines *lines, const char *root);
void inlining_destroy(struct inlining *inlining);

/* Why SYMBOL of the new object, one of COMPARISON's changed functions, differs: "inlines helper
 * (util.h:12)", after "changed; " if its own lines do too. NULL if no inlined function has other lines
 * than before. Owned by the caller. */
char *inlining_reason(struct inlining *inlining, const struct comparison *comparison,
                      const struct object_symbol *symbol);

#endif
