/*
 * Arrays of variable length, and what `alloca` gives: to make room for them a function copies the stack
 * pointer about. These copies are no addresses of anything in the frame, though they point to its end.
 */
#include <Zydis/Zydis.h>

#include "patch/transfer/code.h"

static const struct code_operand *operand_of(const struct code *code,
                                             const struct code_instruction *instruction, unsigned index)
{
    return &code->operands.items[instruction->operand + index];
}

static bool is_whole_register(const struct code_operand *operand)
{
    return operand->kind == OPERAND_REGISTER && operand->size == 8;
}

/* Whether INSTRUCTION takes a number from the stack pointer that becomes the stack pointer soon, as in
 *
 *     mov %rsp, %rax;  sub %rcx, %rax;  mov %rax, %rsp
 *
 * What that leads to is below all that has a place in the frame. */
static bool lowers_stack_pointer(const struct code *code, const struct code_instruction *instruction,
                                 const int32_t *pointers)
{
    const struct code_operand *to = operand_of(code, instruction, 0);
    const struct code_instruction *end = &code->instructions.items[code->instructions.count];

    if (instruction->mnemonic != ZYDIS_MNEMONIC_SUB || !is_whole_register(to) ||
        pointers[to->number] != pointers[RSP] || !is_whole_register(to + 1) ||
        pointers[to[1].number] != NO_OFFSET) {
        return false;
    }
    for (const struct code_instruction *next = instruction + 1;
         next < end && next->block == instruction->block; next++) {
        const struct code_operand *target = operand_of(code, next, 0);
        if (next->visible_count < 2 || target->kind != OPERAND_REGISTER || !target->written) {
            continue;
        }
        if (target->number == to->number || target->number == RSP) {
            return next->mnemonic == ZYDIS_MNEMONIC_MOV && target->number == RSP &&
                   target[1].kind == OPERAND_REGISTER && target[1].number == to->number;
        }
    }
    return false;
}

static bool moves_to_stack_pointer(const struct code *code, const struct code_instruction *instruction)
{
    return instruction->mnemonic == ZYDIS_MNEMONIC_MOV &&
           operand_of(code, instruction, 0)->kind == OPERAND_REGISTER &&
           operand_of(code, instruction, 0)->number == RSP;
}

/* Whether the register NUMBER was copied from the stack pointer itself, in the block of INSTRUCTION, and not
 * made as the address of an object that lies at the frame's end. */
static bool is_stack_pointer(const struct code *code, const struct code_instruction *instruction,
                             unsigned number)
{
    const struct code_instruction *first =
        &code->instructions.items[code->blocks.items[instruction->block].first];

    for (const struct code_instruction *before = instruction; before > first && number != RSP;) {
        before--;
        for (unsigned i = 0; i < before->operand_count; i++) {
            const struct code_operand *operand = operand_of(code, before, i);
            if (operand->kind == OPERAND_REGISTER && operand->written && operand->number == number) {
                return before->mnemonic == ZYDIS_MNEMONIC_MOV && is_whole_register(operand) &&
                       is_whole_register(operand + 1) && operand[1].number == RSP;
            }
        }
    }
    return number == RSP;
}

/* Whether INSTRUCTION keeps the stack pointer in memory, at a distance from the frame pointer from which it
 * is read for nothing but to become the stack pointer again: that of a block with an array of variable
 * length. */
static bool keeps_stack_pointer(const struct code *code, const struct code_instruction *instruction,
                                const int32_t *pointers)
{
    const struct code_operand *to = operand_of(code, instruction, 0);
    bool keeps = instruction->mnemonic == ZYDIS_MNEMONIC_MOV && to->kind == OPERAND_MEMORY &&
                 to->base == RBP && to->index == REGISTERS && pointers[RBP] != NO_OFFSET &&
                 is_whole_register(to + 1) && pointers[to[1].number] == pointers[RSP] &&
                 is_stack_pointer(code, instruction, to[1].number);

    for (uint32_t i = 0; i + 1 < code->instructions.count && keeps; i++) {
        const struct code_instruction *other = &code->instructions.items[i];
        const struct code_operand *target = operand_of(code, other, 0), *from = NULL;
        for (unsigned k = 0; k < other->visible_count; k++) {
            const struct code_operand *operand = operand_of(code, other, k);
            bool here =
                operand->kind == OPERAND_MEMORY && operand->base == RBP && operand->value == to->value;
            from = here && other != instruction ? operand : from;
        }
        keeps = !from || moves_to_stack_pointer(code, other) ||
                (other->mnemonic == ZYDIS_MNEMONIC_MOV && target->kind == OPERAND_REGISTER &&
                 moves_to_stack_pointer(code, other + 1) &&
                 target[0].number == operand_of(code, other + 1, 1)->number);
    }
    return keeps;
}

bool code_makes_room(const struct code *code, const struct code_instruction *instruction,
                     const int32_t *pointers)
{
    return instruction->visible_count == 2 && (lowers_stack_pointer(code, instruction, pointers) ||
                                               keeps_stack_pointer(code, instruction, pointers));
}
