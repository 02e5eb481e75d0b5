/* Loading a patch: from a checked file in memory to code and data at their final addresses, which nothing
 * leads to yet. */
#ifndef MOLT_ENGINE_CODE_LOAD_H
#define MOLT_ENGINE_CODE_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/patch_file.h"
#include "engine/code/arena.h"
#include "engine/code/image.h"
#include "engine/code/modules.h"
#include "engine/code/preempted.h"

/* Where a section of the patch goes. */
enum section_class {
    SECTION_UNLOADED,  /* debug information, symbol tables, .molt.* */
    SECTION_CODE,      /* and everything that only code refers to: jump tables, unwind tables */
    SECTION_CONSTANTS, /* read-only data: interned */
    SECTION_STRINGS,   /* mergeable strings: interned one by one, as they are referred to */
    SECTION_DATA,      /* variables */
    SECTION_TLS,       /* thread-local variables: a place in the reserve */
};

struct loaded_section {
    enum section_class class;
    uint32_t module;
    uint32_t relocations; /* index of its SHT_RELA section, 0 for none */
    uintptr_t address;    /* 0: not placed. TLS: offset in the reserve */
    uint8_t *bytes;       /* where its contents are written; for TLS a copy, for what is not loaded NULL */
};

/* What a symbol stands for. */
struct loaded_symbol {
    uintptr_t address;   /* of the definition; TLS: offset in the TLS block of module tls_module */
    uintptr_t identity;  /* the address that pointers to it must have: differs for replaced functions */
    size_t tls_module;   /* not 0: thread-local */
    bool needed;         /* something that is loaded refers to it */
    bool tls_static;     /* tls_offset is valid */
    intptr_t tls_offset; /* from the thread pointer */
};

struct loaded_module {
    bool absent; /* this process has not loaded it: what the patch has for it is passed over */
    struct module module;
    struct preempted preempted;
    struct arena *arena;
    struct arena_mark mark; /* the pools' fill before this patch */
    struct image *image;    /* NULL if the patch has no code for this module */
    struct symbol_slots *slots;
    size_t text_size, plt_at, got_at;
    size_t plt_count, got_count;
};

struct loaded_patch {
    struct patch_file file;
    void *bytes; /* the file's, owned */
    struct loaded_module *modules;
    struct loaded_section *sections;
    struct loaded_symbol *symbols;
    uint64_t number; /* in the order of loading */
    size_t tls_mark;
    bool pools_open;
    char reason[512]; /* why loading failed */
};

/*
 * Loads the patch in PATCH->file. 0, or -EINVAL with PATCH->reason, or another negative errno; PATCH is to be
 * unloaded in either case.
 */
int load_patch(struct loaded_patch *patch);

/* Gives back everything the patch took: for patches that were never committed. */
void load_discard(struct loaded_patch *patch);

/* Gives back what only loading needed; code and data stay. */
void load_finish(struct loaded_patch *patch);

/* Where the program has the variable of ROOT, which a module defines and no thread for itself: in that
 * module, or where another one stands in for it. */
uintptr_t load_root_place(const struct loaded_patch *patch, const struct molt_patch_root *root);

/* Where the bytes of DATA are written in the program, 0 if that lies outside of what they may.
 * Thread-local variables have their initial value in the module, for threads to come. */
uintptr_t load_data_place(const struct loaded_patch *patch, const struct molt_patch_data *data);

/* ---- between load.c, variables.c, place.c and relocate_x86_64.c -------------------------------------- */

/* Refuses what the patch says of variables that another module stands in for: they move, or nothing tells
 * where they are in use. 0 or -EINVAL with the reason. */
int load_check_variables(struct loaded_patch *patch);

/* Refuses since nothing tells where variable NAME of MODULE is in use. */
int load_refuse_copy(struct loaded_patch *patch, const char *name, const struct loaded_module *module);

/* PLT and GOT entries of one symbol near one module; 0: none, else 1 + index. */
struct symbol_slots {
    uint32_t plt, got, got_tls_pair, got_tls_offset;
};

/* Sets the reason and returns -EINVAL. */
int load_refuse(struct loaded_patch *patch, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Gives every section its class, module and address; contents are copied, not relocated. */
int place_sections(struct loaded_patch *patch);

/* Reserves PLT and GOT entries for the relocations of SECTION. */
void relocate_count_slots(struct loaded_patch *patch, size_t section);

/* Fills the PLT and GOT of MODULE, when all symbols are resolved. */
void relocate_fill_slots(struct loaded_patch *patch, uint32_t module);

/* Applies the relocations of SECTION to its bytes. */
int relocate_section(struct loaded_patch *patch, size_t section);

/* The address of what lies at OFFSET in string section SECTION, interned now. 0 if the pool is full. */
uintptr_t load_string(struct loaded_patch *patch, size_t section, uint64_t offset);

/* Name of SYMBOL for messages: its own, or its section's. */
const char *load_symbol_name(const struct loaded_patch *patch, size_t symbol);

#endif
