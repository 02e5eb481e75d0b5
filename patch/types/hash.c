/*
 * What a type is, as a number. What lies in it by value is hashed whole, and that ends, since nothing
 * contains itself; what a pointer leads to is hashed by its name.
 */
#include <dwarf.h>

#include "base/patch_file.h"
#include "patch/types/private.h"

enum { SALT_VOID = 11, SALT_POINTER, SALT_FUNCTION, SALT_ARRAY, SALT_INCOMPLETE, SALT_TYPEDEF };

static struct type_hash both(uint64_t number)
{
    uint64_t hash = hash_number(HASH_START, number);

    return (struct type_hash){ hash, hash };
}

static void add_number(struct type_hash *hash, uint64_t number)
{
    hash->exact = hash_number(hash->exact, number);
    hash->pure = hash_number(hash->pure, number);
}

static void add_word(struct type_hash *hash, const char *word)
{
    hash->exact = hash_word(hash->exact, word);
    hash->pure = hash_word(hash->pure, word);
}

static void add_hash(struct type_hash *hash, struct type_hash other)
{
    hash->exact = hash_number(hash->exact, other.exact);
    hash->pure = hash_number(hash->pure, other.pure);
}

/* An alignment that an object needs a place for; any other is met wherever there is room. */
static void add_alignment(struct type_hash *hash, uint64_t alignment)
{
    add_number(hash, alignment > MOLT_ALIGNMENT_ANYWHERE ? alignment : 0);
    hash->exact = hash_number(hash->exact, alignment);
}

static bool is_tagged(int tag)
{
    return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type ||
           tag == DW_TAG_enumeration_type;
}

/* Tag or alias. */
static const char *name_of(const struct type_model *model, Dwarf_Die *die)
{
    const char *name = dwarf_diename(die);

    return name ? name : number_map_get(&model->aliases, die_id(die));
}

/* What tells apart the meanings of NAME if it has several; by what the last round found out. */
static uint64_t meaning(const struct type_model *model, const struct model_unit *unit, int tag,
                        const char *name)
{
    const struct definition *first = types_definitions(model, tag, name);

    if (!first || !first->ambiguous) {
        return 0;
    }
    const struct definition *own = types_definition_in(model, tag, name, unit);
    return own ? own->hash.exact : 0;
}

/* A type that a pointer leads to. */
static struct type_hash hash_target(struct type_model *model, const struct model_unit *unit,
                                    const Dwarf_Die *die)
{
    struct type_hash hash = both(SALT_VOID);
    Dwarf_Die target;

    if (!die_unqualified(die, &target)) {
        return hash;
    }
    int tag = dwarf_tag(&target);
    if (tag == DW_TAG_typedef) {
        struct die_facts facts;
        die_facts_read(&target, &facts);
        hash = facts.typed ? hash_target(model, unit, &facts.type) : hash;
        hash.exact = hash_word(hash_number(hash.exact, SALT_TYPEDEF), facts.name);
        return hash;
    }
    const char *name = is_tagged(tag) ? name_of(model, &target) : NULL;
    if (!name) {
        return types_hash(model, unit, &target);
    }
    hash = both(tag);
    add_word(&hash, name);
    hash.exact = hash_number(hash.exact, meaning(model, unit, tag, name));
    return hash;
}

static void add_target(struct type_model *model, const struct model_unit *unit, const struct die_facts *facts,
                       struct type_hash *hash)
{
    add_hash(hash, facts->typed ? hash_target(model, unit, &facts->type) : both(SALT_VOID));
}

static struct type_hash hash_function(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                                      const struct die_facts *facts)
{
    struct type_hash hash = both(SALT_FUNCTION);
    Dwarf_Die child;

    add_target(model, unit, facts, &hash);
    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        struct die_facts parameter;
        die_facts_read(&child, &parameter);
        add_number(&hash, parameter.tag);
        add_target(model, unit, &parameter, &hash);
    }
    return hash;
}

static struct type_hash hash_array(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                                   const struct die_facts *facts)
{
    struct type_hash hash = both(SALT_ARRAY);
    Dwarf_Die child;

    add_hash(&hash, facts->typed ? types_hash(model, unit, &facts->type) : both(SALT_VOID));
    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        struct die_facts range;
        die_facts_read(&child, &range);
        add_number(&hash, range.counted ? range.count : 0);
    }
    return hash;
}

static void add_member(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die,
                       struct type_hash *hash)
{
    struct die_facts facts;
    Dwarf_Word size = 0;

    die_facts_read(die, &facts);
    if (facts.tag != DW_TAG_member || facts.declaration || !facts.typed) {
        return;
    }
    if (facts.has_old_bit_offset && !facts.sized) {
        (void)dwarf_aggregate_size(&facts.type, &size);
    }
    add_word(hash, facts.name);
    add_number(hash, die_member_place(&facts, size));
    add_number(hash, facts.bit_size);
    add_hash(hash, types_hash(model, unit, &facts.type));
    add_alignment(hash, facts.alignment);
}

static struct type_hash hash_compound(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                                      const struct die_facts *facts)
{
    struct type_hash hash = both(facts->tag == DW_TAG_class_type ? DW_TAG_structure_type : facts->tag);
    Dwarf_Die child;

    add_word(&hash, name_of(model, die));
    if (facts->declaration) {
        add_number(&hash, SALT_INCOMPLETE);
        return hash;
    }
    add_number(&hash, facts->size);
    add_alignment(&hash, facts->alignment);
    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_member) {
            add_member(model, unit, &child, &hash);
        } else if (dwarf_tag(&child) == DW_TAG_enumerator) {
            struct die_facts enumerator;
            die_facts_read(&child, &enumerator);
            add_word(&hash, enumerator.name);
            add_number(&hash, enumerator.value);
        }
    }
    return hash;
}

static struct type_hash hash_typedef(struct type_model *model, const struct model_unit *unit,
                                     const struct die_facts *facts)
{
    struct type_hash hash = facts->typed ? types_hash(model, unit, &facts->type) : both(SALT_VOID);

    hash.exact = hash_word(hash_number(hash.exact, SALT_TYPEDEF), facts->name);
    hash.exact = hash_number(hash.exact, facts->alignment);
    return hash;
}

static struct type_hash hash_base(const struct die_facts *facts)
{
    struct type_hash hash = both(DW_TAG_base_type);
    char buffer[64];

    add_number(&hash, types_encoding(facts));
    add_number(&hash, facts->size);
    hash.exact = hash_word(hash.exact, types_base_name(facts->name, buffer, sizeof(buffer)));
    hash.exact = hash_number(hash.exact, facts->alignment);
    return hash;
}

static struct type_hash hash_whole(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die)
{
    struct type_hash hash;
    struct die_facts facts;

    die_facts_read(die, &facts);
    switch (facts.tag) {
    case DW_TAG_base_type:
        return hash_base(&facts);
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        return hash_compound(model, unit, die, &facts);
    case DW_TAG_typedef:
        return hash_typedef(model, unit, &facts);
    case DW_TAG_array_type:
        return hash_array(model, unit, die, &facts);
    case DW_TAG_subroutine_type:
    case DW_TAG_subprogram:
        return hash_function(model, unit, die, &facts);
    case DW_TAG_pointer_type:
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
        hash = both(SALT_POINTER);
        add_target(model, unit, &facts, &hash);
        return hash;
    default:
        hash = both(facts.tag);
        add_word(&hash, facts.name);
        add_number(&hash, facts.size);
        return hash;
    }
}

struct type_hash types_hash(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die)
{
    struct type_hash *known;
    Dwarf_Die whole;

    if (!types_resolve(model, unit, die, &whole)) {
        return both(SALT_VOID);
    }
    known = number_map_get(&model->hashes, die_id(&whole));
    if (!known) {
        known = types_own(model, 1, sizeof(*known));
        *known = both(SALT_INCOMPLETE); /* what malformed debug information that goes in circles comes to */
        *number_map_at(&model->hashes, die_id(&whole)) = known;
        *known = hash_whole(model, unit, &whole);
        known->exact += !known->exact;
        known->pure += !known->pure;
    }
    return *known;
}
