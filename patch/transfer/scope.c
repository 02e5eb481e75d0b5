/*
 * Memory of the frame that belongs to variables while they are in scope, and to nobody else. Behind a call
 * that is outside of all these scopes it holds nothing, even if the machine code may read it before it writes
 * it: it hands its address to somebody who does. The same goes for variables that the source declares behind
 * the call, in the same block: whoever gets there finds them without a value, also in a loop. Compilers may
 * set them earlier, so only those count that the function's code has not written by then.
 */
#include <Zydis/Zydis.h>
#include <stdlib.h>

#include "patch/transfer/private.h"

static bool holds(const struct frame_object *object, int32_t offset)
{
    return offset >= object->offset && offset < object->offset + (int32_t)object->size;
}

/* Marks the bytes of TOUCH that no object in scope at ADDRESS has. */
static void mark(struct version *version, const struct code_touch *touch, uint64_t address)
{
    int32_t start = touch->place - PLACE_CFA;

    for (int32_t offset = start; offset < start + (int32_t)touch->size; offset++) {
        bool owned = false;
        for (size_t i = 0; i < version->objects.count && !owned; i++) {
            const struct frame_object *object = &version->objects.items[i];
            owned = holds(object, offset) && frame_object_in_scope(object, address);
        }
        if (offset < 0 && !owned) {
            version->foreign[offset - version->low] = true;
        }
    }
}

/* Whether any object lies there at all: only then it matters. */
static bool is_near_object(const struct version *version, const struct code_touch *touch)
{
    int32_t start = touch->place - PLACE_CFA;

    for (size_t i = 0; i < version->objects.count; i++) {
        const struct frame_object *object = &version->objects.items[i];
        if (start < object->offset + (int32_t)object->size && object->offset < start + (int32_t)touch->size) {
            return true;
        }
    }
    return false;
}

/* Notes what is read from each byte on, and what is written as one. */
static void find_units(struct version *version)
{
    const struct code *code = &version->code;
    uint32_t *last =
        must_calloc((size_t)-version->low + 1, sizeof(*last)); /* index of a byte's last slot, and one */

    version->units = must_calloc((size_t)-version->low + 1, sizeof(*version->units));
    for (size_t i = 0; i < code->touches.count; i++) {
        const struct code_touch *touch = &code->touches.items[i];
        int32_t offset = touch->place - PLACE_CFA, byte = offset - version->low;
        if (!place_in_frame(touch->place) || offset >= 0) {
            continue;
        }
        if (touch->read && touch->size > version->units[byte]) {
            version->units[byte] = touch->size;
        }
        if (touch->written) {
            uint32_t same = last[byte];
            while (same && version->slots.items[same - 1].size != touch->size) {
                same = version->slots.items[same - 1].earlier + 1;
            }
            if (!same) {
                LIST_ADD(&version->slots, (struct frame_slot){ touch->place, touch->size, last[byte] - 1 });
                last[byte] = (uint32_t)version->slots.count;
            }
        }
    }
    free(last);
}

void version_find_scopes(struct version *version)
{
    const struct code *code = &version->code;

    for (size_t i = 0; i < code->touches.count; i++) {
        int32_t offset = code->touches.items[i].place - PLACE_CFA;
        bool lower = place_in_frame(code->touches.items[i].place) && offset < version->low;
        version->low = lower ? offset : version->low;
    }
    for (size_t i = 0; i < version->objects.count; i++) {
        const struct frame_object *object = &version->objects.items[i];
        int32_t end = object->offset + (int32_t)object->size;
        version->low = object->offset < version->low ? object->offset : version->low;
        version->high = end > version->high ? end : version->high;
    }
    version->foreign = must_calloc((size_t)(version->high - version->low) + 1, sizeof(bool));
    version->idle = must_calloc((size_t)(version->high - version->low) + 1, sizeof(bool));
    find_units(version);
    for (size_t i = 0; i < code->instructions.count; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        for (uint32_t k = 0; k < instruction->touch_count; k++) {
            const struct code_touch *touch = &code->touches.items[instruction->touch + k];
            if (place_in_frame(touch->place) && is_near_object(version, touch)) {
                mark(version, touch, instruction->address);
            }
        }
    }
}

/* Sets the bytes of OBJECT that somebody may use to IDLE. */
static void set_idle(struct version *version, const struct frame_object *object, bool idle)
{
    size_t first = (size_t)(object->offset - version->low);

    for (size_t byte = first; byte < first + object->size; byte++) {
        version->idle[byte] = idle && !version->foreign[byte];
    }
}

/* Whether the function's own code writes any of SIZE bytes at OFFSET before it is at the call in question. A
 * push makes room, and gives no local its value. */
static bool is_written(const struct version *version, int32_t offset, uint32_t size)
{
    const struct code *code = &version->code;
    int32_t start = PLACE_CFA + offset;

    for (uint32_t i = 0; i < code->instructions.count; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        bool pushes = instruction->mnemonic == ZYDIS_MNEMONIC_PUSH;
        for (uint32_t k = 0; k < instruction->touch_count && !pushes; k++) {
            const struct code_touch *touch = &code->touches.items[instruction->touch + k];
            if (touch->written && touch->place < start + (int32_t)size &&
                start < touch->place + (int32_t)touch->size && code_reaches(code, i, version->at - 1)) {
                return true;
            }
        }
    }
    return false;
}

bool version_is_unset(const struct version *version, const struct local *local)
{
    const struct local_piece *piece = local->pieces.items;

    return local->late && local_is_whole(local) && !is_written(version, (int32_t)piece->value, local->size);
}

/* Whether OBJECT is a local that holds nothing yet at the call in question. */
static bool is_unset_object(const struct version *version, const struct frame_object *object)
{
    for (size_t i = 0; i < version->locals->count; i++) {
        const struct local *local = &version->locals->items[i];
        if (local->die == object->die) {
            return version_is_unset(version, local);
        }
    }
    return false;
}

void version_enter(struct version *version, uint64_t address)
{
    for (size_t i = 0; i < version->objects.count; i++) {
        set_idle(version, &version->objects.items[i], true);
    }
    bool in_scope = false;
    for (size_t i = 0; i < version->objects.count; i++) {
        const struct frame_object *object = &version->objects.items[i];
        bool asked = i && object[-1].scope.addr == object->scope.addr && object[-1].whole == object->whole;
        in_scope = asked ? in_scope : frame_object_in_scope(object, address);
        if (in_scope && !is_unset_object(version, object)) {
            set_idle(version, object, false);
        }
    }
}

bool version_is_idle(const struct version *version, int32_t offset)
{
    return offset >= version->low && offset < version->high && version->idle[offset - version->low];
}

uint32_t version_unit_at(const struct version *version, int32_t offset)
{
    uint32_t unit = offset >= version->low && offset < 0 ? version->units[offset - version->low] : 0;

    return unit ? unit : 1;
}

void version_forget_scopes(struct version *version)
{
    free(version->foreign);
    free(version->idle);
    free(version->units);
    LIST_FREE(&version->slots);
    version->foreign = version->idle = NULL;
    version->units = NULL;
}
