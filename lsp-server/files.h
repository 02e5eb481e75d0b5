/*
 * Files as wholes: read, replace atomically, remove trees, compare. All functions return 0 or a negative
 * errno.
 */
#ifndef MOLT_LSP_SERVER_FILES_H
#define MOLT_LSP_SERVER_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* Reads all of PATH, with a NUL after the end. RET_BYTES is owned by the caller. */
int files_read(const char *path, char **ret_bytes, size_t *ret_length);

/* Replaces PATH in one step: a reader, or a crash, sees the old or the new content. Missing directories are
 * made. */
int files_write(const char *path, const void *bytes, size_t length);

/* Copies a file as files_write. */
int files_copy(const char *from, const char *to);

/* Makes PATH and what is missing above it. */
int files_make_directory(const char *path);

/* Removes PATH and all below it; fine if it does not exist. Symbolic links are removed, not followed. */
int files_remove_tree(const char *path);

/* Calls VISIT with the path, relative to DIRECTORY, of every regular file below it, until it returns
 * non-zero, which is returned. */
int files_walk_tree(const char *directory, int (*visit)(void *context, const char *relative), void *context);

/* Whether both exist with the same content. */
bool files_same(const char *a, const char *b);

#endif
