/* The model of types, as types/types.c and its parts see it. */
#ifndef MOLT_PATCH_TYPES_PRIVATE_H
#define MOLT_PATCH_TYPES_PRIVATE_H

#include "patch/types/die_facts.h"
#include "patch/memory.h"
#include "patch/number_map.h"
#include "patch/types/types.h"

/* Two views of what a type is. EXACT: as written, typedefs and names of base types counted in, and names
 * that are ambiguous told apart: by it types are there once. PURE: by what lies in an object: the same in
 * any model. */
struct type_hash {
    uint64_t exact, pure;
};

struct model_unit {
    Dwarf_Die die;
    char *name;
};

/* A named type at file scope of one unit. */
struct definition {
    Dwarf_Die die;
    const struct model_unit *unit;
    const char *name;
    struct type_hash hash;
    struct definition *next, *last; /* of the same name in other units; `last` is kept in the first one */
    bool ambiguous;                 /* in the first one: they differ */
};

/* A pointer or function whose parts are still to be made: they may lead back to the type being made. */
struct pending_type {
    struct type *type;
    Dwarf_Die die;
    const struct model_unit *unit;
};

struct type_model {
    LIST(struct model_unit *) units;
    struct number_map unit_of; /* unit's entry -> model_unit */
    struct number_map in_unit; /* name and unit -> definition */
    struct number_map by_name; /* name -> first definition */
    struct number_map aliases; /* entry of an unnamed type -> a typedef's name */
    struct number_map hashes;  /* entry -> type_hash */
    struct number_map types;   /* entry -> type */
    struct number_map exact;   /* exact hash -> type */
    LIST(struct definition *) definitions;
    LIST(struct pending_type) pending;
    LIST(void *) owned; /* from malloc */
    char *chunk;        /* of small memory, itself owned */
    size_t chunk_left;
    bool indexed, building;
    const struct type *nothing; /* void */
};

#define HASH_START 14695981039346656037u

uint64_t hash_number(uint64_t hash, uint64_t number);
uint64_t hash_word(uint64_t hash, const char *word);

/* types/index.c: finds the definitions of all units, once. */
void types_index(struct type_model *model);

/* The unit that DIE belongs to; NULL for shared (partial) ones. */
const struct model_unit *types_unit_of(const struct type_model *model, const Dwarf_Die *die);

/* The definition of TAG NAME in UNIT; NULL if it has none. */
struct definition *types_definition_in(const struct type_model *model, int tag, const char *name,
                                       const struct model_unit *unit);

/* The first of the definitions of TAG NAME, or NULL. */
struct definition *types_definitions(const struct type_model *model, int tag, const char *name);

/* The entry that DIE stands for, seen from UNIT: without qualifiers, a declaration replaced by the
 * definition it means if that is known. False for void. */
bool types_resolve(const struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die,
                   Dwarf_Die *ret);

/* types/hash.c: the hash of the type that DIE describes, seen from UNIT. */
struct type_hash types_hash(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die);

/* types/build.c: the type that DIE describes, seen from UNIT. */
const struct type *types_build(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die);

/* types/names.c: the one spelling of a base type's NAME ("long unsigned int": "unsigned long"), in BUFFER
 * of SIZE bytes. */
const char *types_base_name(const char *name, char *buffer, size_t size);

/* The enum type_encoding of FACTS, a base type or an enumeration. */
enum type_encoding types_encoding(const struct die_facts *facts);

/* Memory that lives as long as the model, zeroed. */
void *types_own(struct type_model *model, size_t count, size_t size);

#endif
