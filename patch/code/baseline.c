/*
 * Comparing an object with a linked binary. What a linker and an assembler may do is no difference: fields of
 * relocations are resolved, jumps may be short or long, padding may be anywhere, accesses through the GOT and
 * to thread-local storage may have been relaxed (which keeps their length). So instructions are decoded side
 * by side; the places they correspond at are noted, and targets of jumps and entries of jump tables are
 * checked against these notes.
 *
 * Most functions are equal byte by byte outside the fields, and for them no operand is looked at.
 */
#include "patch/code/baseline.h"

#include <Zydis/Zydis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN UINT32_MAX

struct jump {
    uint32_t object, binary; /* offsets of the targets */
};

struct table_use {
    struct object_place place;
    uint64_t address;
};

/* One function being compared. */
struct code {
    const struct contribution *contribution;
    struct object *object;
    const struct object_section *section;
    const struct object_symbol *symbol;
    const uint8_t *bytes;  /* of the object's function */
    const uint8_t *linked; /* of the binary's */
    uint64_t size, linked_size, address;
    uint32_t *places; /* offset in the object -> offset in the binary */
    LIST(struct jump) jumps;
    LIST(struct table_use) tables;
    char why[160];
};

static bool differ(struct code *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool differ(struct code *code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(code->why, sizeof(code->why), format, arguments);
    va_end(arguments);
    return false;
}

/* How much of the text at BYTES stands well in a message: of its first line, and no more than 40 bytes. */
static size_t line_length(const uint8_t *bytes, uint64_t size)
{
    size_t length = 0;

    while (length < size && length < 40 && bytes[length] >= ' ') {
        length++;
    }
    return length;
}

/* Whether the binary has at ADDRESS what the object has at PLACE, which no name tells. */
static bool same_constant(struct code *code, struct object_place place, uint64_t address)
{
    const struct object_section *section = place.section;

    if (place.offset < 0 || (uint64_t)place.offset >= section->size || !section->bytes) {
        return true;
    }
    uint64_t size = object_anonymous_extent(section, place.offset);
    const uint8_t *bytes = section->bytes + place.offset;
    if ((section->flags & SHF_STRINGS) && section->entry_size == 1) {
        size = strnlen((const char *)bytes, section->size - place.offset);
    }
    size_t first = object_relocation_at(section, place.offset);
    if (first < section->relocation_count && section->relocations[first].offset < place.offset + size) {
        LIST_ADD(&code->tables, (struct table_use){ place, address });
        return true;
    }
    while (size && !bytes[size - 1]) {
        size--;
    }
    const uint8_t *linked = image_bytes(code->contribution->image, address, size);
    if (linked && build_time_same(code->contribution->time, bytes, linked, size)) {
        return true;
    }
    bool text = (section->flags & SHF_STRINGS) || (size && bytes[0] >= ' ' && bytes[0] < 127);
    return text ? differ(code, "another constant than \"%.*s\"", (int)line_length(bytes, size),
                         (const char *)bytes)
                : differ(code, "another constant");
}

/* Whether ADDRESS holds the constant that PLACE leads into: constants with a name may be merged with
 * others too. */
static bool same_named_constant(const struct code *code, struct object_place place, uint64_t address)
{
    const struct object_section *section = place.section;

    if (!section || section->kind != SECTION_CONST || !section->bytes || !place.symbol->size ||
        place.symbol->value + place.symbol->size > section->size) {
        return false;
    }
    const uint8_t *linked =
        image_bytes(code->contribution->image, address - place.offset, place.symbol->size);
    return linked && build_time_same(code->contribution->time, section->bytes + place.symbol->value, linked,
                                     place.symbol->size);
}

/* Whether ADDRESS is what the relocation names. */
static bool same_target(struct code *code, const struct object_relocation *relocation, uint64_t address)
{
    const struct image *image = code->contribution->image;
    struct object_place place = object_target(code->object, code->section, relocation);
    const struct image_symbol *found;
    bool ambiguous;

    if (!place.symbol) {
        return same_constant(code, place, address);
    }
    if (image_is_exported(image, place.symbol->name)) {
        return true;
    }
    found = place.symbol->section ? bind_find(code->contribution, place.symbol, &ambiguous)
                                  : image_find_global(image, place.symbol->name);
    if (!found || found->type == STT_TLS || found->type == STT_GNU_IFUNC ||
        address == found->value + (uint64_t)place.offset) {
        return true;
    }
    for (found = found->next; found; found = found->next) { /* statics of one name */
        if (address == found->value + (uint64_t)place.offset) {
            return true;
        }
    }
    if (same_named_constant(code, place, address)) {
        return true;
    }
    const struct image_symbol *other = image_symbol_at(image, address);
    return differ(code, "it refers to %s instead of %s", other ? other->name : "something else",
                  place.symbol->name);
}

/* Whether the linker may have put other instructions of the same length here. */
static bool is_relaxable(uint32_t type)
{
    return type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX || type == R_X86_64_GOTPCREL ||
           type == R_X86_64_GOTTPOFF || type == R_X86_64_TLSGD || type == R_X86_64_TLSLD ||
           type == R_X86_64_GOTPC32_TLSDESC || type == R_X86_64_TLSDESC_CALL;
}

/* What a field holds, as an address; false if it holds none that can be checked. END: of its instruction. */
static bool field_address(uint32_t type, int64_t value, uint64_t end, uint64_t *ret)
{
    switch (type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        *ret = end + value;
        return true;
    case R_X86_64_32:
        *ret = (uint32_t)value;
        return true;
    case R_X86_64_32S:
    case R_X86_64_64:
        *ret = value;
        return true;
    default:
        return false;
    }
}

/* The quick way: equal bytes, and fields that name the same things. -1: it takes the slow way to tell. */
static int same_bytes(struct code *code)
{
    uint64_t at = 0;

    if (code->size != code->linked_size) {
        return -1;
    }
    size_t first = object_relocation_at(code->section, code->symbol->value);
    for (size_t i = first; at < code->size; i++) {
        bool more = i < code->section->relocation_count &&
                    code->section->relocations[i].offset < code->symbol->value + code->size;
        const struct object_relocation *relocation = more ? &code->section->relocations[i] : NULL;
        uint64_t stop = more ? relocation->offset - code->symbol->value : code->size;
        if ((more && is_relaxable(relocation->type)) ||
            (stop > at && memcmp(code->bytes + at, code->linked + at, stop - at) != 0)) {
            return -1;
        }
        at = more ? stop + relocation_width(relocation->type) : code->size;
    }
    for (size_t i = first; i < code->section->relocation_count; i++) {
        const struct object_relocation *relocation = &code->section->relocations[i];
        if (relocation->offset >= code->symbol->value + code->size) {
            break;
        }
        uint64_t field = relocation->offset - code->symbol->value, address;
        unsigned width = relocation_width(relocation->type);
        int64_t value = 0;
        memcpy(&value, code->linked + field, width);
        value = width == 4 ? (int32_t)value : value;
        if (field_address(relocation->type, value, code->address + field + width + relocation->tail,
                          &address) &&
            !same_target(code, relocation, address)) {
            return 0;
        }
    }
    for (uint64_t i = 0; i <= code->size; i++) {
        code->places[i] = i;
    }
    return 1;
}

struct decoded {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const ZydisDecoder *decoder, const uint8_t *bytes, uint64_t left, struct decoded *ret)
{
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, bytes, left, &ret->instruction, ret->operands));
}

/* The relocation of the function with a field in [FROM, TO), or NULL. */
static const struct object_relocation *relocation_in(const struct code *code, uint64_t from, uint64_t to)
{
    size_t i = object_relocation_at(code->section, code->symbol->value + from);

    return i < code->section->relocation_count &&
                   code->section->relocations[i].offset < code->symbol->value + to
               ? &code->section->relocations[i]
               : NULL;
}

/* Compares an immediate or displacement: VALUE in the object, LINKED in the binary. */
static bool same_field(struct code *code, uint64_t field, unsigned width, int64_t value, int64_t linked,
                       uint64_t end)
{
    const struct object_relocation *relocation = width ? relocation_in(code, field, field + width) : NULL;
    uint64_t address;

    if (!relocation) {
        return value == linked ? true
                               : differ(code, "the constant %ld instead of %ld", (long)linked, (long)value);
    }
    return !field_address(relocation->type, linked, end, &address) || same_target(code, relocation, address);
}

static bool same_operand(struct code *code, const struct decoded *object, const struct decoded *binary,
                         unsigned index, uint64_t at, uint64_t end)
{
    const ZydisDecodedOperand *a = &object->operands[index], *b = &binary->operands[index];

    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return a->reg.value == b->reg.value;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        return a->mem.base == b->mem.base && a->mem.index == b->mem.index && a->mem.scale == b->mem.scale &&
               a->mem.segment == b->mem.segment && a->size == b->size &&
               same_field(code, at + object->instruction.raw.disp.offset,
                          object->instruction.raw.disp.size / 8, a->mem.disp.value, b->mem.disp.value, end);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        return same_field(code, at + object->instruction.raw.imm[0].offset,
                          object->instruction.raw.imm[0].size / 8, a->imm.value.s, b->imm.value.s, end);
    default:
        return true;
    }
}

/* A jump or call relative to itself. */
static bool same_branch(struct code *code, const struct decoded *object, const struct decoded *binary,
                        uint64_t at, uint64_t linked_at)
{
    const ZydisDecodedInstruction *a = &object->instruction, *b = &binary->instruction;
    const struct object_relocation *relocation = relocation_in(code, at, at + a->length);
    uint64_t target = linked_at + b->length + b->raw.imm[0].value.s;

    if (relocation) {
        return same_target(code, relocation, code->address + target);
    }
    LIST_ADD(&code->jumps, (struct jump){ at + a->length + a->raw.imm[0].value.s, target });
    return true;
}

static bool same_instruction(struct code *code, const struct decoded *object, const struct decoded *binary,
                             uint64_t at, uint64_t linked_at)
{
    const ZydisDecodedInstruction *a = &object->instruction, *b = &binary->instruction;

    if (a->mnemonic != b->mnemonic || a->operand_count_visible != b->operand_count_visible ||
        a->operand_width != b->operand_width) {
        return differ(code, "another instruction at offset %lu", (unsigned long)at);
    }
    if (a->raw.imm[0].is_relative && b->raw.imm[0].is_relative) {
        return same_branch(code, object, binary, at, linked_at);
    }
    for (unsigned i = 0; i < a->operand_count_visible; i++) {
        if (!same_operand(code, object, binary, i, at, code->address + linked_at + b->length)) {
            return code->why[0] ? false : differ(code, "another operand at offset %lu", (unsigned long)at);
        }
    }
    return true;
}

static uint64_t skip_padding(const ZydisDecoder *decoder, const uint8_t *bytes, uint64_t at, uint64_t size)
{
    struct decoded decoded;

    while (at < size && decode(decoder, bytes + at, size - at, &decoded) &&
           decoded.instruction.mnemonic == ZYDIS_MNEMONIC_NOP) {
        at += decoded.instruction.length;
    }
    return at;
}

static bool same_instructions(struct code *code)
{
    ZydisDecoder decoder;
    uint64_t at = 0, linked_at = 0;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (;;) {
        struct decoded object, binary;
        uint64_t next = skip_padding(&decoder, code->bytes, at, code->size);
        linked_at = skip_padding(&decoder, code->linked, linked_at, code->linked_size);
        for (; at < next; at++) {
            code->places[at] = linked_at;
        }
        if (at >= code->size || linked_at >= code->linked_size) {
            code->places[code->size] = linked_at;
            return at >= code->size && linked_at >= code->linked_size ? true : differ(code, "another length");
        }
        if (!decode(&decoder, code->bytes + at, code->size - at, &object) ||
            !decode(&decoder, code->linked + linked_at, code->linked_size - linked_at, &binary)) {
            return differ(code, "unknown instruction at offset %lu", (unsigned long)at);
        }
        code->places[at] = linked_at;
        uint64_t length = object.instruction.length, linked_length = binary.instruction.length;
        const struct object_relocation *relocation = relocation_in(code, at, at + length);
        if (relocation && is_relaxable(relocation->type)) {
            if ((relocation->type == R_X86_64_TLSGD || relocation->type == R_X86_64_TLSLD) &&
                decode(&decoder, code->bytes + at + length, code->size - at - length, &object)) {
                length += object.instruction.length; /* and the call of __tls_get_addr */
            }
            linked_length = length;
        } else if (!same_instruction(code, &object, &binary, at, linked_at)) {
            return false;
        }
        at += length;
        linked_at += linked_length;
    }
}

static bool same_jumps(struct code *code)
{
    for (size_t i = 0; i < code->jumps.count; i++) {
        const struct jump *jump = &code->jumps.items[i];
        if (jump->object > code->size) {
            continue;
        }
        uint32_t expected = code->places[jump->object];
        /* either may lead to the padding before the place */
        if (expected != UNKNOWN && expected != jump->binary && jump->binary < code->linked_size) {
            ZydisDecoder decoder;
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
            if (skip_padding(&decoder, code->linked, jump->binary, code->linked_size) != expected) {
                return differ(code, "a jump leads elsewhere");
            }
        }
    }
    return true;
}

/* Jump tables: their entries are places in the function. */
static bool same_table(struct code *code, const struct table_use *use)
{
    const struct object_section *section = use->place.section;
    uint64_t start = use->place.offset, end = start + object_anonymous_extent(section, start);

    for (size_t i = object_relocation_at(section, start);
         i < section->relocation_count && section->relocations[i].offset < end; i++) {
        struct object_relocation relocation = section->relocations[i];
        bool relative = relocation.type == R_X86_64_PC32;
        uint64_t distance = relocation.offset - start, value = 0;
        unsigned width = relocation_width(relocation.type);
        const uint8_t *entry = image_bytes(code->contribution->image, use->address + distance, width);
        relocation.addend -= relative ? (int64_t)distance : 0;
        struct object_place place = object_target(code->object, section, &relocation);
        if (!entry || place.symbol != code->symbol || place.offset < 0 ||
            (uint64_t)place.offset > code->size) {
            continue;
        }
        memcpy(&value, entry, width);
        value = relative ? use->address + (int64_t)(int32_t)value : value;
        uint32_t expected = code->places[place.offset];
        if (value && expected != UNKNOWN && value != code->address + expected) {
            return differ(code, "another jump table");
        }
    }
    return true;
}

static bool same_function(struct code *code)
{
    memset(code->places, 0xff, (code->size + 1) * sizeof(*code->places));
    int quick = same_bytes(code);
    bool same = quick == 1;

    if (quick < 0) {
        code->tables.count = 0;
        same = same_instructions(code) && same_jumps(code);
    }
    for (size_t i = 0; same && i < code->tables.count; i++) {
        same = same_table(code, &code->tables.items[i]);
    }
    return same;
}

bool baseline_is_replaced(const struct image *image, const struct earlier_patch *earlier, size_t count,
                          uint64_t address)
{
    for (size_t i = 0; i < count; i++) {
        const struct patch_file *file = &earlier[i].file;
        for (size_t k = 0; k < file->patch_functions_count; k++) {
            const struct molt_patch_function *function = &file->patch_functions[k];
            if (function->address == address && !(function->flags & MOLT_FUNCTION_EARLIER) &&
                memcmp(file->patch_modules[function->module].build_id, image->build_id,
                       image->build_id_size) == 0) {
                return true;
            }
        }
        for (size_t k = 0; k < file->patch_data_count; k++) {
            if (file->patch_data[k].address == address) {
                return true;
            }
        }
    }
    return false;
}

static bool start(struct code *code, const struct contribution *contribution, struct object *object,
                  const struct object_symbol *symbol, const struct image_symbol *found)
{
    const struct object_section *section = &object->sections[symbol->section];

    *code = (struct code){
        .contribution = contribution,
        .object = object,
        .section = section,
        .symbol = symbol,
        .bytes = section->bytes + symbol->value,
        .linked = image_bytes(contribution->image, found->value, found->size),
        .size = symbol->size,
        .linked_size = found->size,
        .address = found->value,
    };
    if (!section->bytes || !code->linked || symbol->value + symbol->size > section->size) {
        return false;
    }
    code->places = must_calloc(code->size + 1, sizeof(*code->places));
    return true;
}

static void finish(struct code *code)
{
    free(code->places);
    LIST_FREE(&code->jumps);
    LIST_FREE(&code->tables);
}

static void compare_function(const struct contribution *contribution, struct object *object,
                             const struct object_symbol *symbol, const struct image_symbol *found,
                             baseline_differences *ret)
{
    struct code code;

    if (!start(&code, contribution, object, symbol, found)) {
        return;
    }
    if (!same_function(&code)) {
        struct baseline_difference difference = { .symbol = symbol };
        memcpy(difference.why, code.why, sizeof(difference.why));
        LIST_ADD(ret, difference);
    }
    finish(&code);
}

uint32_t *baseline_places(const struct contribution *contribution, struct object *object,
                          const struct object_symbol *symbol, const struct image_symbol *found)
{
    struct code code;
    uint32_t *places = NULL;

    if (!start(&code, contribution, object, symbol, found)) {
        return NULL;
    }
    if (same_function(&code)) {
        places = code.places;
        code.places = NULL;
    }
    finish(&code);
    return places;
}

/* Initial contents, fields of relocations left out. */
static void compare_data(const struct contribution *contribution, struct object *object,
                         const struct object_symbol *symbol, const struct image_symbol *found,
                         baseline_differences *ret)
{
    const struct object_section *section = &object->sections[symbol->section];
    const uint8_t *linked = image_bytes(contribution->image, found->value, symbol->size);
    struct baseline_difference difference = { .symbol = symbol, .why = "other contents" };
    size_t i = object_relocation_at(section, symbol->value);

    if (found->size != symbol->size) {
        snprintf(difference.why, sizeof(difference.why), "%lu bytes instead of %lu",
                 (unsigned long)found->size, (unsigned long)symbol->size);
        LIST_ADD(ret, difference);
        return;
    }
    if (!section->bytes || !linked || symbol->value + symbol->size > section->size) {
        return;
    }
    for (uint64_t at = 0; at < symbol->size; i++) {
        bool more =
            i < section->relocation_count && section->relocations[i].offset < symbol->value + symbol->size;
        uint64_t stop = more ? section->relocations[i].offset - symbol->value : symbol->size;
        if (stop > at && !build_time_same(contribution->time, section->bytes + symbol->value + at,
                                          linked + at, stop - at)) {
            LIST_ADD(ret, difference);
            return;
        }
        at = more ? stop + relocation_width(section->relocations[i].type) : symbol->size;
    }
}

void baseline_compare(const struct contribution *contribution, struct object *object,
                      const struct earlier_patch *earlier, size_t earlier_count, baseline_differences *ret)
{
    for (size_t i = 1; i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        bool ambiguous;
        const struct image_symbol *found =
            symbol->key && symbol->size ? bind_find(contribution, symbol, &ambiguous) : NULL;
        if (!found || baseline_is_replaced(contribution->image, earlier, earlier_count, found->value)) {
            continue;
        }
        enum section_kind kind = object->sections[symbol->section].kind;
        if (kind == SECTION_CODE) {
            compare_function(contribution, object, symbol, found, ret);
        } else if (kind == SECTION_CONST || (kind == SECTION_DATA && !earlier_count)) {
            compare_data(contribution, object, symbol, found, ret);
        }
    }
}
