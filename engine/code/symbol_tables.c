/*
 * The tables in which a loaded module tells of its symbols, read as the dynamic linker reads them: by the
 * hash table that says where a name is to be found, and with versions, of which a module may define several
 * for one name.
 */
#include "engine/code/symbol_tables.h"

#include <string.h>

uint32_t symbol_hash(const char *name) /* of DT_GNU_HASH */
{
    uint32_t hash = 5381;

    for (; *name; name++) {
        hash = hash * 33 + (uint8_t)*name;
    }
    return hash;
}

/* The dynamic linker has added the bias to most addresses in a dynamic section, but not to all. */
static const void *dynamic_address(uintptr_t bias, uint64_t value)
{
    return (const void *)(value < bias ? bias + value : value);
}

void symbol_tables_read(const Elf64_Dyn *dynamic, struct symbol_tables *tables)
{
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *address = dynamic_address(tables->bias, dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            tables->symbols = address;
            break;
        case DT_STRTAB:
            tables->strings = address;
            break;
        case DT_GNU_HASH:
            tables->hash = address;
            break;
        case DT_HASH:
            tables->older_hash = address;
            break;
        case DT_VERSYM:
            tables->versions = address;
            break;
        case DT_VERDEF:
            tables->definitions = address;
            break;
        case DT_VERDEFNUM:
            tables->definition_count = dynamic->d_un.d_val;
            break;
        case DT_VERNEED:
            tables->needs = address;
            break;
        case DT_VERNEEDNUM:
            tables->need_count = dynamic->d_un.d_val;
            break;
        case DT_RELA:
            tables->relocations = address;
            break;
        case DT_RELASZ:
            tables->relocations_size = dynamic->d_un.d_val;
            break;
        case DT_JMPREL:
            tables->jumps = address;
            break;
        case DT_PLTRELSZ:
            tables->jumps_size = dynamic->d_un.d_val;
            break;
        default:
            break;
        }
    }
}

/* The name of version INDEX that the module needs of another, or NULL. */
static const char *needed_version_name(const struct symbol_tables *tables, unsigned index)
{
    const uint8_t *at = tables->needs;

    for (size_t i = 0; at && i < tables->need_count; i++) {
        const Elf64_Verneed *need = (const Elf64_Verneed *)at;
        const uint8_t *name_at = at + need->vn_aux;
        for (size_t k = 0; k < need->vn_cnt; k++) {
            const Elf64_Vernaux *name = (const Elf64_Vernaux *)name_at;
            if (name->vna_other == index) {
                return tables->strings + name->vna_name;
            }
            name_at += name->vna_next;
        }
        at += need->vn_next;
    }
    return NULL;
}

/* The name of version INDEX that the module defines, or NULL. */
static const char *defined_version_name(const struct symbol_tables *tables, unsigned index)
{
    const uint8_t *at = tables->definitions;

    for (size_t i = 0; at && i < tables->definition_count; i++) {
        const Elf64_Verdef *definition = (const Elf64_Verdef *)at;
        if (definition->vd_ndx == index && !(definition->vd_flags & VER_FLG_BASE)) {
            const Elf64_Verdaux *name = (const Elf64_Verdaux *)(at + definition->vd_aux);
            return tables->strings + name->vda_name;
        }
        at += definition->vd_next;
    }
    return NULL;
}

const char *symbol_tables_version(const struct symbol_tables *tables, size_t index)
{
    unsigned version = tables->versions ? tables->versions[index] & 0x7fff : 0;
    const char *name = tables->versions ? defined_version_name(tables, version) : NULL;

    name = name || !tables->versions ? name : needed_version_name(tables, version);
    return name ? name : "";
}

/* As the dynamic linker decides: a definition without a version serves whoever wants one. */
static bool has_version(const struct symbol_tables *tables, size_t index, const char *wanted)
{
    const char *name = symbol_tables_version(tables, index);
    bool hidden = tables->versions && tables->versions[index] & 0x8000;

    return !tables->versions || (!*wanted || !*name ? !hidden : strcmp(name, wanted) == 0);
}

/* An executable at a fixed address may be the one to say where a library's function is: all take its jump
 * to it for the function. That symbol has a value without being defined. */
static bool is_definition(const Elf64_Sym *symbol)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info),
             visibility = ELF64_ST_VISIBILITY(symbol->st_other);

    return symbol->st_value && binding != STB_LOCAL &&
           (type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE || type == STT_COMMON ||
            type == STT_GNU_IFUNC) &&
           (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

static bool is_wanted(const struct symbol_tables *tables, size_t index, const struct wanted_symbol *wanted)
{
    const Elf64_Sym *symbol = &tables->symbols[index];

    return is_definition(symbol) && (!wanted->defined || symbol->st_shndx != SHN_UNDEF) &&
           strcmp(tables->strings + symbol->st_name, wanted->name) == 0 &&
           has_version(tables, index, wanted->version);
}

static const Elf64_Sym *find_by_hash(const struct symbol_tables *tables, const struct wanted_symbol *wanted)
{
    const uint32_t bucket_count = tables->hash[0], first = tables->hash[1], bloom_size = tables->hash[2];
    const uint32_t *buckets = tables->hash + 4 + 2 * (size_t)bloom_size;
    const uint32_t *chain = buckets + bucket_count;
    uint32_t index = bucket_count ? buckets[wanted->hash % bucket_count] : 0;

    for (; index >= first && index; index++) {
        uint32_t hash = chain[index - first];
        if ((hash | 1) == (wanted->hash | 1) && is_wanted(tables, index, wanted)) {
            return &tables->symbols[index];
        }
        if (hash & 1) {
            break;
        }
    }
    return NULL;
}

const Elf64_Sym *symbol_tables_find(const struct symbol_tables *tables, const struct wanted_symbol *wanted)
{
    if (tables->hash) {
        return find_by_hash(tables, wanted);
    }
    for (uint32_t index = 1; index < tables->older_hash[1]; index++) {
        if (is_wanted(tables, index, wanted)) {
            return &tables->symbols[index];
        }
    }
    return NULL;
}

bool symbol_tables_are_searched(const char *path, const struct symbol_tables *tables)
{
    bool is_vdso = path[0] && !strchr(path, '/');

    return !is_vdso && tables->symbols && tables->strings && (tables->hash || tables->older_hash);
}

bool symbol_tables_of(const struct dl_phdr_info *info, struct symbol_tables *ret)
{
    *ret = (struct symbol_tables){ .bias = info->dlpi_addr };
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) {
            symbol_tables_read((const Elf64_Dyn *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), ret);
        }
    }
    return symbol_tables_are_searched(info->dlpi_name, ret);
}
