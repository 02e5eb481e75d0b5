/* What machine code does with a variable. */
#ifndef MOLT_PATCH_ACCESSES_H
#define MOLT_PATCH_ACCESSES_H

#include "patch/code/object.h"

struct accesses {
    bool reads, writes; /* both where the address is taken */
};

/* What the code of OBJECT may do with SIZE bytes at OFFSET of its variable SYMBOL. Exact for code that is
 * not optimised, which names a variable in each instruction that uses it; what goes by way of an index or
 * of an address may be anywhere in it. */
struct accesses accesses_of(struct object *object, const struct object_symbol *symbol, uint64_t offset,
                            uint64_t size);

#endif
