/*
 * What instructions read and write, the frame included. For that it must be known where registers point in
 * the frame: the stack pointer and the frame pointer always do, others after a `lea`. It is followed from the
 * entry on, through additions of numbers and copies; where paths meet with different values nothing is known
 * any more.
 *
 * An address in the frame that gets into another register than these two is noted (`taken`): whoever has it
 * may reach memory that no operand names.
 */
#include <Zydis/Zydis.h>
#include <string.h>

#include "patch/transfer/code.h"

#define ADDRESS 8 /* bytes of one */

static const struct code_operand *operand_of(const struct code *code,
                                             const struct code_instruction *instruction, unsigned index)
{
    return &code->operands.items[instruction->operand + index];
}

static bool is_whole_register(const struct code_operand *operand)
{
    return operand->kind == OPERAND_REGISTER && operand->size == ADDRESS;
}

/* By how much `and` with NUMBER moves the stack pointer at most, when it aligns the frame; 0: it does not do
 * that. */
static int32_t alignment_of(const struct code_operand *to, const struct code_operand *number)
{
    uint64_t by = number->kind == OPERAND_NUMBER && !number->relocation ? -(uint64_t)number->value : 0;

    return to->number == RSP && by <= 4096 && (by & (by - 1)) == 0 ? (int32_t)by : 0;
}

/* What the instruction leaves in the register that it writes, if that is an address in the frame. How far the
 * stack pointer is moved where the frame is aligned is not known: as far as it may be, so that nothing below
 * is taken for something above. */
static int32_t result_of(const struct code *code, const struct code_instruction *instruction,
                         const int32_t *pointers)
{
    const struct code_operand *to = operand_of(code, instruction, 0), *from = to + 1;

    if (instruction->visible_count < 2 || !is_whole_register(to)) {
        return NO_OFFSET;
    }
    bool number = from->kind == OPERAND_NUMBER && !from->relocation;
    int32_t before = pointers[to->number];
    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        return is_whole_register(from) ? pointers[from->number] : NO_OFFSET;
    case ZYDIS_MNEMONIC_LEA:
        return from->base < REGISTERS && from->index == REGISTERS && pointers[from->base] != NO_OFFSET
                   ? pointers[from->base] + (int32_t)from->value
                   : NO_OFFSET;
    case ZYDIS_MNEMONIC_ADD:
        return number && before != NO_OFFSET ? before + (int32_t)from->value : NO_OFFSET;
    case ZYDIS_MNEMONIC_SUB:
        return number && before != NO_OFFSET ? before - (int32_t)from->value : NO_OFFSET;
    case ZYDIS_MNEMONIC_AND:
        return alignment_of(to, from) && before != NO_OFFSET ? before - alignment_of(to, from) : NO_OFFSET;
    default:
        return NO_OFFSET;
    }
}

static bool is_push(const struct code_instruction *instruction)
{
    return instruction->mnemonic == ZYDIS_MNEMONIC_PUSH || instruction->mnemonic == ZYDIS_MNEMONIC_PUSHFQ;
}

static bool is_pop(const struct code_instruction *instruction)
{
    return instruction->mnemonic == ZYDIS_MNEMONIC_POP || instruction->mnemonic == ZYDIS_MNEMONIC_POPFQ;
}

static void move(int32_t *pointer, int32_t by)
{
    *pointer += *pointer == NO_OFFSET ? 0 : by;
}

static void forget_by_call(int32_t *pointers)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        pointers[i] = register_is_preserved(i) || i == RSP ? pointers[i] : NO_OFFSET;
    }
}

/* What registers point to behind the instruction. */
void code_follow(const struct code *code, const struct code_instruction *instruction, int32_t *pointers)
{
    int32_t result = result_of(code, instruction, pointers);
    int32_t stack = pointers[RSP], frame = pointers[RBP];
    bool moves_stack = instruction->mnemonic == ZYDIS_MNEMONIC_RET || (instruction->flags & CODE_CALL);

    for (unsigned i = 0; i < instruction->operand_count; i++) {
        const struct code_operand *operand = operand_of(code, instruction, i);
        if (operand->kind == OPERAND_REGISTER && operand->written) {
            pointers[operand->number] = i == 0 ? result : NO_OFFSET;
        }
    }
    if (is_push(instruction) || is_pop(instruction) || moves_stack) {
        pointers[RSP] = stack;
        move(&pointers[RSP], is_push(instruction) ? -ADDRESS : is_pop(instruction) ? ADDRESS : 0);
    }
    if (instruction->mnemonic == ZYDIS_MNEMONIC_LEAVE) {
        pointers[RSP] = frame;
        move(&pointers[RSP], ADDRESS);
        pointers[RBP] = NO_OFFSET;
    }
    if (instruction->flags & CODE_CALL) {
        forget_by_call(pointers);
    }
}

/* Joins what is known on the way into BLOCK; whether that changed anything. */
static bool join(struct code_block *block, const int32_t *pointers)
{
    bool changed = !block->reached;

    for (unsigned i = 0; i < REGISTERS; i++) {
        int32_t joined = !block->reached || block->pointers[i] == pointers[i] ? pointers[i] : NO_OFFSET;
        changed = changed || joined != block->pointers[i];
        block->pointers[i] = joined;
    }
    block->reached = true;
    return changed;
}

static void follow_block(const struct code *code, const struct code_block *block, uint32_t end,
                         int32_t *pointers)
{
    memcpy(pointers, block->pointers, sizeof(block->pointers));
    for (uint32_t i = block->first; i < end; i++) {
        code_follow(code, &code->instructions.items[i], pointers);
    }
}

static void follow_all(struct code *code, uint32_t entry)
{
    LIST(uint32_t) waiting = { 0 };
    int32_t pointers[REGISTERS];

    for (unsigned i = 0; i < REGISTERS; i++) {
        pointers[i] = i == RSP ? -ADDRESS : NO_OFFSET;
    }
    join(&code->blocks.items[entry], pointers);
    LIST_ADD(&waiting, entry);
    while (waiting.count) {
        const struct code_block *block = &code->blocks.items[waiting.items[--waiting.count]];
        follow_block(code, block, block->end, pointers);
        for (size_t i = 0; i < block->next.count; i++) {
            if (join(&code->blocks.items[block->next.items[i]], pointers)) {
                LIST_ADD(&waiting, block->next.items[i]);
            }
        }
    }
    LIST_FREE(&waiting);
}

int32_t code_pointer(const struct code *code, uint32_t instruction, unsigned number)
{
    const struct code_block *block = &code->blocks.items[code->instructions.items[instruction].block];
    int32_t pointers[REGISTERS];

    if (!block->reached) {
        return NO_OFFSET;
    }
    follow_block(code, block, instruction, pointers);
    return pointers[number];
}

int32_t code_pointer_after(const struct code *code, uint32_t instruction, unsigned number)
{
    const struct code_block *block = &code->blocks.items[code->instructions.items[instruction].block];
    int32_t pointers[REGISTERS];

    if (!block->reached) {
        return NO_OFFSET;
    }
    follow_block(code, block, instruction + 1, pointers);
    return pointers[number];
}

static void add_touch(struct code *code, int32_t place, uint32_t size, bool read, bool written)
{
    LIST_ADD(&code->touches, (struct code_touch){ place, size, read, written });
}

/* Whether the result does not depend on what the operands hold. */
static bool is_zeroing(const struct code *code, const struct code_instruction *instruction)
{
    const struct code_operand *to = operand_of(code, instruction, 0), *from = to + 1;

    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_PXOR:
    case ZYDIS_MNEMONIC_XORPS:
    case ZYDIS_MNEMONIC_XORPD:
        return to->kind == from->kind && to->number == from->number && to->size == from->size &&
               (to->kind == OPERAND_REGISTER || to->kind == OPERAND_VECTOR) && to->first == from->first;
    default:
        return false;
    }
}

bool code_is_string_operation(const struct code *code, const struct code_instruction *instruction)
{
    for (unsigned i = 0; i < instruction->operand_count; i++) {
        if (operand_of(code, instruction, i)->kind == OPERAND_VECTOR) {
            return false; /* movsd and cmpsd are instructions of SSE, too */
        }
    }
    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ:
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_CMPSQ:
    case ZYDIS_MNEMONIC_SCASB:
    case ZYDIS_MNEMONIC_SCASW:
    case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_SCASQ:
        return true;
    default:
        return false;
    }
}

static void touch_register(struct code *code, const struct code_operand *operand, bool zeroing)
{
    int32_t place = operand->number * ADDRESS + operand->first;
    bool extended = operand->written && operand->size == 4; /* the upper half becomes zero */

    if (operand->number == RSP) {
        return; /* where it points is known */
    }
    add_touch(code, place, extended ? ADDRESS : operand->size, operand->read && !zeroing, operand->written);
}

static void add_taken(struct code *code, const struct code_instruction *instruction, int32_t offset,
                      bool indexed)
{
    uint32_t at = (uint32_t)(instruction - code->instructions.items);

    LIST_ADD(&code->taken, (struct code_taken){ at, offset, indexed });
}

static void touch_memory(struct code *code, struct code_instruction *instruction,
                         struct code_operand *operand, const int32_t *pointers)
{
    bool address_only =
        instruction->mnemonic == ZYDIS_MNEMONIC_LEA || instruction->mnemonic == ZYDIS_MNEMONIC_NOP;
    int32_t base = operand->base < REGISTERS ? pointers[operand->base] : NO_OFFSET;
    bool wide = code_is_string_operation(code, instruction) || (operand->size == 0 && !address_only);

    for (unsigned i = 0; i < 2; i++) {
        unsigned number = i ? operand->index : operand->base;
        if (number < REGISTERS && number != RSP && instruction->mnemonic != ZYDIS_MNEMONIC_NOP) {
            add_touch(code, number * ADDRESS, ADDRESS, true, false);
        }
    }
    if (base != NO_OFFSET && instruction->mnemonic != ZYDIS_MNEMONIC_NOP &&
        (operand->index < REGISTERS || wide)) {
        add_taken(code, instruction, base + (int32_t)operand->value, operand->index < REGISTERS);
    }
    if (address_only || operand->segment) {
        return;
    }
    if (base != NO_OFFSET && operand->index == REGISTERS && !wide) {
        operand->frame = base + (int32_t)operand->value;
        add_touch(code, PLACE_CFA + operand->frame, operand->size, operand->read, operand->written);
        return;
    }
    if (operand->read && (operand->base < REGISTERS || operand->index < REGISTERS)) {
        instruction->flags |= CODE_READS;
    }
}

/* Pushing, popping, `leave`: what they do with the frame. */
static bool touch_stack(struct code *code, const struct code_instruction *instruction,
                        const int32_t *pointers)
{
    struct code_operand *operand = &code->operands.items[instruction->operand];
    int32_t stack = PLACE_CFA + pointers[RSP];
    bool known = pointers[RSP] != NO_OFFSET;

    if (is_push(instruction)) {
        if (operand->kind == OPERAND_REGISTER && operand->number != RSP) {
            add_touch(code, operand->number * ADDRESS, ADDRESS, true, false);
        }
        if (known) {
            add_touch(code, stack - ADDRESS, ADDRESS, false, true);
        }
        return operand->kind != OPERAND_MEMORY;
    }
    if (is_pop(instruction)) {
        if (known) {
            add_touch(code, stack, ADDRESS, true, false);
        }
        if (operand->kind == OPERAND_REGISTER && operand->number != RSP) {
            add_touch(code, operand->number * ADDRESS, ADDRESS, false, true);
        }
        return true;
    }
    if (instruction->mnemonic == ZYDIS_MNEMONIC_LEAVE) {
        if (pointers[RBP] != NO_OFFSET) {
            add_touch(code, PLACE_CFA + pointers[RBP], ADDRESS, true, false);
        }
        add_touch(code, RBP * ADDRESS, ADDRESS, false, true);
        if (pointers[RBP] == NO_OFFSET) {
            add_touch(code, RBP * ADDRESS, ADDRESS, true, false);
        }
        return true;
    }
    return false;
}

/* Whether INSTRUCTION calls a function of the same object: one of which more may be found out than the ABI
 * says. */
static bool calls_own(const struct code *code, const struct code_instruction *instruction)
{
    const struct code_operand *operand = operand_of(code, instruction, 0);
    struct object_place place;

    return operand->kind == OPERAND_NUMBER && (!code_named(code, operand, &place) || place.section);
}

/* What the callee takes and leaves, as the ABI has it. Arguments on the stack are those stored since the last
 * call. */
static void touch_call(struct code *code, uint32_t index)
{
    static const uint8_t arguments[] = { RDI, RSI, RDX, RCX, R8, 9, RAX, 10 };
    const struct code_instruction *instruction = &code->instructions.items[index];
    uint32_t first = code->blocks.items[instruction->block].first;

    for (size_t i = 0; i < sizeof(arguments); i++) {
        add_touch(code, arguments[i] * ADDRESS, ADDRESS, true, false);
    }
    add_touch(code, PLACE_VECTOR, 8, true, false);
    for (uint32_t i = first; i < index && instruction->stack != NO_OFFSET; i++) {
        const struct code_instruction *before = &code->instructions.items[i];
        for (uint32_t k = 0; k < before->touch_count; k++) {
            struct code_touch touch = code->touches.items[before->touch + k];
            if (touch.written && place_in_frame(touch.place) &&
                touch.place >= PLACE_CFA + instruction->stack) {
                add_touch(code, touch.place, touch.size, true, false);
            }
        }
    }
    if (!(instruction->flags & CODE_CALL)) {
        return;
    }
    for (unsigned i = 0; i < REGISTERS; i++) {
        if (!register_is_preserved(i) && i != RSP) {
            add_touch(code, i * ADDRESS, ADDRESS, false, true);
        }
    }
    uint32_t at_once = calls_own(code, instruction) ? 1 : VECTORS;
    for (uint32_t i = 0; i < VECTORS; i += at_once) {
        add_touch(code, PLACE_VECTOR + (int32_t)i, at_once, false, true);
    }
    add_touch(code, PLACE_FLAGS, 1, false, true);
}

/* What the caller finds when an activation has ended. */
static void touch_exit(struct code *code, const struct code_instruction *instruction)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        if (register_is_preserved(i)) {
            add_touch(code, i * ADDRESS, ADDRESS, true, false);
        }
    }
    if (instruction->mnemonic == ZYDIS_MNEMONIC_RET) {
        add_touch(code, RAX * ADDRESS, ADDRESS, true, false);
        add_touch(code, RDX * ADDRESS, ADDRESS, true, false);
        add_touch(code, PLACE_VECTOR, 2, true, false);
    }
}

static bool is_general(const struct code_operand *operand)
{
    return operand->kind == OPERAND_REGISTER && operand->number != RSP;
}

static bool is_copy(const struct code *code, const struct code_instruction *instruction,
                    const int32_t *pointers)
{
    const struct code_operand *to = operand_of(code, instruction, 0), *from = to + 1;

    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
        return instruction->stack != NO_OFFSET && is_general(to);
    case ZYDIS_MNEMONIC_LEAVE:
        return pointers[RBP] != NO_OFFSET;
    case ZYDIS_MNEMONIC_MOV:
        return (is_general(to) || to->frame != NO_OFFSET) && (is_general(from) || from->frame != NO_OFFSET);
    default:
        return false;
    }
}

static int32_t place_of(const struct code_operand *operand)
{
    return operand->kind == OPERAND_REGISTER ? operand->number * ADDRESS + operand->first
                                             : PLACE_CFA + operand->frame;
}

void code_copy(const struct code *code, uint32_t index, int32_t *ret_from, int32_t *ret_to,
               uint32_t *ret_size)
{
    const struct code_instruction *instruction = &code->instructions.items[index];
    const struct code_operand *to = operand_of(code, instruction, 0);

    if (instruction->mnemonic == ZYDIS_MNEMONIC_MOV) {
        *ret_from = place_of(to + 1);
        *ret_to = place_of(to);
        *ret_size = to->size;
        return;
    }
    *ret_size = ADDRESS;
    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        const struct code_touch *touch = &code->touches.items[instruction->touch + i];
        *(touch->written ? ret_to : ret_from) = touch->place;
    }
}

static void touch_all(struct code *code, uint32_t index, const int32_t *pointers)
{
    struct code_instruction *instruction = &code->instructions.items[index];

    instruction->touch = code->touches.count;
    instruction->stack = pointers[RSP];
    bool done = touch_stack(code, instruction, pointers);
    bool zeroing = !done && instruction->visible_count >= 2 && is_zeroing(code, instruction);
    for (unsigned i = 0; !done && i < instruction->operand_count; i++) {
        struct code_operand *operand = &code->operands.items[instruction->operand + i];
        bool hidden_stack =
            operand->kind == OPERAND_MEMORY && i >= instruction->visible_count && operand->base == RSP;
        if (operand->kind == OPERAND_REGISTER) {
            touch_register(code, operand, zeroing);
        } else if (operand->kind == OPERAND_VECTOR) {
            add_touch(code, PLACE_VECTOR + operand->number, 1, operand->read && !zeroing, operand->written);
        } else if (operand->kind == OPERAND_MEMORY && !hidden_stack) {
            touch_memory(code, instruction, operand, pointers);
        }
    }
    if (instruction->flags & (CODE_READS_FLAGS | CODE_WRITES_FLAGS)) {
        add_touch(code, PLACE_FLAGS, 1, instruction->flags & CODE_READS_FLAGS,
                  instruction->flags & CODE_WRITES_FLAGS);
    }
    if (instruction->flags & CODE_CALL) {
        instruction->flags |= CODE_READS;
        touch_call(code, index);
    } else if (instruction->flags & CODE_EXIT) {
        if (instruction->mnemonic != ZYDIS_MNEMONIC_RET) {
            touch_call(code, index);
        }
        touch_exit(code, instruction);
    }
    if (is_copy(code, instruction, pointers)) {
        instruction->flags |= CODE_COPY;
    }
    instruction->touch_count = code->touches.count - instruction->touch;
}

/* Whether INSTRUCTION may read a pointer into the frame without its getting anywhere. */
static bool keeps_pointer(const struct code_instruction *instruction, int32_t result)
{
    return result != NO_OFFSET || instruction->mnemonic == ZYDIS_MNEMONIC_CMP ||
           instruction->mnemonic == ZYDIS_MNEMONIC_TEST || instruction->mnemonic == ZYDIS_MNEMONIC_LEAVE;
}

/* Notes addresses in the frame that get away. */
static void note_taken(struct code *code, const struct code_instruction *instruction, const int32_t *pointers)
{
    static const uint8_t arguments[] = { RDI, RSI, RDX, RCX, R8, 9 };
    bool keeps = keeps_pointer(instruction, result_of(code, instruction, pointers)) ||
                 code_makes_room(code, instruction, pointers);

    for (unsigned i = 0; i < instruction->visible_count && !keeps; i++) {
        const struct code_operand *operand = operand_of(code, instruction, i);
        if (operand->kind == OPERAND_REGISTER && operand->read && pointers[operand->number] != NO_OFFSET &&
            operand->number != RSP) {
            add_taken(code, instruction, pointers[operand->number], false);
        }
    }
    for (unsigned i = 0; i < sizeof(arguments) && (instruction->flags & (CODE_CALL | CODE_EXIT)); i++) {
        if (pointers[arguments[i]] != NO_OFFSET) {
            add_taken(code, instruction, pointers[arguments[i]], false);
        }
    }
}

/* Addresses of which nothing is known any more where ways meet. */
static void note_lost(struct code *code, const struct code_block *block, const int32_t *pointers)
{
    const struct code_instruction *last = &code->instructions.items[block->end - 1];

    for (size_t i = 0; i < block->next.count; i++) {
        const int32_t *after = code->blocks.items[block->next.items[i]].pointers;
        for (unsigned k = 0; k < REGISTERS; k++) {
            bool frame_pointer = k == RBP && pointers[k] >= -2 * ADDRESS;
            if (k != RSP && !frame_pointer && pointers[k] != NO_OFFSET && after[k] == NO_OFFSET) {
                add_taken(code, last, pointers[k], false);
            }
        }
    }
}

static void note_written(const struct code *code, struct code_block *block)
{
    for (uint32_t i = block->first; i < block->end; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        for (uint32_t k = 0; k < instruction->touch_count; k++) {
            const struct code_touch *touch = &code->touches.items[instruction->touch + k];
            block->written |= touch->written ? code_place_mask(touch->place, touch->size) : 0;
        }
    }
}

void code_find_frame(struct code *code)
{
    uint32_t entry = code_at(code, object_address(code->object, code->symbol));
    int32_t pointers[REGISTERS];

    if (entry == NO_INSTRUCTION) {
        code->problem = "has no entry";
        return;
    }
    follow_all(code, code->instructions.items[entry].block);
    for (size_t i = 0; i < code->blocks.count; i++) {
        const struct code_block *block = &code->blocks.items[i];
        memcpy(pointers, block->pointers, sizeof(pointers));
        for (uint32_t k = block->first; k < block->end; k++) {
            struct code_instruction *instruction = &code->instructions.items[k];
            if (!block->reached) {
                instruction->touch = code->touches.count;
                continue;
            }
            code->realigned = code->realigned || (instruction->mnemonic == ZYDIS_MNEMONIC_AND &&
                                                  result_of(code, instruction, pointers) != NO_OFFSET);
            note_taken(code, instruction, pointers);
            touch_all(code, k, pointers);
            code_follow(code, instruction, pointers);
        }
        if (block->reached) {
            note_lost(code, block, pointers);
            note_written(code, &code->blocks.items[i]);
        }
    }
}
