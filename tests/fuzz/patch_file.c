/*
 * Whatever bytes come as a patch: either they are refused with a reason, or all that the engine then takes
 * from the file without a further check lies inside it.
 */
#include "base/patch_file.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* What rebuilds a frame writes only inside the new one. */
static void walk_value(const struct patch_file *file, const struct molt_patch_transfer *transfer,
                       const struct molt_patch_value *value)
{
    fuzz_touch_string(patch_file_string(file, value->variable));
    if (value->from_kind == MOLT_VALUE_SYMBOL)
        fuzz_touch_string(patch_file_symbol_name(file, value->symbol));
    if (value->migration)
        fuzz_touch(&file->patch_migrations[value->migration - 1], sizeof(struct molt_patch_migration));
    if (value->to_kind == MOLT_VALUE_SLOT &&
        (value->to < -(int64_t)transfer->new_size || (int64_t)value->to + value->size > 0))
        abort();
    if (value->to_kind == MOLT_VALUE_POLICY &&
        (value->to < 0 || (int64_t)value->to + value->size > transfer->seen_size))
        abort();
    if (value->from_kind == MOLT_VALUE_POLICY &&
        (value->from < 0 || value->from + value->from_size > transfer->given_size))
        abort();
}

static void walk_strings(const struct patch_file *file)
{
    for (size_t i = 0; i < file->patch_modules_count; i++)
        fuzz_touch_string(patch_file_string(file, file->patch_modules[i].name));
    for (size_t i = 0; i < file->patch_functions_count; i++) {
        fuzz_touch_string(patch_file_string(file, file->patch_functions[i].name));
        fuzz_touch_string(patch_file_string(file, file->patch_functions[i].unit));
        fuzz_touch_string(patch_file_symbol_name(file, file->patch_functions[i].symbol));
    }
    for (size_t i = 0; i < file->patch_data_count; i++) {
        fuzz_touch_string(patch_file_string(file, file->patch_data[i].name));
        fuzz_touch_string(patch_file_symbol_name(file, file->patch_data[i].symbol));
    }
    for (size_t i = 0; i < file->patch_definitions_count; i++) {
        fuzz_touch_string(patch_file_string(file, file->patch_definitions[i].name));
        fuzz_touch_string(patch_file_symbol_name(file, file->patch_definitions[i].symbol));
    }
    for (size_t i = 0; i < file->patch_transfers_count; i++) {
        const struct molt_patch_transfer *transfer = &file->patch_transfers[i];
        fuzz_touch_string(patch_file_string(file, transfer->function));
        fuzz_touch_string(patch_file_string(file, transfer->unit));
        fuzz_touch_string(patch_file_string(file, transfer->callee));
        fuzz_touch_string(patch_file_string(file, transfer->reason));
        for (uint32_t k = 0; k < transfer->value_count; k++)
            walk_value(file, transfer, &file->patch_values[transfer->value + k]);
        for (uint32_t k = 0; k < transfer->seen_count; k++)
            walk_value(file, transfer, &file->patch_values[transfer->seen + k]);
        if (transfer->policy)
            fuzz_touch_string(patch_file_symbol_name(file, transfer->policy));
    }
    for (size_t i = 0; i < file->patch_bindings_count; i++)
        fuzz_touch_string(patch_file_symbol_name(file, file->patch_bindings[i].symbol));
}

/* Every relocation's place and symbol, as the loader goes through them. */
static void walk_relocations(const struct patch_file *file, const Elf64_Shdr *section)
{
    const uint8_t *bytes = file->bytes + section->sh_offset;
    const Elf64_Shdr *target = &file->sections[section->sh_info];

    for (size_t i = 0; i < section->sh_size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela rela;

        memcpy(&rela, bytes + i * sizeof rela, sizeof rela);
        fuzz_touch(&file->symbols[ELF64_R_SYM(rela.r_info)], sizeof(Elf64_Sym));
        if (target->sh_type != SHT_NOBITS)
            fuzz_touch(file->bytes + target->sh_offset + rela.r_offset, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct patch_file file;
    const char *reason = NULL;
    void *copy = aligned_alloc(16, (size + 16) & ~(size_t)15);

    if (!copy)
        return 0;
    /* At the end of the block, so that one byte too far is one byte outside. */
    size_t shift = ((size + 16) & ~(size_t)15) - size;
    uint8_t *start = (uint8_t *)copy + (shift & ~(size_t)7);
    if (size)
        memcpy(start, bytes, size);
    if (size >= sizeof(Elf64_Ehdr))
        patch_file_seal(start, size); /* mutations are to get past the sum */
    if (patch_file_open(start, size, &file, &reason) != 0) {
        fuzz_touch_string(reason);
    } else {
        fuzz_touch(file.manifest, file.manifest_size);
        walk_strings(&file);
        for (size_t i = 0; i < file.section_count; i++) {
            fuzz_touch_string(patch_file_section_name(&file, i));
            const uint8_t *contents = patch_file_section_bytes(&file, i);
            if (contents)
                fuzz_touch(contents, file.sections[i].sh_size);
            if (file.sections[i].sh_type == SHT_RELA)
                walk_relocations(&file, &file.sections[i]);
        }
        for (size_t i = 0; i < file.symbol_count; i++)
            fuzz_touch_string(patch_file_symbol_name(&file, i));
    }
    free(copy);
    return 0;
}
