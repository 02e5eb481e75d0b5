/* Line numbers in code, as assert() leaves them: they change when a line moves, and mean nothing. */
#ifndef MOLT_PATCH_LINE_NOISE_H
#define MOLT_PATCH_LINE_NOISE_H

#include "patch/code/compare.h"

/*
 * Whether functions OLD and NEW, of equal size and with equal relocations, differ only in immediate operands
 * that were the number of a line the old function was compiled from and are the number of the same text now.
 */
bool line_noise_only(struct object *old_object, const struct object_symbol *old, struct object *new_object,
                     const struct object_symbol *new, same_line *lines, void *context);

#endif
