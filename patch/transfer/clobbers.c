/*
 * Which registers a function of the same object changes, by all that can be told: compilers know, and may
 * keep a value across a call in a register that the ABI lets the callee change. Each function is gone through
 * once for an object.
 */
#include <stdlib.h>

#include "patch/transfer/private.h"

#define CALLS_MAX 8 /* how deep calls are followed */
#define ALL UINT64_MAX

/* What is known of one function. */
struct clobbered {
    uint64_t registers; /* by number; from REGISTERS on vectors */
    bool known, under_way;
};

struct clobbers {
    struct object *object;
    struct clobbered *functions; /* by symbol */
};

struct clobbers *clobbers_create(struct object *object)
{
    struct clobbers *clobbers = must_calloc(1, sizeof(*clobbers));

    clobbers->object = object;
    clobbers->functions = must_calloc(object->symbol_count + 1, sizeof(*clobbers->functions));
    return clobbers;
}

void clobbers_destroy(struct clobbers *clobbers)
{
    if (clobbers) {
        free(clobbers->functions);
        free(clobbers);
    }
}

struct object *clobbers_object(const struct clobbers *clobbers)
{
    return clobbers->object;
}

static uint64_t clobbered_by(struct clobbers *clobbers, const struct object_symbol *function, unsigned depth,
                             bool *ret_partial);

/* What one instruction changes. */
static uint64_t changed_by(struct clobbers *clobbers, const struct code *code, uint32_t at, unsigned depth,
                           bool *ret_partial)
{
    const struct code_instruction *instruction = &code->instructions.items[at];
    const struct code_operand *operand = &code->operands.items[instruction->operand];
    struct object_place place;
    uint64_t changed = 0;

    if ((instruction->flags & CODE_CALL) ||
        ((instruction->flags & CODE_EXIT) && (instruction->flags & CODE_ENDS) && instruction->visible_count &&
         operand->kind != OPERAND_OTHER)) {
        bool inside = code_named(code, operand, &place) && place.symbol && place.section;
        return inside ? clobbered_by(clobbers, place.symbol, depth + 1, ret_partial) : ALL;
    }
    for (unsigned i = 0; i < instruction->operand_count; i++) {
        bool vector = operand[i].kind == OPERAND_VECTOR;
        bool written = (vector || operand[i].kind == OPERAND_REGISTER) && operand[i].written;
        changed |= written ? UINT64_C(1) << (operand[i].number + (vector ? REGISTERS : 0)) : 0;
    }
    return changed;
}

/* *RET_PARTIAL: it is one of several that call each other, or calls go too deep: there may be more. */
static uint64_t clobbered_by(struct clobbers *clobbers, const struct object_symbol *function, unsigned depth,
                             bool *ret_partial)
{
    struct clobbered *one = &clobbers->functions[function->index];
    uint64_t changed = 0;
    bool partial = false;
    struct code code;

    if (one->known) {
        return one->registers;
    }
    if (one->under_way || depth > CALLS_MAX) {
        *ret_partial = true;
        return 0;
    }
    one->under_way = true;
    code_init(&code, clobbers->object, function, NULL);
    for (uint32_t i = 0; i < code.instructions.count && changed != ALL && !code.problem; i++) {
        changed |= changed_by(clobbers, &code, i, depth, &partial);
    }
    code_deinit(&code);
    one->under_way = false;
    one->known = changed == ALL || !partial || depth == 0;
    one->registers = changed;
    *ret_partial = *ret_partial || !one->known;
    return changed;
}

bool call_clobbers(struct clobbers *clobbers, const struct code *code, uint32_t call, unsigned number)
{
    const struct code_operand *operand = &code->operands.items[code->instructions.items[call].operand];
    struct object_place place = { .symbol = (struct object_symbol *)code->symbol };
    bool partial = false;

    if (operand->kind != OPERAND_NUMBER) {
        return true;
    }
    if (code_named(code, operand, &place) && !place.section) {
        return true;
    }
    return place.symbol && (clobbered_by(clobbers, place.symbol, 0, &partial) >> number & 1);
}

void clobbers_apply(struct clobbers *clobbers, struct code *code)
{
    for (uint32_t i = 0; i < code->instructions.count; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        for (uint32_t k = 0; (instruction->flags & CODE_CALL) && k < instruction->touch_count; k++) {
            struct code_touch *touch = &code->touches.items[instruction->touch + k];
            bool vector = touch->place >= PLACE_VECTOR && touch->place < PLACE_REGISTERS_END;
            bool single =
                touch->written && !touch->read && (vector ? touch->size == 1 : touch->place < PLACE_FLAGS);
            unsigned number =
                vector ? REGISTERS + (unsigned)(touch->place - PLACE_VECTOR) : place_register(touch->place);
            touch->written = touch->written && (!single || call_clobbers(clobbers, code, i, number));
        }
    }
}
