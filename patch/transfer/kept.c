/*
 * Memory of the frame that has no name: what a compiler keeps there for a while, such as the structure that a
 * function returns. If both versions use a place alike, by instructions that are aligned, and hand out the
 * same addresses, then it is the same thing, whoever else writes to it.
 *
 * That does not depend on the call, so it is found out once for the whole frame, when it is first asked for.
 */
#include "patch/transfer/private.h"

#include <stdlib.h>
#include <string.h>

/* Whether the two use the same places of their frames. */
static bool same_places(const struct match *match, uint32_t old_at, uint32_t new_at)
{
    const struct code_instruction *old = &match->old->instructions.items[old_at];
    const struct code_instruction *new = &match->new->instructions.items[new_at];

    if (old->touch_count != new->touch_count) {
        return false;
    }
    for (uint32_t i = 0; i < new->touch_count; i++) {
        const struct code_touch *a = &match->old->touches.items[old->touch + i];
        const struct code_touch *b = &match->new->touches.items[new->touch + i];
        if (place_in_frame(b->place) && (a->place != b->place || a->size != b->size)) {
            return false;
        }
    }
    return true;
}

/* Notes the bytes of the frame that INSTRUCTION uses, or (WRITTEN) writes. */
static void note(struct kept *kept, const struct code *code, const struct code_instruction *instruction,
                 bool written)
{
    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        const struct code_touch *touch = &code->touches.items[instruction->touch + i];
        int32_t from = touch->place - PLACE_CFA, to = from + (int32_t)touch->size;
        to = to > 0 ? 0 : to;
        if (place_in_frame(touch->place) && from < to && (touch->written || !written)) {
            memset(kept->differs + (from - kept->low), true, (size_t)(to - from));
        }
    }
}

static bool writes_frame(const struct code *code, const struct code_instruction *instruction)
{
    bool found = false;

    for (uint32_t i = 0; i < instruction->touch_count && !found; i++) {
        const struct code_touch *touch = &code->touches.items[instruction->touch + i];
        found = touch->written && place_in_frame(touch->place);
    }
    return found;
}

static void note_uses(struct kept *kept, struct match *match)
{
    for (uint32_t i = 0; i < match->new->instructions.count; i++) {
        const struct code_instruction *instruction = &match->new->instructions.items[i];
        if (match->old_of[i] == NO_INSTRUCTION || !same_places(match, match->old_of[i], i)) {
            note(kept, match->new, instruction, false);
        } else if (!(instruction->flags & CODE_CALL) && writes_frame(match->new, instruction) &&
                   !match_same_computation(match, i)) {
            note(kept, match->new, instruction, true);
        }
    }
    for (uint32_t i = 0; i < match->old->instructions.count; i++) {
        if (match->new_of[i] == NO_INSTRUCTION) {
            note(kept, match->old, &match->old->instructions.items[i], false);
        }
    }
}

static bool is_taken(const struct code *code, uint32_t at, int32_t offset)
{
    for (size_t i = 0; i < code->taken.count; i++) {
        if (code->taken.items[i].at == at && code->taken.items[i].offset == offset) {
            return true;
        }
    }
    return false;
}

/* Lowers RET to the lowest address that ONE hands out and OTHER does not. */
static void find_taken(const struct code *one, const struct code *other, const uint32_t *counterpart,
                       int32_t *ret)
{
    for (size_t i = 0; i < one->taken.count; i++) {
        const struct code_taken *taken = &one->taken.items[i];
        uint32_t at = counterpart[taken->at];
        if (taken->offset < *ret && (at == NO_INSTRUCTION || !is_taken(other, at, taken->offset))) {
            *ret = taken->offset;
        }
    }
}

static int32_t lowest(const struct code *code, int32_t low)
{
    for (size_t i = 0; i < code->touches.count; i++) {
        const struct code_touch *touch = &code->touches.items[i];
        bool lower = place_in_frame(touch->place) && touch->place - PLACE_CFA < low;
        low = lower ? touch->place - PLACE_CFA : low;
    }
    return low;
}

static void kept_init(struct kept *kept, struct match *match)
{
    kept->low = lowest(match->old, lowest(match->new, 0));
    kept->differs = must_calloc((size_t)-kept->low + 1, sizeof(bool));
    kept->taken = INT32_MAX;
    find_taken(match->new, match->old, match->old_of, &kept->taken);
    find_taken(match->old, match->new, match->new_of, &kept->taken);
    note_uses(kept, match);
}

void kept_deinit(struct kept *kept)
{
    free(kept->differs);
    *kept = (struct kept){ 0 };
}

bool transfer_is_kept(struct transfer_work *work, int32_t offset, uint32_t size)
{
    struct kept *kept = &work->kept;

    if (!kept->differs) {
        kept_init(kept, &work->match);
    }
    bool same = offset < kept->taken;
    for (int32_t i = offset < kept->low ? kept->low : offset; same && i < 0 && i < offset + (int32_t)size;
         i++) {
        same = !kept->differs[i - kept->low];
    }
    return same;
}
