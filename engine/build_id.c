/* ELF notes in memory: a header, a name and a description each, both padded to four bytes. */
#include <string.h>

#include "engine/build_id.h"

static size_t padded(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

static size_t find_among(const uint8_t *notes, size_t size, const uint8_t **ret)
{
    size_t at = 0;

    while (at + sizeof(ElfW(Nhdr)) <= size) {
        ElfW(Nhdr) header;

        memcpy(&header, notes + at, sizeof(header));
        size_t name = at + sizeof(header);
        size_t description = name + padded(header.n_namesz);
        if (description > size || header.n_descsz > size - description) {
            return 0;
        }
        if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 && !memcmp(notes + name, "GNU", 4)) {
            *ret = notes + description;
            return header.n_descsz;
        }
        at = description + padded(header.n_descsz);
    }
    return 0;
}

size_t build_id_find(uintptr_t base, const ElfW(Phdr) * segments, size_t count, const uint8_t **ret)
{
    size_t size = 0;

    for (size_t i = 0; i < count && !size; i++) {
        if (segments[i].p_type == PT_NOTE) {
            size = find_among((const uint8_t *)(base + segments[i].p_vaddr), segments[i].p_memsz, ret);
        }
    }
    return size;
}
