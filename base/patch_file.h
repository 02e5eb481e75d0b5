/*
 * The patch file's format: what patch/ writes and engine/ reads, and nothing else in Molt interprets.
 *
 * A patch is one ELF64 x86-64 relocatable object (ET_REL, little-endian). Code and data of changed and new
 * definitions are ordinary sections with ordinary RELA relocations and symbols, so readelf, objdump and gdb
 * can open it. What an ELF object cannot say stands in `.molt.*` sections:
 *
 *   .molt.manifest   JSON for people and tools: see patch/manifest.h. The engine takes "id", "after" and
 * "title". .molt.modules    struct molt_patch_module[]: executables and shared libraries that the patch
 * changes or names .molt.sections   struct molt_patch_section[]: near which module each allocated section
 * must be loaded .molt.bindings   struct molt_patch_binding[]: what each undefined symbol means in the
 * running program .molt.functions  struct molt_patch_function[]: affected functions, and where control is to
 * go instead .molt.data       struct molt_patch_data[]: constant objects whose bytes are overwritten in place
 *   .molt.definitions struct molt_patch_definition[]: new definitions that later patches may bind to
 *   .molt.strings    NUL-terminated strings, named by offset; offset 0 is ""
 *
 * All records are little-endian, naturally aligned and without holes; each array's size is a multiple of its
 * record's. Every index and range is checked when the file is opened (patch_file_open), so that whoever reads
 * the arrays afterwards need not check again. Symbols are named by their index in .symtab.
 *
 * An address in a record is a virtual address as the module's own ELF file states it (st_value); the engine
 * adds the load bias. "Unit" is the translation unit's path relative to the source root, as in the compile
 * database; together with the name it tells static definitions of the same name apart.
 */
#ifndef MOLT_BASE_PATCH_FILE_H
#define MOLT_BASE_PATCH_FILE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define MOLT_PATCH_FORMAT 1 /* "format" in the manifest; other numbers are refused */
#define MOLT_BUILD_ID_MAX 32

struct molt_patch_module {
    uint8_t build_id[MOLT_BUILD_ID_MAX];
    uint32_t build_id_size;
    uint32_t name;  /* string: path of the file as the builder saw it, for messages */
    uint32_t flags; /* enum molt_module_flags */
    uint32_t reserved;
};

enum molt_module_flags {
    MOLT_MODULE_EXECUTABLE = 1, /* the main program, not a shared library */
    MOLT_MODULE_FIXED = 2,      /* not position independent (ET_EXEC): its sections go below 2 GB */
};

struct molt_patch_section {
    uint32_t section; /* section header index of a SHF_ALLOC section */
    uint32_t module;  /* index into modules */
};

/* kind, meaning of `value` and `module` */
#define MOLT_BINDING_KINDS(X)                                                                                  \
    X(ADDRESS) /* address `value` in module `module`: an existing function or object, static ones included   \
                */ \
    X(TLS)     /* offset `value` in the TLS segment of module `module` */                                      \
    X(IMPORT) /* looked up by the symbol's name in the program's global scope, as the dynamic linker would; \
                  `value` is a string: the symbol version, or 0 */  \
    X(EARLIER) /* defined by an earlier patch: `value` is the string of its unit; name as the definition's,  \
                  held in `module` as a string */

enum molt_binding_kind {
#define X(name) MOLT_BINDING_##name,
    MOLT_BINDING_KINDS(X)
#undef X
        MOLT_BINDING_COUNT
};

struct molt_patch_binding {
    uint32_t symbol;
    uint32_t kind;
    uint32_t module;
    uint32_t size; /* of the object in bytes, 0 if unknown; for messages and checks */
    uint64_t value;
};

enum molt_function_flags {
    MOLT_FUNCTION_PART =
        1, /* a piece of a function (.cold and the like): may not be on a stack, is not redirected */
    MOLT_FUNCTION_REMOVED = 2, /* no longer in the source: stays as it is for whoever still calls it */
    MOLT_FUNCTION_BYPASSED =
        8, /* too short for a jump (room < 5) and its address is not taken: all its callers
                                   are in the patch and call the new definition */
    MOLT_FUNCTION_EARLIER = 4, /* first defined by an earlier patch: `address` is 0, unit and name find it */
};

/* One affected function: its machine code in the running program, and its new definition. */
struct molt_patch_function {
    uint32_t symbol; /* the new definition, 0 for PART and REMOVED */
    uint32_t module;
    uint64_t address; /* of the old code; stays the function's identity */
    uint32_t size;    /* of the old code in bytes */
    uint32_t room;    /* bytes from address that nothing else uses (padding after the function counts) */
    uint32_t flags;
    uint32_t name; /* string, as the object file has it (clones: "f.isra.0") */
    uint32_t unit; /* string */
    uint32_t line; /* of its new definition, 0 if unknown; for messages */
};

/* A constant object of the same size with other contents: the engine writes the new bytes over the old ones.
 */
struct molt_patch_data {
    uint32_t symbol; /* the new definition: its section's bytes, relocated, are what is written */
    uint32_t module;
    uint64_t address;
    uint32_t size;
    uint32_t name;
    uint32_t unit;
    uint32_t reserved;
};

/* A definition that the baseline has not: later patches bind to it by unit and name (unit 0: extern). */
struct molt_patch_definition {
    uint32_t symbol;
    uint32_t name;
    uint32_t unit;
    uint32_t reserved;
};

/* A patch file opened in memory. All pointers lead into the file's bytes. */
struct patch_file {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Shdr *sections;
    size_t section_count;
    const char *section_names;
    size_t section_names_size;
    const Elf64_Sym *symbols;
    size_t symbol_count;
    const char *symbol_names;
    const char *manifest; /* JSON, not NUL-terminated */
    size_t manifest_size;
    const char *strings;
    size_t strings_size;
#define MOLT_PATCH_ARRAYS(X)                                                                                 \
    X(modules, module)                                                                                       \
    X(sections, section) X(bindings, binding) X(functions, function) X(data, data) X(definitions, definition)
#define X(array, record)                                                                                     \
    const struct molt_patch_##record *patch_##array;                                                         \
    size_t patch_##array##_count;
    MOLT_PATCH_ARRAYS(X)
#undef X
};

/* Writes the sum of all other bytes into the padding of the ELF header of a finished patch of SIZE bytes at BYTES (at
 * least an ELF header), so that damage on its way is noticed. It guards against accidents, not against authors. */
void patch_file_seal(void *bytes, size_t size);

/*
 * Opens SIZE bytes at BYTES (8-byte aligned, borrowed as long as RET is used) and checks everything that can
 * be checked without the program: ELF structure, relocation targets inside their sections, every index and
 * string. Returns 0, or -EBADMSG with *ret_reason a static string saying what is wrong.
 */
int patch_file_open(const void *bytes, size_t size, struct patch_file *ret, const char **ret_reason);

/* Name of section INDEX, of symbol INDEX; the string at OFFSET of .molt.strings. Never NULL after a
 * successful open. */
const char *patch_file_section_name(const struct patch_file *file, size_t index);
const char *patch_file_symbol_name(const struct patch_file *file, size_t index);
const char *patch_file_string(const struct patch_file *file, uint32_t offset);

/* The bytes of section INDEX, NULL for section 0 (which is none), SHT_NOBITS and empty ones. */
const uint8_t *patch_file_section_bytes(const struct patch_file *file, size_t index);

#endif
