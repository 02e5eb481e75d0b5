/*
 * Where the sections of a patch go. One image per module takes the code and what belongs to it, in this
 * order:
 *
 *     room | code sections | jump tables | .eh_frame, search table | PLT | GOT
 *
 * It can be freed when the code is superseded. Data that the program may point to (constants, strings,
 * variables) is kept apart in the module's arena and stays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/load.h"
#include "engine/code/tls.h"
#include "engine/code/unwind_tables.h"

/* Behind each code section: a function of one byte at its end can be led on by a jump, too. */
#define JUMP_ROOM 4

/* In front of the first one: who looks for a call in front of a return address may read so far. */
#define FRONT_ROOM 16

static const Elf64_Rela *relocations_of(const struct loaded_patch *patch, size_t section, size_t *ret_count)
{
    uint32_t table = patch->sections[section].relocations;

    *ret_count = table ? patch->file.sections[table].sh_size / sizeof(Elf64_Rela) : 0;
    return table ? (const Elf64_Rela *)(patch->file.bytes + patch->file.sections[table].sh_offset) : NULL;
}

static bool is_code_section(const struct patch_file *file, size_t section)
{
    return section < file->section_count && file->sections[section].sh_flags & SHF_EXECINSTR;
}

/* A read-only section that refers to the inside of functions, or relative to itself, is a jump table: it
 * belongs to the code. */
static bool is_jump_table(const struct loaded_patch *patch, size_t section)
{
    const struct patch_file *file = &patch->file;
    size_t count;
    const Elf64_Rela *relocations = relocations_of(patch, section, &count);

    for (size_t i = 0; i < count; i++) {
        const Elf64_Sym *symbol = &file->symbols[ELF64_R_SYM(relocations[i].r_info)];
        uint32_t type = ELF64_R_TYPE(relocations[i].r_info);
        if (type == R_X86_64_PC32 || type == R_X86_64_PC64 || type == R_X86_64_PLT32) {
            return true;
        }
        if (is_code_section(file, symbol->st_shndx) &&
            symbol->st_value + (uint64_t)relocations[i].r_addend != 0 &&
            ELF64_ST_TYPE(symbol->st_info) == STT_SECTION) {
            return true;
        }
    }
    return false;
}

/* Whether every reference to string section SECTION says which string it means: not so for section symbols in
 * code. */
static bool is_splittable(const struct loaded_patch *patch, size_t section)
{
    const struct patch_file *file = &patch->file;

    for (size_t i = 1; i < file->section_count; i++) {
        size_t count;
        const Elf64_Rela *relocations = relocations_of(patch, i, &count);
        for (size_t k = 0; k < count; k++) {
            const Elf64_Sym *symbol = &file->symbols[ELF64_R_SYM(relocations[k].r_info)];
            uint32_t type = ELF64_R_TYPE(relocations[k].r_info);
            if (symbol->st_shndx == section && ELF64_ST_TYPE(symbol->st_info) == STT_SECTION &&
                (type == R_X86_64_PC32 || type == R_X86_64_PLT32)) {
                return false;
            }
        }
    }
    return true;
}

static enum section_class classify(const struct loaded_patch *patch, size_t section)
{
    const struct patch_file *file = &patch->file;
    const Elf64_Shdr *header = &file->sections[section];
    const char *name = patch_file_section_name(file, section);

    if (!(header->sh_flags & SHF_ALLOC) || strncmp(name, ".note", 5) == 0 ||
        patch->modules[patch->sections[section].module].absent) {
        return SECTION_UNLOADED;
    }
    if (header->sh_flags & SHF_TLS) {
        return SECTION_TLS;
    }
    if (header->sh_flags & SHF_EXECINSTR || strcmp(name, ".eh_frame") == 0) {
        return SECTION_CODE;
    }
    if (header->sh_type == SHT_NOBITS) {
        return SECTION_DATA;
    }
    if (header->sh_flags & SHF_WRITE && strncmp(name, ".data.rel.ro", 12) != 0) {
        return SECTION_DATA;
    }
    if (is_jump_table(patch, section)) {
        return SECTION_CODE;
    }
    return header->sh_flags & SHF_STRINGS && header->sh_entsize == 1 &&
                   !patch->sections[section].relocations && header->sh_size &&
                   patch_file_section_bytes(file, section)[header->sh_size - 1] == '\0' &&
                   is_splittable(patch, section)
               ? SECTION_STRINGS
               : SECTION_CONSTANTS;
}

static void classify_all(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;

    for (size_t i = 1; i < file->section_count; i++) {
        if (file->sections[i].sh_type == SHT_RELA) {
            patch->sections[file->sections[i].sh_info].relocations = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < file->patch_sections_count; i++) {
        patch->sections[file->patch_sections[i].section].module = file->patch_sections[i].module;
    }
    for (size_t i = 1; i < file->section_count; i++) {
        patch->sections[i].class = classify(patch, i);
    }
}

/* Lays the code sections of MODULE out; addresses are offsets for now. Returns the size, 0 if there are
 * none. */
static size_t lay_out_code(struct loaded_patch *patch, uint32_t module, size_t *ret_frame)
{
    const struct patch_file *file = &patch->file;
    size_t at = FRONT_ROOM;

    *ret_frame = 0;
    for (int pass = 0; pass < 3; pass++) { /* code, jump tables, unwind tables */
        for (size_t i = 1; i < file->section_count; i++) {
            struct loaded_section *section = &patch->sections[i];
            bool is_frame = strcmp(patch_file_section_name(file, i), ".eh_frame") == 0;
            int kind = is_code_section(file, i) ? 0 : is_frame ? 2 : 1;
            if (section->class != SECTION_CODE || section->module != module || kind != pass) {
                continue;
            }
            size_t alignment = file->sections[i].sh_addralign ? file->sections[i].sh_addralign : 1;
            at = (at + alignment - 1) & ~(alignment - 1);
            section->address = at;
            at += file->sections[i].sh_size + (kind == 0 ? JUMP_ROOM : 0);
            if (is_frame) {
                *ret_frame = i;
                at += 4; /* the zero word that ends the table */
            }
        }
    }
    return at > FRONT_ROOM ? at : 0;
}

/* Allocates the image of MODULE and copies its sections. */
static int place_code(struct loaded_patch *patch, uint32_t module)
{
    const struct patch_file *file = &patch->file;
    struct loaded_module *loaded = &patch->modules[module];
    size_t frame, size = (lay_out_code(patch, module, &frame) + 15) & ~15ul;
    size_t header_at = size;
    void *base;

    if (!size) {
        return 0;
    }
    loaded->slots = calloc(file->symbol_count, sizeof(*loaded->slots));
    loaded->image = calloc(1, sizeof(*loaded->image));
    if (!loaded->slots || !loaded->image) {
        return -ENOMEM;
    }
    if (frame) {
        size +=
            unwind_tables_header_size(patch_file_section_bytes(file, frame), file->sections[frame].sh_size);
    }
    for (size_t i = 1; i < file->section_count; i++) {
        if (patch->sections[i].class != SECTION_UNLOADED && patch->sections[i].module == module) {
            relocate_count_slots(patch, i);
        }
    }
    loaded->plt_at = (size + 15) & ~15ul;
    loaded->got_at = loaded->plt_at + 8 * loaded->plt_count;
    size = loaded->got_at + 8 * loaded->got_count;
    int status = arena_code_allocate(loaded->arena, size, &base);
    if (status < 0) {
        free(loaded->image);
        loaded->image = NULL;
        return status == -ENOMEM
                   ? load_refuse(patch, "no room for the patch's code near %s; restart the program to go on",
                                 loaded->module.path)
                   : status;
    }
    *loaded->image = (struct image){
        .arena = loaded->arena,
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + size,
        .plt = (uintptr_t)base + loaded->plt_at,
        .eh_frame = frame ? (uint8_t *)base + patch->sections[frame].address : NULL,
        .eh_frame_header = frame ? (uint8_t *)base + header_at : NULL,
    };
    for (size_t i = 1; i < file->section_count; i++) {
        struct loaded_section *section = &patch->sections[i];
        if (section->class == SECTION_CODE && section->module == module) {
            section->address += (uintptr_t)base;
            section->bytes = (uint8_t *)section->address;
            if (patch_file_section_bytes(file, i)) {
                memcpy(section->bytes, patch_file_section_bytes(file, i), file->sections[i].sh_size);
            }
        }
    }
    return 0;
}

/* Gives a section of variables its place in the writable pool, or in the reserve of thread-local memory. */
static int place_data(struct loaded_patch *patch, size_t index)
{
    const Elf64_Shdr *header = &patch->file.sections[index];
    struct loaded_section *section = &patch->sections[index];
    const uint8_t *contents = patch_file_section_bytes(&patch->file, index);
    size_t alignment = header->sh_addralign ? header->sh_addralign : 1;

    if (section->class == SECTION_TLS) {
        section->bytes = calloc(1, header->sh_size + 1);
        if (!section->bytes) {
            return -ENOMEM;
        }
        if (tls_allocate(header->sh_size, alignment, &section->address) < 0) {
            return load_refuse(
                patch, "no room for new thread-local variables (%zu bytes): restart the program to go on",
                (size_t)header->sh_size);
        }
    } else {
        section->bytes = arena_pool_allocate(patch->modules[section->module].arena, ARENA_WRITABLE,
                                             header->sh_size, alignment);
        if (!section->bytes) {
            return load_refuse(patch,
                               "no room for new variables (%zu bytes) near %s; restart the program to go on",
                               (size_t)header->sh_size, patch->modules[section->module].module.path);
        }
        section->address = (uintptr_t)section->bytes;
    }
    if (contents) {
        memcpy(section->bytes, contents, header->sh_size);
    }
    return 0;
}

int place_sections(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;
    int status = 0;

    classify_all(patch);
    for (uint32_t i = 0; i < file->patch_modules_count && status == 0; i++) {
        status = place_code(patch, i);
    }
    for (size_t i = 1; i < file->section_count && status == 0; i++) {
        if (patch->sections[i].class == SECTION_DATA || patch->sections[i].class == SECTION_TLS) {
            status = file->sections[i].sh_size ? place_data(patch, i) : 0;
        }
    }
    return status;
}
