/*
 * Relocations of x86-64 (psABI 1.0, 4.4), as gcc and clang produce them at any optimisation level, with or
 * without PIC.
 *
 * A replaced function has two addresses. Calls and jumps go to its new code directly. Everything else (stored
 * pointers, comparisons, GOT entries) sees its identity, the old address, where a jump leads to the newest
 * code. Which of the two a relocation means is told by the instruction: 0xe8, 0xe9 and 0x0f 0x8x branch.
 *
 * Calls and jumps that do not reach (2 GB) go through a PLT entry of the image: `jmp *slot(%rip)`.
 */
#include <errno.h>
#include <string.h>

#include "engine/code/load.h"

/* One relocation, with what it needs. */
struct site {
    const Elf64_Rela *entry;
    uint32_t type, symbol_index;
    struct loaded_symbol symbol;
    uint8_t *bytes;             /* where to write */
    uintptr_t place;            /* the address that these bytes will have: P */
    size_t room;                /* bytes from there to the section's end */
    struct symbol_slots *slots; /* NULL outside of an image's module */
    const struct loaded_module *module;
};

static const Elf64_Rela *section_relocations(const struct loaded_patch *patch, size_t section,
                                             size_t *ret_count)
{
    const Elf64_Shdr *table = &patch->file.sections[patch->sections[section].relocations];

    *ret_count = patch->sections[section].relocations ? table->sh_size / sizeof(Elf64_Rela) : 0;
    return (const Elf64_Rela *)(patch->file.bytes + table->sh_offset);
}

static bool is_branch(const uint8_t *contents, uint64_t offset, uint32_t type)
{
    if (type != R_X86_64_PC32 && type != R_X86_64_PLT32) {
        return false; /* an absolute operand may follow any byte */
    }
    if (offset >= 1 && (contents[offset - 1] == 0xe8 || contents[offset - 1] == 0xe9)) {
        return true;
    }
    return offset >= 2 && contents[offset - 2] == 0x0f && (contents[offset - 1] & 0xf0) == 0x80;
}

/* ---- PLT and GOT ------------------------------------------------------------------------------------- */

static void count_slot(uint32_t *slot, size_t *count, size_t entries)
{
    if (!*slot) {
        *slot = (uint32_t)*count + 1;
        *count += entries;
    }
}

/* Whether SYMBOL may be too far from code near MODULE: not in the patch, or near another module. */
static bool is_elsewhere(const struct loaded_patch *patch, uint32_t symbol, uint32_t module)
{
    uint32_t section = patch->file.symbols[symbol].st_shndx;

    return section == SHN_UNDEF ||
           (section < patch->file.section_count && patch->sections[section].module != module);
}

void relocate_count_slots(struct loaded_patch *patch, size_t section)
{
    struct loaded_module *module = &patch->modules[patch->sections[section].module];
    size_t count;
    const Elf64_Rela *relocations = section_relocations(patch, section, &count);

    for (size_t i = 0; i < count; i++) {
        uint32_t symbol = (uint32_t)ELF64_R_SYM(relocations[i].r_info);
        struct symbol_slots *slots = &module->slots[symbol];
        switch (ELF64_R_TYPE(relocations[i].r_info)) {
        case R_X86_64_GOTPCREL:
        case R_X86_64_GOTPCRELX:
        case R_X86_64_REX_GOTPCRELX:
        case R_X86_64_GOT64:
        case R_X86_64_GOTPCREL64:
            count_slot(&slots->got, &module->got_count, 1);
            break;
        case R_X86_64_TLSGD:
        case R_X86_64_TLSLD:
            count_slot(&slots->got_tls_pair, &module->got_count, 2);
            break;
        case R_X86_64_GOTTPOFF:
            count_slot(&slots->got_tls_offset, &module->got_count, 1);
            break;
        case R_X86_64_PLT32:
        case R_X86_64_PC32:
            if (!slots->plt && is_elsewhere(patch, symbol, patch->sections[section].module)) {
                count_slot(&slots->plt, &module->plt_count, 1);
                count_slot(&slots->got, &module->got_count, 1);
            }
            break;
        default:
            break;
        }
    }
}

static uintptr_t got_address(const struct loaded_module *module, uint32_t slot)
{
    return module->image->start + module->got_at + 8 * ((uintptr_t)slot - 1);
}

static uintptr_t plt_address(const struct loaded_module *module, uint32_t slot)
{
    return module->image->start + module->plt_at + 8 * ((uintptr_t)slot - 1);
}

static void store_u64(uintptr_t address, uint64_t value)
{
    memcpy((void *)address, &value, sizeof(value));
}

void relocate_fill_slots(struct loaded_patch *patch, uint32_t index)
{
    struct loaded_module *module = &patch->modules[index];

    for (size_t i = 0; i < patch->file.symbol_count; i++) {
        const struct symbol_slots *slots = &module->slots[i];
        const struct loaded_symbol *symbol = &patch->symbols[i];
        if (slots->got) {
            store_u64(got_address(module, slots->got), symbol->identity);
        }
        if (slots->got_tls_pair) { /* what __tls_get_addr takes: module, offset */
            store_u64(got_address(module, slots->got_tls_pair), symbol->tls_module);
            store_u64(got_address(module, slots->got_tls_pair) + 8, symbol->address);
        }
        if (slots->got_tls_offset) {
            store_u64(got_address(module, slots->got_tls_offset), (uint64_t)symbol->tls_offset);
        }
        if (slots->plt) {
            uintptr_t entry = plt_address(module, slots->plt);
            int32_t distance = (int32_t)(got_address(module, slots->got) - (entry + 6));
            memcpy((void *)entry, "\xff\x25", 2);
            memcpy((void *)(entry + 2), &distance, 4);
            memcpy((void *)(entry + 6), "\xcc\xcc", 2);
        }
    }
}

/* ---- single relocations ------------------------------------------------------------------------------ */

static int out_of_reach(struct loaded_patch *patch, const struct site *site)
{
    return load_refuse(patch, "%s is out of reach of the patch's code (relocation %u)",
                       load_symbol_name(patch, site->symbol_index), site->type);
}

static int write_bytes(struct loaded_patch *patch, const struct site *site, uint64_t value, size_t size)
{
    if (site->room < size) {
        return load_refuse(patch, "malformed patch: relocation at the end of a section");
    }
    memcpy(site->bytes, &value, size);
    return 0;
}

static int write_signed32(struct loaded_patch *patch, const struct site *site, int64_t value)
{
    return value == (int32_t)value ? write_bytes(patch, site, (uint64_t)value, 4) : out_of_reach(patch, site);
}

static int write_unsigned32(struct loaded_patch *patch, const struct site *site, uint64_t value)
{
    return value == (uint32_t)value ? write_bytes(patch, site, value, 4) : out_of_reach(patch, site);
}

static int relocate_relative(struct loaded_patch *patch, const struct site *site, bool branch)
{
    int64_t distance = (int64_t)(site->symbol.address + (uint64_t)site->entry->r_addend - site->place);

    if (distance != (int32_t)distance && branch && site->slots && site->slots[site->symbol_index].plt) {
        uintptr_t entry = plt_address(site->module, site->slots[site->symbol_index].plt);
        distance = (int64_t)(entry + (uint64_t)site->entry->r_addend - site->place);
    }
    return write_signed32(patch, site, distance);
}

static int relocate_got(struct loaded_patch *patch, const struct site *site, uint32_t slot)
{
    uintptr_t address = got_address(site->module, slot);

    return write_signed32(patch, site, (int64_t)(address + (uint64_t)site->entry->r_addend - site->place));
}

static int need_static_tls(struct loaded_patch *patch, const struct site *site)
{
    return site->symbol.tls_static
               ? 0
               : load_refuse(
                     patch,
                     "%s lies in thread-local storage that was loaded at run time; its library cannot be "
                     "patched where it uses it in this way",
                     load_symbol_name(patch, site->symbol_index));
}

/*
 * Offsets in local-dynamic code count from the block of the module that the code belongs to (what
 * R_X86_64_TLSLD yields). A new variable lies in the engine's block; since both blocks are at fixed distances
 * from the thread pointer, so are they from each other.
 */
static int relocate_dtpoff(struct loaded_patch *patch, const struct site *site, size_t size)
{
    int64_t value = (int64_t)site->symbol.address + site->entry->r_addend;

    if (site->symbol.tls_module != site->module->module.tls_id && site->module->module.tls_id) {
        if (!site->module->module.tls_static) {
            return need_static_tls(patch, &(struct site){ .symbol_index = site->symbol_index });
        }
        value = site->symbol.tls_offset - site->module->module.tls_offset + site->entry->r_addend;
    }
    return size == 8 ? write_bytes(patch, site, (uint64_t)value, 8) : write_signed32(patch, site, value);
}

/* A local-dynamic base is the module's block, whichever variable the compiler named. */
static void fix_local_dynamic_base(const struct site *site)
{
    uintptr_t pair = got_address(site->module, site->slots[site->symbol_index].got_tls_pair);
    size_t module = site->module->module.tls_id ? site->module->module.tls_id : site->symbol.tls_module;

    store_u64(pair, module);
    store_u64(pair + 8, 0);
}

static int relocate_tls(struct loaded_patch *patch, const struct site *site)
{
    int status;

    switch (site->type) {
    case R_X86_64_TLSGD:
        return relocate_got(patch, site, site->slots[site->symbol_index].got_tls_pair);
    case R_X86_64_TLSLD:
        fix_local_dynamic_base(site);
        return relocate_got(patch, site, site->slots[site->symbol_index].got_tls_pair);
    case R_X86_64_DTPOFF32:
        return relocate_dtpoff(patch, site, 4);
    case R_X86_64_DTPOFF64:
        return relocate_dtpoff(patch, site, 8);
    case R_X86_64_GOTTPOFF:
        status = need_static_tls(patch, site);
        return status < 0 ? status
                          : relocate_got(patch, site, site->slots[site->symbol_index].got_tls_offset);
    case R_X86_64_TPOFF32:
        status = need_static_tls(patch, site);
        return status < 0 ? status
                          : write_signed32(patch, site, site->symbol.tls_offset + site->entry->r_addend);
    default: /* R_X86_64_TPOFF64 */
        status = need_static_tls(patch, site);
        return status < 0
                   ? status
                   : write_bytes(patch, site, (uint64_t)(site->symbol.tls_offset + site->entry->r_addend), 8);
    }
}

static int apply(struct loaded_patch *patch, const struct site *site, bool branch)
{
    uint64_t value = site->symbol.address + (uint64_t)site->entry->r_addend;
    uint64_t size = patch->file.symbols[site->symbol_index].st_size + (uint64_t)site->entry->r_addend;

    switch (site->type) {
    case R_X86_64_NONE:
        return 0;
    case R_X86_64_64:
        return write_bytes(patch, site, value, 8);
    case R_X86_64_32:
        return write_unsigned32(patch, site, value);
    case R_X86_64_32S:
        return write_signed32(patch, site, (int64_t)value);
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        return relocate_relative(patch, site, branch);
    case R_X86_64_PC64:
        return write_bytes(patch, site, value - site->place, 8);
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
        return relocate_got(patch, site, site->slots[site->symbol_index].got);
    case R_X86_64_SIZE32:
        return write_unsigned32(patch, site, size);
    case R_X86_64_SIZE64:
        return write_bytes(patch, site, size, 8);
    case R_X86_64_TLSGD:
    case R_X86_64_TLSLD:
    case R_X86_64_DTPOFF32:
    case R_X86_64_DTPOFF64:
    case R_X86_64_GOTTPOFF:
    case R_X86_64_TPOFF32:
    case R_X86_64_TPOFF64:
        return relocate_tls(patch, site);
    default:
        return load_refuse(patch, "relocation type %u (symbol %s) is not supported", site->type,
                           load_symbol_name(patch, site->symbol_index));
    }
}

/* Whether the GOT is needed for this relocation, so that code outside of an image (which has none) is
 * refused. */
static bool needs_slots(uint32_t type)
{
    switch (type) {
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
    case R_X86_64_TLSGD:
    case R_X86_64_TLSLD:
    case R_X86_64_GOTTPOFF:
        return true;
    default:
        return false;
    }
}

/* Resolves what SITE names; for strings that are interned one by one, by what it points at. */
static int resolve_site(struct loaded_patch *patch, struct site *site, bool branch, bool in_code)
{
    const Elf64_Sym *elf = &patch->file.symbols[site->symbol_index];
    const struct loaded_section *section =
        elf->st_shndx < patch->file.section_count ? &patch->sections[elf->st_shndx] : NULL;

    site->symbol = patch->symbols[site->symbol_index];
    if (elf->st_shndx != SHN_UNDEF && section && section->class == SECTION_STRINGS) {
        bool whole = ELF64_ST_TYPE(elf->st_info) == STT_SECTION;
        uint64_t offset = whole ? (uint64_t)site->entry->r_addend : elf->st_value;
        uintptr_t string = load_string(patch, elf->st_shndx, offset);
        if (!string) {
            return load_refuse(patch, "malformed patch, or no room for its strings");
        }
        site->symbol.address = site->symbol.identity = whole ? string - offset : string;
        return 0;
    }
    /* Tables of code offsets and unwind tables mean the new code; so does a branch; all else means the
     * identity. */
    bool relative_data = !in_code && (site->type == R_X86_64_PC32 || site->type == R_X86_64_PC64);
    bool at_entry =
        elf->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(elf->st_info) != STT_SECTION ||
        site->entry->r_addend == (site->type == R_X86_64_PC32 || site->type == R_X86_64_PLT32 ? -4 : 0);
    if (!branch && !relative_data && at_entry && !site->symbol.tls_module) {
        site->symbol.address = site->symbol.identity;
    }
    return 0;
}

int relocate_section(struct loaded_patch *patch, size_t index)
{
    const struct loaded_section *section = &patch->sections[index];
    const Elf64_Shdr *header = &patch->file.sections[index];
    const uint8_t *contents = patch_file_section_bytes(&patch->file, index);
    struct loaded_module *module = &patch->modules[section->module];
    bool in_code = header->sh_flags & SHF_EXECINSTR;
    size_t count;
    const Elf64_Rela *relocations = section_relocations(patch, index, &count);

    for (size_t i = 0; i < count; i++) {
        struct site site = {
            .entry = &relocations[i],
            .type = ELF64_R_TYPE(relocations[i].r_info),
            .symbol_index = ELF64_R_SYM(relocations[i].r_info),
            .bytes = section->bytes + relocations[i].r_offset,
            .place = section->address + relocations[i].r_offset,
            .room = header->sh_size - relocations[i].r_offset,
            .slots = module->image ? module->slots : NULL,
            .module = module,
        };
        bool branch = in_code && is_branch(contents, relocations[i].r_offset, site.type);
        if (needs_slots(site.type) && !site.slots) {
            return load_refuse(patch, "malformed patch: data with code relocations");
        }
        int status = resolve_site(patch, &site, branch, in_code);
        status = status < 0 ? status : apply(patch, &site, branch);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}
