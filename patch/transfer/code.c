/*
 * Decoding a function: its parts, the hot one and those that were split off, as one list of instructions with
 * all that the relocations and the line table say of each. What follows from them is found elsewhere, and in
 * this order: where control goes, what the frame holds, which tables jumps use, and with that both once more.
 */
#include "patch/transfer/code.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "patch/code/definition_line.h"

const char *register_name(unsigned number)
{
    static const char *const names[REGISTERS] = { "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
                                                  "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

    return names[number];
}

static unsigned number_of(ZydisRegister register_)
{
    static const uint8_t numbers[] = { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, 8, 9, 10, 11, 12, 13, 14, 15 };
    ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, register_);

    return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15 ? numbers[whole - ZYDIS_REGISTER_RAX]
                                                                      : REGISTERS;
}

static bool vector_of(ZydisRegister register_, uint8_t *ret)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(register_);

    if (class != ZYDIS_REGCLASS_XMM && class != ZYDIS_REGCLASS_YMM && class != ZYDIS_REGCLASS_ZMM) {
        return false;
    }
    *ret = ZydisRegisterGetId(register_) % VECTORS;
    return true;
}

static void read_register(const ZydisDecodedOperand *from, struct code_operand *ret)
{
    ZydisRegister name = from->reg.value;
    unsigned number = number_of(name);

    ret->kind = OPERAND_OTHER;
    if (number < REGISTERS) {
        ret->kind = OPERAND_REGISTER;
        ret->number = number;
        ret->first = name >= ZYDIS_REGISTER_AH && name <= ZYDIS_REGISTER_BH;
    } else if (vector_of(name, &ret->number)) {
        ret->kind = OPERAND_VECTOR;
    }
}

/* The relocation with a field at OFFSET of SECTION, or NULL. */
static const struct object_relocation *relocation_of(const struct object_section *section, uint64_t offset)
{
    size_t i = object_relocation_at(section, offset);

    return i < section->relocation_count && section->relocations[i].offset == offset
               ? &section->relocations[i]
               : NULL;
}

static struct code_operand read_operand(const struct code_part *part, uint64_t offset,
                                        const ZydisDecodedInstruction *instruction,
                                        const ZydisDecodedOperand *from)
{
    struct code_operand ret = {
        .kind = OPERAND_OTHER,
        .size = from->size / 8,
        .base = REGISTERS,
        .index = REGISTERS,
        .frame = NO_OFFSET,
        .read = (from->actions & ZYDIS_OPERAND_ACTION_MASK_READ) ||
                (from->actions & ZYDIS_OPERAND_ACTION_CONDWRITE),
        .written = from->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
    };

    switch (from->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        read_register(from, &ret);
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        ret.kind = OPERAND_MEMORY;
        ret.base = number_of(from->mem.base);
        ret.index = number_of(from->mem.index);
        ret.relative = from->mem.base == ZYDIS_REGISTER_RIP;
        ret.scale = from->mem.scale;
        ret.segment = from->mem.segment == ZYDIS_REGISTER_FS   ? SEGMENT_FS
                      : from->mem.segment == ZYDIS_REGISTER_GS ? SEGMENT_GS
                                                               : SEGMENT_NONE;
        ret.value = from->mem.disp.value;
        if (instruction->raw.disp.size && from->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN) {
            ret.relocation = relocation_of(part->section, offset + instruction->raw.disp.offset);
        }
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        ret.kind = OPERAND_NUMBER;
        ret.value = from->imm.value.s;
        ret.relative = from->imm.is_relative;
        ret.relocation = relocation_of(part->section, offset + instruction->raw.imm[0].offset);
        break;
    default:
        break;
    }
    return ret;
}

bool code_named(const struct code *code, const struct code_operand *operand, struct object_place *ret)
{
    for (size_t i = 0; operand->relocation && i < code->parts.count; i++) {
        const struct object_section *section = code->parts.items[i].section;
        if (operand->relocation >= section->relocations &&
            operand->relocation < section->relocations + section->relocation_count) {
            *ret = object_target(code->object, section, operand->relocation);
            return true;
        }
    }
    return false;
}

bool code_is_reached(const struct code *code, int32_t place, uint32_t size)
{
    for (size_t i = 0; code->escaped && place_in_frame(place) && i < code->escaped->count; i++) {
        int32_t start = PLACE_CFA + code->escaped->items[i].offset;
        if (start < place + (int32_t)size && place < start + (int32_t)code->escaped->items[i].size) {
            return true;
        }
    }
    return false;
}

/* Whether the function NAME jumps where a register says (-mindirect-branch, -mretpoline). */
static bool is_thunk(const char *name)
{
    static const char *const names[] = { "__x86_indirect_thunk", "__llvm_retpoline", "__llvm_lvi_thunk" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strncmp(names[i], name, strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Functions of the C library that control does not come back from. */
static bool never_returns(const char *name)
{
    static const char *const names[] = {
        "abort",      "exit",          "_exit",         "_Exit",        "quick_exit",       "longjmp",
        "siglongjmp", "__longjmp_chk", "__assert_fail", "pthread_exit", "__stack_chk_fail", "__chk_fail",
        "err",        "errx",          "verr",          "verrx",        "__fortify_fail"
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void classify(const struct code *code, struct code_instruction *instruction,
                     const ZydisDecodedInstruction *decoded)
{
    const struct code_operand *operand = &code->operands.items[instruction->operand];
    struct object_place place;
    bool computed;

    switch (decoded->meta.category) {
    case ZYDIS_CATEGORY_CALL:
        instruction->flags |= CODE_CALL;
        if (code_named(code, operand, &place) && place.symbol &&
            (never_returns(place.symbol->name) || object_never_returns(code->object, place.symbol->name))) {
            instruction->flags |= CODE_ENDS;
        }
        break;
    case ZYDIS_CATEGORY_RET:
        instruction->flags |= CODE_ENDS | CODE_EXIT;
        break;
    case ZYDIS_CATEGORY_UNCOND_BR:
        computed = operand->kind != OPERAND_NUMBER ||
                   (code_named(code, operand, &place) && place.symbol && is_thunk(place.symbol->name));
        instruction->flags |= CODE_ENDS | (computed ? CODE_INDIRECT : 0);
        break;
    default:
        if (decoded->cpu_flags) {
            const ZydisAccessedFlags *flags = decoded->cpu_flags;
            bool written = flags->modified | flags->set_0 | flags->set_1 | flags->undefined;
            instruction->flags |= (flags->tested ? CODE_READS_FLAGS : 0) | (written ? CODE_WRITES_FLAGS : 0);
        }
        if (decoded->mnemonic == ZYDIS_MNEMONIC_UD2 || decoded->mnemonic == ZYDIS_MNEMONIC_HLT) {
            instruction->flags |= CODE_ENDS;
        }
    }
}

static bool decode_part(struct code *code, const struct code_part *part)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction decoded;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t from = part->start - part->section->base, to = part->end - part->section->base;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (uint64_t at = from; at < to; at += decoded.length) {
        if (!ZYAN_SUCCESS(
                ZydisDecoderDecodeFull(&decoder, part->section->bytes + at, to - at, &decoded, operands))) {
            return false;
        }
        struct code_instruction instruction = { .address = part->section->base + at,
                                                .length = decoded.length,
                                                .operand_count = decoded.operand_count,
                                                .visible_count = decoded.operand_count_visible,
                                                .mnemonic = decoded.mnemonic,
                                                .operand = code->operands.count,
                                                .jump = NO_INSTRUCTION,
                                                .stack = NO_OFFSET };
        for (unsigned i = 0; i < decoded.operand_count; i++) {
            LIST_ADD(&code->operands, read_operand(part, at, &decoded, &operands[i]));
        }
        classify(code, &instruction, &decoded);
        LIST_ADD(&code->instructions, instruction);
    }
    return true;
}

const char *code_path(struct code *code, const char *name)
{
    if (!name || !code->unit) {
        return NULL;
    }
    for (size_t i = code->paths.count; i-- > 0;) {
        if (strcmp(code->paths.items[i].name, name) == 0) {
            return code->paths.items[i].path;
        }
    }
    LIST_ADD(&code->paths, (struct code_path){ name, definition_path(code->unit, name) });
    return code->paths.items[code->paths.count - 1].path;
}

static void find_lines(struct code *code, Dwarf_Die *unit)
{
    for (size_t i = 0; unit && i < code->instructions.count; i++) {
        struct code_instruction *instruction = &code->instructions.items[i];
        Dwarf_Line *row = dwarf_getsrc_die(unit, instruction->address);
        int line = 0;
        if (row && dwarf_lineno(row, &line) == 0) {
            instruction->line = line;
            instruction->file = code_path(code, dwarf_linesrc(row, NULL, NULL));
        }
    }
}

static void add_part(struct code *code, const struct object_symbol *symbol)
{
    const struct object_section *section = &code->object->sections[symbol->section];

    if (section->bytes && symbol->size && symbol->value + symbol->size <= section->size) {
        LIST_ADD(&code->parts, (struct code_part){ section, symbol, section->base + symbol->value,
                                                   section->base + symbol->value + symbol->size });
    }
}

static int by_start(const void *left, const void *right)
{
    const struct code_part *a = left, *b = right;

    return a->start < b->start ? -1 : a->start > b->start;
}

static void find_parts(struct code *code)
{
    size_t length = strlen(code->symbol->name);

    add_part(code, code->symbol);
    for (size_t i = 1; i < code->object->symbol_count; i++) {
        const struct object_symbol *symbol = &code->object->symbols[i];
        if (symbol_is_part(symbol) && symbol->section &&
            strncmp(symbol->name, code->symbol->name, length) == 0 &&
            strncmp(symbol->name + length, ".cold", 5) == 0) {
            add_part(code, symbol);
        }
    }
    if (code->parts.count > 1) {
        qsort(code->parts.items, code->parts.count, sizeof(*code->parts.items), by_start);
    }
}

void code_init(struct code *code, struct object *object, const struct object_symbol *symbol, Dwarf_Die *unit)
{
    *code = (struct code){ .object = object, .symbol = symbol, .unit = unit };
    find_parts(code);
    if (!code->parts.count) {
        code->problem = "has no code";
        return;
    }
    for (size_t i = 0; i < code->parts.count; i++) {
        if (!decode_part(code, &code->parts.items[i])) {
            code->problem = "has instructions that are not known here";
            find_lines(code, unit);
            return;
        }
    }
    code_find_flow(code);
    find_lines(code, unit);
    code_find_frame(code);
    if (code->labels.count && !code->problem) {
        code_find_tables(code);
        code_link_again(code);
        code_find_frame(code);
    }
    code->problem = code->problem ? code->problem : code_check_jumps(code);
}

static void free_search(struct code *code)
{
    if (code->search) {
        for (size_t i = 0; i < code->blocks.count; i++) {
            free(code->search->reached[i]);
        }
        free(code->search->reached);
        free(code->search->seen);
        LIST_FREE(&code->search->waiting);
        free(code->search);
    }
}

void code_deinit(struct code *code)
{
    free_search(code);
    for (size_t i = 0; i < code->blocks.count; i++) {
        LIST_FREE(&code->blocks.items[i].next);
        LIST_FREE(&code->blocks.items[i].before);
    }
    for (size_t i = 0; i < code->paths.count; i++) {
        free(code->paths.items[i].path);
    }
    LIST_FREE(&code->paths);
    LIST_FREE(&code->parts);
    LIST_FREE(&code->instructions);
    LIST_FREE(&code->operands);
    LIST_FREE(&code->touches);
    LIST_FREE(&code->blocks);
    LIST_FREE(&code->taken);
    LIST_FREE(&code->labels);
    LIST_FREE(&code->table_jumps);
    *code = (struct code){ 0 };
}
