/* Fields that name a function: whether they call it or take its address. */
#ifndef MOLT_PATCH_MENTIONS_H
#define MOLT_PATCH_MENTIONS_H

#include "patch/emit/emit.h"

/* Whether the field at OFFSET of the code at BYTES, relocated by TYPE, is a jump's or call's, directly or
 * through the global offset table. */
bool mention_is_branch(const uint8_t *bytes, uint64_t offset, uint32_t type);

/* The latest of COUNT earlier patches whose code or data takes the address of the function at ADDRESS of
 * IMAGE, NULL if none does. */
const struct earlier_patch *mention_in_earlier(const struct earlier_patch *earlier, size_t count,
                                               const struct image *image, uint64_t address);

#endif
