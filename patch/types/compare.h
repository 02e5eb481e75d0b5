/*
 * What became of types from one state of a program to the next, and which member is which. A type counts as
 * changed if an old instance cannot be taken for a new one: another layout, members that stand for something
 * else, or enumerators that got other numbers; likewise if it contains a changed type by value.
 */
#ifndef MOLT_PATCH_TYPES_COMPARE_H
#define MOLT_PATCH_TYPES_COMPARE_H

#include <jansson.h>

#include "patch/types/types.h"

enum type_change_kind {
    TYPE_CHANGE_ADDED = 1 << 0,     /* a member is new */
    TYPE_CHANGE_REMOVED = 1 << 1,   /* a member is gone */
    TYPE_CHANGE_MOVED = 1 << 2,     /* a member has another place */
    TYPE_CHANGE_RETYPED = 1 << 3,   /* a member has another type (numeric kind, array size, structure) */
    TYPE_CHANGE_RENAMED = 1 << 4,   /* a member has another name */
    TYPE_CHANGE_SIZE = 1 << 5,      /* of the whole */
    TYPE_CHANGE_ALIGNMENT = 1 << 6, /* of the whole */
    TYPE_CHANGE_ENUMERATORS =
        1 << 7,                 /* an enumeration: numbers changed; a structure: it has a member of such */
    TYPE_CHANGE_INNER = 1 << 8, /* a member's own type is changed */
};

/* How the value of a member, or of an element of an array, becomes the new one. */
enum type_conversion {
    TYPE_CONVERT_COPY,    /* the same bits */
    TYPE_CONVERT_NUMBER,  /* C's assignment between arithmetic types; may not fit */
    TYPE_CONVERT_ENUM,    /* remapped by the enumerators' names */
    TYPE_CONVERT_ARRAY,   /* element by element: types_conversion of the elements; counts may differ */
    TYPE_CONVERT_MIGRATE, /* a changed structure or union: its own migration */
    TYPE_CONVERT_NONE,    /* no value can be taken from the old one */
};

/* One member of the old type and the one that it became. Members of anonymous structures and of unnamed
 * types that changed have their own entry, with a path such as "u.point.x"; a member whose type has a name
 * is one entry. Old and new parts are absent for members that are new and gone. */
struct type_pair {
    const char *old_path, *new_path; /* C designators without the leading dot; NULL: new, or gone */
    uint64_t old_bit, new_bit;       /* offsets from the start of the whole, in bits */
    const struct type_member *old_member, *new_member;
    enum type_conversion conversion;
    bool overlaps;        /* lies in a union with others: its value may not be there at all */
    double confidence;    /* of their being the same, 0 to 1 */
    const char *evidence; /* a few words */
};

struct type_change {
    const struct type *old, *new; /* NULL: new, or gone */
    unsigned kinds;               /* enum type_change_kind */
    struct type_pair *pairs; /* of structures and unions with both: by new offset, those gone at the end */
    size_t pair_count;
    const char *reason; /* one clause for people: "member 'x' (int) added at offset 8" */
    const char *file;   /* what it is about in the new source */
    unsigned line;
};

struct type_changes;

/* Compares OLD, the types of the program as it is, with NEW, those of the units that changed. CHANGES (may
 * be NULL) are the recorder's, as in patch_request: renames in it are taken. All are borrowed as long as
 * the result. */
struct type_changes *type_changes_create(struct type_model *old, struct type_model *new,
                                         const json_t *changes);

/* The same; a member of one of the COUNT types SPOKEN_OF ("struct conn") that surely has only another name
 * is a change, too, since a policy wants to see it. SPOKEN_OF is borrowed as long as the result. */
struct type_changes *type_changes_create_for(struct type_model *old, struct type_model *new,
                                             const json_t *changes, const char *const *spoken_of,
                                             size_t count);
void type_changes_destroy(struct type_changes *changes);

/* What the recorder's changes say about names (patch/types/hints.h). */
struct hints;
const struct hints *type_changes_hints(const struct type_changes *changes);

size_t type_changes_count(const struct type_changes *changes);
const struct type_change *type_changes_at(const struct type_changes *changes, size_t index);

/* Types that both have and that are told in other words, while instances stay as they are: their names, or
 * those of members, differ. `kinds` is 0. */
size_t type_changes_alike_count(const struct type_changes *changes);
const struct type_change *type_changes_alike_at(const struct type_changes *changes, size_t index);

/* Whether there is a type that both have and that changed. */
bool type_changes_any(const struct type_changes *changes);

/* The entry of an OLD type (of the old model), stripped of typedefs; NULL if it did not change. */
const struct type_change *type_changes_of_old(const struct type_changes *changes, const struct type *old);

/* The same by the new type. */
const struct type_change *type_changes_of_new(const struct type_changes *changes, const struct type *new);

/* How single values of OLD become values of NEW where that takes more than copying: numbers that are a
 * variable or the element of a flexible array. It is listed from then on, as a change between types of its
 * own (`alias` tells what becomes of them), so that other numbers of the same type are not taken for
 * changed. */
const struct type_change *type_changes_of_value(const struct type_changes *changes, const struct type *old,
                                                const struct type *new);

/* Whether objects of the OLD type are or contain instances of a changed one. */
bool type_is_changed(const struct type_changes *changes, const struct type *old);

/* What the OLD type (of the old model) is after the update: the type of the new model, or OLD itself if
 * the new model does not speak of it. NULL if it is gone. */
const struct type *type_changes_new_of(const struct type_changes *changes, const struct type *old);

/* The old type that NEW was if it did not change; else NEW itself. An old type is its own. */
const struct type *type_changes_old_of(const struct type_changes *changes, const struct type *new);

/* The members of NEW and of OLD as in type_change, for any two structures or unions: one that is split or
 * has another name. Owned by the caller: free(*ret). Their number. */
size_t types_pair_members(const struct type_changes *changes, const struct type *old, const struct type *new,
                          struct type_pair **ret);

/* How a value of OLD becomes one of NEW. */
enum type_conversion types_conversion(const struct type_changes *changes, const struct type *old,
                                      const struct type *new);

#endif
