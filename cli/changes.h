/* Structural changes between two directories of sources. */
#ifndef MOLT_CLI_CHANGES_H
#define MOLT_CLI_CHANGES_H

#include <jansson.h>

#include <time.h>

#include "base/error.h"
#include "patch/session.h"

/* A new JSON array with the change sets of all C files that differ between FROM and TO, which lie at the
 * same places below them. Hidden directories are passed over, and so are files of TO that FROM lacks and that
 * were not modified after BUILT (NULL: none): they were made when the program was built, and git does not
 * know them. */
struct molt_error *changes_between(const char *from, const char *to, const struct timespec *built,
                                   json_t **ret);

/* The same from FROM to TO or, if that is NULL, the root of SESSION, whose binaries say when they were built.
 */
struct molt_error *changes_of(const struct patch_session *session, const char *from, const char *to,
                              json_t **ret);

#endif
