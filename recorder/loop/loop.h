/*
 * Extracting the body of a loop: `for (;;) { ... }` becomes a loop that calls a static function with what
 * stood between its braces. A function that never returns is then left alone by edits of what it does in each
 * turn, which are updated as any called function.
 *
 * All of it goes by the syntax tree of one function; of the rest of the file, and of what it includes, macros
 * and names are known. What the tree cannot tell is never guessed: such a loop has a reason instead of edits.
 */
#ifndef MOLT_RECORDER_LOOP_H
#define MOLT_RECORDER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "recorder/recorder.h"

/* A text that the file includes. */
struct loop_header {
    char *text;
    uint32_t length;
};

/* The file, the segment (segment.h) of it that holds the function, and how to come by what it includes, which
 * is asked for once if there is a loop. All is borrowed. */
struct loop_source {
    const char *text;
    uint32_t length;
    uint32_t start, lead, end;
    const struct loop_header *(*headers)(
        void *context, size_t *ret_count); /* NULL: there are none; it returns NULL without memory */
    void *context;
};

/* What is to be done with the loop that WISH means. *RET is always set. */
struct molt_error *loop_extract(const struct loop_source *source, const struct loop_wish *wish,
                                struct loop_extraction *ret);

#endif
