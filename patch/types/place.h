/* Where in an old object is what lies at some place of the new one. */
#ifndef MOLT_PATCH_TYPES_PLACE_H
#define MOLT_PATCH_TYPES_PLACE_H

#include "patch/types/compare.h"

enum place_found {
    PLACE_FOUND,
    PLACE_NEW,     /* the old type has nothing of the kind: a new member, an element more */
    PLACE_UNKNOWN, /* it is in no member of its own: in a union, or across several */
};

struct type_place {
    uint64_t offset, size; /* in the old object, bytes */
};

/* Finds in objects of the type OLD, which become objects of NEW, what is SIZE bytes at OFFSET of the
 * latter. */
enum place_found types_place(const struct type_changes *changes, const struct type *old,
                             const struct type *new, uint64_t offset, uint64_t size, struct type_place *ret);

#endif
