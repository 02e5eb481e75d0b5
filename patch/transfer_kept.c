/*
 * Memory of the frame that has no name: what a compiler keeps there for a while, such as the structure that a function returns.
 * If both versions use a place alike, by instructions that are aligned, and hand out the same addresses, then it is the same
 * thing, whoever else writes to it.
 */
#include "patch/transfer_private.h"

static bool overlaps(const struct code_touch *touch, int32_t offset, uint32_t size)
{
    int32_t start = touch->place - PLACE_CFA;

    return place_in_frame(touch->place) && start < offset + (int32_t)size &&
           offset < start + (int32_t)touch->size;
}

static bool uses(const struct code *code, const struct code_instruction *instruction, int32_t offset,
                 uint32_t size, bool *ret_written)
{
    bool found = false;

    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        const struct code_touch *touch = &code->touches.items[instruction->touch + i];
        if (overlaps(touch, offset, size)) {
            *ret_written = *ret_written || touch->written;
            found = true;
        }
    }
    return found;
}

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

static bool same_uses(struct match *match, int32_t offset, uint32_t size)
{
    bool written = false;

    for (uint32_t i = 0; i < match->new->instructions.count; i++) {
        const struct code_instruction *instruction = &match->new->instructions.items[i];
        written = false;
        if (!uses(match->new, instruction, offset, size, &written)) {
            continue;
        }
        if (match->old_of[i] == NO_INSTRUCTION || !same_places(match, match->old_of[i], i) ||
            (written && !(instruction->flags & CODE_CALL) && !match_same_computation(match, i))) {
            return false;
        }
    }
    for (uint32_t i = 0; i < match->old->instructions.count; i++) {
        if (match->new_of[i] == NO_INSTRUCTION &&
            uses(match->old, &match->old->instructions.items[i], offset, size, &written)) {
            return false;
        }
    }
    return true;
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

/* Whether ONE hands out no address at or below OFFSET that OTHER does not. */
static bool same_taken(const struct code *one, const struct code *other, const uint32_t *counterpart,
                       int32_t offset)
{
    for (size_t i = 0; i < one->taken.count; i++) {
        const struct code_taken *taken = &one->taken.items[i];
        uint32_t at = counterpart[taken->at];
        if (taken->offset <= offset && (at == NO_INSTRUCTION || !is_taken(other, at, taken->offset))) {
            return false;
        }
    }
    return true;
}

bool transfer_is_kept(struct transfer_work *work, int32_t offset, uint32_t size)
{
    struct match *match = &work->match;

    return same_taken(match->new, match->old, match->old_of, offset) &&
           same_taken(match->old, match->new, match->new_of, offset) && same_uses(match, offset, size);
}
