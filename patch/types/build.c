/*
 * Types from entries of the debug information. An entry's hash tells whether the type is there already, from
 * whatever unit; so only the first of a hundred copies of a header's structure is read whole. Parts that lie
 * in a type are made before it is finished; what pointers lead to is made afterwards, from a list, since it
 * may lead back.
 */
#include <dwarf.h>
#include <stdlib.h>

#include "patch/code/definition_line.h"
#include "patch/types/private.h"

#define BASE_ALIGNMENT_MAX 16

static const struct type *build(struct type_model *model, const struct model_unit *unit,
                                const Dwarf_Die *die);

static const char *own_string(struct type_model *model, const char *string)
{
    char *copy = NULL;

    if (string) {
        copy = must_strdup(string);
        LIST_ADD(&model->owned, copy);
    }
    return copy;
}

static const struct type *build_inner(struct type_model *model, const struct model_unit *unit,
                                      const struct die_facts *facts)
{
    return facts->typed ? build(model, unit, &facts->type) : model->nothing;
}

/* Alignment of a part at BIT_OFFSET as far as its place allows it: packed ones have less. */
static uint32_t allowed_alignment(uint32_t alignment, uint64_t offset)
{
    while (alignment > 1 && offset % alignment) {
        alignment /= 2;
    }
    return alignment;
}

/*
 * The debug information tells alignments only where the source asked for one. Elsewhere it is that of the
 * strictest member. A member that does not lie at a multiple of its own shows that the type is packed, and to
 * how much at most.
 */
static uint32_t compound_alignment(const struct type *type)
{
    uint32_t alignment = 1, limit = UINT32_MAX;

    for (size_t i = 0; i < type->member_count; i++) {
        const struct type_member *member = &type->members[i];
        uint32_t wanted = member->alignment ? member->alignment : member->type->alignment;
        uint32_t allowed = member->bit_size ? wanted : allowed_alignment(wanted, member->bit_offset / 8);
        if (allowed < wanted) {
            limit = allowed < limit ? allowed : limit;
        }
        alignment = wanted > alignment ? wanted : alignment;
    }
    uint32_t allowed = allowed_alignment(alignment, type->size);
    if (allowed < alignment) {
        limit = allowed < limit ? allowed : limit;
    }
    return alignment < limit ? alignment : limit;
}

static struct type_member make_member(struct type_model *model, const struct model_unit *unit,
                                      const struct die_facts *facts)
{
    const struct type *type = build_inner(model, unit, facts);

    return (struct type_member){ .name = facts->name,
                                 .type = type,
                                 .bit_offset = die_member_place(facts, type->size),
                                 .bit_size = facts->bit_size,
                                 .alignment = facts->alignment,
                                 .line = facts->line };
}

/*
 * clang's debug information says nothing of a bit-field as wide as its type, and names the byte in which it
 * begins. In a packed structure it may begin inside of that byte: just behind the bit-field BEFORE, since
 * nothing else can share a byte with that.
 */
static void mend_full_bit_field(const struct type_member *before, struct type_member *member)
{
    uint64_t end = before->bit_offset + before->bit_size;

    if (before->bit_size && !member->bit_size && member->bit_offset < end && end < member->bit_offset + 8) {
        member->bit_offset = end;
        member->bit_size = 8 * member->type->size;
    }
}

static void fill_compound(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                          struct type *type)
{
    LIST(struct type_member) members = { 0 };
    struct die_facts facts;
    Dwarf_Die child;

    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) != DW_TAG_member) {
            continue;
        }
        die_facts_read(&child, &facts);
        if (!facts.declaration && facts.typed) {
            struct type_member member = make_member(model, unit, &facts);
            if (members.count && type->kind == TYPE_STRUCT) {
                mend_full_bit_field(&members.items[members.count - 1], &member);
            }
            LIST_ADD(&members, member);
        }
    }
    if (members.items) {
        LIST_ADD(&model->owned, members.items);
    }
    type->members = members.items;
    type->member_count = members.count;
    if (members.count && type->kind == TYPE_STRUCT) {
        type->flexible = type_strip(members.items[members.count - 1].type)->flexible;
    }
    type->alignment = type->alignment ? type->alignment : compound_alignment(type);
}

static void fill_enumeration(struct type_model *model, Dwarf_Die *die, const struct die_facts *facts,
                             struct type *type)
{
    LIST(struct type_enumerator) enumerators = { 0 };
    struct die_facts each;
    bool negative = false;
    Dwarf_Die child;

    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_enumerator) {
            die_facts_read(&child, &each);
            LIST_ADD(&enumerators, (struct type_enumerator){ each.name ? each.name : "", each.value });
            negative = negative || each.value < 0;
        }
    }
    if (enumerators.items) {
        LIST_ADD(&model->owned, enumerators.items);
    }
    type->enumerators = enumerators.items;
    type->enumerator_count = enumerators.count;
    type->encoding = facts->encoding ? types_encoding(facts) : negative ? TYPE_SIGNED : TYPE_UNSIGNED;
    type->alignment = type->alignment ? type->alignment : type->size;
}

/* Elements of the dimensions from DIE on, the last of which has the innermost type. */
static void fill_array(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                       const struct die_facts *facts, struct type *type)
{
    LIST(struct die_facts) ranges = { 0 };
    const struct type *element = build_inner(model, unit, facts);
    struct die_facts range;
    Dwarf_Die child;

    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_subrange_type) {
            die_facts_read(&child, &range);
            LIST_ADD(&ranges, range);
        }
    }
    for (size_t i = ranges.count ? ranges.count : 1; i-- > 0;) {
        struct type *dimension = i == 0 ? type : types_own(model, 1, sizeof(*dimension));
        uint64_t count = i < ranges.count && ranges.items[i].counted ? ranges.items[i].count : 0;
        *dimension =
            (struct type){ .kind = TYPE_ARRAY,
                           .inner = element,
                           .count = count,
                           .size = count * element->size,
                           .flexible = count == 0,
                           .alignment = element->alignment,
                           .hash = i == 0 ? type->hash
                                          : hash_number(hash_number(element->hash, TYPE_ARRAY), count) };
        element = dimension;
    }
    if (facts->vector) {
        type->alignment = type->size ? type->size : type->alignment;
    }
    LIST_FREE(&ranges);
}

static void later(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die,
                  struct type *type)
{
    LIST_ADD(&model->pending, (struct pending_type){ type, *die, unit });
}

static void fill_named(struct type_model *model, Dwarf_Die *die, const struct die_facts *facts,
                       struct type *type)
{
    const struct model_unit *unit = types_unit_of(model, die);
    const struct definition *first = facts->name ? types_definitions(model, facts->tag, facts->name) : NULL;
    char *file = definition_file(die);

    type->name = facts->name;
    type->alias = facts->name ? NULL : number_map_get(&model->aliases, die_id(die));
    if (type->alias) {
        first = types_definitions(model, DW_TAG_typedef, type->alias);
    }
    type->ambiguous = first && first->ambiguous;
    type->unit = unit ? unit->name : "";
    type->file = own_string(model, file);
    type->line = facts->line;
    type->size = facts->size;
    type->alignment = facts->alignment;
    type->incomplete = facts->declaration;
    free(file);
}

static void fill_tagged(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                        const struct die_facts *facts, struct type *type)
{
    type->kind = facts->tag == DW_TAG_union_type         ? TYPE_UNION
                 : facts->tag == DW_TAG_enumeration_type ? TYPE_ENUM
                                                         : TYPE_STRUCT;
    fill_named(model, die, facts, type);
    if (type->incomplete) {
        type->alignment = 1;
    } else if (type->kind == TYPE_ENUM) {
        fill_enumeration(model, die, facts, type);
    } else {
        fill_compound(model, unit, die, type);
    }
}

static void fill_typedef(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                         const struct die_facts *facts, struct type *type)
{
    type->kind = TYPE_TYPEDEF;
    fill_named(model, die, facts, type);
    type->inner = build_inner(model, unit, facts);
    type->size = type->inner->size;
    type->encoding = type->inner->encoding;
    type->alignment = type->alignment ? type->alignment : type->inner->alignment;
    type->incomplete = type->inner->incomplete;
}

static void fill_base(struct type_model *model, const struct die_facts *facts, struct type *type)
{
    char buffer[64];

    type->kind = TYPE_BASE;
    type->name = own_string(model, types_base_name(facts->name, buffer, sizeof(buffer)));
    type->size = facts->size;
    type->encoding = types_encoding(facts);
    uint64_t part = type->encoding == TYPE_COMPLEX ? type->size / 2 : type->size;
    type->alignment = facts->alignment ? facts->alignment : allowed_alignment(BASE_ALIGNMENT_MAX, part);
}

static void fill(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die, struct type *type)
{
    struct die_facts facts;

    die_facts_read(die, &facts);
    switch (facts.tag) {
    case DW_TAG_base_type:
        fill_base(model, &facts, type);
        return;
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        fill_tagged(model, unit, die, &facts, type);
        return;
    case DW_TAG_typedef:
        fill_typedef(model, unit, die, &facts, type);
        return;
    case DW_TAG_array_type:
        fill_array(model, unit, die, &facts, type);
        return;
    case DW_TAG_subroutine_type:
    case DW_TAG_subprogram:
        type->kind = TYPE_FUNCTION;
        type->alignment = 1;
        later(model, unit, die, type);
        return;
    case DW_TAG_pointer_type:
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
        type->kind = TYPE_POINTER;
        type->encoding = TYPE_UNSIGNED;
        type->size = type->alignment = sizeof(void *);
        later(model, unit, die, type);
        return;
    default:
        type->kind = TYPE_OTHER;
        type->name = facts.name;
        type->size = facts.size;
        type->alignment = 1;
    }
}

/* What the function described by DIE takes. */
static void fill_parameters(struct type_model *model, const struct model_unit *unit, Dwarf_Die *die,
                            struct type *type)
{
    LIST(const struct type *) parameters = { 0 };
    struct die_facts facts;
    Dwarf_Die child;

    for (int more = dwarf_child(die, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_unspecified_parameters) {
            type->variadic = true;
        } else if (dwarf_tag(&child) == DW_TAG_formal_parameter) {
            die_facts_read(&child, &facts);
            const struct type *parameter = build_inner(model, unit, &facts);
            LIST_ADD(&parameters, parameter);
        }
    }
    if (parameters.items) {
        LIST_ADD(&model->owned, (void *)parameters.items);
    }
    type->parameters = parameters.items;
    type->parameter_count = parameters.count;
}

static void build_pending(struct type_model *model)
{
    while (model->pending.count) {
        struct pending_type next = model->pending.items[--model->pending.count];
        struct die_facts facts;
        die_facts_read(&next.die, &facts);
        next.type->inner = build_inner(model, next.unit, &facts);
        if (next.type->kind == TYPE_FUNCTION) {
            fill_parameters(model, next.unit, &next.die, next.type);
        }
    }
}

static const struct type *build(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die)
{
    Dwarf_Die whole;

    if (!types_resolve(model, unit, die, &whole)) {
        return model->nothing;
    }
    void **by_entry = number_map_at(&model->types, die_id(&whole));
    if (*by_entry) {
        return *by_entry;
    }
    struct type_hash hash = types_hash(model, unit, &whole);
    void **by_hash = number_map_at(&model->exact, hash.exact);
    struct type *type = *by_hash;
    if (!type) {
        *by_hash = type = types_own(model, 1, sizeof(*type));
        *type = (struct type){ .kind = TYPE_OTHER, .hash = hash.pure ? hash.pure : 1, .alignment = 1 };
        const struct model_unit *own = types_unit_of(model, &whole);
        fill(model, own ? own : unit, &whole, type);
    }
    *number_map_at(&model->types, die_id(&whole)) = type;
    return type;
}

const struct type *types_build(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die)
{
    const struct type *type = build(model, unit, die);

    build_pending(model);
    return type;
}
