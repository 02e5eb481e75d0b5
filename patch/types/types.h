/*
 * C types, as debug information tells them, without the compiler's ways: DWARF 4 and 5, gcc and clang give
 * the same model for the same source. A model holds the types of one state of a program; a patch is made with
 * two.
 *
 * A type is there once, however many units declare it: two are the same if everything that lies in them by
 * value is; what a pointer leads to counts by its name, unless that name means different things in different
 * units (static knowledge of one file each): then there are as many types, each with its unit. So equal
 * pointers are equal types within one model, and equal hashes are equal types in two.
 *
 * Qualifiers are left out: they change nothing about what an object holds. Typedefs are kept, since names
 * matter (uintptr_t, a structure without a tag); type_strip leads past them.
 */
#ifndef MOLT_PATCH_TYPES_H
#define MOLT_PATCH_TYPES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum type_kind {
    TYPE_VOID,
    TYPE_BASE,     /* encoding */
    TYPE_ENUM,     /* enumerators, encoding */
    TYPE_POINTER,  /* inner */
    TYPE_FUNCTION, /* inner: what it returns; parameters */
    TYPE_ARRAY,    /* inner: element; count, flexible. Of several dimensions: an array of arrays */
    TYPE_STRUCT,   /* members */
    TYPE_UNION,    /* members */
    TYPE_TYPEDEF,  /* inner */
    TYPE_OTHER,    /* nothing that C has: known by its size only */
    TYPE_KINDS
};

enum type_encoding {
    TYPE_SIGNED,
    TYPE_UNSIGNED,
    TYPE_BOOL,
    TYPE_FLOAT,
    TYPE_COMPLEX,
};

struct type;

struct type_member {
    const char *name; /* NULL: anonymous struct or union, or unnamed */
    const struct type *type;
    uint64_t bit_offset; /* from the start of the whole; little endian */
    uint32_t bit_size;   /* 0: no bit-field */
    uint32_t alignment;  /* that its declaration asks for; 0: its type's */
    unsigned line;       /* of its declaration, 0 if unknown; the file is the type's */
};

struct type_enumerator {
    const char *name;
    int64_t value; /* of an unsigned 64-bit enumeration: the same bits */
};

struct type {
    enum type_kind kind;
    enum type_encoding encoding;
    uint64_t size; /* bytes, flexible array members not counted; 0 for void, functions and incomplete types */
    uint32_t alignment; /* bytes; as the compiler places such objects inside others */
    bool incomplete;    /* a structure, union or enumeration that no unit of the model defines */
    bool flexible;      /* an array without a size: [], [0]. A structure: its last member is one */
    bool ambiguous;     /* its name means something else in another unit: `unit` belongs to the name */
    bool variadic;      /* of functions */
    uint64_t hash;      /* never 0 */
    const char *name;   /* tag, typedef's or base type's name; NULL if it has none */
    const char
        *alias; /* of a structure, union or enumeration without a tag: a typedef's name for it; else NULL */
    const char *unit; /* a unit that defines it */
    const char *file; /* of the definition, absolute; NULL if unknown */
    unsigned line;    /* of the definition, 0 if unknown */
    const struct type *inner;
    uint64_t count; /* elements of an array */
    struct type_member *members;
    size_t member_count;
    struct type_enumerator *enumerators;
    size_t enumerator_count;
    const struct type **parameters; /* of a function */
    size_t parameter_count;
};

struct type_model;

struct type_model *type_model_create(void);

/* Frees the model with all its types. */
void type_model_destroy(struct type_model *model);

/* Adds the compile unit with the debug entry UNIT, borrowed (with its Dwarf) as long as the model, under
 * NAME, copied: the unit's as in patches. All units are added before the first question is asked. */
void type_model_add(struct type_model *model, const Dwarf_Die *unit, const char *name);

/* Adds all units of DWARF under the NAME of the one source. */
void type_model_add_all(struct type_model *model, Dwarf *dwarf, const char *name);

/* The type that NAME ("struct conn", "enum state", "conn_t", "unsigned long") means in UNIT. If that unit
 * does not know it, or UNIT is NULL, what it means in all others, *RET_AMBIGUOUS (may be NULL) saying
 * whether they disagree. NULL if it is not known or, for tags, defined nowhere. */
const struct type *type_model_find(struct type_model *model, const char *name, const char *unit,
                                   bool *ret_ambiguous);

/* What NAME means in the first unit of MODEL that knows it and is called as one in which OTHER defines TYPE,
 * a structure, union or enumeration of OTHER. NULL: none of these units of MODEL knows NAME; *RET_KNOWN says
 * whether it has any of them. */
const struct type *type_model_counterpart(struct type_model *model, const char *name,
                                          struct type_model *other, const struct type *type, bool *ret_known);

/* Calls VISIT with all that the name of TYPE, a structure, union or enumeration of MODEL, means in its units,
 * TYPE included, until it returns false. */
void type_model_walk_namesakes(struct type_model *model, const struct type *type,
                               bool (*visit)(void *context, const struct type *type), void *context);

/* The structure or union with a size that NAME means in some unit, by a typedef too: units may disagree
 * (`typedef void CLIENT;` where it is none of their business). NULL if there is none. */
const struct type *type_model_find_compound(struct type_model *model, const char *name);

/* The type with HASH that NAME means in some unit; NULL if there is none. */
const struct type *type_model_find_equal(struct type_model *model, const char *name, uint64_t hash);

/* The type that DIE, an entry of an added unit, describes. Never NULL. */
const struct type *type_of_die(struct type_model *model, const Dwarf_Die *die);

/* The type of the variable, member, parameter or function (what it returns) that DIE describes; void if it
 * has none. */
const struct type *type_of_object(struct type_model *model, const Dwarf_Die *die);

const struct type *type_void(struct type_model *model);

/* All structures, unions and enumerations with a name (or an alias) that the model's units define, one
 * after another: calls VISIT with each until it returns false. */
void type_model_walk(struct type_model *model, bool (*visit)(void *context, const struct type *type),
                     void *context);

/* TYPE without typedefs around it. */
const struct type *type_strip(const struct type *type);

/* The element of arrays of arrays, without typedefs; *RET_COUNT (may be NULL) how many there are in all.
 * TYPE itself and 1 if it is no array. */
const struct type *type_element(const struct type *type, uint64_t *ret_count);

/* The same, with its typedefs; an array that is a word (type_is_word) counts as no array. */
const struct type *type_named_element(const struct type *type, uint64_t *ret_count);

static inline bool type_is_compound(const struct type *type)
{
    return type->kind == TYPE_STRUCT || type->kind == TYPE_UNION;
}

/* The part of an object of TYPE that is SIZE bytes at OFFSET; with SIZE 0 TYPE itself. NULL if there is
 * none. */
const struct type *type_part(const struct type *type, uint64_t offset, uint64_t size);

/* Whether TYPE is an integer that is declared to hold addresses, or may: uintptr_t, intptr_t, a saved
 * register (greg_t). */
bool type_is_word(const struct type *type);

/* Whether objects of TYPE hold pointers (by value, unions counted in), or words. */
bool type_has_pointers(const struct type *type);

/* How types are written: the name that stands for LEAF (anything but a pointer, array or function; a
 * typedef if those are kept), appended to RET. POINTED: behind a pointer or in a function's signature,
 * where it need not be complete. */
typedef void type_namer(void *context, const struct type *leaf, bool pointed, struct text *ret);

/* Appends a declaration of NAME ("" for a type name) as TYPE: "struct conn *(*name[4])(int)". */
void type_write(const struct type *type, const char *name, bool typedefs, type_namer *namer, void *context,
                struct text *ret);

/* "struct conn", "conn_t" for one without a tag, "unsigned int [4]", "struct {...}"; appended to RET. */
void type_describe(const struct type *type, struct text *ret);

/* The key of TYPE, a structure, union or enumeration, in patches: "struct conn", a typedef's name for one
 * without a tag, or "struct {HASH}". Owned by the caller. */
char *type_key(const struct type *type);

#endif
