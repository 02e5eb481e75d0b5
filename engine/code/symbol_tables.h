/* What a loaded module tells the dynamic linker: symbols, versions, relocations. Read where it lies in
 * memory, without a lock, a call or an allocation. */
#ifndef MOLT_ENGINE_CODE_SYMBOL_TABLES_H
#define MOLT_ENGINE_CODE_SYMBOL_TABLES_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol_tables {
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

/* A symbol that is looked for. */
struct wanted_symbol {
    const char *name, *version; /* "": the default one */
    uint32_t hash;              /* symbol_hash's */
    bool defined;               /* an executable's jump to a function does not count */
};

/* The hash of NAME in DT_GNU_HASH. */
uint32_t symbol_hash(const char *name);

/* Reads the dynamic section at DYNAMIC into TABLES, whose bias is set. */
void symbol_tables_read(const Elf64_Dyn *dynamic, struct symbol_tables *tables);

/* Whether the dynamic linker looks for symbols in the module at PATH. */
bool symbol_tables_are_searched(const char *path, const struct symbol_tables *tables);

/* The tables of the module that INFO is about. False: it is not searched. */
bool symbol_tables_of(const struct dl_phdr_info *info, struct symbol_tables *ret);

/* The definition of WANTED, as the dynamic linker would choose in this module; NULL: there is none. */
const Elf64_Sym *symbol_tables_find(const struct symbol_tables *tables, const struct wanted_symbol *wanted);

/* The version that symbol INDEX has or needs, "" without one. */
const char *symbol_tables_version(const struct symbol_tables *tables, size_t index);

#endif
