/*
 * Which names the units define. All of them are looked at once, at file scope only, and each definition's
 * hash is worked out; then it is known which names mean the same wherever they are used. Hashes count a name
 * behind a pointer by what it means as soon as that name is known to be ambiguous; this may make further
 * names ambiguous, so it is repeated while their number grows.
 */
#include <dwarf.h>

#include "patch/types/private.h"

#define ROUNDS_MAX 6
#define IMPORTS_MAX 4 /* of partial units in one another */

uint64_t hash_number(uint64_t hash, uint64_t number)
{
    hash = (hash ^ number) * 0xff51afd7ed558ccdu;
    hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
    return hash ^ (hash >> 29);
}

uint64_t hash_word(uint64_t hash, const char *word)
{
    for (; word && *word; word++) {
        hash = (hash ^ (unsigned char)*word) * 1099511628211u;
    }
    return hash_number(hash, 1);
}

/* Tags of one name space. */
static int space_of(int tag)
{
    return tag == DW_TAG_class_type ? DW_TAG_structure_type : tag;
}

static uint64_t name_key(int tag, const char *name)
{
    return hash_word(hash_number(HASH_START, space_of(tag)), name);
}

const struct model_unit *types_unit_of(const struct type_model *model, const Dwarf_Die *die)
{
    Dwarf_Die unit;

    return dwarf_diecu((Dwarf_Die *)die, &unit, NULL, NULL) ? number_map_get(&model->unit_of, die_id(&unit))
                                                            : NULL;
}

struct definition *types_definition_in(const struct type_model *model, int tag, const char *name,
                                       const struct model_unit *unit)
{
    return number_map_get(&model->in_unit, hash_number(name_key(tag, name), (uintptr_t)unit));
}

struct definition *types_definitions(const struct type_model *model, int tag, const char *name)
{
    return number_map_get(&model->by_name, name_key(tag, name));
}

static void add_definition(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die,
                           int tag, const char *name)
{
    uint64_t key = name_key(tag, name);
    void **own = number_map_at(&model->in_unit, hash_number(key, (uintptr_t)unit));
    struct definition **first, *definition;

    if (*own) {
        return;
    }
    definition = types_own(model, 1, sizeof(*definition));
    *definition = (struct definition){ .die = *die, .unit = unit, .name = name };
    *own = definition;
    first = (struct definition **)number_map_at(&model->by_name, key);
    if (*first) {
        (*first)->last->next = definition;
        (*first)->last = definition;
    } else {
        *first = definition;
        definition->last = definition;
    }
    LIST_ADD(&model->definitions, definition);
}

/* A typedef of a type without a tag gives it its name. */
static void note_alias(struct type_model *model, const struct die_facts *facts)
{
    Dwarf_Die inner;

    if (!facts->typed || !die_unqualified(&facts->type, &inner)) {
        return;
    }
    int tag = space_of(dwarf_tag(&inner));
    bool nameable =
        tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type;
    if (nameable && !dwarf_diename(&inner)) {
        const char **alias = (const char **)number_map_at(&model->aliases, die_id(&inner));
        *alias = *alias ? *alias : facts->name;
    }
}

static void index_entry(struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die)
{
    struct die_facts facts;
    Dwarf_Die whole;
    char buffer[64];

    die_facts_read(die, &facts);
    if (facts.declaration && die_signature(die, &whole)) {
        die = &whole;
        die_facts_read(die, &facts);
    }
    if (!facts.name || facts.declaration) {
        return;
    }
    if (facts.tag == DW_TAG_base_type) { /* the same in all units */
        const char *name = types_base_name(facts.name, buffer, sizeof(buffer));
        if (!types_definitions(model, DW_TAG_base_type, name)) {
            add_definition(model, NULL, die, DW_TAG_base_type, name);
        }
        return;
    }
    if (facts.tag == DW_TAG_typedef) {
        note_alias(model, &facts);
    }
    add_definition(model, unit, die, facts.tag, facts.name);
}

static void index_children(struct type_model *model, const struct model_unit *unit, Dwarf_Die *parent,
                           unsigned depth)
{
    Dwarf_Attribute attribute;
    Dwarf_Die die, imported;

    for (int more = dwarf_child(parent, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
        switch (dwarf_tag(&die)) {
        case DW_TAG_structure_type:
        case DW_TAG_class_type:
        case DW_TAG_union_type:
        case DW_TAG_enumeration_type:
        case DW_TAG_typedef:
        case DW_TAG_base_type:
            index_entry(model, unit, &die);
            break;
        case DW_TAG_imported_unit:
            if (depth < IMPORTS_MAX && dwarf_attr(&die, DW_AT_import, &attribute) &&
                dwarf_formref_die(&attribute, &imported)) {
                index_children(model, unit, &imported, depth + 1);
            }
            break;
        default:
            break;
        }
    }
}

/* Works out all hashes with what is known to be ambiguous; returns how many names are. */
static size_t hash_definitions(struct type_model *model)
{
    size_t ambiguous = 0;

    number_map_deinit(&model->hashes);
    for (size_t i = 0; i < model->definitions.count; i++) {
        struct definition *definition = model->definitions.items[i];
        (void)types_hash(model, definition->unit, &definition->die);
    }
    for (size_t i = 0; i < model->definitions.count; i++) {
        struct definition *definition = model->definitions.items[i];
        definition->hash = types_hash(model, definition->unit, &definition->die);
    }
    for (size_t i = 0; i < model->definitions.count; i++) {
        struct definition *first = model->definitions.items[i];
        for (struct definition *other = first->last ? first->next : NULL; other; other = other->next) {
            first->ambiguous = first->ambiguous || other->hash.exact != first->hash.exact;
        }
        ambiguous += first->ambiguous;
    }
    return ambiguous;
}

void types_index(struct type_model *model)
{
    size_t before = 0, ambiguous;

    if (model->indexed) {
        return;
    }
    model->indexed = true;
    for (size_t i = 0; i < model->units.count; i++) {
        index_children(model, model->units.items[i], &model->units.items[i]->die, 0);
    }
    ambiguous = hash_definitions(model);
    for (unsigned i = 0; i < ROUNDS_MAX && ambiguous != before; i++) {
        before = ambiguous;
        ambiguous = hash_definitions(model);
    }
}

bool types_resolve(const struct type_model *model, const struct model_unit *unit, const Dwarf_Die *die,
                   Dwarf_Die *ret)
{
    Dwarf_Die whole;

    if (!die_unqualified(die, ret)) {
        return false;
    }
    int tag = dwarf_tag(ret);
    if ((tag != DW_TAG_structure_type && tag != DW_TAG_class_type && tag != DW_TAG_union_type &&
         tag != DW_TAG_enumeration_type) ||
        !dwarf_hasattr(ret, DW_AT_declaration)) {
        return true;
    }
    if (die_signature(ret, &whole)) {
        *ret = whole;
        return true;
    }
    const char *name = dwarf_diename(ret);
    struct definition *found = name ? types_definition_in(model, tag, name, unit) : NULL;
    struct definition *any = name && !found ? types_definitions(model, tag, name) : NULL;
    found = any && !any->ambiguous ? any : found;
    if (found) {
        *ret = found->die;
    }
    return true;
}
