/* Writing a relocatable ELF object: sections and symbols in, bytes out. */
#ifndef MOLT_PATCH_ELF_WRITER_H
#define MOLT_PATCH_ELF_WRITER_H

#include <elf.h>
#include <stdint.h>

#include "base/text.h"
#include "patch/memory.h"

struct out_section {
    char *name;
    uint32_t type;
    uint64_t flags, align, entry_size;
    struct text bytes;            /* empty for SHT_NOBITS */
    uint64_t size;                /* of SHT_NOBITS */
    LIST(Elf64_Rela) relocations; /* r_info: symbol as out_symbol gave it */
    uint32_t symbol;              /* its section symbol, 0 if none was asked for */
};

struct out_symbol {
    const char *name; /* borrowed */
    unsigned char type, bind;
    uint32_t section; /* as out_section gave it, 0: undefined */
    uint64_t value, size;
};

struct elf_writer {
    LIST(struct out_section *) sections; /* [i] becomes section i + 1 */
    LIST(struct out_symbol) symbols;     /* [i] is symbol i + 1 */
    uint32_t *final;                     /* symbol -> its place in the written table, see elf_writer_order */
};

/* Adds a section; the result is its index in the written file. */
uint32_t out_section(struct elf_writer *writer, const char *name, uint32_t type, uint64_t flags,
                     uint64_t align, uint64_t entry_size);
struct out_section *out_section_at(struct elf_writer *writer, uint32_t index);

/* Adds a symbol. NAME must outlive the writer. The result is for relocations; elf_writer_final tells its
 * final index. */
uint32_t out_symbol(struct elf_writer *writer, const char *name, unsigned char type, unsigned char bind,
                    uint32_t section, uint64_t value, uint64_t size);

/* The section symbol of section INDEX. */
uint32_t out_section_symbol(struct elf_writer *writer, uint32_t index);

/* Adds a relocation to section INDEX. */
void out_relocation(struct elf_writer *writer, uint32_t index, uint64_t offset, uint32_t type,
                    uint32_t symbol, int64_t addend);

/* Fixes the order of symbols (local ones come first in ELF): none may be added after it. */
void elf_writer_order(struct elf_writer *writer);

/* The place of SYMBOL in the written table, once the order is fixed. 0, which is none, stays 0. */
uint32_t elf_writer_final(const struct elf_writer *writer, uint32_t symbol);

/* The whole file, from malloc. Calls elf_writer_order if that was not done. */
void *elf_writer_finish(struct elf_writer *writer, size_t *ret_size);
void elf_writer_deinit(struct elf_writer *writer);

#endif
