/* Files: read whole, written whole, and whether their content is the same. */
#ifndef MOLT_PATCH_FILE_H
#define MOLT_PATCH_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "patch/hash.h"

/* The file's bytes, with a NUL behind them, owned by the caller. */
struct molt_error *file_read(const char *path, char **ret_bytes, size_t *ret_size);

/* Writes a file by way of a temporary one beside it: either the old content is there or the new one. */
struct molt_error *file_write(const char *path, const void *bytes, size_t size);

/* Makes DIRECTORY and those above it. */
struct molt_error *file_make_directory(const char *directory);

/* Hash of the file's content, "" if there is no such file. Remembered as long as time, size and inode
 * stay, in a cache that belongs to the caller. */
struct file_hashes;
struct file_hashes *file_hashes_create(void);
void file_hashes_destroy(struct file_hashes *hashes);
const char *file_hash(struct file_hashes *hashes, const char *path);

/* Files are looked at once until this is called: at the start of a build and whenever a compiler has
 * ended. */
void file_hashes_refresh(struct file_hashes *hashes);
unsigned file_hashes_generation(const struct file_hashes *hashes);

#endif
