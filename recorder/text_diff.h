/* The difference of two pieces of source, line by line, in the unified format that people and editors
 * know. */
#ifndef MOLT_RECORDER_TEXT_DIFF_H
#define MOLT_RECORDER_TEXT_DIFF_H

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

/* Whole lines of a file, borrowed; an empty piece is one that is not there. */
struct text_piece {
    const char *text;
    size_t length;
    unsigned first; /* number of its first line in its file, from 1 */
};

/*
 * Appends to RET the hunks that lead from OLD to NEW: "@@ -3,4 +3,5 @@", then lines that begin with ' ', '-'
 * or '+'. Nothing if they are the same. There is no file header, no word about a missing last newline, no
 * carriage return, and no NUL.
 */
struct molt_error *text_diff_unified(const struct text_piece *old_piece, const struct text_piece *new_piece,
                                     struct text *ret);

#endif
