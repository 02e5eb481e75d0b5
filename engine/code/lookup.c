/*
 * Looking up symbols by the modules' own hash tables. dlsym would do, but an update that is discarded must
 * leave the program as it was, and dlsym counts its look-ups in the dynamic linker's data, binds calls of the
 * C library lazily, and allocates from the program's heap to say that there is no such symbol. dlvsym,
 * besides, passes over definitions without a version, and so over an allocator that replaces libc's.
 *
 * The global scope is the modules that the program was started with, in the order in which the dynamic linker
 * lists them. What was loaded later may be global or not, which is the dynamic linker's secret: if a later
 * module has the symbol, dlsym is asked.
 */
#include "engine/code/lookup.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct table {
    uintptr_t bias;
    const Elf64_Sym *symbols;
    const char *strings;
    const uint32_t *hash;       /* DT_GNU_HASH */
    const uint32_t *older_hash; /* DT_HASH; here it only tells how many symbols there are */
    const Elf64_Versym *versions;
    const uint8_t *definitions; /* Elf64_Verdef, linked */
    size_t definition_count;
    const uint8_t *needs; /* Elf64_Verneed, linked */
    size_t need_count;
    const Elf64_Rela *relocations, *jumps; /* DT_RELA, DT_JMPREL; bytes */
    size_t relocations_size, jumps_size;
};

struct search {
    const char *name, *version;
    uint32_t hash;
    size_t modules; /* visited so far */
    const Elf64_Sym *found;
    uintptr_t address;
    bool undecided; /* only the dynamic linker can tell */
    bool defined;   /* an executable's jump to a function does not count */
};

static size_t initial_modules;

static uint32_t hash_of(const char *name) /* of DT_GNU_HASH */
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

static void read_dynamic(const Elf64_Dyn *dynamic, struct table *table)
{
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *address = dynamic_address(table->bias, dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            table->symbols = address;
            break;
        case DT_STRTAB:
            table->strings = address;
            break;
        case DT_GNU_HASH:
            table->hash = address;
            break;
        case DT_HASH:
            table->older_hash = address;
            break;
        case DT_VERSYM:
            table->versions = address;
            break;
        case DT_VERDEF:
            table->definitions = address;
            break;
        case DT_VERDEFNUM:
            table->definition_count = dynamic->d_un.d_val;
            break;
        case DT_VERNEED:
            table->needs = address;
            break;
        case DT_VERNEEDNUM:
            table->need_count = dynamic->d_un.d_val;
            break;
        case DT_RELA:
            table->relocations = address;
            break;
        case DT_RELASZ:
            table->relocations_size = dynamic->d_un.d_val;
            break;
        case DT_JMPREL:
            table->jumps = address;
            break;
        case DT_PLTRELSZ:
            table->jumps_size = dynamic->d_un.d_val;
            break;
        default:
            break;
        }
    }
}

/* The name of version INDEX that the module needs of another, or NULL. */
static const char *needed_version_name(const struct table *table, unsigned index)
{
    const uint8_t *at = table->needs;

    for (size_t i = 0; at && i < table->need_count; i++) {
        const Elf64_Verneed *need = (const Elf64_Verneed *)at;
        const uint8_t *name_at = at + need->vn_aux;
        for (size_t k = 0; k < need->vn_cnt; k++) {
            const Elf64_Vernaux *name = (const Elf64_Vernaux *)name_at;
            if (name->vna_other == index) {
                return table->strings + name->vna_name;
            }
            name_at += name->vna_next;
        }
        at += need->vn_next;
    }
    return NULL;
}

/* The name of version INDEX that the module defines, or NULL. */
static const char *defined_version_name(const struct table *table, unsigned index)
{
    const uint8_t *at = table->definitions;

    for (size_t i = 0; at && i < table->definition_count; i++) {
        const Elf64_Verdef *definition = (const Elf64_Verdef *)at;
        if (definition->vd_ndx == index && !(definition->vd_flags & VER_FLG_BASE)) {
            const Elf64_Verdaux *name = (const Elf64_Verdaux *)(at + definition->vd_aux);
            return table->strings + name->vda_name;
        }
        at += definition->vd_next;
    }
    return NULL;
}

/* As the dynamic linker decides: a definition without a version serves whoever wants one. */
static bool has_version(const struct table *table, size_t index, const char *wanted)
{
    if (!table->versions) {
        return true;
    }
    bool hidden = table->versions[index] & 0x8000;
    unsigned version = table->versions[index] & 0x7fff;
    const char *name = defined_version_name(table, version);
    name = name ? name : needed_version_name(table, version);
    return !*wanted || !name ? !hidden : strcmp(name, wanted) == 0;
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

static bool is_wanted(const struct table *table, size_t index, const struct search *search)
{
    const Elf64_Sym *symbol = &table->symbols[index];

    return is_definition(symbol) && (!search->defined || symbol->st_shndx != SHN_UNDEF) &&
           strcmp(table->strings + symbol->st_name, search->name) == 0 &&
           has_version(table, index, search->version);
}

static const Elf64_Sym *find_by_hash(const struct table *table, const struct search *search)
{
    const uint32_t bucket_count = table->hash[0], first = table->hash[1], bloom_size = table->hash[2];
    const uint32_t *buckets = table->hash + 4 + 2 * (size_t)bloom_size;
    const uint32_t *chain = buckets + bucket_count;
    uint32_t index = bucket_count ? buckets[search->hash % bucket_count] : 0;

    for (; index >= first && index; index++) {
        uint32_t hash = chain[index - first];
        if ((hash | 1) == (search->hash | 1) && is_wanted(table, index, search)) {
            return &table->symbols[index];
        }
        if (hash & 1) {
            break;
        }
    }
    return NULL;
}

static const Elf64_Sym *find_in(const struct table *table, const struct search *search)
{
    if (table->hash) {
        return find_by_hash(table, search);
    }
    for (uint32_t index = 1; index < table->older_hash[1]; index++) {
        if (is_wanted(table, index, search)) {
            return &table->symbols[index];
        }
    }
    return NULL;
}

static bool is_searched(const char *path, const struct table *table)
{
    bool is_vdso = path[0] && !strchr(path, '/');

    return !is_vdso && table->symbols && table->strings && (table->hash || table->older_hash);
}

/* The tables of the module that INFO is about. False: it is not searched. */
static bool read_module(const struct dl_phdr_info *info, struct table *ret)
{
    *ret = (struct table){ .bias = info->dlpi_addr };
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) {
            read_dynamic((const Elf64_Dyn *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), ret);
        }
    }
    return is_searched(info->dlpi_name, ret);
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    struct table table;
    bool later = search->modules++ >= initial_modules;

    if (!read_module(info, &table)) {
        return 0;
    }
    const Elf64_Sym *symbol = find_in(&table, search);
    if (symbol && later) {
        search->undecided = true;
        return 1;
    }
    if (symbol) {
        search->found = symbol;
        search->address = table.bias + symbol->st_value;
    }
    return symbol != NULL;
}

static int count(struct dl_phdr_info *info, size_t size, void *context)
{
    ++*(size_t *)context;
    return 0;
}

void lookup_init(void)
{
    dl_iterate_phdr(count, &initial_modules);
}

static uintptr_t address_of(const struct search *search)
{
    if (search->found && ELF64_ST_TYPE(search->found->st_info) == STT_GNU_IFUNC) {
        return ((uintptr_t(*)(void))search->address)();
    }
    return search->address;
}

uintptr_t lookup_symbol(const char *name, const char *version, size_t *ret_size)
{
    struct search search = { .name = name, .version = version, .hash = hash_of(name) };

    dl_iterate_phdr(visit, &search);
    if (ret_size) {
        *ret_size = search.found ? search.found->st_size : 0;
    }
    if (search.undecided) {
        return (uintptr_t)(*version ? dlvsym(RTLD_DEFAULT, name, version) : dlsym(RTLD_DEFAULT, name));
    }
    return address_of(&search);
}

static bool is_libc(const char *file)
{
    const char *slash = strrchr(file, '/');

    return strcmp(slash ? slash + 1 : file, "libc.so.6") == 0;
}

static bool is_before(const struct link_map *map, enum lookup_start start)
{
    switch (start) {
    case LOOKUP_BEHIND_US:
        return map->l_ld != _DYNAMIC; /* the linker's name for this module's */
    case LOOKUP_IN_LIBC:
        return !is_libc(map->l_name);
    default:
        return false;
    }
}

/* By the dynamic linker's own list: a sanitizer's runtime stands in front of dl_iterate_phdr, and
 * allocates before that works. */
uintptr_t lookup_definition(const char *name, enum lookup_start start)
{
    struct search search = { .name = name, .version = "", .hash = hash_of(name), .defined = true };
    const struct link_map *map = _r_debug.r_map;

    while (map && is_before(map, start)) {
        map = map->l_next;
    }
    if (map && start == LOOKUP_BEHIND_US) {
        map = map->l_next;
    }
    for (; map && !search.found; map = map->l_next) {
        struct table table = { .bias = map->l_addr };
        read_dynamic(map->l_ld, &table);
        search.found = is_searched(map->l_name, &table) ? find_in(&table, &search) : NULL;
        search.address = search.found ? table.bias + search.found->st_value : 0;
    }
    return address_of(&search);
}

/* ---- all variables --------------------------------------------------------------------------------- */

struct variable_walk {
    lookup_variable_visitor *visit;
    void *context;
};

static void look_at(const struct table *table, uint32_t index, const struct variable_walk *walk)
{
    const Elf64_Sym *symbol = &table->symbols[index];

    if (ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_shndx != SHN_UNDEF &&
        symbol->st_shndx != SHN_ABS) {
        walk->visit(walk->context, symbol, table->bias + symbol->st_value);
    }
}

static void walk_hash(const struct table *table, const struct variable_walk *walk)
{
    const uint32_t bucket_count = table->hash[0], first = table->hash[1];
    const uint32_t *buckets = table->hash + 4 + 2 * (size_t)table->hash[2];
    const uint32_t *chain = buckets + bucket_count;

    for (uint32_t i = 0; i < bucket_count; i++) {
        uint32_t index = buckets[i];
        bool more = index >= first && index;
        for (; more; index++) {
            look_at(table, index, walk);
            more = !(chain[index - first] & 1);
        }
    }
}

static int visit_variables(struct dl_phdr_info *info, size_t size, void *context)
{
    const struct variable_walk *walk = context;
    struct table table;

    if (!read_module(info, &table)) {
        return 0;
    }
    if (table.hash) {
        walk_hash(&table, walk);
    }
    for (uint32_t i = 1; !table.hash && i < table.older_hash[1]; i++) {
        look_at(&table, i, walk);
    }
    return 0;
}

void lookup_variables(lookup_variable_visitor *visitor, void *context)
{
    struct variable_walk walk = { visitor, context };

    dl_iterate_phdr(visit_variables, &walk);
}

/* ---- who refers to what ---------------------------------------------------------------------------- */

struct import_search {
    lookup_name_wanted *wanted;
    struct lookup_import *ret;
};

/* Among COUNT relocations of a module. */
static const char *find_import(const struct table *table, const Elf64_Rela *relocations, size_t count,
                               lookup_name_wanted *wanted)
{
    for (size_t i = 0; relocations && i < count; i++) {
        const Elf64_Sym *symbol = &table->symbols[ELF64_R_SYM(relocations[i].r_info)];
        const char *name = table->strings + symbol->st_name;
        if (ELF64_R_SYM(relocations[i].r_info) && symbol->st_shndx == SHN_UNDEF && wanted(name)) {
            return name;
        }
    }
    return NULL;
}

/* The name that the module of INFO refers to, or NULL. */
static const char *find_import_of(const struct dl_phdr_info *info, lookup_name_wanted *wanted)
{
    struct table table;

    if (!read_module(info, &table)) {
        return NULL;
    }
    const char *name = find_import(&table, table.jumps, table.jumps_size / sizeof(Elf64_Rela), wanted);
    return name ? name
                : find_import(&table, table.relocations, table.relocations_size / sizeof(Elf64_Rela), wanted);
}

bool lookup_imports(const struct dl_phdr_info *module, lookup_name_wanted *wanted)
{
    return find_import_of(module, wanted) != NULL;
}

static int visit_importer(struct dl_phdr_info *info, size_t size, void *context)
{
    struct import_search *search = context;
    const char *name = find_import_of(info, search->wanted);

    if (name) {
        snprintf(search->ret->name, sizeof(search->ret->name), "%s", name);
        snprintf(search->ret->module, sizeof(search->ret->module), "%s",
                 *info->dlpi_name ? info->dlpi_name : "the program");
    }
    return name != NULL;
}

bool lookup_import(lookup_name_wanted *wanted, struct lookup_import *ret)
{
    struct import_search search = { wanted, ret };

    return dl_iterate_phdr(visit_importer, &search) != 0;
}
