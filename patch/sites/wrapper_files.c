/*
 * Tables of wrappers for `molt run`. In most starts they are in the cache, and all that is read of each
 * binary is its headers: build-id, what it needs, whether there is debug information. Libraries are looked
 * for where the dynamic linker would, as far as that can be told from here; one that is not found is done
 * without.
 */
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/file.h"
#include "patch/sites/wrappers.h"

#define QUICK_BYTES (24u << 20) /* of debug information, in all: some 100 ms */
#define BINARIES_MAX 256
#define TABLE_VERSION "1"

struct binary {
    char *path;
    char build_id[2 * MOLT_BUILD_ID_MAX + 1];
    uint64_t debug_size; /* of what is to be read, 0: nothing */
    char *run_path;      /* of DT_RUNPATH or DT_RPATH, NULL without */
    string_list needed;
};

typedef LIST(struct binary) binaries;

static void read_notes(Elf_Scn *scn, struct binary *binary)
{
    Elf_Data *data = elf_getdata(scn, NULL);
    size_t at = 0, name, description;
    GElf_Nhdr note;

    while (data && (at = gelf_getnote(data, at, &note, &name, &description)) > 0) {
        const uint8_t *bytes = (const uint8_t *)data->d_buf + description;
        if (note.n_type != NT_GNU_BUILD_ID || note.n_descsz > MOLT_BUILD_ID_MAX || note.n_namesz != 4) {
            continue;
        }
        for (size_t i = 0; i < note.n_descsz; i++) {
            snprintf(binary->build_id + 2 * i, 3, "%02x", bytes[i]);
        }
    }
}

static void read_dynamic(Elf *elf, Elf_Scn *scn, const GElf_Shdr *header, struct binary *binary)
{
    Elf_Data *data = elf_getdata(scn, NULL);
    GElf_Dyn entry;

    for (int i = 0; data && gelf_getdyn(data, i, &entry); i++) {
        const char *text = elf_strptr(elf, header->sh_link, entry.d_un.d_val);
        if (entry.d_tag == DT_NEEDED && text) {
            LIST_ADD(&binary->needed, must_strdup(text));
        }
        if ((entry.d_tag == DT_RUNPATH || entry.d_tag == DT_RPATH) && text) {
            free(binary->run_path);
            binary->run_path = must_strdup(text);
        }
    }
}

/* The size of the debug information in a file of its own. */
static uint64_t separate_debug_size(const struct binary *binary)
{
    char *path =
        must_printf("/usr/lib/debug/.build-id/%.2s/%s.debug", binary->build_id, binary->build_id + 2);
    int fd = binary->build_id[0] ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return size > 0 ? size : 0;
}

/* Reads the headers of the binary at PATH; false if it is none. */
static bool look_at(const char *path, struct binary *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf *elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
    size_t names = 0;
    bool is_elf = elf && elf_kind(elf) == ELF_K_ELF && gelf_getclass(elf) == ELFCLASS64 &&
                  elf_getshdrstrndx(elf, &names) == 0;

    *ret = (struct binary){ .path = must_strdup(path) };
    for (Elf_Scn *scn = NULL; is_elf && (scn = elf_nextscn(elf, scn));) {
        GElf_Shdr header;
        const char *name = gelf_getshdr(scn, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (name && header.sh_type == SHT_NOTE && (header.sh_flags & SHF_ALLOC)) {
            read_notes(scn, ret);
        } else if (name && header.sh_type == SHT_DYNAMIC) {
            read_dynamic(elf, scn, &header, ret);
        } else if (name && strcmp(name, ".debug_info") == 0) {
            ret->debug_size = header.sh_size;
        }
    }
    if (is_elf && !ret->debug_size) {
        ret->debug_size = separate_debug_size(ret);
    }
    elf_end(elf);
    if (fd >= 0) {
        close(fd);
    }
    return is_elf;
}

/* DIRECTORY/NAME, $ORIGIN being the directory of ORIGIN, if there is such a file. Owned by the caller. */
static char *find_in(const char *directory, size_t length, const char *origin, const char *name)
{
    const char *variable = length >= 7 && strncmp(directory, "$ORIGIN", 7) == 0     ? "$ORIGIN"
                           : length >= 9 && strncmp(directory, "${ORIGIN}", 9) == 0 ? "${ORIGIN}"
                                                                                    : "";
    const char *slash = strrchr(origin, '/');
    int prefix = *variable && slash ? slash - origin : 0;
    size_t skip = strlen(variable);
    char *path = must_printf("%.*s%.*s/%s", prefix, origin, (int)(length - skip), directory + skip, name);

    if (access(path, R_OK) == 0) {
        return path;
    }
    free(path);
    return NULL;
}

/* The library NAME that BINARY needs, as the dynamic linker would find it. Owned by the caller; NULL: not
 * found. */
static char *find_library(const struct binary *binary, const char *name)
{
    const char *lists[] = { getenv("LD_LIBRARY_PATH"), binary->run_path,
                            "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib:"
                            "/usr/local/lib" };

    if (strchr(name, '/')) {
        return must_strdup(name);
    }
    for (size_t i = 0; i < 3; i++) {
        for (const char *at = lists[i]; at && *at; at += strcspn(at, ":"), at += *at == ':') {
            char *path = find_in(at, strcspn(at, ":"), binary->path, name);
            if (path) {
                return path;
            }
        }
    }
    return NULL;
}

static bool is_known(const binaries *all, const char *path)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->items[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* PROGRAM and all it needs. */
static void collect(const char *program, binaries *ret)
{
    struct binary binary;

    look_at(program, &binary);
    LIST_ADD(ret, binary);
    for (size_t i = 0; i < ret->count && ret->count < BINARIES_MAX; i++) {
        for (size_t k = 0; k < ret->items[i].needed.count; k++) {
            char *path = find_library(&ret->items[i], ret->items[i].needed.items[k]);
            if (path && !is_known(ret, path)) {
                look_at(path, &binary);
                LIST_ADD(ret, binary);
            }
            free(path);
        }
    }
}

/* Works out the table of BINARY and writes it to PATH. A binary without symbols or debug information has
 * none. */
static struct molt_error *make_table(const struct binary *binary, const char *const *names, const char *path)
{
    struct call_targets targets;
    struct code_index index;
    struct wrappers wrappers = { 0 };
    struct image *image;
    struct molt_error *error = image_open(binary->path, &image);

    if (error) {
        molt_error_destroy(error);
        return NULL;
    }
    call_targets_init(&targets, image);
    code_index_init(&index, image->dwarf);
    struct code_source code = { .targets = &targets };
    wrappers_find(&wrappers, &code, &index, names);
    error = wrappers_write(&wrappers, image, &index, path);
    wrappers_deinit(&wrappers);
    code_index_deinit(&index);
    call_targets_deinit(&targets);
    image_close(image);
    return error;
}

/* The cache's directory, NULL if there is no place for one. Owned by the caller. */
static char *cache_directory(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    return cache && *cache == '/' ? must_printf("%s/molt/wrappers", cache)
           : home && *home == '/' ? must_printf("%s/.cache/molt/wrappers", home)
                                  : NULL;
}

static char *table_path(const char *directory, const struct binary *binary, const char *const *names)
{
    struct hash hash;
    char hex[HASH_HEX];

    hash_init(&hash);
    hash_add_string(&hash, TABLE_VERSION);
    for (; names && *names; names++) {
        hash_add_string(&hash, *names);
    }
    hash_end(&hash, hex);
    return must_printf("%s/%s-%.8s", directory, binary->build_id, hex);
}

struct molt_error *wrappers_of_program(const char *program, const char *const *names, bool patient,
                                       char **ret, char **ret_left_out)
{
    struct text paths = { 0 }, left_out = { 0 };
    struct molt_error *error = NULL;
    binaries all = { 0 };
    uint64_t read = 0;
    char *directory = cache_directory();

    elf_version(EV_CURRENT);
    collect(program, &all);
    text_puts(&paths, "");
    text_puts(&left_out, "");
    error = directory ? file_make_directory(directory) : NULL;
    for (size_t i = 0; !error && directory && i < all.count; i++) {
        const struct binary *binary = &all.items[i];
        if (!binary->debug_size || !binary->build_id[0] || strchr(directory, ':')) {
            continue;
        }
        char *path = table_path(directory, binary, names);
        if (access(path, R_OK) != 0) {
            read += binary->debug_size;
            if (read > QUICK_BYTES && !patient) {
                text_printf(&left_out, "%s%s", left_out.length ? ", " : "", binary->path);
            } else {
                error = make_table(binary, names, path);
            }
        }
        if (access(path, R_OK) == 0) {
            text_printf(&paths, "%s%s", paths.length ? ":" : "", path);
        }
        free(path);
    }
    for (size_t i = 0; i < all.count; i++) {
        for (size_t k = 0; k < all.items[i].needed.count; k++) {
            free(all.items[i].needed.items[k]);
        }
        LIST_FREE(&all.items[i].needed);
        free(all.items[i].run_path);
        free(all.items[i].path);
    }
    LIST_FREE(&all);
    free(directory);
    *ret = must_have(text_steal(&paths));
    *ret_left_out = must_have(text_steal(&left_out));
    if (error) {
        free(*ret);
        free(*ret_left_out);
    }
    return error;
}
