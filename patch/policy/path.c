/* Following a path of members, indices and arrows through a type. */
#include "patch/policy/path.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What is known on the way. */
struct walk {
    const char *path, *at;
    struct policy_place place;
};

/* Goes into the whole that TYPE is: from here on a union counts. */
static void enter_union(struct walk *walk, const struct type *type, uint64_t bit, bool named)
{
    if (type->kind == TYPE_UNION && !walk->place.in_union) {
        walk->place.in_union = type;
        walk->place.union_bit = bit;
        walk->place.union_length = named ? (size_t)(walk->at - walk->path) - 1 : 0; /* without the dot */
    }
}

/* The member NAME of TYPE, BIT from the start of the whole, or of what in it has no name. */
static bool find_member(struct walk *walk, const struct type *type, const char *name, size_t length,
                        uint64_t bit, bool named)
{
    struct policy_place before = walk->place;

    enter_union(walk, type, bit, named);
    for (size_t i = 0; i < type->member_count; i++) {
        const struct type_member *member = &type->members[i];
        const struct type *inner = type_strip(member->type);
        if (member->name && strlen(member->name) == length && memcmp(member->name, name, length) == 0) {
            walk->place.type = member->type;
            walk->place.member = member;
            walk->place.bit = bit + member->bit_offset;
            return true;
        }
        if (!member->name && type_is_compound(inner) &&
            find_member(walk, inner, name, length, bit + member->bit_offset, false)) {
            return true;
        }
    }
    walk->place = before;
    return false;
}

static bool take_name(struct walk *walk)
{
    const char *name = walk->at;
    size_t length = 0;
    const struct type *type = type_strip(walk->place.type);

    while (isalnum((unsigned char)name[length]) || name[length] == '_') {
        length++;
    }
    if (!length || !type_is_compound(type) ||
        !find_member(walk, type, name, length, walk->place.bit, walk->at > walk->path)) {
        return false;
    }
    walk->at += length;
    return true;
}

static bool take_index(struct walk *walk)
{
    const struct type *type = type_strip(walk->place.type);
    char *end;
    unsigned long index = strtoul(walk->at + 1, &end, 0);

    if (type->kind != TYPE_ARRAY || *end != ']' || (!type->flexible && index >= type->count)) {
        return false;
    }
    walk->place.type = type->inner;
    walk->place.member = NULL;
    walk->place.bit += 8 * index * type->inner->size;
    walk->at = end + 1;
    return true;
}

static bool take_arrow(struct walk *walk)
{
    const struct type *type = type_strip(walk->place.type);

    if (type->kind != TYPE_POINTER) {
        return false;
    }
    walk->place = (struct policy_place){ .type = type->inner, .indirect = true };
    walk->at += 2;
    return take_name(walk);
}

/* Paths have no spaces: the preprocessor's are left out here. */
static void skip_spaces(struct walk *walk)
{
    while (isspace((unsigned char)*walk->at)) {
        walk->at++;
    }
}

bool policy_place_find(const struct type *type, const char *path, struct policy_place *ret)
{
    struct walk walk = { .path = path, .at = path, .place = { .type = type } };
    bool found = take_name(&walk);

    for (skip_spaces(&walk); found && *walk.at; skip_spaces(&walk)) {
        if (*walk.at == '.') {
            walk.at++;
            found = take_name(&walk);
        } else if (*walk.at == '[') {
            found = take_index(&walk);
        } else {
            found = walk.at[0] == '-' && walk.at[1] == '>' && take_arrow(&walk);
        }
    }
    if (found) {
        *ret = walk.place;
    }
    return found;
}
