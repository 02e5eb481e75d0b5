/* Binaries of the build. Symbols are indexed once, debug information is only opened: what is in a unit is
 * read when asked. */
#include "patch/code/image.h"

#include <dwarf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/search.h"
#include "base/text.h"

bool image_is_binary(const char *path)
{
    Elf64_Ehdr header;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool whole = fd >= 0 && read(fd, &header, sizeof(header)) == sizeof(header);

    if (fd >= 0) {
        close(fd);
    }
    return whole && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
           header.e_machine == EM_X86_64 && (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

static Elf_Scn *find_section(Elf *elf, const char *wanted)
{
    size_t names;
    Elf_Scn *scn = NULL;

    elf_getshdrstrndx(elf, &names);
    while ((scn = elf_nextscn(elf, scn))) {
        Elf64_Shdr *header = elf64_getshdr(scn);
        const char *name = header ? elf_strptr(elf, names, header->sh_name) : NULL;
        if (name && strcmp(name, wanted) == 0) {
            return scn;
        }
    }
    return NULL;
}

static Elf_Scn *find_symtab(Elf *elf)
{
    Elf_Scn *scn = NULL;

    while ((scn = elf_nextscn(elf, scn))) {
        Elf64_Shdr *header = elf64_getshdr(scn);
        if (header && header->sh_type == SHT_SYMTAB && header->sh_size > sizeof(Elf64_Sym)) {
            return scn;
        }
    }
    return NULL;
}

/* Whether the file has the program's code, rather than room for it as separate debug files have. */
static bool has_code(Elf *elf)
{
    Elf_Scn *scn = NULL;

    while ((scn = elf_nextscn(elf, scn))) {
        Elf64_Shdr *header = elf64_getshdr(scn);
        if (header && (header->sh_flags & SHF_EXECINSTR) && header->sh_type != SHT_NOBITS) {
            return true;
        }
    }
    return false;
}

static void read_build_id(struct image *image)
{
    Elf_Scn *scn = NULL;

    while (!image->build_id_size && (scn = elf_nextscn(image->elf, scn))) {
        Elf64_Shdr *header = elf64_getshdr(scn);
        Elf_Data *data = header && header->sh_type == SHT_NOTE ? elf_getdata(scn, NULL) : NULL;
        size_t at = 0, name, description;
        GElf_Nhdr note;
        while (data && (at = gelf_getnote(data, at, &note, &name, &description)) > 0) {
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz <= MOLT_BUILD_ID_MAX &&
                memcmp((char *)data->d_buf + name, "GNU", 4) == 0) {
                memcpy(image->build_id, (char *)data->d_buf + description, note.n_descsz);
                image->build_id_size = note.n_descsz;
            }
        }
    }
}

static bool has_pie_flag(Elf *elf)
{
    Elf_Scn *scn = find_section(elf, ".dynamic");
    Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;

    for (size_t i = 0; data && data->d_buf && i < data->d_size / sizeof(Elf64_Dyn); i++) {
        const Elf64_Dyn *entry = (const Elf64_Dyn *)data->d_buf + i;
        if (entry->d_tag == DT_FLAGS_1) {
            return entry->d_un.d_val & DF_1_PIE;
        }
    }
    return false;
}

static void read_segments(struct image *image)
{
    size_t count = 0;
    Elf64_Phdr *headers = elf64_getphdr(image->elf);
    bool interpreter = false;

    elf_getphdrnum(image->elf, &count);
    image->segments = must_calloc(count + 1, sizeof(*headers));
    for (size_t i = 0; headers && i < count; i++) {
        interpreter = interpreter || headers[i].p_type == PT_INTERP;
        if (headers[i].p_type == PT_LOAD) {
            image->segments[image->segment_count++] = headers[i];
        } else if (headers[i].p_type == PT_GNU_RELRO) {
            image->relro = headers[i];
        }
    }
    image->fixed = elf64_getehdr(image->elf)->e_type == ET_EXEC;
    image->executable = image->fixed || has_pie_flag(image->elf) || interpreter;
}

/* Opens PATH as the image's debug file if its build-id is the same. */
static bool try_debug_file(struct image *image, const char *path)
{
    struct image other = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    other.elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
    if (other.elf) {
        read_build_id(&other);
    }
    if (other.elf && other.build_id_size == image->build_id_size &&
        memcmp(other.build_id, image->build_id, image->build_id_size) == 0 && find_symtab(other.elf)) {
        image->symbolic = other.elf;
        image->symbolic_fd = fd;
        return true;
    }
    elf_end(other.elf);
    if (fd >= 0) {
        close(fd);
    }
    return false;
}

static bool find_debug_file(struct image *image)
{
    char hex[2 * MOLT_BUILD_ID_MAX + 1] = "";
    Elf_Scn *scn = find_section(image->elf, ".gnu_debuglink");
    Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
    const char *link = data && memchr(data->d_buf, '\0', data->d_size) ? data->d_buf : NULL;
    int directory = strrchr(image->path, '/') - image->path;
    bool found = false;

    for (size_t i = 0; i < image->build_id_size; i++) {
        snprintf(hex + 2 * i, 3, "%02x", image->build_id[i]);
    }
    char *paths[] = {
        must_printf("/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2),
        link ? must_printf("%.*s/%s", directory, image->path, link) : NULL,
        link ? must_printf("%.*s/.debug/%s", directory, image->path, link) : NULL,
        link ? must_printf("/usr/lib/debug%.*s/%s", directory, image->path, link) : NULL,
        must_printf("%s.debug", image->path),
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        found = found || (paths[i] && try_debug_file(image, paths[i]));
        free(paths[i]);
    }
    return found;
}

static int by_address(const void *left, const void *right)
{
    const struct image_symbol *a = *(struct image_symbol *const *)left;
    const struct image_symbol *b = *(struct image_symbol *const *)right;

    if (a->value != b->value) {
        return a->value < b->value ? -1 : 1;
    }
    return a->size > b->size ? -1 : a->size < b->size;
}

/* The symbol's name without "@VERSION". */
static const char *plain_name(const char *name, string_list *owned)
{
    const char *at = strchr(name, '@');

    if (!at || at == name) {
        return name;
    }
    char *copy = must_strndup(name, at - name);
    LIST_ADD(owned, copy);
    return copy;
}

/* Whether SYMBOL, in the table behind the symbol of FILE, had internal linkage. Extern definitions of
 * hidden visibility become local when a binary is linked: they keep their visibility, or (GNU ld) stand
 * behind a file without a name. */
static bool is_of_one_unit(const Elf64_Sym *symbol, const char *file)
{
    unsigned char visibility = ELF64_ST_VISIBILITY(symbol->st_other);
    bool hidden = visibility == STV_HIDDEN || visibility == STV_INTERNAL || (file && !*file);

    return ELF64_ST_BIND(symbol->st_info) == STB_LOCAL && !hidden;
}

static void index_symbols(struct image *image)
{
    Elf_Scn *scn = find_symtab(image->symbolic);
    Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
    size_t count = data ? data->d_size / sizeof(Elf64_Sym) : 0;
    const Elf64_Sym *raw = data ? data->d_buf : NULL;
    uint32_t strings = scn ? elf64_getshdr(scn)->sh_link : 0;
    const char *file = NULL;
    unsigned group = 0;

    image->symbols = must_calloc(count, sizeof(*image->symbols));
    image->by_address = must_calloc(count, sizeof(*image->by_address));
    for (size_t i = 1; i < count; i++) {
        const char *name = elf_strptr(image->symbolic, strings, raw[i].st_name);
        unsigned char type = ELF64_ST_TYPE(raw[i].st_info);
        if (type == STT_FILE) {
            file = name;
            group++;
            if (name && *name) {
                LIST_ADD(&image->files, name);
            }
        }
        if (!name || !*name || raw[i].st_shndx == SHN_UNDEF || type == STT_FILE || type == STT_SECTION) {
            continue;
        }
        struct image_symbol *symbol = &image->symbols[image->symbol_count++];
        *symbol = (struct image_symbol){
            .name = plain_name(name, &image->owned),
            .file = is_of_one_unit(&raw[i], file) ? (file ? file : "") : NULL,
            .group = group,
            .value = raw[i].st_value,
            .size = raw[i].st_size,
            .type = type,
        };
        symbol->next = table_put(&image->names, symbol->name, symbol);
        if (type == STT_FUNC || type == STT_OBJECT || type == STT_GNU_IFUNC) {
            image->by_address[image->by_address_count++] = symbol;
        }
    }
    qsort(image->by_address, image->by_address_count, sizeof(*image->by_address), by_address);
}

static void index_exports(struct image *image)
{
    Elf_Scn *scn = image->executable ? NULL : find_section(image->elf, ".dynsym");
    Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;

    for (size_t i = 1; data && data->d_buf && i < data->d_size / sizeof(Elf64_Sym); i++) {
        const Elf64_Sym *raw = (const Elf64_Sym *)data->d_buf + i;
        const char *name = elf_strptr(image->elf, elf64_getshdr(scn)->sh_link, raw->st_name);
        if (name && raw->st_shndx != SHN_UNDEF && ELF64_ST_VISIBILITY(raw->st_other) == STV_DEFAULT) {
            table_put(&image->exports, name, image);
        }
    }
}

bool image_is_exported(const struct image *image, const char *name)
{
    return table_get(&image->exports, name) != NULL;
}

/* gcc's second compiler, which the linker calls for all files together, names itself so. */
static bool is_made_by_linker(Dwarf_Die *unit)
{
    Dwarf_Attribute attribute;
    const char *producer = dwarf_attr(unit, DW_AT_producer, &attribute) ? dwarf_formstring(&attribute) : NULL;

    return producer && strncmp(producer, "GNU GIMPLE", 10) == 0;
}

static void index_units(struct image *image)
{
    Dwarf_CU *unit = NULL;
    uint8_t kind;
    Dwarf_Die die;

    while (image->dwarf && dwarf_get_units(image->dwarf, unit, &unit, NULL, &kind, &die, NULL) == 0) {
        Dwarf_Attribute attribute;
        const char *name = kind == DW_UT_compile ? dwarf_diename(&die) : NULL;
        const char *directory =
            name && dwarf_attr(&die, DW_AT_comp_dir, &attribute) ? dwarf_formstring(&attribute) : NULL;
        char *path = name ? path_normalise(directory ? directory : "/", name) : NULL;
        image->split = image->split || kind == DW_UT_skeleton;
        image->lto = image->lto || is_made_by_linker(&die);
        if (path) {
            LIST_ADD(&image->units,
                     (struct image_unit){ .path = path,
                                          .die = dwarf_dieoffset(&die),
                                          .checked_as = must_printf("%s#%lx", image->path,
                                                                    (unsigned long)dwarf_dieoffset(&die)),
                                          .variables = must_calloc(1, sizeof(struct image_variables)) });
        }
    }
    for (size_t i = 0; i < image->units.count; i++) {
        struct image_unit *added = &image->units.items[i];
        added->next = table_put(&image->unit_names, path_last(added->path), added);
    }
}

static struct molt_error *open_image(struct image *image)
{
    image->fd = open(image->path, O_RDONLY | O_CLOEXEC);
    image->elf = image->fd >= 0 ? elf_begin(image->fd, ELF_C_READ_MMAP, NULL) : NULL;
    if (!image->elf || !image_is_binary(image->path)) {
        return molt_error_new(MOLT_ERROR_REFUSED, "%s is not an x86-64 executable or shared library",
                              image->path);
    }
    if (!has_code(image->elf)) {
        return molt_error_new(MOLT_ERROR_REFUSED, "%s holds debug information only; name the program itself",
                              image->path);
    }
    read_build_id(image);
    if (!image->build_id_size) {
        return molt_error_new(MOLT_ERROR_REFUSED,
                              "%s has no build-id, by which Molt knows it again: link it with -Wl,--build-id",
                              image->path);
    }
    read_segments(image);
    image->symbolic = image->elf;
    image->stripped = !find_symtab(image->elf);
    if (image->stripped ||
        (!find_section(image->elf, ".debug_info") && !find_section(image->elf, ".zdebug_info"))) {
        if (!find_debug_file(image) && image->stripped) {
            return molt_error_new(
                MOLT_ERROR_REFUSED,
                "%s is stripped and its debug file was not found: keep it beside the program as %s.debug "
                "(objcopy --only-keep-debug before strip), or give the unstripped file with --binary",
                image->path, image->path);
        }
    }
    index_symbols(image);
    index_exports(image);
    image->dwarf = dwarf_begin_elf(image->symbolic, DWARF_C_READ, NULL);
    index_units(image);
    return NULL;
}

struct molt_error *image_open(const char *path, struct image **ret)
{
    struct image *image = must_calloc(1, sizeof(*image));

    elf_version(EV_CURRENT);
    char *real = realpath(path, NULL);
    image->path = real ? real : must_strdup(path);
    image->symbolic_fd = -1;
    struct molt_error *error = open_image(image);
    if (error) {
        image_close(image);
        return error;
    }
    *ret = image;
    return NULL;
}

void image_close(struct image *image)
{
    if (!image) {
        return;
    }
    for (size_t i = 0; i < image->units.count; i++) {
        LIST_FREE(&image->units.items[i].variables->addresses);
        LIST_FREE(&image->units.items[i].variables->offsets);
        free(image->units.items[i].variables);
        free(image->units.items[i].path);
        free(image->units.items[i].checked_as);
    }
    for (size_t i = 0; i < image->owned.count; i++) {
        free(image->owned.items[i]);
    }
    LIST_FREE(&image->owned);
    LIST_FREE(&image->files);
    LIST_FREE(&image->units);
    table_deinit(&image->names);
    table_deinit(&image->unit_names);
    table_deinit(&image->exports);
    free(image->symbols);
    free(image->by_address);
    free(image->segments);
    dwarf_end(image->dwarf);
    if (image->symbolic != image->elf) {
        elf_end(image->symbolic);
    }
    elf_end(image->elf);
    if (image->fd >= 0) {
        close(image->fd);
    }
    if (image->symbolic_fd >= 0) {
        close(image->symbolic_fd);
    }
    free(image->path);
    free(image);
}

/* Whether PATH ends in the whole components of NAME. */
static bool ends_in(const char *path, const char *name)
{
    size_t length = strlen(path), tail = strlen(name);

    return length > tail && path[length - tail - 1] == '/' && strcmp(path + length - tail, name) == 0;
}

const struct image_unit *image_find_unit(const struct image *image, const char *path, const char *name)
{
    const struct image_unit *same = NULL, *ending = NULL;

    for (const struct image_unit *unit = table_get(&image->unit_names, path_last(path)); unit;
         unit = unit->next) { /* the last one first */
        same = strcmp(unit->path, path) == 0 ? unit : same;
        ending = ends_in(unit->path, name) ? unit : ending;
    }
    return same ? same : ending;
}

const struct image_unit *image_next_twin(const struct image *image, const struct image_unit *unit)
{
    const struct image_unit *end = image->units.items + image->units.count;

    for (const struct image_unit *other = unit + 1; other < end; other++) {
        if (strcmp(other->path, unit->path) == 0) {
            return other;
        }
    }
    return NULL;
}

const struct image_symbol *image_find_global(const struct image *image, const char *name)
{
    const struct image_symbol *symbol = table_get(&image->names, name);

    while (symbol && symbol->file) {
        symbol = symbol->next;
    }
    return symbol;
}

static const Elf64_Phdr *segment_of(const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *segment = &image->segments[i];
        if (address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_filesz) {
            return segment;
        }
    }
    return NULL;
}

bool image_is_writable(const struct image *image, uint64_t address)
{
    const Elf64_Phdr *relro = &image->relro;

    if (address >= relro->p_vaddr && address - relro->p_vaddr < relro->p_memsz) {
        return false;
    }
    for (size_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *segment = &image->segments[i];
        if (address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_memsz) {
            return segment->p_flags & PF_W;
        }
    }
    return false;
}

uint64_t image_bytes_left(const struct image *image, uint64_t address)
{
    const Elf64_Phdr *segment = segment_of(image, address);

    return segment ? segment->p_filesz - (address - segment->p_vaddr) : 0;
}

const uint8_t *image_bytes(const struct image *image, uint64_t address, size_t size)
{
    const Elf64_Phdr *segment = segment_of(image, address);
    size_t total = 0;
    const char *bytes = elf_rawfile(image->elf, &total);

    if (!segment || !bytes || size > image_bytes_left(image, address)) {
        return NULL;
    }
    uint64_t offset = segment->p_offset + (address - segment->p_vaddr);
    return offset <= total && size <= total - offset ? (const uint8_t *)bytes + offset : NULL;
}

/* Index of the first symbol at an address above ADDRESS. */
static size_t first_above(const struct image *image, uint64_t address)
{
    return COUNT_BEFORE(i, image->by_address_count, image->by_address[i]->value <= address);
}

uint64_t image_room(const struct image *image, const struct image_symbol *symbol)
{
    size_t next = first_above(image, symbol->value);
    uint64_t end = symbol->value + symbol->size;
    uint64_t limit = next < image->by_address_count ? image->by_address[next]->value : end + 16;

    limit = limit < end + 64 ? limit : end + 64;
    for (uint64_t at = end; at < limit; at++) {
        const uint8_t *byte = image_bytes(image, at, 1);
        /* padding: int3, zero, or the bytes that no-operations of several bytes are made of */
        if (!byte || !memchr("\xcc\x90\x00\x66\x2e\x0f\x1f\x84\x80\x40\x44", *byte, 11)) {
            return at - symbol->value;
        }
    }
    return limit > symbol->value ? limit - symbol->value : symbol->size;
}

const struct image_symbol *image_symbol_at(const struct image *image, uint64_t address)
{
    for (size_t i = first_above(image, address); i-- > 0;) {
        const struct image_symbol *symbol = image->by_address[i];
        if (address < symbol->value + symbol->size || address == symbol->value) {
            return symbol;
        }
        if (symbol->value + 0x10000 < address) {
            break;
        }
    }
    return NULL;
}

const struct image_symbol *image_symbol_before(const struct image *image, uint64_t address)
{
    size_t above = first_above(image, address);

    return above ? image->by_address[above - 1] : NULL;
}
