/*
 * Where members went. Code that loads a member from another offset than before loads the same value if that
 * is where the member went; whether the line that it comes from is the same is for others to say.
 */
#include "patch/transfer/members.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/types/die_facts.h"

#define DEPTH_MAX 8

struct structures {
    struct table names; /* "name" of a structure, "union name" -> its entry */
    LIST(Dwarf_Die *) dies;
    LIST(char *) keys;
};

static bool is_compound(int tag)
{
    return tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

/* Structures by their tags; those without one by the typedef that names them. */
static void add_structure(struct structures *structures, Dwarf_Die *die)
{
    struct die_facts facts;
    Dwarf_Die compound = *die;

    die_facts_read(die, &facts);
    if (facts.tag == DW_TAG_typedef && facts.typed) {
        compound = facts.type;
    }
    const char *name = facts.name;
    if (!name || !is_compound(dwarf_tag(&compound)) || dwarf_hasattr(&compound, DW_AT_declaration) ||
        (facts.tag == DW_TAG_typedef && dwarf_diename(&compound))) {
        return;
    }
    char *key = must_printf("%d %s", facts.tag == DW_TAG_typedef ? 0 : facts.tag, name);
    Dwarf_Die *copy = must_calloc(1, sizeof(*copy));
    *copy = compound;
    LIST_ADD(&structures->keys, key);
    LIST_ADD(&structures->dies, copy);
    if (!table_get(&structures->names, key)) {
        table_put(&structures->names, key, copy);
    }
}

static void find_structures(struct structures *structures, Dwarf *dwarf)
{
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die;

    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            int tag = dwarf_tag(&die);
            if (is_compound(tag) || tag == DW_TAG_typedef) {
                add_structure(structures, &die);
            }
        }
    }
}

static void structures_deinit(struct structures *structures)
{
    for (size_t i = 0; i < structures->keys.count; i++) {
        free(structures->keys.items[i]);
        free(structures->dies.items[i]);
    }
    LIST_FREE(&structures->keys);
    LIST_FREE(&structures->dies);
    table_deinit(&structures->names);
}

/* The structure that a member's type is, without typedefs; false: it is none. */
static bool compound_of(const struct die_facts *member, Dwarf_Die *ret)
{
    struct die_facts facts;

    if (!member->typed || !die_unqualified(&member->type, ret)) {
        return false;
    }
    for (unsigned i = 0; i < DEPTH_MAX && dwarf_tag(ret) == DW_TAG_typedef; i++) {
        die_facts_read(ret, &facts);
        if (!facts.typed || !die_unqualified(&facts.type, ret)) {
            return false;
        }
    }
    return is_compound(dwarf_tag(ret));
}

static bool find_member(Dwarf_Die *compound, const char *name, struct die_facts *ret)
{
    Dwarf_Die child;

    for (int more = dwarf_child(compound, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        die_facts_read(&child, ret);
        if (ret->tag == DW_TAG_member && ret->name && strcmp(ret->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void pair_members(struct moved_members *members, Dwarf_Die *old, Dwarf_Die *new, uint64_t old_base,
                         uint64_t new_base, unsigned depth)
{
    Dwarf_Die child, inner, new_inner;

    for (int more = dwarf_child(old, &child); more == 0 && depth < DEPTH_MAX;
         more = dwarf_siblingof(&child, &child)) {
        struct die_facts a, b;
        die_facts_read(&child, &a);
        if (a.tag != DW_TAG_member || !a.name || a.bit_size || !find_member(new, a.name, &b) || b.bit_size) {
            continue;
        }
        uint64_t from = old_base + a.bit_offset / 8, to = new_base + b.bit_offset / 8;
        if (from != to) {
            LIST_ADD(&members->pairs, from << 32 | to);
        }
        if (compound_of(&a, &inner) && compound_of(&b, &new_inner)) {
            pair_members(members, &inner, &new_inner, from, to, depth + 1);
        }
    }
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

void moved_members_init(struct moved_members *members, Dwarf *old, Dwarf *new)
{
    struct structures from = { 0 }, to = { 0 };

    *members = (struct moved_members){ 0 };
    find_structures(&from, old);
    find_structures(&to, new);
    for (size_t i = 0; i < from.keys.count; i++) {
        Dwarf_Die *other = table_get(&to.names, from.keys.items[i]);
        if (other) {
            pair_members(members, from.dies.items[i], other, 0, 0, 0);
        }
    }
    if (members->pairs.count) {
        qsort(members->pairs.items, members->pairs.count, sizeof(uint64_t), by_number);
    }
    structures_deinit(&from);
    structures_deinit(&to);
}

void moved_members_deinit(struct moved_members *members)
{
    LIST_FREE(&members->pairs);
}

bool moved_members_have(const struct moved_members *members, int64_t old_offset, int64_t new_offset)
{
    uint64_t key = (uint64_t)old_offset << 32 | (uint32_t)new_offset;

    return old_offset >= 0 && new_offset >= 0 && members->pairs.count &&
           bsearch(&key, members->pairs.items, members->pairs.count, sizeof(key), by_number);
}
