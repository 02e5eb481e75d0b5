/* A preprocessed unit: which line of which file each place came from, and where its functions are. */
#ifndef MOLT_PATCH_PREPROCESSED_H
#define MOLT_PATCH_PREPROCESSED_H

#include <stdbool.h>
#include <stddef.h>

#include "patch/memory.h"

struct preprocessed_line {
    size_t offset;    /* of the first byte that it is about */
    const char *file; /* as the compiler named it */
    unsigned line;    /* of that byte */
};

/* A function's definition: HEAD up to its '{', then the body with both braces. */
struct preprocessed_function {
    size_t head, body, end;
    bool old_style; /* int f(a) int a; {...} */
};

struct preprocessed {
    const char *text; /* NUL-terminated, borrowed */
    size_t length;
    LIST(struct preprocessed_line) lines; /* one for each marker, ascending */
    LIST(struct preprocessed_function) functions;
    LIST(char *) files; /* owned */
};

/* Reads TEXT, which must outlive SOURCE. */
void preprocessed_init(struct preprocessed *source, const char *text, size_t length);
void preprocessed_deinit(struct preprocessed *source);

/* The line that the byte at OFFSET came from, and its file ("" before the first marker) in *RET_FILE, the
 * source's. */
unsigned preprocessed_line(const struct preprocessed *source, size_t offset, const char **ret_file);

/* Behind the string or character constant at OFFSET, or the group in brackets of any kind that begins
 * there. At most LIMIT. */
size_t preprocessed_skip(const char *text, size_t offset, size_t limit);

#endif
