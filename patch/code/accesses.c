/*
 * Accesses to one variable: the relocations that name it, and for each what its instruction does there. Where
 * neither an index nor an address is involved, the instruction tells which bytes.
 */
#include "patch/code/accesses.h"

#include <Zydis/Zydis.h>

struct range {
    const struct object_symbol *symbol;
    uint64_t offset, size;
    struct accesses found;
};

struct instruction {
    ZydisDecodedInstruction decoded;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t at; /* in its section */
};

static void take(struct range *range)
{
    range->found = (struct accesses){ true, true };
}

/* Whether a relocation of TYPE stands for the variable's own place, rather than for a slot that leads to
 * it. */
static bool is_place(uint32_t type)
{
    return type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_32 || type == R_X86_64_32S ||
           type == R_X86_64_TPOFF32 || type == R_X86_64_DTPOFF32;
}

static void note(struct range *range, const ZydisDecodedOperand *operand, uint64_t offset)
{
    bool exact = operand->mem.index == ZYDIS_REGISTER_NONE &&
                 (operand->mem.base == ZYDIS_REGISTER_NONE || operand->mem.base == ZYDIS_REGISTER_RIP);
    uint64_t size = operand->size / 8;

    if (exact && (offset >= range->offset + range->size || offset + size <= range->offset)) {
        return;
    }
    range->found.reads = range->found.reads || (operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ);
    range->found.writes = range->found.writes || (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
}

/* Notes what INSTRUCTION does with the range by the field of RELOCATION, which names OFFSET of the
 * variable. */
static void look(struct range *range, const struct instruction *instruction,
                 const struct object_relocation *relocation, uint64_t offset)
{
    const ZydisDecodedInstruction *decoded = &instruction->decoded;
    bool displaced =
        decoded->raw.disp.size && relocation->offset == instruction->at + decoded->raw.disp.offset;

    if (!displaced || !is_place(relocation->type) || decoded->mnemonic == ZYDIS_MNEMONIC_LEA) {
        take(range);
        return;
    }
    for (unsigned i = 0; i < decoded->operand_count; i++) {
        const ZydisDecodedOperand *operand = &instruction->operands[i];
        if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && operand->mem.disp.has_displacement) {
            note(range, operand, offset);
        }
    }
}

static void look_at_code(struct range *range, struct object *object, const struct object_section *section)
{
    struct instruction instruction = { 0 };
    ZydisDecoder decoder;
    size_t next = 0;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    while (next < section->relocation_count && section->bytes && instruction.at < section->size) {
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, section->bytes + instruction.at,
                                                 section->size - instruction.at, &instruction.decoded,
                                                 instruction.operands))) {
            instruction.at++; /* data between functions */
            continue;
        }
        uint64_t end = instruction.at + instruction.decoded.length;
        for (; next < section->relocation_count && section->relocations[next].offset < end; next++) {
            const struct object_relocation *relocation = &section->relocations[next];
            struct object_place place = object_target(object, section, relocation);
            if (place.symbol == range->symbol) {
                look(range, &instruction, relocation, place.offset);
            }
        }
        instruction.at = end;
    }
}

struct accesses accesses_of(struct object *object, const struct object_symbol *symbol, uint64_t offset,
                            uint64_t size)
{
    struct range range = { .symbol = symbol, .offset = offset, .size = size };

    for (size_t i = 1; i < object->section_count; i++) {
        const struct object_section *section = &object->sections[i];
        bool data = section->kind == SECTION_DATA || section->kind == SECTION_CONST ||
                    section->kind == SECTION_TLS || section->kind == SECTION_INIT;
        if (section->kind == SECTION_CODE) {
            look_at_code(&range, object, section);
        }
        for (size_t k = 0; data && k < section->relocation_count; k++) {
            if (object_target(object, section, &section->relocations[k]).symbol == symbol) {
                take(&range);
            }
        }
    }
    return range.found;
}
