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

#include "engine/code/symbol_tables.h"

struct search {
    struct wanted_symbol wanted;
    size_t modules; /* visited so far */
    const Elf64_Sym *found;
    uintptr_t address;
    bool undecided; /* only the dynamic linker can tell */
};

static size_t initial_modules;

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    struct symbol_tables table;
    bool later = search->modules++ >= initial_modules;

    if (!symbol_tables_of(info, &table)) {
        return 0;
    }
    const Elf64_Sym *symbol = symbol_tables_find(&table, &search->wanted);
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
    struct search search = { .wanted = { name, version, symbol_hash(name), false } };

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
    struct search search = { .wanted = { name, "", symbol_hash(name), true } };
    const struct link_map *map = _r_debug.r_map;

    while (map && is_before(map, start)) {
        map = map->l_next;
    }
    if (map && start == LOOKUP_BEHIND_US) {
        map = map->l_next;
    }
    for (; map && !search.found; map = map->l_next) {
        struct symbol_tables table = { .bias = map->l_addr };
        symbol_tables_read(map->l_ld, &table);
        search.found = symbol_tables_are_searched(map->l_name, &table)
                           ? symbol_tables_find(&table, &search.wanted)
                           : NULL;
        search.address = search.found ? table.bias + search.found->st_value : 0;
    }
    return address_of(&search);
}

/* ---- all variables --------------------------------------------------------------------------------- */

struct variable_walk {
    lookup_variable_visitor *visit;
    void *context;
};

static void look_at(const struct symbol_tables *table, uint32_t index, const struct variable_walk *walk)
{
    const Elf64_Sym *symbol = &table->symbols[index];

    if (ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_shndx != SHN_UNDEF &&
        symbol->st_shndx != SHN_ABS) {
        walk->visit(walk->context, symbol, table->bias + symbol->st_value);
    }
}

static void walk_hash(const struct symbol_tables *table, const struct variable_walk *walk)
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
    struct symbol_tables table;

    if (!symbol_tables_of(info, &table)) {
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
static const char *find_import(const struct symbol_tables *table, const Elf64_Rela *relocations, size_t count,
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
    struct symbol_tables table;

    if (!symbol_tables_of(info, &table)) {
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
