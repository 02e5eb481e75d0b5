/*
 * Code by address. Modules are found by `_dl_find_object`, without a lock, as malloc may be called while the
 * dynamic linker holds its own; their ELF headers, which lie at the start of their mapping, lead to the
 * build-id, and that to the table of wrappers (base/wrapper_table.h). Nothing here is quick: each return
 * address is asked about once.
 */
#include "engine/heap/places.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/search.h"
#include "base/wrapper_table.h"
#include "engine/build_id.h"
#include "engine/mapping.h"

#define TABLES_MAX 64
#define PATCHES_MAX 1024 /* pieces of code from patches; of further ones nothing is known */
#define TABLE_BYTES_MAX ((size_t)16 << 20)

static struct {
    _Atomic bool asked; /* for MOLT_WRAPPERS */
    atomic_size_t count;
    const struct molt_wrapper_table *tables[TABLES_MAX];
} told;

static struct {
    atomic_size_t count;
    struct {
        _Atomic uintptr_t start, end; /* 0, 0: free */
        const uint8_t *_Atomic header;
    } pieces[PATCHES_MAX];
} patches;

/* ---- tables of wrappers ------------------------------------------------------------------------------ */

static const struct molt_wrapper_range *ranges_of(const struct molt_wrapper_table *table)
{
    return (const struct molt_wrapper_range *)(table + 1);
}

static bool is_sound(const struct molt_wrapper_table *table, size_t size)
{
    if (size < sizeof(*table) || memcmp(table->magic, MOLT_WRAPPER_MAGIC, sizeof(table->magic)) != 0 ||
        !table->build_id_size || table->build_id_size > MOLT_BUILD_ID_MAX ||
        table->count != (size - sizeof(*table)) / sizeof(struct molt_wrapper_range)) {
        return false;
    }
    const struct molt_wrapper_range *ranges = ranges_of(table);
    for (size_t i = 0; i < table->count; i++) {
        if (ranges[i].start >= ranges[i].end || (i && ranges[i].start < ranges[i - 1].end)) {
            return false;
        }
    }
    return true;
}

/* System calls by number: malloc is no cancellation point, and open and read are. */
static const void *read_file(const char *path, size_t *ret_size)
{
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat status;
    void *bytes = NULL;

    if (file < 0) {
        return NULL;
    }
    size_t size = fstat(file, &status) == 0 && S_ISREG(status.st_mode) ? (size_t)status.st_size : 0;
    if (size && size <= TABLE_BYTES_MAX) {
        bytes = mapping_create(NULL, size, PROT_READ | PROT_WRITE, 0, "wrapper tables");
        if (bytes && syscall(SYS_read, file, bytes, size) != (long)size) {
            mapping_destroy(bytes);
            bytes = NULL;
        }
    }
    syscall(SYS_close, file);
    *ret_size = size;
    return bytes;
}

static void read_table(const char *path)
{
    size_t size = 0;
    const struct molt_wrapper_table *table = read_file(path, &size);
    size_t count = atomic_load(&told.count);

    if (!table) {
        return;
    }
    if (count < TABLES_MAX && is_sound(table, size)) {
        told.tables[count] = table;
        atomic_store(&told.count, count + 1);
    } else {
        mapping_destroy((void *)table);
    }
}

static void read_tables(void)
{
    char path[4096];
    int saved = errno;

    if (!environ || atomic_exchange(&told.asked, true)) {
        return;
    }
    const char *paths = secure_getenv("MOLT_WRAPPERS");
    while (paths && *paths) {
        size_t length = strcspn(paths, ":");
        if (length && length < sizeof(path)) {
            memcpy(path, paths, length);
            path[length] = '\0';
            read_table(path);
        }
        paths += length + (paths[length] == ':');
    }
    errno = saved;
}

static const struct molt_wrapper_table *find_table(const uint8_t *build_id, size_t size)
{
    for (size_t i = 0; i < atomic_load(&told.count); i++) {
        const struct molt_wrapper_table *table = told.tables[i];
        if (table->build_id_size == size && !memcmp(table->build_id, build_id, size)) {
            return table;
        }
    }
    return NULL;
}

static bool is_in_ranges(const struct molt_wrapper_table *table, uint64_t address)
{
    const struct molt_wrapper_range *ranges = ranges_of(table);
    size_t index = COUNT_BEFORE(i, table->count, ranges[i].end <= address);

    return index < table->count && ranges[index].start <= address;
}

/* ---- modules ----------------------------------------------------------------------------------------- */

static size_t build_id_of(const struct dl_find_object *module, const uint8_t **ret)
{
    const ElfW(Ehdr) *header = module->dlfo_map_start;
    size_t mapped = (size_t)((char *)module->dlfo_map_end - (char *)module->dlfo_map_start);

    if (mapped < 4096 || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_phoff + header->e_phnum * sizeof(ElfW(Phdr)) > 4096) {
        return 0;
    }
    const ElfW(Phdr) *segments = (const void *)((const char *)header + header->e_phoff);
    return build_id_find(module->dlfo_link_map->l_addr, segments, header->e_phnum, ret);
}

static uint64_t hash_of(const uint8_t *bytes, size_t size) /* FNV-1a */
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    }
    return hash | 1;
}

static void describe_module(const struct dl_find_object *module, uintptr_t return_address, struct place *ret)
{
    const uint8_t *build_id = NULL;
    size_t size = build_id_of(module, &build_id);
    const struct molt_wrapper_table *table = size ? find_table(build_id, size) : NULL;

    *ret = (struct place){ .eh_frame_header = module->dlfo_eh_frame };
    ret->identity = size ? hash_of(build_id, size) : 0;
    if (table) {
        uint64_t address = return_address - 1 - module->dlfo_link_map->l_addr;
        ret->kind = is_in_ranges(table, address) ? PLACE_WRAPPER : PLACE_PLAIN;
    }
}

/* ---- patches ----------------------------------------------------------------------------------------- */

void place_add_code(uintptr_t start, uintptr_t end, const uint8_t *header)
{
    for (size_t i = 0; i < PATCHES_MAX; i++) {
        if (!atomic_load(&patches.pieces[i].end)) {
            atomic_store(&patches.pieces[i].header, header);
            atomic_store(&patches.pieces[i].start, start);
            atomic_store(&patches.pieces[i].end, end);
            if (i >= atomic_load(&patches.count)) {
                atomic_store(&patches.count, i + 1);
            }
            return;
        }
    }
}

void place_remove_code(uintptr_t start, uintptr_t end)
{
    for (size_t i = 0; i < atomic_load(&patches.count); i++) {
        if (atomic_load(&patches.pieces[i].start) == start && atomic_load(&patches.pieces[i].end) == end) {
            atomic_store(&patches.pieces[i].end, 0);
            atomic_store(&patches.pieces[i].start, 0);
        }
    }
}

static bool find_patch(uintptr_t return_address, struct place *ret)
{
    for (size_t i = 0; i < atomic_load(&patches.count); i++) {
        uintptr_t start = atomic_load(&patches.pieces[i].start);
        if (return_address > start && return_address <= atomic_load(&patches.pieces[i].end)) {
            *ret = (struct place){ .eh_frame_header = atomic_load(&patches.pieces[i].header) };
            return true;
        }
    }
    return false;
}

bool place_find(uintptr_t return_address, struct place *ret)
{
    struct dl_find_object module;

    if (!atomic_load(&told.asked)) {
        read_tables();
    }
    if (find_patch(return_address, ret)) {
        return true;
    }
    if (return_address < 4096 || _dl_find_object((void *)(return_address - 1), &module) != 0) {
        return false;
    }
    describe_module(&module, return_address, ret);
    return true;
}
