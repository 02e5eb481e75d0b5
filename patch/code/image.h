/*
 * An executable or shared library of the build: its symbols, its code, and which translation units it was
 * made from. Where the file itself is stripped, symbols and debug information come from its separate debug
 * file.
 */
#ifndef MOLT_PATCH_IMAGE_H
#define MOLT_PATCH_IMAGE_H

#include <elf.h>
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/patch_file.h"
#include "patch/memory.h"

typedef LIST(char *) string_list;

struct image_symbol {
    const char *name; /* without a version */
    const char
        *file; /* of static definitions: the source file's name as the compiler noted it; NULL for others */
    unsigned
        group; /* of local symbols: those of one object file have the same number and follow each other */
    uint64_t value, size;
    unsigned char type;
    struct image_symbol *next; /* of the same name */
};

/* Where the variables of a unit are; read when first asked. Sorted. */
struct image_variables {
    bool read;
    LIST(uint64_t) addresses;
    LIST(uint64_t) offsets; /* of thread-local ones, as their symbols' values */
};

/* One compile unit of the debug information. */
struct image_unit {
    char *path; /* of the source, absolute */
    Dwarf_Off die;
    char *checked_as; /* names it among the units of all binaries */
    struct image_variables *variables;
    struct image_unit *next; /* of the same file name, in whatever directory */
};

struct image {
    char *path;
    uint8_t build_id[MOLT_BUILD_ID_MAX];
    size_t build_id_size;
    bool executable;
    bool fixed; /* not position independent */
    bool stripped;
    bool split;    /* its debug information is elsewhere (-gsplit-dwarf): nothing is known of its units */
    bool lto;      /* gcc compiled it when it was linked */
    Elf *elf;      /* the file itself */
    Elf *symbolic; /* where symbols are: the same or the debug file */
    Dwarf *dwarf;
    int fd, symbolic_fd;
    struct image_symbol *symbols; /* functions, objects and thread-local objects */
    size_t symbol_count;
    struct image_symbol **by_address; /* without the thread-local ones */
    size_t by_address_count;
    struct table names;       /* name -> first symbol */
    struct table exports;     /* names a shared library offers */
    LIST(const char *) files; /* sources, as the symbol table names them */
    LIST(struct image_unit) units;
    struct table unit_names; /* file name without its directory -> last unit */
    Elf64_Phdr *segments;
    size_t segment_count;
    Elf64_Phdr relro;  /* what is read-only after relocation; empty without */
    string_list owned; /* names without their versions */
};

/* Opens the ELF file at PATH. REFUSED: it has no build-id, or neither symbols nor a debug file. */
struct molt_error *image_open(const char *path, struct image **ret);
void image_close(struct image *image);

/* Whether the file at PATH is an x86-64 executable or shared library. */
bool image_is_binary(const char *path);

/* The compile unit made from the source at PATH (absolute), NAME being its path relative to the source
 * root for sources that lay elsewhere then; NULL if there is none. */
const struct image_unit *image_find_unit(const struct image *image, const char *path, const char *name);

/* code/image_local.c: the compile unit whose code is at ADDRESS, and its entry in the debug information; NULL
 * if there is none. */
const struct image_unit *image_unit_at(const struct image *image, uint64_t address, Dwarf_Die *ret_die);

/* The next compile unit made from the same source as UNIT, with other flags perhaps; NULL if there is
 * none. */
const struct image_unit *image_next_twin(const struct image *image, const struct image_unit *unit);

/* code/image_local.c: whether the debug information says that SYMBOL belongs to UNIT. */
bool image_unit_has(const struct image *image, const struct image_unit *unit,
                    const struct image_symbol *symbol);

/* The extern definition NAME, or NULL. */
const struct image_symbol *image_find_global(const struct image *image, const char *name);

/* Whether NAME is a definition of a shared library that another module may take the place of: then only
 * the dynamic linker's rules tell what the name means. */
bool image_is_exported(const struct image *image, const char *name);

/* code/image_local.c: the definition with internal linkage NAME of UNIT, made from the file at PATH. NULL if
 * it has none, or, *RET_AMBIGUOUS then being set, if it cannot be told from that of another unit with the
 * same file name. */
const struct image_symbol *image_find_local(const struct image *image, const struct image_unit *unit,
                                            const char *path, const char *name, bool *ret_ambiguous);

/* SIZE bytes of the loaded image at ADDRESS, or NULL if the file does not hold them all. */
const uint8_t *image_bytes(const struct image *image, uint64_t address, size_t size);

/* Whether the program may write to ADDRESS while it runs. */
bool image_is_writable(const struct image *image, uint64_t address);

/* How many bytes follow ADDRESS in its segment's part of the file. */
uint64_t image_bytes_left(const struct image *image, uint64_t address);

/* Bytes from SYMBOL's address to the next thing that is not padding. */
uint64_t image_room(const struct image *image, const struct image_symbol *symbol);

/* The symbol that ADDRESS lies in, or NULL. */
const struct image_symbol *image_symbol_at(const struct image *image, uint64_t address);

/* The last symbol that begins at ADDRESS or before it, or NULL. */
const struct image_symbol *image_symbol_before(const struct image *image, uint64_t address);

struct image_reference {
    uint64_t address, target;
    bool branch; /* a jump or call; else the address is taken */
};

typedef LIST(struct image_reference) image_references;

/* code/image_references.c: all places of the binary, whatever it was made from, that name one of the sorted
 * addresses TARGETS of code. */
void image_find_references(const struct image *image, const uint64_t *targets, size_t count,
                           image_references *ret);

/* Whether other modules may find NAME by the dynamic linker. */
bool image_is_visible(const struct image *image, const char *name);

/* The source line that the code at ADDRESS was compiled from, 0 if nothing tells; *RET_FILE is the
 * caller's then. */
unsigned image_line(const struct image *image, uint64_t address, char **ret_file);

#endif
