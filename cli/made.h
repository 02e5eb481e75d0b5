/* The patches that molt diff has made from a source root: copies, to be found by the ids that programs
 * report. */
#ifndef MOLT_CLI_MADE_H
#define MOLT_CLI_MADE_H

#include <stddef.h>

/* Keeps the SIZE BYTES of the patch ID. Where that cannot be done, nothing is kept: whoever wants the patch
 * then has to name it. */
void made_keep(const char *root, const char *id, const void *bytes, size_t size);

/* The path of the patch ID, owned by the caller; NULL: it is not there. */
char *made_find(const char *root, const char *id);

#endif
