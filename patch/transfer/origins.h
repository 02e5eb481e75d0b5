/* Where a value comes from, for the parts that judge whether two are the same. */
#ifndef MOLT_PATCH_TRANSFER_ORIGINS_H
#define MOLT_PATCH_TRANSFER_ORIGINS_H

#include "patch/transfer/match.h"

#define ENTRY NO_INSTRUCTION

/* What wrote a place: an instruction, or (ENTRY) whoever called the function. */
struct origin {
    uint32_t at;
    int32_t place;
    uint32_t size;
};

struct origins {
    LIST(struct origin) list;
    bool unknown; /* too many */
    bool parts;   /* some wrote only a part of it */
};

/* Fills RET, which may hold an earlier answer, with all instructions that may have written SIZE bytes at
 * PLACE last in front of instruction AT, copies as any other. */
void find_writers(const struct code *code, uint32_t at, int32_t place, uint32_t size, struct origins *ret);

/* The same, but copies are followed: with what made the bytes. */
void find_origins(const struct code *code, uint32_t at, int32_t place, uint32_t size, struct origins *ret);

/* An instruction in front of AT that the same has written last whatever SIZE bytes at PLACE hold at AT, as
 * far back as only one way leads. */
uint32_t find_earliest(const struct code *code, uint32_t at, int32_t place, uint32_t size);

/* Fills RET, empty at first, with what is left when all copies are followed, whatever their number. */
void find_all_sources(const struct code *code, uint32_t at, int32_t place, uint32_t size,
                      struct origins *ret);

/* Whether the list says it all. */
bool origins_known(const struct origins *origins);

static inline bool touch_overlaps(const struct code_touch *touch, int32_t place, uint32_t size)
{
    return touch->place < place + (int32_t)size && place < touch->place + (int32_t)touch->size;
}

static inline bool code_is_call(const struct code *code, uint32_t at)
{
    return code->instructions.items[at].flags & CODE_CALL;
}

/* Whether ORIGIN is a call, and what it leaves there is no result: nothing that code could mean. */
static inline bool origin_is_nothing(const struct code *code, const struct origin *origin)
{
    unsigned number = place_register(origin->place);

    return origin->at != ENTRY && code_is_call(code, origin->at) && number != RAX && number != RDX &&
           origin->place != PLACE_VECTOR && origin->place != PLACE_VECTOR + 1;
}

#endif
