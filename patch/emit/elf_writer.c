/*
 * Writing a relocatable object:
 *
 *     header | contents of sections | relocations of each | symbols | names | section names | section table
 */
#include "patch/emit/elf_writer.h"

#include <stdlib.h>
#include <string.h>

uint32_t out_section(struct elf_writer *writer, const char *name, uint32_t type, uint64_t flags,
                     uint64_t align, uint64_t entry_size)
{
    struct out_section *section = must_calloc(1, sizeof(*section));

    *section = (struct out_section){
        .name = must_strdup(name), .type = type, .flags = flags, .align = align, .entry_size = entry_size
    };
    LIST_ADD(&writer->sections, section);
    return writer->sections.count;
}

struct out_section *out_section_at(struct elf_writer *writer, uint32_t index)
{
    return writer->sections.items[index - 1];
}

uint32_t out_symbol(struct elf_writer *writer, const char *name, unsigned char type, unsigned char bind,
                    uint32_t section, uint64_t value, uint64_t size)
{
    LIST_ADD(&writer->symbols, (struct out_symbol){ name, type, bind, section, value, size });
    return writer->symbols.count;
}

uint32_t out_section_symbol(struct elf_writer *writer, uint32_t index)
{
    struct out_section *section = out_section_at(writer, index);

    if (!section->symbol) {
        section->symbol = out_symbol(writer, "", STT_SECTION, STB_LOCAL, index, 0, 0);
    }
    return section->symbol;
}

void out_relocation(struct elf_writer *writer, uint32_t index, uint64_t offset, uint32_t type,
                    uint32_t symbol, int64_t addend)
{
    LIST_ADD(&out_section_at(writer, index)->relocations,
             (Elf64_Rela){ offset, ELF64_R_INFO((uint64_t)symbol, type), addend });
}

void elf_writer_order(struct elf_writer *writer)
{
    uint32_t next = 1;

    free(writer->final);
    writer->final = must_calloc(writer->symbols.count + 1, sizeof(*writer->final));
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < writer->symbols.count; i++) {
            if ((writer->symbols.items[i].bind == STB_LOCAL) == (pass == 0)) {
                writer->final[i + 1] = next++;
            }
        }
    }
}

uint32_t elf_writer_final(const struct elf_writer *writer, uint32_t symbol)
{
    return writer->final[symbol];
}

struct image_out {
    struct text file, names, section_names;
    LIST(Elf64_Shdr) headers;
};

static void align_to(struct text *text, uint64_t align)
{
    static const char zeros[4096];

    if (align > 1 && text->length % align) {
        text_append(text, zeros, align - text->length % align);
    }
}

static uint32_t add_name(struct text *names, const char *name)
{
    uint32_t offset = names->length;

    text_append(names, name, strlen(name) + 1);
    return *name ? offset : 0;
}

static void add_header(struct image_out *out, const char *name, Elf64_Shdr header)
{
    header.sh_name = add_name(&out->section_names, name);
    LIST_ADD(&out->headers, header);
}

static void write_contents(struct elf_writer *writer, struct image_out *out)
{
    for (size_t i = 0; i < writer->sections.count; i++) {
        struct out_section *section = writer->sections.items[i];
        align_to(&out->file, section->align > 8 ? section->align : 8);
        add_header(
            out, section->name,
            (Elf64_Shdr){ .sh_type = section->type,
                          .sh_flags = section->flags,
                          .sh_offset = out->file.length,
                          .sh_size = section->type == SHT_NOBITS ? section->size : section->bytes.length,
                          .sh_addralign = section->align ? section->align : 1,
                          .sh_entsize = section->entry_size });
        if (section->type != SHT_NOBITS) {
            text_append(&out->file, section->bytes.bytes, section->bytes.length);
        }
    }
}

static size_t count_relocated(const struct elf_writer *writer)
{
    size_t count = 0;

    for (size_t i = 0; i < writer->sections.count; i++) {
        count += writer->sections.items[i]->relocations.count > 0;
    }
    return count;
}

static void write_relocations(struct elf_writer *writer, struct image_out *out, uint32_t symtab)
{
    for (size_t i = 0; i < writer->sections.count; i++) {
        struct out_section *section = writer->sections.items[i];
        if (!section->relocations.count) {
            continue;
        }
        char *name = must_printf(".rela%s", section->name);
        align_to(&out->file, 8);
        add_header(out, name,
                   (Elf64_Shdr){ .sh_type = SHT_RELA,
                                 .sh_flags = SHF_INFO_LINK,
                                 .sh_offset = out->file.length,
                                 .sh_size = section->relocations.count * sizeof(Elf64_Rela),
                                 .sh_link = symtab,
                                 .sh_info = i + 1,
                                 .sh_addralign = 8,
                                 .sh_entsize = sizeof(Elf64_Rela) });
        for (size_t k = 0; k < section->relocations.count; k++) {
            Elf64_Rela entry = section->relocations.items[k];
            entry.r_info =
                ELF64_R_INFO((uint64_t)writer->final[ELF64_R_SYM(entry.r_info)], ELF64_R_TYPE(entry.r_info));
            text_append(&out->file, &entry, sizeof(entry));
        }
        free(name);
    }
}

static void write_symbols(struct elf_writer *writer, struct image_out *out, uint32_t symtab)
{
    Elf64_Sym *table = must_calloc(writer->symbols.count + 1, sizeof(*table));
    uint32_t locals = 1;

    text_append(&out->names, "", 1);
    for (size_t i = 0; i < writer->symbols.count; i++) {
        const struct out_symbol *symbol = &writer->symbols.items[i];
        locals += symbol->bind == STB_LOCAL;
        table[writer->final[i + 1]] = (Elf64_Sym){ .st_name = add_name(&out->names, symbol->name),
                                                   .st_info = ELF64_ST_INFO(symbol->bind, symbol->type),
                                                   .st_shndx = symbol->section,
                                                   .st_value = symbol->value,
                                                   .st_size = symbol->size };
    }
    align_to(&out->file, 8);
    add_header(out, ".symtab",
               (Elf64_Shdr){ .sh_type = SHT_SYMTAB,
                             .sh_offset = out->file.length,
                             .sh_size = (writer->symbols.count + 1) * sizeof(*table),
                             .sh_link = symtab + 1,
                             .sh_info = locals,
                             .sh_addralign = 8,
                             .sh_entsize = sizeof(*table) });
    text_append(&out->file, table, (writer->symbols.count + 1) * sizeof(*table));
    add_header(out, ".strtab",
               (Elf64_Shdr){ .sh_type = SHT_STRTAB,
                             .sh_offset = out->file.length,
                             .sh_size = out->names.length,
                             .sh_addralign = 1 });
    text_append(&out->file, out->names.bytes, out->names.length);
    free(table);
}

static void write_tables(struct image_out *out)
{
    uint32_t names = out->headers.count;
    add_header(out, ".shstrtab",
               (Elf64_Shdr){ .sh_type = SHT_STRTAB, .sh_offset = out->file.length, .sh_addralign = 1 });
    out->headers.items[names].sh_size = out->section_names.length;
    text_append(&out->file, out->section_names.bytes, out->section_names.length);
    align_to(&out->file, 8);
    Elf64_Ehdr header = {
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_REL,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_shoff = out->file.length,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = out->headers.count < SHN_LORESERVE ? out->headers.count : 0,
        .e_shstrndx = names < SHN_LORESERVE ? names : SHN_XINDEX,
    };
    out->headers.items[0].sh_size = header.e_shnum ? 0 : out->headers.count;
    out->headers.items[0].sh_link = header.e_shstrndx == SHN_XINDEX ? names : 0;
    text_append(&out->file, out->headers.items, out->headers.count * sizeof(Elf64_Shdr));
    if (!text_failed(&out->file)) {
        memcpy(out->file.bytes, &header, sizeof(header));
    }
}

void *elf_writer_finish(struct elf_writer *writer, size_t *ret_size)
{
    static const Elf64_Ehdr blank;
    struct image_out out = { 0 };

    if (!writer->final) {
        elf_writer_order(writer);
    }
    uint32_t symtab = 1 + writer->sections.count + count_relocated(writer);
    text_append(&out.section_names, "", 1);
    text_append(&out.file, &blank, sizeof(blank));
    LIST_ADD(&out.headers, (Elf64_Shdr){ 0 });
    write_contents(writer, &out);
    write_relocations(writer, &out, symtab);
    write_symbols(writer, &out, symtab);
    write_tables(&out);
    *ret_size = out.file.length;
    text_deinit(&out.names);
    text_deinit(&out.section_names);
    LIST_FREE(&out.headers);
    return must_have(text_steal(&out.file));
}

void elf_writer_deinit(struct elf_writer *writer)
{
    for (size_t i = 0; i < writer->sections.count; i++) {
        free(writer->sections.items[i]->name);
        text_deinit(&writer->sections.items[i]->bytes);
        LIST_FREE(&writer->sections.items[i]->relocations);
        free(writer->sections.items[i]);
    }
    LIST_FREE(&writer->sections);
    LIST_FREE(&writer->symbols);
    free(writer->final);
    *writer = (struct elf_writer){ 0 };
}
