/*
 * The patch file's format: what patch/ writes and engine/ reads, and nothing else in Molt interprets.
 *
 * A patch is one ELF64 x86-64 relocatable object (ET_REL, little-endian). Code and data of changed and new
 * definitions are ordinary sections with ordinary RELA relocations and symbols, so readelf, objdump and gdb
 * can open it. What an ELF object cannot say stands in `.molt.*` sections:
 *
 *   .molt.manifest   JSON for people and tools (patch/emit/manifest.h); of it the engine takes "id", "after"
 *   .molt.modules    struct molt_patch_module[]: executables and shared libraries that it changes or names
 *   .molt.sections   struct molt_patch_section[]: near which module each allocated section must be loaded
 *   .molt.bindings   struct molt_patch_binding[]: what each undefined symbol means in the running program
 *   .molt.functions  struct molt_patch_function[]: affected functions, and where control is to go instead
 *   .molt.data       struct molt_patch_data[]: constant objects whose bytes are overwritten in place
 *   .molt.rebinds    struct molt_patch_rebind[]: operands in code that stays, which name variables that move
 *   .molt.definitions struct molt_patch_definition[]: new definitions that later patches may bind to
 *   .molt.layouts    struct molt_patch_layout[]: types as the program holds them, and as it will
 *   .molt.fields     struct molt_patch_field[]: what lies where in a layout
 *   .molt.sites      struct molt_patch_site[]: which type each allocation call makes
 *   .molt.allocators struct molt_patch_allocator[]: the program's own allocation functions
 *   .molt.roots      struct molt_patch_root[]: variables that hold pointers or instances of changed types
 *   .molt.migrations struct molt_patch_migration[]: migration policies, compiled
 *   .molt.segments   struct molt_patch_segment[]: where each part of an old instance is in the new one
 *   .molt.invariants struct molt_patch_invariant[]: validations of this program, whatever the update
 *   .molt.transfers  struct molt_patch_transfer[]: how a function that waits for a call goes on
 *   .molt.values     struct molt_patch_value[]: what that version finds in its frame
 *   .molt.aliases    struct molt_patch_alias[]: types that are known as something else, and nothing more
 *   .molt.source     the generated migration policies as C, for people
 *   .molt.initials   struct molt_patch_initial[]: variables whose initial value changed
 *   .molt.parts      struct molt_patch_part[]: the members and elements of which it did
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

#define MOLT_PATCH_FORMAT 3 /* "format" in the manifest; other numbers are refused */
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
#define MOLT_BINDING_KINDS(X)                                                                                \
    X(ADDRESS) /* address `value` in module `module`: an existing function or object, static ones included   \
                */                                                                                           \
    X(TLS)     /* offset `value` in the TLS segment of module `module` */                                    \
    X(IMPORT)  /* looked up by the symbol's name in the program's global scope, as the dynamic linker would; \
                   `value` is a string: the symbol version, or 0 */                                          \
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
    /* a piece of a function (.cold and the like): may not be on a stack, is not redirected */
    MOLT_FUNCTION_PART = 1,
    /* no longer in the source: stays as it is for whoever still calls it */
    MOLT_FUNCTION_REMOVED = 2,
    /* first defined by an earlier patch: `address` is 0, unit and name find it */
    MOLT_FUNCTION_EARLIER = 4,
    /* too short for a jump (room < MOLT_JUMP_ROOM) and its address is not taken: all its callers are in the
     * patch and call the new definition; code of later patches that names the old one is led to the version
     * in force */
    MOLT_FUNCTION_BYPASSED = 8,
    /* keeps no address of its locals, and of those that it is given none that the version it replaces would
     * not: once it has been rolled back, whoever knows that one knows enough */
    MOLT_FUNCTION_KEEPS_NOTHING = 16,
};

#define MOLT_JUMP_ROOM 5 /* bytes that a function needs for the jump to its new definition */

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

enum molt_data_flags {
    MOLT_DATA_TLS = 1,     /* `address` is an offset in the TLS segment: what threads to come begin with */
    MOLT_DATA_BY_NAME = 2, /* of a library that refers to it by its symbol, if at all */
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
    uint32_t flags; /* enum molt_data_flags */
};

enum molt_rebind_kind {
    MOLT_REBIND_RELATIVE, /* 4 bytes, from the end of the instruction */
    MOLT_REBIND_ABSOLUTE, /* 4 bytes, of a program at a fixed address */
    MOLT_REBIND_KINDS
};

/* An operand in code that the update leaves alone but for the address: what it names moves. */
struct molt_patch_rebind {
    uint64_t address;                /* of the field, in `module` */
    int64_t addend;                  /* it names old_symbol + addend, and is to name new_symbol + addend */
    uint32_t old_symbol, new_symbol; /* the variable as it was bound, and as this patch defines it */
    uint32_t module;
    uint32_t kind;
    uint32_t tail;     /* bytes between the field and the end of its instruction */
    uint32_t function; /* string, for messages */
};

/* A definition that the baseline has not: later patches bind to it by unit and name (unit 0: extern). */
struct molt_patch_definition {
    uint32_t symbol;
    uint32_t name;
    uint32_t unit;
    uint32_t reserved;
};

/* ---- state: what the program holds, and how it becomes what the new code expects ------------------- */

enum molt_layout_flags {
    MOLT_LAYOUT_OPAQUE = 1,  /* bytes about which nothing is known: any aligned word may hold an address */
    MOLT_LAYOUT_CHANGED = 2, /* an old layout that migrations lead away from */
    MOLT_LAYOUT_SCALAR = 4,  /* no structure, union or array: where a pointer to it leads to the start of one,
                                it means its first member */
    MOLT_LAYOUT_BEHIND = 8,  /* it changes, and nothing tells where its instances are: no site, no variable,
                                nothing in a function */
    MOLT_LAYOUT_CAST = 16,   /* it changes, and has no instances of its own, as far as anybody knows: pointers
                                are cast to it */
};

/* What every block of the heap is aligned to, in bytes: a type that asks for more needs a place for it, so
 * its alignment is a part of what it is. */
#define MOLT_ALIGNMENT_ANYWHERE 16

/* A type. One that the update leaves alone is there once; a changed one is there as it was and as it will be.
 * Index 0 is the opaque layout of size 1, so that 0 means "not known" wherever a layout is named. */
struct molt_patch_layout {
    uint64_t hash; /* of the name and everything in it: equal hashes in two patches mean the same layout, that
                      of one unit apart */
    uint32_t name; /* string: "struct conn", or the typedef of a structure without a tag */
    uint32_t unit; /* string: of a type whose name means something else in another unit: one that has it; else
                      "" */
    uint32_t size; /* bytes, without elements of a flexible array */
    uint32_t alignment;
    uint32_t field; /* the first of field_count fields, ascending by offset */
    uint32_t field_count;
    uint32_t tail_offset; /* of the flexible array member */
    uint32_t tail;        /* layout of its elements; tail_stride 0: there is none */
    uint32_t tail_stride; /* bytes of one element */
    uint32_t flags;
};

enum molt_field_kind {
    MOLT_FIELD_POINTER, /* NULL, or the address of a `layout` or of something inside one, or just past it */
    MOLT_FIELD_CODE,    /* the address of a function */
    MOLT_FIELD_WORD,    /* may hold an address or not: uintptr_t, a union's overlapping members */
    MOLT_FIELD_MEMBER,  /* an embedded object of `layout` */
    MOLT_FIELD_KINDS
};

/* A layout of which an update changes nothing that instances hold, but the hash: the type has another name, a
 * union's members another order. What the engine remembers as `before` it remembers as `after` from then on.
 */
struct molt_patch_alias {
    uint64_t before, after;
    uint32_t name; /* string: the type's, after */
    uint32_t unit; /* string: as of layouts */
};

/* What is not a field holds no address. */
struct molt_patch_field {
    uint32_t offset; /* bytes from the start of the layout (of the element, for a tail) */
    uint32_t kind;
    uint32_t layout;
    uint32_t count; /* elements, 1 if it is no array */
    uint32_t stride;
    uint32_t name; /* string */
};

enum molt_site_kind {
    MOLT_SITE_OBJECT,  /* one `layout`, with its tail if it has one */
    MOLT_SITE_ARRAY,   /* as many `layout`s as fit */
    MOLT_SITE_BYTES,   /* text or a buffer: no instance of a changed type */
    MOLT_SITE_WRAPPER, /* the function that calls decides nothing: the return address of its own caller does
                        */
    MOLT_SITE_UNKNOWN, /* it could not be worked out */
    MOLT_SITE_KINDS
};

enum molt_site_flags {
    MOLT_SITE_PIECES =
        1, /* the carver hands out pieces of larger blocks; else blocks that were used before */
};

/* An allocation call. Where there is a carver, not all memory that its callers get is what they ask an
 * allocator for: `layout` is what the call makes of it if it gets a block of its own. */
struct molt_patch_site {
    uint64_t address; /* of the instruction after the call: in `module`, or from the start of `symbol` */
    uint32_t symbol;  /* 0, or the function of this patch that contains the call */
    uint32_t module;
    uint32_t kind;
    uint32_t layout;    /* as the program has it before this update; for `symbol`, after */
    uint32_t allocator; /* 0: the C library's; else 1 + index of the outermost wrapper that it goes through */
    uint32_t file;      /* string */
    uint32_t line;
    uint32_t
        carver; /* string: "pool_get (pool.c:30)", or "": a function that also takes memory from elsewhere */
    uint32_t flags;
    uint32_t reserved;
};

/* An allocation function of the program that takes a size and returns the block (void *f(size_t)), and the
 * one that takes it back (void f(void *)). */
struct molt_patch_allocator {
    uint64_t allocate, release;
    uint32_t module;
    uint32_t name;   /* string: of `allocate` */
    uint32_t header; /* bytes that it keeps in front of what it returns */
    uint32_t reserved;
};

enum molt_root_flags {
    MOLT_ROOT_TLS = 1,     /* `address` is an offset in the TLS segment; every thread has one */
    MOLT_ROOT_EARLIER = 2, /* first defined by an earlier patch: `address` is 0, unit and name find it */
    MOLT_ROOT_FOLDED = 4,  /* the new code takes it for what it began with: that must be what it holds; an
                              initial record says what that is */
    MOLT_ROOT_BY_NAME = 8, /* of a library that refers to it by its symbol, if at all */
};

/* A variable with static or thread storage. */
struct molt_patch_root {
    uint64_t address;
    uint32_t module;
    uint32_t layout; /* of one element, as the program has it */
    uint32_t count;  /* elements */
    uint32_t stride;
    uint32_t new_layout; /* equal to layout if it does not change */
    uint32_t new_count;
    uint32_t symbol; /* its new definition if it does not fit its place any more; else 0 */
    uint32_t flags;
    uint32_t name, unit; /* strings */
    uint32_t line;
    uint32_t kind; /* of each element: enum molt_field_kind */
};

enum molt_migration_flags {
    MOLT_MIGRATION_GENERATED = 1, /* reads the old instance and writes the new one, nothing else */
    MOLT_MIGRATION_SPLIT = 2, /* one of several from the same old layout: `select` says for which instances */
    MOLT_MIGRATION_INVERSE = 4, /* for a rollback: from the layout that the update leads to, back */
};

/* How an instance of one layout becomes one of another. The functions are symbols of this patch, 0 if there
 * is none:
 *
 *   void migrate(const void *old, void *new)      new is zeroed; one instance without its tail
 *   int validate(const void *old, const void *new)   not 0: fine
 *   int select(const void *old)                   not 0: this instance takes this migration (SPLIT)
 *
 * They may call molt_fail and molt_release (molt/policy.h); the former does not return.
 *
 * The elements of a tail, as many as the block has room for, follow: copied if old and new tail are of one
 * layout, else by the migration from the old tail's layout to the new one's. An instance inside another is
 * the business of the other's migration. A patch for several programs has the same migration for each of
 * them: the one that counts is the first whose functions belong to a module that is loaded. */
struct molt_patch_migration {
    uint32_t old_layout, new_layout;
    uint32_t migrate, validate, select;
    uint32_t flags;
    uint32_t segment, segment_count; /* the first of its segments, ascending by old_offset */
    uint32_t file, line;             /* of the policy; file 0: generated */
    uint32_t validate_file, validate_line;
};

/* A part of the old instance that has kept its meaning: pointers into it follow. */
struct molt_patch_segment {
    uint32_t old_offset, size, new_offset;
    uint32_t flags;
};

enum molt_segment_flags {
    MOLT_SEGMENT_COPIED =
        1, /* a generated migration copies its bytes, each of them, and writes nothing else there */
    MOLT_SEGMENT_BITS = 2, /* bit-fields: there may be bits in its bytes that are nobody's */
};

/* int check(const void *instance): not 0 is fine. Run on every instance of the layout after every migration.
 */
struct molt_patch_invariant {
    uint32_t layout;
    uint32_t check; /* symbol */
    uint32_t name;  /* string */
    uint32_t file, line;
    uint32_t reserved;
};

/* ---- active frames: functions that are suspended at a call ----------------------------------------- */

enum molt_transfer_flags {
    MOLT_TRANSFER_INVERSE = 1, /* leads from this patch's code back to what it replaced: for a rollback */
    /* the code that this patch replaced is an earlier patch's: `function` and `unit` find it */
    MOLT_TRANSFER_EARLIER = 2,
    /* a local in memory gets another place, or none: none of the function's versions that the builder knows
     * has left its address with anybody; and with MOVES_TAKEN some have handed it to functions that, as far
     * as it knows, keep none. The process may have run others, which were rolled back since. */
    MOLT_TRANSFER_MOVES = 4,
    MOLT_TRANSFER_MOVES_TAKEN = 8,
    /* the call is one of setjmp: longjmp comes back there, perhaps to a frame that was turned already. No
     * register comes from the frame, nothing from a policy; the others of the function need this one */
    MOLT_TRANSFER_SETJMP = 16,
};

/* By how much a frame may differ from the one whose stack pointer is in a jmp_buf: what longjmp comes back to
 * must not be written to by a signal in that moment, and -D_FORTIFY_SOURCE's check must let it pass. */
#define MOLT_JUMP_GROWS 128  /* the red zone */
#define MOLT_JUMP_SHRINKS 16 /* two return addresses: longjmp's own calls */

enum molt_transfer_register { /* DWARF's numbers */
                              MOLT_REGISTER_RBX = 3,
                              MOLT_REGISTER_RBP = 6,
                              MOLT_REGISTER_RSP = 7,
                              MOLT_REGISTER_R12 = 12,
                              MOLT_REGISTER_R15 = 15,
};

/*
 * A call in an affected function: an activation that is suspended at it in the old code goes on in the new
 * code, behind the corresponding call, its frame having been rebuilt below the same CFA. There is a record
 * for each call of the old code; where no recipe could be worked out it has a reason and no values.
 *
 * A frame of variable size stays as it is where both versions make it in the same way. Then both sizes are 0:
 * what counts as the CFA is the stack pointer behind the call, and only registers get values.
 *
 *             image code         EARLIER                  INVERSE
 *  old        module + old       its start + old          symbol + old
 *  new        symbol + new       symbol + new             module + new, or (EARLIER) its start + new
 */
struct molt_patch_transfer {
    uint64_t old_place; /* the return address */
    uint64_t new_place; /* where it goes on */
    uint32_t symbol;    /* the function in this patch, or the part of it that holds the place */
    uint32_t module;
    uint32_t flags;
    uint32_t function, unit; /* strings, as in struct molt_patch_function */
    uint32_t callee;         /* string: what is called, "" if only the running program knows */
    uint32_t line;           /* of the call, in the old source */
    uint32_t reason;         /* string: why there is no recipe; 0: there is one */
    uint32_t cfa_register;   /* RSP or RBP: with cfa_offset the CFA of the old frame, from the registers after
                                the return */
    int32_t cfa_offset;
    uint32_t old_size;           /* CFA - rsp in the old code after the return */
    uint32_t new_size;           /* the same in the new code */
    uint32_t value, value_count; /* the first of its values */
    uint32_t policy; /* symbol: MOLT_TRANSFER's function, which is given locals of the old frame and gives
                        some of the new; 0: none */
    uint32_t seen_size, given_size; /* of the structures that it is called with */
    uint32_t seen, seen_count; /* the first of the values that it is given: their destination is POLICY */
    uint32_t policy_file, policy_line; /* string, for messages */
    uint32_t reserved;
};

enum molt_value_place {
    MOLT_VALUE_REGISTER, /* a register that calls preserve, by DWARF's number; as it is when the call returns
                          */
    MOLT_VALUE_SLOT,     /* bytes from an offset to the CFA on */
    MOLT_VALUE_POLICY,   /* bytes from an offset on in what the policy gives; as a destination: in what it is
                            given */
    MOLT_VALUE_PLACES,
    MOLT_VALUE_CONSTANT = MOLT_VALUE_PLACES, /* the number itself */
    MOLT_VALUE_SYMBOL,  /* the address of `symbol`, as code of this patch means it, + a number */
    MOLT_VALUE_ADDRESS, /* a number + where the transfer's module is loaded */
    MOLT_VALUE_FRAME,   /* the CFA + a number: the address of a local */
    MOLT_VALUE_GUARD,   /* the word by which -fstack-protector knows that a frame was overwritten */
    MOLT_VALUE_CONTENT, /* `from_size` bytes that lie at SYMBOL, when the frame is made; `addend` is added */
    MOLT_VALUE_CONTENT_AT, /* the same, at ADDRESS */
    MOLT_VALUE_SOURCES,
};

enum molt_value_flags {
    MOLT_VALUE_SIGNED =
        1, /* where `from_size` is less than `size`: the sign is repeated; else zeros follow */
};

/* What the new code finds in one place. Registers and slots without a value are not read before they are
 * written: a register that calls preserve has one in any case, if only itself. */
struct molt_patch_value {
    int64_t from;       /* register, offset, or number */
    int32_t to;         /* register, or offset: slots lie between CFA - new_size and the CFA */
    uint32_t to_kind;   /* a place */
    uint32_t from_kind; /* enum molt_value_place */
    uint32_t size;      /* bytes at the new place; of a register 8 */
    uint32_t from_size; /* bytes at the old one, if that is a place, too; not more than `size` */
    uint32_t flags;
    uint32_t symbol;
    uint32_t migration; /* 1 + index: the value, from slot to slot, is an instance or an array of them that
                           become others at the commit, and stay where they are if both places are the same;
                           0: it is copied */
    uint32_t variable;  /* string, for messages: "" if it is no variable */
    int32_t addend;     /* what a register or slot of up to 8 bytes holds differs from the value by this */
};

/* A variable whose initial value changed: a part that still is what the old version made it becomes what the
 * new one does; what the program has changed is kept, and reported. A rollback does the same the other way
 * round. */
struct molt_patch_initial {
    uint32_t root;                 /* the variable */
    uint32_t old_value, new_value; /* symbols: the whole variable as the versions begin with it */
    uint32_t part, part_count;     /* the first of its parts */
    uint32_t name;                 /* string, for messages: without what compilers add */
};

/* What is decided as a whole: a scalar, a string, a union. Offsets are bytes from the start of the variable.
 */
struct molt_patch_part {
    uint32_t old_offset, new_offset;
    uint32_t old_size, new_size; /* old_size 0: a new member, which takes its value if nothing has given it
                                    another than zero */
    uint32_t old_bit, new_bit;   /* of a bit-field: the first bit, from the offset's byte on */
    uint32_t bits;               /* 0: no bit-field */
    uint32_t old_text,
        new_text;  /* not 0: the value is a pointer to that many constant bytes, which may stand anywhere */
    uint32_t name; /* string: "limits.burst", "" for the whole */
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
    X(sections, section)                                                                                     \
    X(bindings, binding)                                                                                     \
    X(functions, function)                                                                                   \
    X(data, data)                                                                                            \
    X(rebinds, rebind)                                                                                       \
    X(definitions, definition)                                                                               \
    X(layouts, layout)                                                                                       \
    X(fields, field)                                                                                         \
    X(sites, site)                                                                                           \
    X(allocators, allocator)                                                                                 \
    X(roots, root)                                                                                           \
    X(migrations, migration)                                                                                 \
    X(segments, segment)                                                                                     \
    X(invariants, invariant)                                                                                 \
    X(transfers, transfer) X(values, value) X(initials, initial) X(parts, part) X(aliases, alias)
#define X(array, record)                                                                                     \
    const struct molt_patch_##record *patch_##array;                                                         \
    size_t patch_##array##_count;
    MOLT_PATCH_ARRAYS(X)
#undef X
};

/* Writes the sum of all other bytes into the padding of the ELF header of a finished patch of SIZE bytes at
 * BYTES (at least an ELF header), so that damage on its way is noticed. It guards against accidents, not
 * against authors. */
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
