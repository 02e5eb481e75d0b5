/*
 * Text that grows. Running out of memory is remembered in the text instead of being returned from every
 * call: append freely, then ask once, at the end (text_steal returns NULL, text_failed is true).
 */
#ifndef MOLT_BASE_TEXT_H
#define MOLT_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
    char *bytes; /* always NUL-terminated once anything was appended; NULL while empty */
    size_t length;
    size_t capacity;
    bool failed;
};

/* Appends LENGTH bytes, a string, formatted output. BYTES must not point into TEXT. */
void text_append(struct text *text, const void *bytes, size_t length);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *text, const char *format, va_list arguments);

/* Drops the first LENGTH bytes (at most all of them). */
void text_consume(struct text *text, size_t length);

/* Empties the text and keeps its memory. */
void text_clear(struct text *text);

/* Whether memory ran out since init or the last clear. */
bool text_failed(const struct text *text);

/* The bytes as a string owned by the caller, or NULL if memory ran out; the text is empty afterwards. */
char *text_steal(struct text *text);

void text_deinit(struct text *text);

/* "DIRECTORY/NAME", or a copy of NAME when it is absolute. Owned by the caller; NULL without memory. */
char *path_join(const char *directory, const char *name);

/* An absolute path without ".", ".." and doubled slashes, by its words alone (no file system access).
 * Relative paths are taken below DIRECTORY. Owned by the caller; NULL without memory. */
char *path_normalise(const char *directory, const char *path);

/* Whether PATH is DIRECTORY or lies below it; both normalised. Returns the rest of PATH after the
 * directory and its slash ("" for the directory itself), or NULL. Points into PATH. */
const char *path_below(const char *directory, const char *path);

/* The last component of PATH; points into it. */
const char *path_last(const char *path);

/* Sorts COUNT strings at STRINGS (an array of `char *` or `const char *`) by their bytes. */
void strings_sort(void *strings, size_t count);

#endif
