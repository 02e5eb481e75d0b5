/*
 * Liveness, the textbook's way: sets of bits, backwards through the blocks until nothing changes. Frames with
 * large buffers have one bit for several bytes; then what is written in part stays alive.
 */
#include "patch/transfer/live.h"

#include <stdlib.h>
#include <string.h>

#define WORD 64

static uint32_t bit_of(const struct liveness *liveness, int32_t place)
{
    return place_in_frame(place)
               ? PLACE_REGISTERS_END + (uint32_t)(place - PLACE_CFA - liveness->low) / liveness->grain
               : (uint32_t)place;
}

static void find_bounds(struct liveness *liveness, const struct live_range *escaped, size_t count)
{
    const struct code *code = liveness->code;

    for (size_t i = 0; i < code->touches.count; i++) {
        const struct code_touch *touch = &code->touches.items[i];
        int32_t offset = touch->place - PLACE_CFA;
        if (place_in_frame(touch->place)) {
            liveness->low = offset < liveness->low ? offset : liveness->low;
            liveness->high = offset + (int32_t)touch->size > liveness->high ? offset + (int32_t)touch->size
                                                                            : liveness->high;
        }
    }
    for (size_t i = 0; i < count; i++) {
        int32_t end = escaped[i].offset + (int32_t)escaped[i].size;
        liveness->low = escaped[i].offset < liveness->low ? escaped[i].offset : liveness->low;
        liveness->high = end > liveness->high ? end : liveness->high;
    }
    int32_t size = liveness->high - liveness->low;
    liveness->grain = size <= 1 << 14 ? 1 : size <= 1 << 18 ? 8 : 256;
    liveness->low -= (liveness->low % 256 + 256) % 256;
    liveness->words =
        (PLACE_REGISTERS_END + (uint32_t)(liveness->high - liveness->low) / liveness->grain) / WORD + 2;
}

static void set_bits(uint64_t *set, uint32_t from, uint32_t to, bool on)
{
    for (uint32_t i = from; i < to; i++) {
        if (on) {
            set[i / WORD] |= UINT64_C(1) << i % WORD;
        } else {
            set[i / WORD] &= ~(UINT64_C(1) << i % WORD);
        }
    }
}

static void read_place(const struct liveness *liveness, uint64_t *set, int32_t place, uint32_t size)
{
    set_bits(set, bit_of(liveness, place), bit_of(liveness, place + (int32_t)size - 1) + 1, true);
}

/* Only bits all of whose bytes are written are dead. */
static void write_place(const struct liveness *liveness, uint64_t *set, int32_t place, uint32_t size)
{
    uint32_t grain = place_in_frame(place) ? liveness->grain : 1;
    int32_t from = place, to = place + (int32_t)size;

    if (grain > 1) {
        int32_t start = PLACE_CFA + liveness->low;
        from += (int32_t)((grain - (uint32_t)(from - start) % grain) % grain);
        to -= (int32_t)((uint32_t)(to - start) % grain);
    }
    if (from < to) {
        set_bits(set, bit_of(liveness, from), bit_of(liveness, to - 1) + 1, false);
    }
}

/* SET behind the block becomes SET in front of it. */
static void go_back(const struct liveness *liveness, const struct code_block *block, const uint64_t *escaped,
                    uint64_t *set)
{
    const struct code *code = liveness->code;

    for (uint32_t i = block->end; i-- > block->first;) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        for (uint32_t k = 0; k < instruction->touch_count; k++) {
            const struct code_touch *touch = &code->touches.items[instruction->touch + k];
            if (touch->written && !touch->read) {
                write_place(liveness, set, touch->place, touch->size);
            }
        }
        for (uint32_t k = 0; k < instruction->touch_count; k++) {
            const struct code_touch *touch = &code->touches.items[instruction->touch + k];
            if (touch->read) {
                read_place(liveness, set, touch->place, touch->size);
            }
        }
        for (size_t k = 0; (instruction->flags & CODE_READS) && k < liveness->words; k++) {
            set[k] |= escaped[k];
        }
    }
}

/* Of word INDEX of a set: the bits of the frame. */
static uint64_t frame_bits(size_t index)
{
    size_t first = PLACE_REGISTERS_END / WORD;

    return index < first ? 0 : index > first ? UINT64_MAX : UINT64_MAX << PLACE_REGISTERS_END % WORD;
}

static bool update(struct liveness *liveness, uint32_t index, const uint64_t *escaped, uint64_t *scratch)
{
    const struct code_block *block = &liveness->code->blocks.items[index];
    uint64_t *own = liveness->sets + index * liveness->words;

    memset(scratch, 0, liveness->words * sizeof(*scratch));
    for (size_t i = 0; i < block->next.count; i++) {
        const uint64_t *after = liveness->sets + block->next.items[i] * liveness->words;
        bool jump = code_is_longjmp(liveness->code, index, block->next.items[i]);
        for (size_t k = 0; k < liveness->words; k++) {
            scratch[k] |= after[k] & (jump ? frame_bits(k) : UINT64_MAX);
        }
    }
    go_back(liveness, block, escaped, scratch);
    if (memcmp(scratch, own, liveness->words * sizeof(*own)) == 0) {
        return false;
    }
    memcpy(own, scratch, liveness->words * sizeof(*own));
    return true;
}

void liveness_init(struct liveness *liveness, const struct code *code, const struct live_range *escaped,
                   size_t count)
{
    *liveness = (struct liveness){ .code = code };
    find_bounds(liveness, escaped, count);
    liveness->sets = must_calloc(code->blocks.count + 1, liveness->words * sizeof(uint64_t));
    uint64_t *scratch = must_calloc(2, liveness->words * sizeof(uint64_t)),
             *reads = scratch + liveness->words;
    bool *waiting = must_calloc(code->blocks.count + 1, sizeof(*waiting));
    for (size_t i = 0; i < count; i++) {
        read_place(liveness, reads, PLACE_CFA + escaped[i].offset, escaped[i].size);
    }
    memset(waiting, true, code->blocks.count);
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = code->blocks.count; i-- > 0;) {
            const struct code_block *block = &code->blocks.items[i];
            if (waiting[i] && block->reached) {
                waiting[i] = false;
                bool changed = update(liveness, i, reads, scratch);
                for (size_t k = 0; changed && k < block->before.count; k++) {
                    waiting[block->before.items[k]] = again = true;
                }
            }
        }
    }
    free(waiting);
    free(scratch);
}

void liveness_deinit(struct liveness *liveness)
{
    free(liveness->sets);
    *liveness = (struct liveness){ 0 };
}

bool is_live(const struct liveness *liveness, uint32_t block, int32_t place)
{
    uint32_t bit = bit_of(liveness, place);

    return (liveness->sets[block * liveness->words + bit / WORD] >> bit % WORD) & 1;
}
