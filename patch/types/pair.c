/*
 * Which member is which. Members of one name in one place of the tree of members are the same; then those
 * that the recorder saw being renamed; then one that left a structure and turned up under its name in another
 * part of the whole, if it is the only one. Structures are gone into where the two cannot be compared as
 * such: without a name, or of different names. What lies in a structure that has a comparison of its own is
 * left to that, but for members that moved in or out.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/types/compare_private.h"
#include "patch/types/hints.h"

#define MOVED_CONFIDENCE 0.8

/* A member with its place in the whole. */
struct leaf {
    char *path;
    const struct type_member *member;
    uint64_t bit;
    bool overlaps;
    bool outside; /* in a structure whose own comparison says what becomes of it */
    bool matched;
    bool partly; /* something in it is matched */
    int parent;  /* among candidates; -1: none */
};

typedef LIST(struct leaf) leaves;

struct pairing {
    struct type_changes *changes;
    LIST(struct type_pair) pairs;
    leaves old_left, new_left;
};

/* Where a structure lies in the whole. */
struct place {
    const char *path; /* "" for the whole */
    uint64_t bit;
    bool overlaps;
};

static char *join(struct type_changes *changes, const char *path, const char *name)
{
    return types_keep(changes, *path ? must_printf("%s.%s", path, name) : must_strdup(name));
}

/* Adds the members of TYPE; those of anonymous ones as its own. */
static void flatten(struct type_changes *changes, const struct type *type, struct place place, int parent,
                    leaves *ret)
{
    for (size_t i = 0; i < type->member_count; i++) {
        const struct type_member *member = &type->members[i];
        struct place inner = { place.path, place.bit + member->bit_offset,
                               place.overlaps || type->kind == TYPE_UNION };
        if (!member->name && type_is_compound(type_strip(member->type))) {
            flatten(changes, type_strip(member->type), inner, parent, ret);
        } else if (member->name) {
            LIST_ADD(ret, (struct leaf){ .path = join(changes, place.path, member->name),
                                         .member = member,
                                         .bit = inner.bit,
                                         .overlaps = inner.overlaps,
                                         .parent = parent });
        }
    }
}

static void add_pair(struct pairing *pairing, struct leaf *old, struct leaf *new, double confidence,
                     const char *evidence)
{
    enum type_conversion conversion =
        old && new ? types_conversion(pairing->changes, old->member->type, new->member->type)
                   : TYPE_CONVERT_NONE;

    LIST_ADD(&pairing->pairs, (struct type_pair){ .old_path = old ? old->path : NULL,
                                                  .new_path = new ? new->path : NULL,
                                                  .old_bit = old ? old->bit : 0,
                                                  .new_bit = new ? new->bit : 0,
                                                  .old_member = old ? old->member : NULL,
                                                  .new_member = new ? new->member : NULL,
                                                  .conversion = conversion,
                                                  .overlaps = (old && old->overlaps) || (new &&new->overlaps),
                                                  .confidence = confidence,
                                                  .evidence = evidence });
    if (old) {
        old->matched = true;
    }
    if (new) {
        new->matched = true;
    }
}

static struct leaf *find(leaves *among, const char *name)
{
    for (size_t i = 0; i < among->count; i++) {
        if (!among->items[i].matched && strcmp(among->items[i].member->name, name) == 0) {
            return &among->items[i];
        }
    }
    return NULL;
}

static void pair_compounds(struct pairing *pairing, const struct type *old, struct place old_place,
                           const struct type *new, struct place new_place);

/* Whether the members of the two are to be looked at one by one. */
static bool is_gone_into(struct type_changes *changes, const struct type *old, const struct type *new)
{
    return type_is_compound(old) && old->kind == new->kind && !types_correspond(changes, old, new) &&
           types_conversion(changes, old, new) != TYPE_CONVERT_COPY;
}

static void pair_leaves(struct pairing *pairing, struct leaf *old, struct leaf *new, double confidence,
                        const char *evidence)
{
    const struct type *before = type_strip(old->member->type), *after = type_strip(new->member->type);

    if (is_gone_into(pairing->changes, before, after)) {
        old->matched = new->matched = true;
        pair_compounds(pairing, before, (struct place){ old->path, old->bit, old->overlaps }, after,
                       (struct place){ new->path, new->bit, new->overlaps });
    } else {
        add_pair(pairing, old, new, confidence, evidence);
    }
}

/* The member of OLD that the recorder says LEAF, in type NEW, was. */
static struct leaf *find_renamed(struct pairing *pairing, const struct type *new, struct place place,
                                 const struct leaf *leaf, leaves *old, struct rename_hint *ret_hint)
{
    const char *last = strrchr(place.path, '.');
    const char *owner = new->name ? new->name : *place.path ? (last ? last + 1 : place.path) : new->alias;
    struct rename_hint hint = { 0 };

    if (owner) {
        hint = hint_renamed(pairing->changes->hints, "member", owner, leaf->member->name);
    }
    if (!hint.old_name && !new->name) {
        hint = hint_renamed(pairing->changes->hints, "member", "", leaf->member->name);
    }
    *ret_hint = hint;
    return hint.old_name ? find(old, hint.old_name) : NULL;
}

static void pair_compounds(struct pairing *pairing, const struct type *old, struct place old_place,
                           const struct type *new, struct place new_place)
{
    leaves before = { 0 }, after = { 0 };
    struct rename_hint hint;

    flatten(pairing->changes, old, old_place, -1, &before);
    flatten(pairing->changes, new, new_place, -1, &after);
    for (size_t i = 0; i < after.count; i++) {
        struct leaf *same = find(&before, after.items[i].member->name);
        if (same) {
            pair_leaves(pairing, same, &after.items[i], 1, "same name");
        }
    }
    for (size_t i = 0; i < after.count; i++) {
        struct leaf *leaf = &after.items[i];
        struct leaf *renamed =
            leaf->matched ? NULL : find_renamed(pairing, new, new_place, leaf, &before, &hint);
        if (renamed) {
            pair_leaves(pairing, renamed, leaf, hint.confidence, hint.evidence);
        }
    }
    for (size_t i = 0; i < before.count; i++) {
        if (!before.items[i].matched) {
            LIST_ADD(&pairing->old_left, before.items[i]);
        }
    }
    for (size_t i = 0; i < after.count; i++) {
        if (!after.items[i].matched) {
            LIST_ADD(&pairing->new_left, after.items[i]);
        }
    }
    LIST_FREE(&before);
    LIST_FREE(&after);
}

/* ---- members that moved in or out of a structure --------------------------------------------------- */

/* Adds to AMONG what lies in the structures among it, as deep as it goes. */
static void go_deeper(struct type_changes *changes, leaves *among)
{
    for (size_t i = 0; i < among->count; i++) {
        struct leaf leaf = among->items[i];
        const struct type *type = type_strip(leaf.member->type);
        if (type->kind == TYPE_STRUCT && !leaf.outside) {
            flatten(changes, type, (struct place){ leaf.path, leaf.bit, leaf.overlaps }, (int)i, among);
        }
    }
}

/* Adds what the comparison of an embedded structure says is gone from it (or, NEW, new in it). */
static void add_outside(struct pairing *pairing, const struct type_pair *whole, bool new, leaves *among)
{
    const struct type *old_type = type_strip(whole->old_member->type);
    const struct type *new_type = type_strip(whole->new_member->type);
    const struct type_change *change = types_compared(pairing->changes, old_type, new_type);

    for (size_t i = 0; i < change->pair_count; i++) {
        const struct type_pair *pair = &change->pairs[i];
        const char *path = new ? pair->new_path : pair->old_path;
        if ((new ? pair->old_path : pair->new_path) || !path) {
            continue;
        }
        LIST_ADD(among,
                 (struct leaf){ .path = join(pairing->changes, new ? whole->new_path : whole->old_path, path),
                                .member = new ? pair->new_member : pair->old_member,
                                .bit = new ? whole->new_bit + pair->new_bit : whole->old_bit + pair->old_bit,
                                .overlaps = whole->overlaps || pair->overlaps,
                                .outside = true,
                                .parent = -1 });
    }
}

static bool is_free(const leaves *among, const struct leaf *leaf)
{
    bool is = !leaf->matched && !leaf->partly;

    for (int i = leaf->parent; is && i >= 0; i = among->items[i].parent) {
        is = !among->items[i].matched;
    }
    return is;
}

/* The only free one among OLD with the name of LEAF and a value that it can take. */
static struct leaf *find_moved(struct pairing *pairing, leaves *old, const struct leaf *leaf)
{
    struct leaf *found = NULL;

    for (size_t i = 0; i < old->count; i++) {
        struct leaf *each = &old->items[i];
        if (strcmp(each->member->name, leaf->member->name) != 0 || !is_free(old, each) ||
            (each->outside && leaf->outside) ||
            types_conversion(pairing->changes, each->member->type, leaf->member->type) == TYPE_CONVERT_NONE) {
            continue;
        }
        if (found) {
            return NULL;
        }
        found = each;
    }
    return found;
}

static void mark_above(leaves *among, const struct leaf *leaf)
{
    for (int i = leaf->parent; i >= 0; i = among->items[i].parent) {
        among->items[i].partly = true;
    }
}

/* Whether it has no entry yet and no part or whole of it has one in its place. */
static bool is_left(const leaves *among, const struct leaf *leaf)
{
    bool whole_left = leaf->parent >= 0 && !among->items[leaf->parent].partly;

    return is_free(among, leaf) && !leaf->outside && !whole_left;
}

static void pair_moved(struct pairing *pairing)
{
    leaves *old = &pairing->old_left, *new = &pairing->new_left;
    size_t known = pairing->pairs.count;

    go_deeper(pairing->changes, old);
    go_deeper(pairing->changes, new);
    for (size_t i = 0; i < known; i++) {
        struct type_pair pair = pairing->pairs.items[i];
        if (pair.conversion == TYPE_CONVERT_MIGRATE) {
            add_outside(pairing, &pair, false, old);
            add_outside(pairing, &pair, true, new);
        }
    }
    for (size_t i = 0; i < new->count; i++) {
        struct leaf *leaf = &new->items[i];
        struct leaf *from = is_free(new, leaf) ? find_moved(pairing, old, leaf) : NULL;
        if (from) {
            add_pair(pairing, from, leaf, MOVED_CONFIDENCE,
                     "the only member of this name that went and came");
            mark_above(old, from);
            mark_above(new, leaf);
        }
    }
}

static void add_rest(struct pairing *pairing)
{
    for (size_t i = 0; i < pairing->new_left.count; i++) {
        if (is_left(&pairing->new_left, &pairing->new_left.items[i])) {
            struct leaf leaf = pairing->new_left.items[i];
            add_pair(pairing, NULL, &leaf, 1, "new");
        }
    }
    for (size_t i = 0; i < pairing->old_left.count; i++) {
        if (is_left(&pairing->old_left, &pairing->old_left.items[i])) {
            struct leaf leaf = pairing->old_left.items[i];
            add_pair(pairing, &leaf, NULL, 1, "gone");
        }
    }
}

static int by_new_place(const void *one, const void *other)
{
    const struct type_pair *a = one, *b = other;

    if (!a->new_path != !b->new_path) {
        return !a->new_path - !b->new_path;
    }
    uint64_t x = a->new_path ? a->new_bit : a->old_bit, y = b->new_path ? b->new_bit : b->old_bit;
    return x != y ? (x > y) - (x < y)
                  : strcmp(a->new_path ? a->new_path : a->old_path, b->new_path ? b->new_path : b->old_path);
}

size_t types_pair(struct type_changes *changes, const struct type *old, const struct type *new,
                  struct type_pair **ret)
{
    struct pairing pairing = { .changes = changes };

    pair_compounds(&pairing, old, (struct place){ "", 0, false }, new, (struct place){ "", 0, false });
    pair_moved(&pairing);
    add_rest(&pairing);
    LIST_FREE(&pairing.old_left);
    LIST_FREE(&pairing.new_left);
    if (pairing.pairs.count) {
        qsort(pairing.pairs.items, pairing.pairs.count, sizeof(struct type_pair), by_new_place);
    }
    *ret = pairing.pairs.items;
    return pairing.pairs.count;
}
