/* What one entry of the debug information says about a type or a member, read in one pass over its
 * attributes. */
#ifndef MOLT_PATCH_DIE_FACTS_H
#define MOLT_PATCH_DIE_FACTS_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct die_facts {
    int tag;
    const char *name;
    bool declaration;
    bool typed, located, sized, counted, vector, prototyped;
    Dwarf_Die type;      /* if typed */
    uint64_t size;       /* bytes, if sized */
    uint64_t alignment;  /* explicit, 0: none */
    uint64_t bit_size;   /* of a bit-field, 0: none */
    uint64_t bit_offset; /* of a member, from the start of the whole (data_bit_offset, or bytes, or both) */
    int64_t old_bit_offset; /* DWARF 3's: from the top of the storage unit */
    bool has_old_bit_offset;
    uint64_t count;    /* of an array's dimension, if counted */
    int64_t value;     /* of an enumerator */
    unsigned encoding; /* DW_ATE_*, 0: none */
    unsigned line;
};

void die_facts_read(const Dwarf_Die *die, struct die_facts *ret);

/* Where the member with FACTS is, in bits from the start of the whole; SIZE is its type's in bytes. */
uint64_t die_member_place(const struct die_facts *facts, uint64_t size);

/* The type of a variable, a member, a pointer, an array or a function: what it is made of or gives back.
 * False: it has none. */
bool die_type(const Dwarf_Die *die, Dwarf_Die *ret);

/* The same without typedefs and qualifiers; false for void, too. */
bool die_plain_type(const Dwarf_Die *die, Dwarf_Die *ret);

/* The entry without qualifiers; false for void. */
bool die_unqualified(const Dwarf_Die *die, Dwarf_Die *ret);

/* The type that DIE stands for if it is described in a unit of its own (-fdebug-types-section). */
bool die_signature(const Dwarf_Die *die, Dwarf_Die *ret);

/* A number for DIE that no other entry has. */
static inline uint64_t die_id(const Dwarf_Die *die)
{
    return (uintptr_t)die->addr;
}

#endif
