/*
 * How fields name functions. In a patch file a function of the program is named by a symbol that is bound to
 * its address, or, if the patch brought a new version of it, by that definition.
 */
#include "patch/emit/mentions.h"

#include <string.h>

bool mention_is_branch(const uint8_t *bytes, uint64_t offset, uint32_t type)
{
    const uint8_t *field = bytes + offset;
    bool jump = offset >= 1 && (field[-1] == 0xe8 || field[-1] == 0xe9);
    bool conditional = offset >= 2 && field[-2] == 0x0f && (field[-1] & 0xf0) == 0x80;
    bool through_got = offset >= 2 && field[-2] == 0xff && (field[-1] == 0x15 || field[-1] == 0x25);

    switch (type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        return jump || conditional;
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
        return through_got;
    default:
        return false;
    }
}

static bool is_same_module(const struct image *image, const struct molt_patch_module *module)
{
    return image->build_id_size == module->build_id_size &&
           memcmp(image->build_id, module->build_id, image->build_id_size) == 0;
}

/* Whether symbol INDEX of FILE stands for the function. */
static bool is_meant(const struct patch_file *file, uint32_t index, const struct image *image,
                     uint64_t address)
{
    for (size_t i = 0; i < file->patch_bindings_count; i++) {
        const struct molt_patch_binding *binding = &file->patch_bindings[i];
        if (binding->symbol == index) {
            return binding->kind == MOLT_BINDING_ADDRESS && binding->value == address &&
                   is_same_module(image, &file->patch_modules[binding->module]);
        }
    }
    for (size_t i = 0; i < file->patch_functions_count; i++) {
        const struct molt_patch_function *function = &file->patch_functions[i];
        if (function->symbol && function->symbol == index) {
            return !(function->flags & MOLT_FUNCTION_EARLIER) && function->address == address &&
                   is_same_module(image, &file->patch_modules[function->module]);
        }
    }
    return false;
}

/* Whether the relocations of section TABLE of FILE take the address of symbol INDEX. */
static bool takes(const struct patch_file *file, const Elf64_Shdr *table, uint32_t index)
{
    const Elf64_Shdr *section = &file->sections[table->sh_info];
    const Elf64_Rela *relocations = (const Elf64_Rela *)(file->bytes + table->sh_offset);
    const uint8_t *bytes = patch_file_section_bytes(file, table->sh_info);
    bool unwind = strcmp(patch_file_section_name(file, table->sh_info), ".eh_frame") == 0;

    if (!(section->sh_flags & SHF_ALLOC) || unwind || !bytes) {
        return false;
    }
    for (size_t i = 0; i < table->sh_size / sizeof(*relocations); i++) {
        if (ELF64_R_SYM(relocations[i].r_info) == index &&
            (!(section->sh_flags & SHF_EXECINSTR) ||
             !mention_is_branch(bytes, relocations[i].r_offset, ELF64_R_TYPE(relocations[i].r_info)))) {
            return true;
        }
    }
    return false;
}

const struct earlier_patch *mention_in_earlier(const struct earlier_patch *earlier, size_t count,
                                               const struct image *image, uint64_t address)
{
    for (size_t i = count; i-- > 0;) {
        const struct patch_file *file = &earlier[i].file;
        for (size_t symbol = 1; symbol < file->symbol_count; symbol++) {
            for (size_t k = 1; is_meant(file, symbol, image, address) && k < file->section_count; k++) {
                if (file->sections[k].sh_type == SHT_RELA && takes(file, &file->sections[k], symbol)) {
                    return &earlier[i];
                }
            }
        }
    }
    return NULL;
}
