/* Between the two parts of the check of a patch file. */
#ifndef MOLT_BASE_PATCH_FILE_PRIVATE_H
#define MOLT_BASE_PATCH_FILE_PRIVATE_H

#include <stdbool.h>

#include "base/patch_file.h"

/* Whether SYMBOL is one that the patch itself defines. */
bool patch_file_defines(const struct patch_file *file, uint32_t symbol);

/* What is wrong with the records about state (layouts to invariants); NULL if nothing is. */
const char *patch_file_check_state(const struct patch_file *file);

/* What is wrong with the records about active frames; NULL if nothing is. */
const char *patch_file_check_transfers(const struct patch_file *file);

#endif
