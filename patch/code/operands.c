/*
 * Fields of instructions that name addresses: displacements of operands in memory, and immediates. A whole
 * binary is searched for those that name some variable, so that code without sources counts, too: bytes that
 * could be such a field are found first, wherever they stand; then the code around them is decoded from the
 * start of its function on, which tells whether they are one.
 */
#include "patch/code/operands.h"

#include <Zydis/Zydis.h>
#include <string.h>

#define FIELD_SIZE 4
#define TAIL_MAX 8 /* bytes that may follow a displacement in its instruction: an immediate */

static void read_displacement(const ZydisDecodedInstruction *instruction, const ZydisDecodedOperand *operands,
                              struct operand_field *ret)
{
    for (unsigned i = 0; i < instruction->operand_count_visible; i++) {
        const ZydisDecodedOperand *operand = &operands[i];
        if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && instruction->raw.disp.size) {
            bool relative = operand->mem.base == ZYDIS_REGISTER_RIP;
            *ret =
                (struct operand_field){ .offset = instruction->raw.disp.offset,
                                        .size = instruction->raw.disp.size / 8,
                                        .relative = relative,
                                        .direct = operand->mem.type == ZYDIS_MEMOP_TYPE_MEM,
                                        .indexed = (operand->mem.base != ZYDIS_REGISTER_NONE && !relative) ||
                                                   operand->mem.index != ZYDIS_REGISTER_NONE };
        }
    }
}

bool operands_decode(const uint8_t *bytes, uint64_t size, struct operands *ret)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, size, &instruction, operands))) {
        return false;
    }
    *ret = (struct operands){ .length = instruction.length };
    read_displacement(&instruction, operands, &ret->displacement);
    if (instruction.raw.imm[0].size && !instruction.raw.imm[0].is_relative) {
        ret->immediate = (struct operand_field){ .offset = instruction.raw.imm[0].offset,
                                                 .size = instruction.raw.imm[0].size / 8 };
    }
    return true;
}

uint64_t operand_target(const struct operand_field *field, const uint8_t *bytes, uint8_t length,
                        uint64_t address)
{
    int64_t wide = 0;
    int32_t value;

    if (field->size == sizeof(wide)) {
        memcpy(&wide, bytes + field->offset, sizeof(wide));
        return (uint64_t)wide;
    }
    memcpy(&value, bytes + field->offset, sizeof(value));
    return field->relative ? address + length + (uint64_t)(int64_t)value : (uint64_t)(int64_t)value;
}

struct search {
    const struct image *image;
    uint64_t start, end; /* what is looked for */
    const uint8_t *code;
    uint64_t size, address; /* of the section */
    uint64_t at;            /* where decoding has come to, from the section's start */
    image_operands *found;
};

static bool is_wanted(const struct search *search, uint64_t target)
{
    return target >= search->start && target < search->end;
}

/* Whether the bytes AT this place of the section could be a field that is looked for. */
static bool is_candidate(const struct search *search, uint64_t at)
{
    int32_t value;

    memcpy(&value, search->code + at, sizeof(value));
    uint64_t relative = search->address + at + FIELD_SIZE + (uint64_t)(int64_t)value;
    return (relative + TAIL_MAX >= search->start && relative < search->end) ||
           (search->image->fixed && is_wanted(search, (uint64_t)(int64_t)value));
}

/* Their functions have no size. */
static bool is_of_start_files(const struct image *image, uint64_t address)
{
    const struct image_symbol *before = image_symbol_before(image, address);

    return before && !before->size &&
           (strcmp(before->name, "deregister_tm_clones") == 0 ||
            strcmp(before->name, "register_tm_clones") == 0);
}

static void note(struct search *search, const struct operands *operands, const struct operand_field *field)
{
    bool whole = field->size == FIELD_SIZE || field->size == 2 * FIELD_SIZE;

    if (!whole || (!field->relative && !search->image->fixed)) {
        return;
    }
    uint64_t address = search->address + search->at;
    uint64_t target = operand_target(field, search->code + search->at, operands->length, address);
    if (is_wanted(search, target) && !is_of_start_files(search->image, address)) {
        bool direct = field->direct && field->size == FIELD_SIZE;
        LIST_ADD(search->found, (struct image_operand){ address + field->offset, target,
                                                        operands->length - field->offset - field->size,
                                                        field->relative, direct, field->indexed });
    }
}

/* Decodes up to the instruction that the byte AT belongs to, and that one. */
static void decode_up_to(struct search *search, uint64_t at)
{
    const struct image_symbol *function = image_symbol_before(search->image, search->address + at);
    uint64_t start = function && function->value > search->address ? function->value - search->address : 0;
    struct operands operands;

    search->at = start > search->at ? start : search->at;
    while (search->at <= at) {
        if (!operands_decode(search->code + search->at, search->size - search->at, &operands)) {
            search->at++;
            continue;
        }
        note(search, &operands, &operands.displacement);
        note(search, &operands, &operands.immediate);
        search->at += operands.length;
    }
}

static void search_section(struct search *search)
{
    for (uint64_t at = 0; at + FIELD_SIZE <= search->size; at++) {
        if (at >= search->at && is_candidate(search, at)) {
            decode_up_to(search, at);
        }
    }
}

void image_find_operands(const struct image *image, uint64_t start, uint64_t end, image_operands *ret)
{
    Elf_Scn *scn = NULL;

    while ((scn = elf_nextscn(image->elf, scn))) {
        const Elf64_Shdr *header = elf64_getshdr(scn);
        Elf_Data *data = header && (header->sh_flags & SHF_EXECINSTR) && header->sh_type == SHT_PROGBITS
                             ? elf_rawdata(scn, NULL)
                             : NULL;
        if (data && data->d_buf) {
            struct search search = { .image = image,
                                     .start = start,
                                     .end = end,
                                     .code = data->d_buf,
                                     .size = data->d_size,
                                     .address = header->sh_addr,
                                     .found = ret };
            search_section(&search);
        }
    }
}

/* Whether a dynamic relocation of SECTION, or one that may be there, leads to an address from START up to
 * END. */
static bool leads_into(Elf_Scn *section, const Elf64_Shdr *header, uint64_t start, uint64_t end)
{
    Elf_Data *data = header->sh_type == SHT_RELA ? elf_rawdata(section, NULL) : NULL;
    const Elf64_Rela *relocations = data ? data->d_buf : NULL;
    bool found = header->sh_type == SHT_RELR; /* packed */

    for (size_t i = 0; relocations && !found && i < data->d_size / sizeof(*relocations); i++) {
        uint64_t target = (uint64_t)relocations[i].r_addend;
        found = ELF64_R_TYPE(relocations[i].r_info) == R_X86_64_RELATIVE && target >= start && target < end;
    }
    return found;
}

bool image_names_directly(const struct image *image, uint64_t start, uint64_t end)
{
    image_operands operands = { 0 };
    Elf_Scn *scn = NULL;

    image_find_operands(image, start, end, &operands);
    bool found = operands.count;
    LIST_FREE(&operands);
    while (!found && (scn = elf_nextscn(image->elf, scn))) {
        const Elf64_Shdr *header = elf64_getshdr(scn);
        found = header && header->sh_flags & SHF_ALLOC && leads_into(scn, header, start, end);
    }
    return found;
}
