/* Structural changes between two directories of sources. */
#ifndef MOLT_CLI_CHANGES_H
#define MOLT_CLI_CHANGES_H

#include <jansson.h>

#include "base/error.h"

/* A new JSON array with the change sets of all C files that differ between FROM and TO, which lie at the
 * same places below them. Hidden directories are passed over. */
struct molt_error *changes_between(const char *from, const char *to, json_t **ret);

#endif
