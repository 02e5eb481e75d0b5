/* What baseline.c and history.c share. */
#ifndef MOLT_LSP_SERVER_BASELINE_PRIVATE_H
#define MOLT_LSP_SERVER_BASELINE_PRIVATE_H

#include "lsp-server/baseline.h"

/* "A/B/C" with B or C left out if NULL. Owned by the caller; NULL without memory. */
char *baseline_join(const char *a, const char *b, const char *c);

/* The error for the negative errno ERROR; NULL if it is 0. */
struct molt_error *baseline_failed(int error, const char *what);

/* Writes baseline.json. 0 or negative errno. */
int baseline_save(const struct baseline *baseline);

/* "ROOT/.molt/updates/NNNN-ID" of the update with INDEX (from 0). Owned by the caller; NULL without
 * memory. */
char *baseline_update_directory(const struct baseline *baseline, size_t index, const char *id);

/* The directory of the last update, NULL if there is none or without memory. */
char *baseline_last_update(const struct baseline *baseline);

/* The files that an update's DIRECTORY records: a new array, or NULL if there is no record. */
json_t *baseline_read_record(const char *directory);

#endif
