/*
 * Reading an object. libelf checks the bounds of what it hands out; what is left to do here is to say what
 * each section is for, to find the end of the instruction around each field (the addend of a PC-relative
 * relocation counts from there), and to tell names that mean something from those the compiler numbered.
 *
 * A symbol without a key is known by its content only: string literals (.LC0, .L.str), jump tables, constants
 * the compiler made (CSWTCH.5) and __func__. Everything else is a definition, and its key is the name, or for
 * function-local statics one that code/object_scope.c works out.
 */
#include "patch/code/object.h"

#include <Zydis/Zydis.h>
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "patch/file.h"
#include "patch/code/object_scope.h"

bool relocation_is_relative(uint32_t type)
{
    switch (type) {
    case R_X86_64_PC8:
    case R_X86_64_PC16:
    case R_X86_64_PC32:
    case R_X86_64_PC64:
    case R_X86_64_PLT32:
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
    case R_X86_64_GOTTPOFF:
    case R_X86_64_TLSGD:
    case R_X86_64_TLSLD:
    case R_X86_64_GOTPC32:
    case R_X86_64_GOTPC32_TLSDESC:
    case R_X86_64_GOTPC64:
        return true;
    default:
        return false;
    }
}

unsigned relocation_width(uint32_t type)
{
    switch (type) {
    case R_X86_64_8:
    case R_X86_64_PC8:
        return 1;
    case R_X86_64_16:
    case R_X86_64_PC16:
        return 2;
    case R_X86_64_64:
    case R_X86_64_PC64:
    case R_X86_64_GOTOFF64:
    case R_X86_64_GOTPC64:
    case R_X86_64_TPOFF64:
    case R_X86_64_DTPOFF64:
    case R_X86_64_SIZE64:
    case R_X86_64_DTPMOD64:
        return 8;
    case R_X86_64_NONE:
    case R_X86_64_TLSDESC_CALL:
        return 0;
    default:
        return 4;
    }
}

bool symbol_is_part(const struct object_symbol *symbol)
{
    const char *cold = strstr(symbol->name, ".cold");

    return symbol->type == STT_FUNC && cold && (!cold[5] || cold[5] == '.');
}

static bool starts(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

static enum section_kind kind_of(const char *name, const Elf64_Shdr *header)
{
    if (starts(name, ".debug_")) {
        return SECTION_DEBUG;
    }
    if (!(header->sh_flags & SHF_ALLOC) || header->sh_type == SHT_NOTE) {
        return SECTION_OTHER;
    }
    if (strcmp(name, ".eh_frame") == 0) {
        return SECTION_UNWIND;
    }
    if (starts(name, ".init_array") || starts(name, ".fini_array") || starts(name, ".ctors") ||
        starts(name, ".dtors") || starts(name, ".preinit_array")) {
        return SECTION_INIT;
    }
    if (header->sh_flags & SHF_EXECINSTR) {
        return SECTION_CODE;
    }
    if (header->sh_flags & SHF_TLS) {
        return SECTION_TLS;
    }
    return !(header->sh_flags & SHF_WRITE) || starts(name, ".data.rel.ro") ? SECTION_CONST : SECTION_DATA;
}

static void read_sections(struct object *object)
{
    size_t names = 0, count = 0;

    elf_getshdrnum(object->elf, &count);
    elf_getshdrstrndx(object->elf, &names);
    object->section_count = count;
    object->sections = must_calloc(count + 1, sizeof(*object->sections));
    uint64_t base = 0x10000;
    for (size_t i = 1; i < count; i++) {
        Elf_Scn *scn = elf_getscn(object->elf, i);
        Elf64_Shdr *header = elf64_getshdr(scn);
        Elf_Data *data = header->sh_type == SHT_NOBITS ? NULL : elf_rawdata(scn, NULL);
        const char *name = elf_strptr(object->elf, names, header->sh_name);
        struct object_section *section = &object->sections[i];
        *section = (struct object_section){
            .name = name ? name : "",
            .index = i,
            .type = header->sh_type,
            .flags = header->sh_flags,
            .size = header->sh_size,
            .align = header->sh_addralign ? header->sh_addralign : 1,
            .entry_size = header->sh_entsize,
            .bytes = data ? data->d_buf : NULL,
        };
        section->kind = kind_of(section->name, header);
        if (header->sh_flags & SHF_ALLOC) {
            section->base = base;
            base += (header->sh_size + 0x1f) & ~UINT64_C(0xf);
        }
    }
}

/* Whether the name is the compiler's own for something without one in the source. */
static bool is_compiler_name(const char *name)
{
    static const char *const made[] = {
        ".L", "CSWTCH.", "__func__.", "__FUNCTION__.", "__PRETTY_FUNCTION__.", "switch.table."
    };

    for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
        if (starts(name, made[i])) {
            return true;
        }
    }
    return strstr(name, ".__func__") || strstr(name, ".__FUNCTION__") || strstr(name, ".__PRETTY_FUNCTION__");
}

static bool is_definition(const struct object *object, const struct object_symbol *symbol)
{
    if (!symbol->section || symbol->type == STT_SECTION || symbol->type == STT_FILE || !*symbol->name) {
        return false;
    }
    enum section_kind kind = object->sections[symbol->section].kind;
    return kind >= SECTION_CODE && kind <= SECTION_TLS &&
           (symbol->bind != STB_LOCAL || !is_compiler_name(symbol->name));
}

static void read_symbols(struct object *object)
{
    size_t table = 0;

    for (size_t i = 1; i < object->section_count; i++) {
        table = object->sections[i].type == SHT_SYMTAB ? i : table;
    }
    if (!table) {
        return;
    }
    Elf_Scn *scn = elf_getscn(object->elf, table);
    Elf_Data *data = elf_getdata(scn, NULL), *extended = NULL;
    int extended_index = elf_scnshndx(scn);
    if (extended_index > 0) {
        extended = elf_getdata(elf_getscn(object->elf, extended_index), NULL);
    }
    uint32_t strings = elf64_getshdr(scn)->sh_link;
    object->symbol_count = data ? data->d_size / sizeof(Elf64_Sym) : 0;
    object->symbols = must_calloc(object->symbol_count + 1, sizeof(*object->symbols));
    for (size_t i = 1; i < object->symbol_count; i++) {
        GElf_Sym raw;
        Elf32_Word wide = 0;
        gelf_getsymshndx(data, extended, i, &raw, &wide);
        const char *name = elf_strptr(object->elf, strings, raw.st_name);
        unsigned section = raw.st_shndx == SHN_XINDEX ? wide : raw.st_shndx;
        object->symbols[i] = (struct object_symbol){
            .name = name ? name : "",
            .index = i,
            .section = section < object->section_count ? section : 0,
            .value = raw.st_value,
            .size = raw.st_size,
            .type = ELF64_ST_TYPE(raw.st_info),
            .bind = ELF64_ST_BIND(raw.st_info),
        };
        if (is_definition(object, &object->symbols[i])) {
            object->symbols[i].key = object->symbols[i].name;
        }
    }
}

static int by_value(const void *left, const void *right)
{
    const struct object_symbol *a = *(struct object_symbol *const *)left;
    const struct object_symbol *b = *(struct object_symbol *const *)right;

    if (a->value != b->value) {
        return a->value < b->value ? -1 : 1;
    }
    if (a->size != b->size) {
        return a->size > b->size ? -1 : 1;
    }
    return a->index < b->index ? -1 : 1;
}

static void collect_definitions(struct object *object)
{
    for (size_t i = 1; i < object->symbol_count; i++) {
        if (object->symbols[i].key) {
            object->sections[object->symbols[i].section].definition_count++;
        }
    }
    for (size_t i = 1; i < object->section_count; i++) {
        struct object_section *section = &object->sections[i];
        section->definitions = section->definition_count
                                   ? must_calloc(section->definition_count, sizeof(*section->definitions))
                                   : NULL;
        section->definition_count = 0;
    }
    for (size_t i = 1; i < object->symbol_count; i++) {
        struct object_symbol *symbol = &object->symbols[i];
        struct object_section *section = &object->sections[symbol->section];
        if (symbol->key) {
            section->definitions[section->definition_count++] = symbol;
            table_put(&object->keys, symbol->key, symbol);
        }
    }
    for (size_t i = 1; i < object->section_count; i++) {
        struct object_section *section = &object->sections[i];
        if (section->definition_count > 1) {
            qsort(section->definitions, section->definition_count, sizeof(*section->definitions), by_value);
        }
    }
}

static int by_offset(const void *left, const void *right)
{
    const struct object_relocation *a = left, *b = right;

    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void read_relocations(struct object *object)
{
    for (size_t i = 1; i < object->section_count; i++) {
        const struct object_section *table = &object->sections[i];
        Elf64_Shdr *header = elf64_getshdr(elf_getscn(object->elf, i));
        if (table->type != SHT_RELA || !table->bytes || header->sh_info == 0 ||
            header->sh_info >= object->section_count) {
            continue;
        }
        struct object_section *section = &object->sections[header->sh_info];
        const Elf64_Rela *raw = (const Elf64_Rela *)table->bytes;
        size_t count = table->size / sizeof(*raw), kept = 0;
        section->relocations = must_calloc(count, sizeof(*section->relocations));
        for (size_t k = 0; k < count; k++) {
            if (ELF64_R_SYM(raw[k].r_info) < object->symbol_count &&
                raw[k].r_offset + relocation_width(ELF64_R_TYPE(raw[k].r_info)) <= section->size) {
                section->relocations[kept++] = (struct object_relocation){
                    .offset = raw[k].r_offset,
                    .type = ELF64_R_TYPE(raw[k].r_info),
                    .symbol = ELF64_R_SYM(raw[k].r_info),
                    .addend = raw[k].r_addend,
                };
            }
        }
        section->relocation_count = kept;
        qsort(section->relocations, kept, sizeof(*section->relocations), by_offset);
    }
}

/* Whether an instruction begins at OFFSET. */
static bool is_instruction(const struct object_section *section, const ZydisDecoder *decoder, uint64_t offset)
{
    ZydisDecodedInstruction instruction;
    uint64_t at = 0;

    while (at < offset && ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, section->bytes + at,
                                                                     section->size - at, &instruction))) {
        at += instruction.length;
    }
    return at == offset;
}

/* The function that begins at OFFSET of SECTION, 0 if none. */
static unsigned function_at(const struct object *object, const struct object_section *section, int64_t offset)
{
    for (unsigned i = 1; i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        if (symbol->section == section->index && symbol->type == STT_FUNC &&
            (int64_t)symbol->value == offset) {
            return i;
        }
    }
    return 0;
}

static void add_relocation(struct object_section *section, struct object_relocation relocation)
{
    struct object_relocation *grown =
        must_have(realloc(section->relocations, (section->relocation_count + 1) * sizeof(*grown)));

    section->relocations = grown;
    grown[section->relocation_count++] = relocation;
    qsort(grown, section->relocation_count, sizeof(*grown), by_offset);
}

/* A static function that takes its own address (lea disp32(%rip), REG) has no relocation for it: the
 * assembler knows the distance. A patch needs one, since the address of a function is that of its first
 * version. */
static void name_own_addresses(const struct object *object, struct object_section *section,
                               const ZydisDecoder *decoder)
{
    for (uint64_t at = 0; at + 7 <= section->size; at++) {
        const uint8_t *code = section->bytes + at;
        if ((code[0] & 0xfb) != 0x48 || code[1] != 0x8d || (code[2] & 0xc7) != 0x05) {
            continue;
        }
        int32_t distance;
        memcpy(&distance, code + 3, sizeof(distance));
        size_t next = object_relocation_at(section, at + 3);
        bool named = next < section->relocation_count && section->relocations[next].offset == at + 3;
        unsigned function = named ? 0 : function_at(object, section, (int64_t)at + 7 + distance);
        if (function && is_instruction(section, decoder, at)) {
            add_relocation(section, (struct object_relocation){ .offset = (uint32_t)at + 3,
                                                                .type = R_X86_64_PC32,
                                                                .symbol = function,
                                                                .addend = -4 });
        }
    }
}

/* Walks over the instructions of a code section and notes, for each field, how far its instruction goes on.
 */
static void find_tails(struct object_section *section, const ZydisDecoder *decoder)
{
    ZydisDecodedInstruction instruction;
    uint64_t at = 0;

    for (size_t i = 0; i < section->relocation_count; i++) {
        struct object_relocation *relocation = &section->relocations[i];
        while (at <= relocation->offset &&
               ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, section->bytes + at,
                                                          section->size - at, &instruction))) {
            at += instruction.length;
        }
        uint64_t end = relocation->offset + relocation_width(relocation->type);
        relocation->tail = at > end && at - end < 16 ? at - end : 0;
    }
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* Notes in each section what is referred to in it without a name, and all names. */
static void collect_anonymous(struct object *object)
{
    for (size_t i = 1; i < object->section_count; i++) {
        const struct object_section *section = &object->sections[i];
        if (section->kind < SECTION_CODE || section->kind > SECTION_TLS) {
            continue;
        }
        for (size_t k = 0; k < section->relocation_count; k++) {
            struct object_place place = object_target(object, section, &section->relocations[k]);
            if (!place.symbol && place.section && place.offset >= 0) {
                LIST_ADD(&place.section->anonymous, place.offset);
            }
        }
    }
    for (size_t i = 1; i < object->symbol_count; i++) {
        struct object_symbol *symbol = &object->symbols[i];
        if (symbol->section && symbol->type != STT_SECTION) {
            LIST_ADD(&object->sections[symbol->section].anonymous, symbol->value);
        }
    }
    for (size_t i = 1; i < object->section_count; i++) {
        struct object_section *section = &object->sections[i];
        if (section->anonymous.count > 1) {
            qsort(section->anonymous.items, section->anonymous.count, sizeof(uint64_t), by_number);
        }
    }
}

static struct molt_error *analyse(struct object *object)
{
    ZydisDecoder decoder;
    Elf64_Ehdr *header = elf64_getehdr(object->elf);

    if (!header || header->e_type != ET_REL || header->e_machine != EM_X86_64) {
        return molt_error_new(MOLT_ERROR_REFUSED, "%s: the compiler made no x86-64 object", object->path);
    }
    read_sections(object);
    read_symbols(object);
    read_relocations(object);
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
    for (size_t i = 1; i < object->section_count; i++) {
        if (object->sections[i].kind == SECTION_CODE && object->sections[i].bytes) {
            name_own_addresses(object, &object->sections[i], &decoder);
            find_tails(&object->sections[i], &decoder);
        }
    }
    object_scope_keys(object, false);
    collect_definitions(object);
    collect_anonymous(object);
    return NULL;
}

static struct molt_error *read_image(struct object *object, struct object **ret)
{
    elf_version(EV_CURRENT);
    object->elf = elf_memory((char *)object->image, object->image_size);
    struct molt_error *error =
        object->elf ? analyse(object)
                    : molt_error_new(MOLT_ERROR_REFUSED, "%s: %s", object->path, elf_errmsg(-1));
    if (error) {
        object_destroy(object);
        return error;
    }
    *ret = object;
    return NULL;
}

struct molt_error *object_load(const char *path, struct object **ret)
{
    struct object *object = must_calloc(1, sizeof(*object));
    struct molt_error *error = file_read(path, (char **)&object->image, &object->image_size);

    object->path = must_strdup(path);
    if (error) {
        object_destroy(object);
        return error;
    }
    return read_image(object, ret);
}

struct molt_error *object_read(const char *path, const void *bytes, size_t size, struct object **ret)
{
    struct object *object = must_calloc(1, sizeof(*object));

    object->path = must_strdup(path);
    object->image = must_calloc(size, 1);
    object->image_size = size;
    memcpy(object->image, bytes, size);
    return read_image(object, ret);
}

struct object *object_empty(void)
{
    struct object *object = must_calloc(1, sizeof(*object));

    object->path = must_strdup("");
    object->dwarf_tried = true;
    object->sections = must_calloc(1, sizeof(*object->sections));
    object->symbols = must_calloc(1, sizeof(*object->symbols));
    return object;
}

void object_destroy(struct object *object)
{
    if (!object) {
        return;
    }
    for (size_t i = 0; i < object->section_count; i++) {
        free(object->sections[i].relocations);
        free(object->sections[i].definitions);
        LIST_FREE(&object->sections[i].anonymous);
    }
    for (size_t i = 0; i < object->owned.count; i++) {
        free(object->owned.items[i]);
    }
    LIST_FREE(&object->owned);
    table_deinit(&object->keys);
    table_deinit(&object->endings);
    free(object->sections);
    free(object->symbols);
    if (object->dwarf) {
        dwarf_end(object->dwarf);
    }
    elf_end(object->elf);
    free(object->image);
    free(object->path);
    free(object);
}

/* The definition in SECTION that OFFSET lies in, if names cover it. */
static struct object_symbol *definition_at(const struct object_section *section, int64_t offset)
{
    struct object_symbol *found = NULL;

    for (size_t i = 0; i < section->definition_count; i++) {
        struct object_symbol *symbol = section->definitions[i];
        if (offset >= (int64_t)symbol->value && offset < (int64_t)(symbol->value + symbol->size)) {
            return symbol;
        }
        found = offset >= (int64_t)symbol->value ? symbol : found;
    }
    if (section->definition_count == 1 && section->definitions[0]->value == 0 &&
        section->definitions[0]->size + section->align > section->size) {
        return section->definitions[0]; /* just before or behind it, as in &array[-1] */
    }
    return section->kind == SECTION_CODE || section->kind == SECTION_DATA || section->kind == SECTION_TLS
               ? found
               : NULL;
}

struct object_place object_target(struct object *object, const struct object_section *section,
                                  const struct object_relocation *relocation)
{
    struct object_symbol *symbol = &object->symbols[relocation->symbol];
    int64_t offset = relocation->addend;

    if (section->kind == SECTION_CODE && relocation_is_relative(relocation->type)) {
        offset += relocation_width(relocation->type) + relocation->tail;
    }
    if (!symbol->section || symbol->key) {
        struct object_section *target = symbol->section ? &object->sections[symbol->section] : NULL;
        return (struct object_place){ symbol, target, offset };
    }
    struct object_section *target = &object->sections[symbol->section];
    offset += symbol->value;
    struct object_symbol *definition = definition_at(target, offset);
    if (definition && definition->key) {
        return (struct object_place){ definition, target, offset - (int64_t)definition->value };
    }
    return (struct object_place){ NULL, target, offset };
}

size_t object_relocation_at(const struct object_section *section, uint64_t offset)
{
    return COUNT_BEFORE(i, section->relocation_count, section->relocations[i].offset < offset);
}

size_t object_anonymous_above(const struct object_section *section, uint64_t offset)
{
    return COUNT_BEFORE(i, section->anonymous.count, section->anonymous.items[i] <= offset);
}

uint64_t object_anonymous_extent(const struct object_section *section, uint64_t offset)
{
    if (offset >= section->size) {
        return 0;
    }
    if (section->entry_size && (section->flags & SHF_MERGE) && !(section->flags & SHF_STRINGS)) {
        return section->entry_size - offset % section->entry_size;
    }
    size_t next = object_anonymous_above(section, offset);
    return (next < section->anonymous.count ? section->anonymous.items[next] : section->size) - offset;
}

struct object_symbol *object_find(const struct object *object, const char *key)
{
    return table_get(&object->keys, key);
}

/* Writes what the linker would into the debug sections of the image, addresses being the made-up ones. */
static void relocate_debug(struct object *object)
{
    for (size_t i = 1; i < object->section_count; i++) {
        struct object_section *section = &object->sections[i];
        for (size_t k = 0; section->kind == SECTION_DEBUG && section->bytes && k < section->relocation_count;
             k++) {
            const struct object_relocation *relocation = &section->relocations[k];
            const struct object_symbol *symbol = &object->symbols[relocation->symbol];
            uint64_t value = relocation->addend + symbol->value;
            unsigned width = relocation_width(relocation->type);
            if (symbol->section) {
                value += object->sections[symbol->section].base;
            }
            if (relocation->type == R_X86_64_64 || relocation->type == R_X86_64_32 ||
                relocation->type == R_X86_64_DTPOFF64 || relocation->type == R_X86_64_DTPOFF32) {
                memcpy((uint8_t *)section->bytes + relocation->offset, &value, width);
            }
        }
    }
}

Dwarf *object_dwarf(struct object *object)
{
    if (!object->dwarf_tried) {
        object->dwarf_tried = true;
        relocate_debug(object);
        object->dwarf = dwarf_begin_elf(object->elf, DWARF_C_READ, NULL);
    }
    return object->dwarf;
}

uint64_t object_address(const struct object *object, const struct object_symbol *symbol)
{
    return object->sections[symbol->section].base + symbol->value;
}

bool object_never_returns(struct object *object, const char *name)
{
    Dwarf *dwarf = object->endings_known ? NULL : object_dwarf(object);
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die;

    object->endings_known = true;
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            const char *found =
                dwarf_tag(&die) == DW_TAG_subprogram && dwarf_hasattr_integrate(&die, DW_AT_noreturn)
                    ? dwarf_diename(&die)
                    : NULL;
            if (found && !table_get(&object->endings, found)) {
                table_put(&object->endings, found, object);
            }
        }
    }
    return table_get(&object->endings, name) != NULL;
}
