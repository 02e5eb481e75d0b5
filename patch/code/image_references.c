/*
 * Who names a function of a binary, asked of the binary itself: so objects are counted in whose sources
 * nobody knows. A field in code is told by the byte before it: the opcode of a branch, or the operand byte
 * for an address relative to the next instruction. What else holds an address is 8 bytes in data of programs
 * at fixed addresses, or the addend of a dynamic relocation.
 *
 * Bytes that look like such a field by chance must also hit one of a few addresses among 2^32.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/code/definition_line.h"
#include "patch/code/image.h"

struct search {
    const struct image *image;
    const uint64_t *targets;
    size_t count;
    image_references *found;
};

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static bool is_target(const struct search *search, uint64_t address)
{
    return address >= search->targets[0] && address <= search->targets[search->count - 1] &&
           bsearch(&address, search->targets, search->count, sizeof(address), by_number);
}

static void note(struct search *search, uint64_t address, uint64_t target, bool branch)
{
    LIST_ADD(search->found, (struct image_reference){ address, target, branch });
}

static bool is_branch(const uint8_t *field)
{
    return field[-1] == 0xe8 || field[-1] == 0xe9 || (field[-2] == 0x0f && (field[-1] & 0xf0) == 0x80);
}

static void search_code(struct search *search, const uint8_t *bytes, uint64_t size, uint64_t start)
{
    for (uint64_t at = 2; at + 4 <= size; at++) {
        int32_t distance;
        uint32_t absolute;
        memcpy(&distance, bytes + at, 4);
        memcpy(&absolute, bytes + at, 4);
        uint64_t target = start + at + 4 + (int64_t)distance;
        if (is_target(search, target)) {
            bool relative = (bytes[at - 1] & 0xc7) == 0x05, branch = is_branch(bytes + at);
            if (branch || relative) {
                note(search, start + at, target, branch);
            }
        } else if (search->image->fixed && is_target(search, absolute)) {
            note(search, start + at, absolute, false);
        }
    }
}

static void search_data(struct search *search, const uint8_t *bytes, uint64_t size, uint64_t start)
{
    for (uint64_t at = 0; at + 8 <= size; at++) {
        uint64_t value;
        memcpy(&value, bytes + at, 8);
        if (is_target(search, value)) {
            note(search, start + at, value, false);
        }
    }
}

static void search_relocations(struct search *search, const Elf_Data *data)
{
    const Elf64_Rela *relocations = data->d_buf;

    for (size_t i = 0; i < data->d_size / sizeof(*relocations); i++) {
        uint32_t type = ELF64_R_TYPE(relocations[i].r_info);
        if (type == R_X86_64_RELATIVE && is_target(search, relocations[i].r_addend)) {
            note(search, relocations[i].r_offset, relocations[i].r_addend, false);
        }
    }
}

void image_find_references(const struct image *image, const uint64_t *targets, size_t count,
                           image_references *ret)
{
    struct search search = { image, targets, count, ret };
    Elf_Scn *scn = NULL;

    while (count && (scn = elf_nextscn(image->elf, scn))) {
        const Elf64_Shdr *header = elf64_getshdr(scn);
        Elf_Data *data = header && (header->sh_flags & SHF_ALLOC) && header->sh_type != SHT_NOBITS
                             ? elf_rawdata(scn, NULL)
                             : NULL;
        if (!data || !data->d_buf) {
            continue;
        }
        if (header->sh_type == SHT_RELA) {
            search_relocations(&search, data);
        } else if (header->sh_flags & SHF_EXECINSTR) {
            search_code(&search, data->d_buf, data->d_size, header->sh_addr);
        } else if (image->fixed) { /* elsewhere numbers as small as addresses are would be taken for some */
            search_data(&search, data->d_buf, data->d_size, header->sh_addr);
        }
    }
}

bool image_is_visible(const struct image *image, const char *name)
{
    Elf_Scn *scn = NULL;

    while ((scn = elf_nextscn(image->elf, scn))) {
        const Elf64_Shdr *header = elf64_getshdr(scn);
        Elf_Data *data = header && header->sh_type == SHT_DYNSYM ? elf_getdata(scn, NULL) : NULL;
        for (size_t i = 1; data && data->d_buf && i < data->d_size / sizeof(Elf64_Sym); i++) {
            const Elf64_Sym *symbol = (const Elf64_Sym *)data->d_buf + i;
            const char *own = elf_strptr(image->elf, header->sh_link, symbol->st_name);
            if (symbol->st_shndx != SHN_UNDEF && own && strcmp(own, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

unsigned image_line(const struct image *image, uint64_t address, char **ret_file)
{
    Dwarf_Die unit;
    Dwarf_Line *line =
        image->dwarf && dwarf_addrdie(image->dwarf, address, &unit) ? dwarf_getsrc_die(&unit, address) : NULL;
    const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
    int number = 0;

    if (!file || dwarf_lineno(line, &number) != 0 || number <= 0) {
        return 0;
    }
    *ret_file = definition_path(&unit, file);
    return number;
}
