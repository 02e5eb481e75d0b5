/*
 * Jump tables. Compilers load a distance from a table by its address in a register, add that address, and
 * jump:
 *
 *     lea table(%rip), %base  ...  movslq (%base, %index, 4), %r;  add %base, %r;  jmp *%r
 *
 * The first may be far away, in front of a loop, and the register be used for other things meanwhile; but
 * where the distance is loaded it holds the address of a table, so the tables among all that it may hold are
 * the ones that may be meant.
 */
#include "patch/transfer/origins.h"

#include <Zydis/Zydis.h>

/* The load of a distance, in front of the jump AT in its block; NO_INSTRUCTION: there is none. */
static uint32_t find_load(const struct code *code, uint32_t at, unsigned *ret_base)
{
    uint32_t first = code->blocks.items[code->instructions.items[at].block].first;

    for (uint32_t i = at; i-- > first;) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        const struct code_operand *from = &code->operands.items[instruction->operand] + 1;
        if (instruction->mnemonic == ZYDIS_MNEMONIC_MOVSXD && instruction->visible_count == 2 &&
            from->kind == OPERAND_MEMORY && from->base < REGISTERS && from->index < REGISTERS &&
            from->scale == 4 && !from->value && !from->relocation) {
            *ret_base = from->base;
            return i;
        }
    }
    return NO_INSTRUCTION;
}

static bool has_labels(const struct code *code, const struct object_place *place)
{
    for (size_t i = 0; i < code->labels.count; i++) {
        const struct code_label *label = &code->labels.items[i];
        if (label->section && label->section == place->section && label->table == (uint64_t)place->offset) {
            return true;
        }
    }
    return false;
}

static void find_tables_of(struct code *code, uint32_t at)
{
    unsigned base = REGISTERS;
    uint32_t load = find_load(code, at, &base);
    struct origins leaves = { 0 };

    if (load != NO_INSTRUCTION) {
        find_all_sources(code, load, (int32_t)base * 8, 8, &leaves);
    }
    for (size_t i = 0; i < leaves.list.count && !leaves.unknown; i++) {
        uint32_t leaf = leaves.list.items[i].at;
        if (leaf == ENTRY || code->instructions.items[leaf].mnemonic != ZYDIS_MNEMONIC_LEA) {
            continue;
        }
        const struct code_operand *from = &code->operands.items[code->instructions.items[leaf].operand] + 1;
        struct object_place place;
        if (code_named(code, from, &place) && !place.symbol && has_labels(code, &place)) {
            LIST_ADD(&code->table_jumps,
                     (struct code_table_jump){ at, place.section, (uint64_t)place.offset });
        }
    }
    LIST_FREE(&leaves.list);
}

void code_find_tables(struct code *code)
{
    for (uint32_t i = 0; i < code->instructions.count; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        if ((instruction->flags & CODE_INDIRECT) && code->blocks.items[instruction->block].reached) {
            find_tables_of(code, i);
        }
    }
}

/* ---- jumps of which nothing tells where they lead -------------------------------------------------- */

static bool is_narrowed(const struct code *code, uint32_t at)
{
    for (size_t i = 0; i < code->table_jumps.count; i++) {
        if (code->table_jumps.items[i].at == at) {
            return true;
        }
    }
    return false;
}

static bool takes_labels(const struct code *code)
{
    for (size_t i = 0; i < code->labels.count; i++) {
        if (!code->labels.items[i].section) {
            return true;
        }
    }
    return false;
}

/* Whether what the jump AT takes from a register is computed: a distance may have been added to a label. */
static bool is_sum(const struct code *code, uint32_t at)
{
    const struct code_operand *operand = &code->operands.items[code->instructions.items[at].operand];
    struct origins leaves = { 0 };
    bool sum = false;

    if (operand->kind != OPERAND_REGISTER) {
        return false;
    }
    find_all_sources(code, at, (int32_t)operand->number * 8, 8, &leaves);
    for (size_t i = 0; i < leaves.list.count; i++) {
        uint32_t leaf = leaves.list.items[i].at;
        if (leaf == ENTRY) {
            continue;
        }
        const struct code_instruction *instruction = &code->instructions.items[leaf];
        const struct code_operand *from = &code->operands.items[instruction->operand] + 1;
        bool address = instruction->mnemonic == ZYDIS_MNEMONIC_LEA && from->relative;
        bool chosen =
            instruction->mnemonic >= ZYDIS_MNEMONIC_CMOVB && instruction->mnemonic <= ZYDIS_MNEMONIC_CMOVZ;
        sum = sum || !(address || chosen || instruction->mnemonic == ZYDIS_MNEMONIC_MOV ||
                       (instruction->flags & CODE_CALL));
    }
    sum = sum || leaves.unknown;
    LIST_FREE(&leaves.list);
    return sum;
}

/* Whether INSTRUCTION calls a place in the middle of its own function, as jumps by way of a return address do
 * (-mindirect-branch=thunk-inline). */
static bool is_call_inside(const struct code *code, const struct code_instruction *instruction)
{
    const struct code_operand *operand = &code->operands.items[instruction->operand];
    bool near = (instruction->flags & CODE_CALL) && operand->kind == OPERAND_NUMBER && !operand->relocation;
    uint64_t target = instruction->address + instruction->length + operand->value;

    return near && target != object_address(code->object, code->symbol) &&
           code_at(code, target) != NO_INSTRUCTION;
}

const char *code_check_jumps(const struct code *code)
{
    bool labels = takes_labels(code);

    for (uint32_t i = 0; i < code->instructions.count; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        bool leaves = instruction->stack == -8; /* a tail call: the frame is gone */
        if (is_call_inside(code, instruction)) {
            return "jumps by way of a return address";
        }
        if (!(instruction->flags & CODE_INDIRECT) || !code->blocks.items[instruction->block].reached ||
            is_narrowed(code, i)) {
            continue;
        }
        if ((!code->labels.count && !leaves) || (labels && is_sum(code, i))) {
            return "jumps to a place that nothing tells";
        }
    }
    return NULL;
}
