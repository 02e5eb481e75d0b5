/* The files that a patch changes, and whether a patch that follows it begins with what they have become. */
#ifndef MOLT_PATCH_BUILD_FILES_H
#define MOLT_PATCH_BUILD_FILES_H

#include <jansson.h>

#include "patch/build_private.h"

/* The files below the root, of the units of BUILD (compiled), that differ: a new object of
 * "src/a.c": [hash before, hash after], null where there is no such file. */
json_t *build_files_note(const struct build *build);

/* REFUSED: a file of the sources that BUILD begins with is as it was before one of its earlier patches. One
 * that is neither so nor as that patch leaves it is warned of. */
struct molt_error *build_files_check(struct build *build);

#endif
