/*
 * A relocatable object, as the comparison and the emitter want to see it: sections by what they are for,
 * relocations sorted and ready to be asked what they name, symbols with a key that stays the same from one
 * compile to the next.
 */
#ifndef MOLT_PATCH_OBJECT_H
#define MOLT_PATCH_OBJECT_H

#include <elf.h>
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "patch/memory.h"

enum section_kind {
    SECTION_OTHER, /* notes, comments, tables of the object itself */
    SECTION_CODE,
    SECTION_CONST, /* read-only after relocation */
    SECTION_DATA,  /* writable */
    SECTION_TLS,
    SECTION_UNWIND, /* .eh_frame */
    SECTION_INIT,   /* .init_array and the like */
    SECTION_DEBUG,
};

struct object_symbol {
    const char *name;
    const char *key; /* identity from compile to compile; NULL for what is known by content only */
    unsigned index;
    unsigned section; /* 0: undefined */
    uint64_t value, size;
    unsigned char type, bind;
};

struct object_relocation {
    uint32_t offset;
    uint32_t type;
    uint32_t symbol;
    uint8_t tail; /* bytes between the end of the field and the end of its instruction */
    int64_t addend;
};

struct object_section {
    const char *name;
    unsigned index;
    enum section_kind kind;
    uint32_t type;
    uint64_t flags, size, align, entry_size;
    const uint8_t *bytes; /* NULL if it has none in the file */
    struct object_relocation *relocations;
    size_t relocation_count;
    struct object_symbol **definitions; /* with a key, sorted by value */
    size_t definition_count;
    uint64_t base;            /* made-up address, for the debug information: no two sections overlap */
    LIST(uint64_t) anonymous; /* sorted offsets of what is referred to without a name */
};

struct object {
    char *path;
    uint8_t *image;
    size_t image_size;
    Elf *elf;
    Dwarf *dwarf; /* see object_dwarf */
    bool dwarf_tried;
    struct table endings; /* names of functions that never return; see object_never_returns */
    bool endings_known;
    struct object_section *sections; /* [0] is unused */
    size_t section_count;
    struct object_symbol *symbols; /* [0] is unused */
    size_t symbol_count;
    struct table keys; /* key -> definition */
    LIST(char *) owned;
};

/* What a relocation names. */
struct object_place {
    struct object_symbol *symbol;   /* with a key or undefined; NULL: anonymous, known by content */
    struct object_section *section; /* NULL for undefined symbols */
    int64_t offset;                 /* from the symbol, or from the section's start if there is none */
};

/* Reads the object at PATH, made by the user's compiler. */
struct molt_error *object_load(const char *path, struct object **ret);

/* The same of SIZE bytes at BYTES, which are copied; PATH is for messages. */
struct molt_error *object_read(const char *path, const void *bytes, size_t size, struct object **ret);

/* An object without anything in it. */
struct object *object_empty(void);
void object_destroy(struct object *object);

/* Whether TYPE is relative to the place of its field. */
bool relocation_is_relative(uint32_t type);

/* Bytes that a relocation of TYPE overwrites, 0 for types unknown here. */
unsigned relocation_width(uint32_t type);

/* What RELOCATION of SECTION names. */
struct object_place object_target(struct object *object, const struct object_section *section,
                                  const struct object_relocation *relocation);

/* First relocation of SECTION at OFFSET or after. */
size_t object_relocation_at(const struct object_section *section, uint64_t offset);

/* Index of the first of SECTION's anonymous places behind OFFSET, or their count. */
size_t object_anonymous_above(const struct object_section *section, uint64_t offset);

/* How many bytes at OFFSET of SECTION belong to one anonymous constant: up to the next thing that has a
 * name or is referred to. */
uint64_t object_anonymous_extent(const struct object_section *section, uint64_t offset);

/* The definition with KEY, or NULL. */
struct object_symbol *object_find(const struct object *object, const char *key);

/* The debug information, addresses being `base` of the section + offset; NULL if there is none. */
Dwarf *object_dwarf(struct object *object);

/* Whether the debug information says that the function NAME, of this object or another, never returns. */
bool object_never_returns(struct object *object, const char *name);

/* The address in the debug information of SYMBOL. */
uint64_t object_address(const struct object *object, const struct object_symbol *symbol);

static inline bool symbol_is_function(const struct object *object, const struct object_symbol *symbol)
{
    return symbol->section && object->sections[symbol->section].kind == SECTION_CODE &&
           (symbol->type == STT_FUNC || symbol->type == STT_GNU_IFUNC || symbol->type == STT_NOTYPE);
}

static inline bool symbol_is_constant(const struct object *object, const struct object_symbol *symbol)
{
    return symbol->section && object->sections[symbol->section].kind == SECTION_CONST;
}

/* Whether SYMBOL is a definition that the program may write to. */
static inline bool object_is_variable(const struct object *object, const struct object_symbol *symbol)
{
    enum section_kind kind = object->sections[symbol->section].kind;

    return symbol->key && symbol->section && (kind == SECTION_DATA || kind == SECTION_TLS);
}

/* Whether SYMBOL is a piece of another function, not entered by calls: "f.cold". */
bool symbol_is_part(const struct object_symbol *symbol);

#endif
