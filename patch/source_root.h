/* Which directory is the source root of a compile database. */
#ifndef MOLT_PATCH_SOURCE_ROOT_H
#define MOLT_PATCH_SOURCE_ROOT_H

#include "base/error.h"

struct compile_db;

/*
 * The directory that trees of sources stand for, absolute. It is the deepest directory that holds all C files
 * of DB, or that of the project: DB's own, if it lies above all of them, else the deepest that holds them and
 * the project's directories in which they look for headers. Of these the one for which TREE holds more of the
 * files, the former if as many; the project's if TREE is NULL. *ret is the caller's. REFUSED if TREE holds
 * none of the files.
 */
struct molt_error *source_root_find(const struct compile_db *db, const char *tree, char **ret);

#endif
