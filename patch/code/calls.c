/*
 * Calls, read from machine code. A call or jump names its target relative to itself, or through a slot that
 * the dynamic linker fills in: by way of a stub (.plt, .plt.sec) whose only work is to jump through such a
 * slot, or at once (-fno-plt). What is called through a register or through the program's own memory is left
 * without a name.
 */
#include "patch/code/calls.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#define STUB_INSTRUCTIONS 3 /* endbr64, a prefixed jump */

static int compare_slots(const void *left, const void *right)
{
    const struct call_slot *a = left, *b = right;

    return a->address < b->address ? -1 : a->address > b->address;
}

/* Adds the slots that the relocations of section SCN fill in with the address of a symbol. */
static void add_slots(struct call_targets *targets, Elf_Scn *scn, const Elf64_Shdr *header)
{
    Elf *elf = targets->image->elf;
    Elf_Scn *symbols_scn = elf_getscn(elf, header->sh_link);
    Elf_Data *data = elf_getdata(scn, NULL), *symbols = symbols_scn ? elf_getdata(symbols_scn, NULL) : NULL;
    size_t count = data ? data->d_size / sizeof(Elf64_Rela) : 0;

    if (!symbols || !symbols->d_buf) {
        return;
    }
    targets->slots = must_realloc(targets->slots, targets->slot_count + count + 1, sizeof(*targets->slots));
    for (size_t i = 0; i < count; i++) {
        const Elf64_Rela *relocation = (const Elf64_Rela *)data->d_buf + i;
        unsigned type = ELF64_R_TYPE(relocation->r_info);
        size_t index = ELF64_R_SYM(relocation->r_info);
        if ((type != R_X86_64_GLOB_DAT && type != R_X86_64_JUMP_SLOT && type != R_X86_64_64) || !index ||
            index >= symbols->d_size / sizeof(Elf64_Sym)) {
            continue;
        }
        const Elf64_Sym *symbol = (const Elf64_Sym *)symbols->d_buf + index;
        const char *name = elf_strptr(elf, elf64_getshdr(symbols_scn)->sh_link, symbol->st_name);
        if (name && *name) {
            targets->slots[targets->slot_count++] = (struct call_slot){ relocation->r_offset, name };
        }
    }
}

void call_targets_init(struct call_targets *targets, const struct image *image)
{
    Elf_Scn *scn = NULL;

    *targets = (struct call_targets){ .image = image };
    while ((scn = elf_nextscn(image->elf, scn))) {
        Elf64_Shdr *header = elf64_getshdr(scn);
        if (header && header->sh_type == SHT_RELA && (header->sh_flags & SHF_ALLOC)) {
            add_slots(targets, scn, header);
        }
    }
    if (targets->slot_count) {
        qsort(targets->slots, targets->slot_count, sizeof(*targets->slots), compare_slots);
    }
}

void call_targets_deinit(struct call_targets *targets)
{
    free(targets->slots);
    *targets = (struct call_targets){ 0 };
}

static const char *slot_name(const struct call_targets *targets, uint64_t address)
{
    struct call_slot key = { .address = address };
    struct call_slot *found =
        targets->slot_count ? bsearch(&key, targets->slots, targets->slot_count, sizeof(key), compare_slots)
                            : NULL;

    return found ? found->name : NULL;
}

static void init_decoder(ZydisDecoder *decoder)
{
    ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
}

static bool decode(const ZydisDecoder *decoder, const uint8_t *bytes, uint64_t left,
                   ZydisDecodedInstruction *ret)
{
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, bytes, left, ret));
}

/* Whether the operand of INSTRUCTION is in memory at an address relative to the instruction. */
static bool is_relative_memory(const ZydisDecodedInstruction *instruction)
{
    return (instruction->attributes & ZYDIS_ATTRIB_HAS_MODRM) && instruction->raw.modrm.mod == 0 &&
           instruction->raw.modrm.rm == 5;
}

enum transfer { TRANSFER_NONE, TRANSFER_DIRECT, TRANSFER_CALL_INDIRECT, TRANSFER_JUMP_INDIRECT };

/* What INSTRUCTION does with control; *RET_CALL: it comes back. */
static enum transfer transfer_of(const ZydisDecodedInstruction *instruction, bool *ret_call)
{
    bool group5 = instruction->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && instruction->opcode == 0xff;

    *ret_call = instruction->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && instruction->opcode == 0xe8;
    if (instruction->raw.imm[0].is_relative && instruction->raw.imm[0].size) {
        return TRANSFER_DIRECT;
    }
    if (group5 && instruction->raw.modrm.reg == 2) {
        *ret_call = true;
        return TRANSFER_CALL_INDIRECT;
    }
    return group5 && instruction->raw.modrm.reg == 4 ? TRANSFER_JUMP_INDIRECT : TRANSFER_NONE;
}

/* The name that the stub at ADDRESS leads to, or NULL if there is no stub. */
static const char *stub_name(const struct call_targets *targets, uint64_t address)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction instruction;

    init_decoder(&decoder);
    for (unsigned i = 0; i < STUB_INSTRUCTIONS; i++) {
        uint64_t left = image_bytes_left(targets->image, address);
        const uint8_t *bytes = left ? image_bytes(targets->image, address, left < 16 ? left : 16) : NULL;
        bool call;
        if (!bytes || !decode(&decoder, bytes, left < 16 ? left : 16, &instruction)) {
            return NULL;
        }
        address += instruction.length;
        enum transfer transfer = transfer_of(&instruction, &call);
        if (transfer == TRANSFER_JUMP_INDIRECT && is_relative_memory(&instruction)) {
            return slot_name(targets, address + instruction.raw.disp.value);
        }
        if (transfer != TRANSFER_NONE) {
            return NULL;
        }
    }
    return NULL;
}

/* A call or jump to ADDRESS of the binary. False: it leads to no function. */
static bool name_target(const struct call_targets *targets, uint64_t address, struct call *call)
{
    const struct image_symbol *symbol = image_symbol_at(targets->image, address);

    if (symbol && symbol->value == address && symbol->type != STT_OBJECT) {
        call->callee = symbol->name;
        call->target = address;
        return true;
    }
    if (symbol && address < symbol->value + symbol->size) {
        return false;
    }
    call->callee = stub_name(targets, address);
    return call->callee || !call->tail;
}

/* Whether the register of the first argument holds a number from the code behind INSTRUCTION, BEFORE being
 * whether it did in front of it. Where that is not plain the answer is no. */
static bool first_argument_is_constant(const ZydisDecodedInstruction *instruction, bool before)
{
    enum { RDI = 7 };
    bool plain = instruction->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && !instruction->raw.rex.B;
    bool mov = plain && (instruction->opcode == 0xb8 + RDI ||
                         (instruction->opcode == 0xc7 && instruction->raw.modrm.mod == 3 &&
                          instruction->raw.modrm.rm == RDI));
    bool names_it = (instruction->attributes & ZYDIS_ATTRIB_HAS_MODRM) &&
                    (instruction->raw.modrm.reg == RDI ||
                     (instruction->raw.modrm.mod == 3 && instruction->raw.modrm.rm == RDI));
    bool pops_it = plain && instruction->opcode == 0x58 + RDI;

    return mov || (before && !names_it && !pops_it && !instruction->raw.imm[0].is_relative);
}

static bool is_inside(uint64_t address, uint64_t start, uint64_t size)
{
    return address >= start && address - start < size;
}

void calls_of_image(const struct call_targets *targets, uint64_t address, uint64_t size, call_list *ret)
{
    const uint8_t *bytes = image_bytes(targets->image, address, size);
    ZydisDecodedInstruction instruction;
    ZydisDecoder decoder;

    bool constant = false;

    init_decoder(&decoder);
    for (uint64_t at = 0; bytes && at < size; at += instruction.length) {
        if (!decode(&decoder, bytes + at, size - at, &instruction)) {
            instruction.length = 1;
            continue;
        }
        bool returns;
        enum transfer transfer = transfer_of(&instruction, &returns);
        struct call call = { .at = address + at,
                             .after = address + at + instruction.length,
                             .tail = !returns,
                             .constant = constant };
        bool known = false;
        constant = transfer == TRANSFER_NONE && first_argument_is_constant(&instruction, constant);
        if (transfer == TRANSFER_DIRECT) {
            uint64_t target = call.after + instruction.raw.imm[0].value.s;
            known = (returns || !is_inside(target, address, size)) && name_target(targets, target, &call);
        } else if (transfer != TRANSFER_NONE && is_relative_memory(&instruction)) {
            call.callee = slot_name(targets, call.after + instruction.raw.disp.value);
            known = call.callee || returns;
        } else {
            known = transfer == TRANSFER_CALL_INDIRECT;
        }
        if (known) {
            LIST_ADD(ret, call);
        }
    }
}

/* What the relocation in [FROM, TO) of SECTION makes of a call; false: it leads to no function. */
static bool name_relocated(struct object *object, const struct object_section *section, uint64_t from,
                           uint64_t to, struct call *call)
{
    size_t i = object_relocation_at(section, from);

    if (i >= section->relocation_count || section->relocations[i].offset >= to) {
        return false;
    }
    struct object_place place = object_target(object, section, &section->relocations[i]);
    if (!place.symbol) {
        return false;
    }
    call->callee = place.symbol->name;
    call->target = place.symbol->section ? object_address(object, place.symbol) : 0;
    return !place.symbol->section || (place.offset == 0 && symbol_is_function(object, place.symbol));
}

/* The function that starts OFFSET bytes into SECTION, for branches that the assembler resolved. */
static const struct object_symbol *function_at(const struct object_section *section, uint64_t offset)
{
    for (size_t i = 0; i < section->definition_count; i++) {
        if (section->definitions[i]->value == offset) {
            return section->definitions[i];
        }
    }
    return NULL;
}

void calls_of_object(struct object *object, const struct object_symbol *symbol, call_list *ret)
{
    const struct object_section *section = &object->sections[symbol->section];
    uint64_t end = symbol->value + symbol->size;
    ZydisDecodedInstruction instruction;
    ZydisDecoder decoder;

    bool constant = false;

    init_decoder(&decoder);
    for (uint64_t at = symbol->value; section->bytes && at < end && end <= section->size;
         at += instruction.length) {
        if (!decode(&decoder, section->bytes + at, end - at, &instruction)) {
            instruction.length = 1;
            continue;
        }
        bool returns;
        enum transfer transfer = transfer_of(&instruction, &returns);
        uint64_t after = at + instruction.length;
        struct call call = {
            .at = section->base + at, .after = section->base + after, .tail = !returns, .constant = constant
        };
        constant = transfer == TRANSFER_NONE && first_argument_is_constant(&instruction, constant);
        bool known = transfer != TRANSFER_NONE && name_relocated(object, section, at, after, &call);
        if (!known && transfer == TRANSFER_DIRECT) {
            uint64_t target = after + instruction.raw.imm[0].value.s;
            const struct object_symbol *function =
                is_inside(target, symbol->value, symbol->size) ? NULL : function_at(section, target);
            known = function != NULL;
            call.callee = function ? function->name : NULL;
            call.target = function ? section->base + target : 0;
        }
        if (known || transfer == TRANSFER_CALL_INDIRECT) {
            LIST_ADD(ret, call);
        }
    }
}
