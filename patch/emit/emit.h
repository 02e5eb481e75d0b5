/*
 * Emitting a patch: the definitions that differ, what they need, and what their names mean in the running
 * program. base/patch_file.h says what is written.
 */
#ifndef MOLT_PATCH_EMIT_H
#define MOLT_PATCH_EMIT_H

#include <jansson.h>

#include "base/diagnostic.h"
#include "base/patch_file.h"
#include "patch/code/compare.h"
#include "patch/compile/build_time.h"
#include "patch/emit/elf_writer.h"
#include "patch/code/image.h"
#include "patch/code/inlining.h"

/* A patch that the program already has. */
struct earlier_patch {
    char *path;
    char *bytes;
    struct patch_file file;
    char *id;
    json_t *manifest;
};

/* The differences of one translation unit, in one binary that it is linked into. */
struct contribution {
    const struct comparison *comparison;
    const struct image *image;
    const struct image_unit *image_unit;
    const struct build_time *time; /* that the objects tell of */
    const char *name;              /* the unit's */
    const char *key;    /* the same, unless the binary has several units of one file: tells them apart */
    const char *source; /* its file, absolute */
    bool policy; /* migration policies: they are no part of the program and run during the update only */
    bool needs_indirect; /* result: refers to data that only the GOT can reach */
    uint32_t *sections;  /* by index in the new object: the emitted section, or 0 */
    uint32_t *symbols;   /* by index in the new object: the emitted symbol, or 0 */
};

/* An extern definition that another file had before, of one program. */
struct refiled {
    const struct image *image;
    const char *name;
};

typedef LIST(struct refiled) refiled_list;

struct emission {
    struct elf_writer writer;
    const struct earlier_patch *earlier; /* borrowed */
    size_t earlier_count;
    LIST(struct contribution *) contributions;                   /* borrowed */
    LIST(const struct image *) images;                           /* become modules */
#define X(array, record) LIST(struct molt_patch_##record) array; /* of the file */
    MOLT_PATCH_ARRAYS(X)
#undef X
    const char *source; /* of the generated policies, for people; borrowed, may be NULL */
    struct text strings;
    LIST(char *) owned;
    struct table extern_symbols; /* "MODULE NAME" -> emitted symbol of an extern definition or import */
    struct molt_diagnostics *diagnostics;
    const refiled_list *refiled; /* borrowed, may be NULL */
    struct inlining *inlining;   /* borrowed; explains changes, may be NULL */
    json_t *json_functions, *json_data, *json_transfers;
    struct molt_error *error; /* the first one */
};

void emission_init(struct emission *emission, const struct earlier_patch *earlier, size_t earlier_count,
                   struct molt_diagnostics *diagnostics);
void emission_deinit(struct emission *emission);

/* Adds a unit's differences; all of them, then emission_build. CONTRIBUTION is borrowed until then. */
void emission_add(struct emission *emission, struct contribution *contribution);

/* Whether SYMBOL, extern and of one of CONTRIBUTION's objects, is a definition that went from one file to
 * another. */
bool emission_is_refiled(const struct emission *emission, const struct contribution *contribution,
                         const struct object_symbol *symbol);

/* Emits everything that was added. The error is the first that was met. */
struct molt_error *emission_build(struct emission *emission);

/* Writes the file. MANIFEST is completed with the id. The bytes belong to the caller. */
void *emission_finish(struct emission *emission, json_t *manifest, size_t *ret_size);

/* For the parts of the emitter. */
uint32_t emission_string(struct emission *emission, const char *string);
uint32_t emission_module(struct emission *emission, const struct image *image);
void emission_fail(struct emission *emission, struct molt_error *error);

/* Makes SYMBOL of the contribution's new object a definition of the patch; its emitted symbol. */
uint32_t emission_define(struct emission *emission, struct contribution *contribution,
                         struct object_symbol *symbol);

/* Whether the new definition itself is what references to SYMBOL mean, rather than the place of the old
 * one. */
bool emission_redefines(const struct contribution *contribution, const struct object_symbol *symbol);

/* The emitted symbol that stands for SYMBOL of the contribution's new object, emitting or binding it. 0 on
 * failure. */
uint32_t emission_symbol(struct emission *emission, struct contribution *contribution,
                         struct object_symbol *symbol);

/* The emitted copy of SECTION. */
uint32_t emission_section(struct emission *emission, struct contribution *contribution,
                          struct object_section *section);

/* Writes RELOCATION of SECTION, of the contribution's new object, at OFFSET of the emitted section INDEX. */
void emission_relocation(struct emission *emission, struct contribution *contribution,
                         const struct object_section *section, const struct object_relocation *relocation,
                         uint32_t index, uint64_t offset);

/* bind.c: what SYMBOL, of the contribution's old object, means in the program; 0 if it is not there. */
uint32_t bind_old(struct emission *emission, struct contribution *contribution, struct object_symbol *symbol);

/* bind.c: binds an existing definition; 0 if the program does not have it. */
uint32_t bind_existing(struct emission *emission, struct contribution *contribution,
                       struct object_symbol *symbol);
uint32_t bind_undefined(struct emission *emission, struct contribution *contribution,
                        struct object_symbol *symbol);

/* The symbol of the binary for SYMBOL, a definition of the old object; NULL if it has none or,
 * *RET_AMBIGUOUS then being set, if that of another unit may be meant. */
const struct image_symbol *bind_find(const struct contribution *contribution,
                                     const struct object_symbol *symbol, bool *ret_ambiguous);

/* The same; the emission fails if it is ambiguous. */
const struct image_symbol *bind_find_or_fail(struct emission *emission,
                                             const struct contribution *contribution,
                                             const struct object_symbol *symbol);

/* The definition of one of COUNT earlier patches, the latest first, NULL if there is none. NAME as in
 * definitions, UNIT "" for extern ones. */
const struct molt_patch_definition *bind_earlier(const struct earlier_patch *earlier, size_t count,
                                                 const char *name, const char *unit);

/* The name under which later patches find SYMBOL. */
const char *bind_name(struct object *object, struct object_symbol *symbol);

/* emit/tables.c: unwind and debug information of what was emitted. */
void emit_unwind(struct emission *emission, struct contribution *contribution);
void emit_debug(struct emission *emission, struct contribution *contribution);

#endif
