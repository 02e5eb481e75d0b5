/*
 * Opening a patch file. The bytes may come from anywhere, so this is the one place that believes nothing:
 * what passes here can be indexed without further checks. The order of the checks is the order of dependence:
 * header, section table, names, symbols, relocations, then the .molt.* arrays, which refer to all of these.
 */
#include "base/patch_file.h"

#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/patch_file_private.h"

struct opening {
    struct patch_file *file;
    struct cursor whole;
    const char *reason;
};

static int bad(struct opening *opening, const char *reason)
{
    opening->reason = reason;
    return -EBADMSG;
}

/* FNV-1a over the file but for the bytes that hold the sum, and its length. */
static uint64_t sum_of(const uint8_t *bytes, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325 ^ size;

    for (size_t i = 0; i < size; i++) {
        if (i < EI_PAD || i >= EI_NIDENT) {
            sum = (sum ^ bytes[i]) * 0x100000001b3;
        }
    }
    return sum;
}

void patch_file_seal(void *bytes, size_t size)
{
    uint64_t sum = sum_of(bytes, size);

    memcpy((uint8_t *)bytes + EI_PAD, &sum, EI_NIDENT - EI_PAD);
}

static bool is_sealed(const uint8_t *bytes, size_t size)
{
    uint64_t sum = sum_of(bytes, size);

    return memcmp(bytes + EI_PAD, &sum, EI_NIDENT - EI_PAD) == 0;
}

static int open_header(struct opening *opening, Elf64_Ehdr *header)
{
    struct cursor cursor = opening->whole;

    cursor_copy(&cursor, header, sizeof(*header));
    if (cursor_failed(&cursor) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return bad(opening, "not an ELF file");
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64 || header->e_type != ET_REL) {
        return bad(opening, "not an x86-64 relocatable object");
    }
    if (!is_sealed(opening->file->bytes, opening->file->size)) {
        return bad(opening, "damaged or cut off: its sum is wrong");
    }
    if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8 != 0) {
        return bad(opening, "malformed section table");
    }
    return 0;
}

/* The section table; its length may stand in section 0, as in any ELF file with many sections (gABI,
 * e_shnum). */
static int open_sections(struct opening *opening, const Elf64_Ehdr *header)
{
    struct patch_file *file = opening->file;
    struct cursor first = cursor_range(&opening->whole, header->e_shoff, sizeof(Elf64_Shdr));
    if (cursor_failed(&first)) {
        return bad(opening, "section table outside the file");
    }
    const Elf64_Shdr *zero = cursor_take(&first, sizeof(*zero));
    uint64_t count = header->e_shnum ? header->e_shnum : zero->sh_size;
    uint64_t names = header->e_shstrndx == SHN_XINDEX ? zero->sh_link : header->e_shstrndx;

    if (count > file->size / sizeof(Elf64_Shdr)) {
        return bad(opening, "section table outside the file");
    }
    struct cursor table = cursor_range(&opening->whole, header->e_shoff, count * sizeof(Elf64_Shdr));
    if (cursor_failed(&table) || count == 0 || names == 0 || names >= count) {
        return bad(opening, "section table outside the file");
    }
    file->sections = (const Elf64_Shdr *)table.bytes;
    file->section_count = count;
    for (size_t i = 1; i < count; i++) {
        const Elf64_Shdr *section = &file->sections[i];
        struct cursor bytes = cursor_range(&opening->whole, section->sh_offset, section->sh_size);
        if (section->sh_type != SHT_NOBITS && cursor_failed(&bytes)) {
            return bad(opening, "section outside the file");
        }
        if (section->sh_addralign > 4096 || (section->sh_addralign & (section->sh_addralign - 1))) {
            return bad(opening, "section alignment is not a power of two up to a page");
        }
        if (section->sh_type == SHT_NOBITS && section->sh_size > UINT32_MAX) {
            return bad(opening, "section larger than 4 GB");
        }
    }
    const Elf64_Shdr *strings = &file->sections[names];
    if (strings->sh_type != SHT_STRTAB || !strings->sh_size ||
        file->bytes[strings->sh_offset + strings->sh_size - 1] != '\0') {
        return bad(opening, "malformed section names");
    }
    file->section_names = (const char *)file->bytes + strings->sh_offset;
    file->section_names_size = strings->sh_size;
    for (size_t i = 0; i < count; i++) {
        if (file->sections[i].sh_name >= strings->sh_size) {
            return bad(opening, "malformed section names");
        }
    }
    return 0;
}

static int check_symbol(struct opening *opening, const Elf64_Sym *symbol, uint64_t names_size)
{
    const struct patch_file *file = opening->file;

    if (symbol->st_name >= names_size) {
        return bad(opening, "malformed symbol names");
    }
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS) {
        return 0;
    }
    if (symbol->st_shndx >=
        file->section_count) { /* SHN_COMMON and SHN_XINDEX are not written by the builder */
        return bad(opening, "symbol in a section that is not there");
    }
    const Elf64_Shdr *section = &file->sections[symbol->st_shndx];
    if (symbol->st_value > section->sh_size || symbol->st_size > section->sh_size - symbol->st_value) {
        return bad(opening, "symbol outside its section");
    }
    return 0;
}

static int open_symbols(struct opening *opening)
{
    struct patch_file *file = opening->file;

    for (size_t i = 1; i < file->section_count; i++) {
        const Elf64_Shdr *table = &file->sections[i];
        if (table->sh_type != SHT_SYMTAB) {
            continue;
        }
        if (file->symbols || table->sh_entsize != sizeof(Elf64_Sym) || table->sh_offset % 8 != 0 ||
            table->sh_size % sizeof(Elf64_Sym) != 0 || table->sh_size == 0 || table->sh_link == 0 ||
            table->sh_link >= file->section_count) {
            return bad(opening, "malformed symbol table");
        }
        const Elf64_Shdr *names = &file->sections[table->sh_link];
        if (names->sh_type != SHT_STRTAB || !names->sh_size ||
            file->bytes[names->sh_offset + names->sh_size - 1] != '\0') {
            return bad(opening, "malformed symbol names");
        }
        file->symbols = (const Elf64_Sym *)(file->bytes + table->sh_offset);
        file->symbol_count = table->sh_size / sizeof(Elf64_Sym);
        file->symbol_names = (const char *)file->bytes + names->sh_offset;
        for (size_t k = 0; k < file->symbol_count; k++) {
            int status = check_symbol(opening, &file->symbols[k], names->sh_size);
            if (status < 0) {
                return status;
            }
        }
    }
    return file->symbols ? 0 : bad(opening, "no symbol table");
}

static int check_relocations(struct opening *opening)
{
    const struct patch_file *file = opening->file;

    for (size_t i = 1; i < file->section_count; i++) {
        const Elf64_Shdr *table = &file->sections[i];
        if (table->sh_type == SHT_REL) {
            return bad(opening, "relocations without addends");
        }
        if (table->sh_type != SHT_RELA) {
            continue;
        }
        if (table->sh_entsize != sizeof(Elf64_Rela) || table->sh_offset % 8 != 0 ||
            table->sh_size % sizeof(Elf64_Rela) != 0 || table->sh_info == 0 ||
            table->sh_info >= file->section_count) {
            return bad(opening, "malformed relocation table");
        }
        const Elf64_Shdr *target = &file->sections[table->sh_info];
        const Elf64_Rela *entries = (const Elf64_Rela *)(file->bytes + table->sh_offset);
        for (size_t k = 0; k < table->sh_size / sizeof(Elf64_Rela); k++) {
            if (entries[k].r_offset >= target->sh_size || target->sh_type == SHT_NOBITS ||
                ELF64_R_SYM(entries[k].r_info) >= file->symbol_count) {
                return bad(opening, "relocation outside its section");
            }
        }
    }
    return 0;
}

static const Elf64_Shdr *find_section(const struct patch_file *file, const char *name)
{
    for (size_t i = 1; i < file->section_count; i++) {
        if (strcmp(patch_file_section_name(file, i), name) == 0) {
            return &file->sections[i];
        }
    }
    return NULL;
}

/* Points *ret_array at the records of section NAME (none if there is no such section). */
static int open_array(struct opening *opening, const char *name, size_t record_size, const void **ret_array,
                      size_t *ret_count)
{
    const Elf64_Shdr *section = find_section(opening->file, name);

    if (!section) {
        return 0;
    }
    if (section->sh_type == SHT_NOBITS || section->sh_offset % 8 != 0 ||
        section->sh_size % record_size != 0) {
        return bad(opening, "malformed .molt section");
    }
    *ret_array = opening->file->bytes + section->sh_offset;
    *ret_count = section->sh_size / record_size;
    return 0;
}

static int open_arrays(struct opening *opening)
{
    struct patch_file *file = opening->file;
    const Elf64_Shdr *manifest = find_section(file, ".molt.manifest");
    const Elf64_Shdr *strings = find_section(file, ".molt.strings");

    if (!manifest || manifest->sh_type == SHT_NOBITS || !manifest->sh_size) {
        return bad(opening, "no manifest: this object is not a Molt patch");
    }
    file->manifest = (const char *)file->bytes + manifest->sh_offset;
    file->manifest_size = manifest->sh_size;
    if (!strings || strings->sh_type == SHT_NOBITS || !strings->sh_size ||
        file->bytes[strings->sh_offset + strings->sh_size - 1] != '\0') {
        return bad(opening, "malformed .molt.strings");
    }
    file->strings = (const char *)file->bytes + strings->sh_offset;
    file->strings_size = strings->sh_size;
#define X(array, record)                                                                                     \
    {                                                                                                        \
        const void *found = NULL;                                                                            \
        int status = open_array(opening, ".molt." #array, sizeof(struct molt_patch_##record), &found,        \
                                &file->patch_##array##_count);                                               \
        if (status < 0) {                                                                                    \
            return status;                                                                                   \
        }                                                                                                    \
        file->patch_##array = found;                                                                         \
    }
    MOLT_PATCH_ARRAYS(X)
#undef X
    return 0;
}

bool patch_file_defines(const struct patch_file *file, uint32_t symbol)
{
    return symbol > 0 && symbol < file->symbol_count && file->symbols[symbol].st_shndx != SHN_UNDEF &&
           file->symbols[symbol].st_shndx != SHN_ABS;
}

static int check_binding(struct opening *opening, const struct molt_patch_binding *binding)
{
    const struct patch_file *file = opening->file;

    if (binding->symbol == 0 || binding->symbol >= file->symbol_count ||
        file->symbols[binding->symbol].st_shndx != SHN_UNDEF || binding->kind >= MOLT_BINDING_COUNT) {
        return bad(opening, "malformed binding");
    }
    switch ((enum molt_binding_kind)binding->kind) {
    case MOLT_BINDING_ADDRESS:
    case MOLT_BINDING_TLS:
        return binding->module < file->patch_modules_count ? 0 : bad(opening, "binding to an unknown module");
    case MOLT_BINDING_IMPORT:
        return binding->value < file->strings_size ? 0 : bad(opening, "malformed binding");
    case MOLT_BINDING_EARLIER:
        return binding->value < file->strings_size && binding->module < file->strings_size
                   ? 0
                   : bad(opening, "malformed binding");
    case MOLT_BINDING_COUNT:
        break;
    }
    return bad(opening, "malformed binding");
}

static int check_function(struct opening *opening, const struct molt_patch_function *function)
{
    const struct patch_file *file = opening->file;
    const uint32_t without_code = MOLT_FUNCTION_PART | MOLT_FUNCTION_REMOVED;

    if (function->module >= file->patch_modules_count || function->name >= file->strings_size ||
        function->unit >= file->strings_size || function->address > INT64_MAX) {
        return bad(opening, "malformed function entry");
    }
    if (!(function->flags & without_code) && !patch_file_defines(file, function->symbol)) {
        return bad(opening, "function without its new definition");
    }
    return 0;
}

static bool is_rebind(const struct patch_file *file, const struct molt_patch_rebind *rebind)
{
    return rebind->kind < MOLT_REBIND_KINDS && rebind->module < file->patch_modules_count &&
           rebind->old_symbol && rebind->old_symbol < file->symbol_count &&
           patch_file_defines(file, rebind->new_symbol) && rebind->address < INT64_MAX && rebind->tail < 16 &&
           rebind->addend >= INT32_MIN && rebind->addend <= INT32_MAX &&
           rebind->function < file->strings_size;
}

static int check_records(struct opening *opening)
{
    const struct patch_file *file = opening->file;
    int status = 0;

    for (size_t i = 0; i < file->patch_modules_count; i++) {
        if (file->patch_modules[i].build_id_size > MOLT_BUILD_ID_MAX ||
            !file->patch_modules[i].build_id_size || file->patch_modules[i].name >= file->strings_size) {
            return bad(opening, "malformed module entry");
        }
    }
    for (size_t i = 0; i < file->patch_sections_count; i++) {
        if (file->patch_sections[i].section == 0 || file->patch_sections[i].section >= file->section_count ||
            file->patch_sections[i].module >= file->patch_modules_count) {
            return bad(opening, "malformed section entry");
        }
    }
    for (size_t i = 0; i < file->patch_bindings_count && status == 0; i++) {
        status = check_binding(opening, &file->patch_bindings[i]);
    }
    for (size_t i = 0; i < file->patch_functions_count && status == 0; i++) {
        status = check_function(opening, &file->patch_functions[i]);
    }
    for (size_t i = 0; i < file->patch_data_count && status == 0; i++) {
        const struct molt_patch_data *data = &file->patch_data[i];
        if (!patch_file_defines(file, data->symbol) || data->module >= file->patch_modules_count ||
            data->name >= file->strings_size || data->unit >= file->strings_size ||
            data->size > file->symbols[data->symbol].st_size || data->address > INT64_MAX) {
            status = bad(opening, "malformed data entry");
        }
    }
    for (size_t i = 0; i < file->patch_definitions_count && status == 0; i++) {
        const struct molt_patch_definition *definition = &file->patch_definitions[i];
        if (!patch_file_defines(file, definition->symbol) || definition->name >= file->strings_size ||
            definition->unit >= file->strings_size) {
            status = bad(opening, "malformed definition entry");
        }
    }
    for (size_t i = 0; i < file->patch_rebinds_count && status == 0; i++) {
        status = is_rebind(file, &file->patch_rebinds[i]) ? 0 : bad(opening, "malformed operand entry");
    }
    const char *reason = status == 0 ? patch_file_check_state(file) : NULL;
    if (status == 0 && !reason) {
        reason = patch_file_check_transfers(file);
    }
    return reason ? bad(opening, reason) : status;
}

int patch_file_open(const void *bytes, size_t size, struct patch_file *ret, const char **ret_reason)
{
    struct patch_file file = { .bytes = bytes, .size = size };
    struct opening opening = { .file = &file, .whole = cursor_of(bytes, size) };
    Elf64_Ehdr header;

    int status =
        (uintptr_t)bytes % 8 ? bad(&opening, "patch not aligned in memory") : open_header(&opening, &header);
    if (status == 0) {
        status = open_sections(&opening, &header);
    }
    if (status == 0) {
        status = open_symbols(&opening);
    }
    if (status == 0) {
        status = check_relocations(&opening);
    }
    if (status == 0) {
        status = open_arrays(&opening);
    }
    if (status == 0) {
        status = check_records(&opening);
    }
    if (status < 0) {
        *ret_reason = opening.reason;
        return status;
    }
    *ret = file;
    return 0;
}

const char *patch_file_section_name(const struct patch_file *file, size_t index)
{
    return file->section_names + file->sections[index].sh_name;
}

const char *patch_file_symbol_name(const struct patch_file *file, size_t index)
{
    return file->symbol_names + file->symbols[index].st_name;
}

const char *patch_file_string(const struct patch_file *file, uint32_t offset)
{
    return file->strings + offset;
}

const uint8_t *patch_file_section_bytes(const struct patch_file *file, size_t index)
{
    const Elf64_Shdr *section = &file->sections[index];

    return index == 0 || section->sh_type == SHT_NOBITS || !section->sh_size
               ? NULL
               : file->bytes + section->sh_offset;
}
