/* Which places the code still reads, from the start of each block on, before it writes them. */
#ifndef MOLT_PATCH_TRANSFER_LIVE_H
#define MOLT_PATCH_TRANSFER_LIVE_H

#include "patch/transfer/code.h"

struct liveness {
    const struct code *code;
    int32_t low, high; /* the frame's bytes that count, by offset */
    uint32_t grain;    /* bytes of the frame that share a bit */
    size_t words;      /* of a set */
    uint64_t *sets;    /* of each block */
};

/* Works it out for CODE, borrowed. The COUNT ranges at ESCAPED are read by every call and every access to
 * memory that no operand names. */
void liveness_init(struct liveness *liveness, const struct code *code, const struct live_range *escaped,
                   size_t count);
void liveness_deinit(struct liveness *liveness);

/* Whether the byte (or register, flags) at PLACE is read from the start of BLOCK on. */
bool is_live(const struct liveness *liveness, uint32_t block, int32_t place);

#endif
