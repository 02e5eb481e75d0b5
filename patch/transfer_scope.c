/*
 * Memory of the frame that belongs to variables while they are in scope, and to nobody else. Behind a call that is outside of
 * all these scopes it holds nothing, even if the machine code may read it before it writes it: it hands its address to
 * somebody who does.
 */
#include <stdlib.h>

#include "patch/transfer_private.h"

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

void version_find_scopes(struct version *version)
{
    const struct code *code = &version->code;

    for (size_t i = 0; i < code->touches.count; i++) {
        int32_t offset = code->touches.items[i].place - PLACE_CFA;
        bool lower = place_in_frame(code->touches.items[i].place) && offset < version->low;
        version->low = lower ? offset : version->low;
    }
    version->foreign = must_calloc((size_t)-version->low + 1, sizeof(bool));
    version->in_scope = must_calloc(version->objects.count + 1, sizeof(bool));
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

void version_enter(struct version *version, uint64_t address)
{
    for (size_t i = 0; i < version->objects.count; i++) {
        version->in_scope[i] = frame_object_in_scope(&version->objects.items[i], address);
    }
}

bool version_is_idle(const struct version *version, int32_t offset)
{
    bool found = false;

    for (size_t i = 0; i < version->objects.count; i++) {
        if (holds(&version->objects.items[i], offset)) {
            if (version->in_scope[i]) {
                return false;
            }
            found = true;
        }
    }
    return found && (offset < version->low || offset >= 0 || !version->foreign[offset - version->low]);
}

void version_forget_scopes(struct version *version)
{
    free(version->foreign);
    free(version->in_scope);
    version->foreign = version->in_scope = NULL;
}
