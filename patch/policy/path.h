/* Places in types, as policies name them: "home.city", "home->city", "list[0].x". */
#ifndef MOLT_PATCH_POLICY_PATH_H
#define MOLT_PATCH_POLICY_PATH_H

#include "patch/types/types.h"

struct policy_place {
    const struct type *type;
    const struct type_member *member; /* the last one; NULL if an index comes last */
    bool indirect;                    /* it lies behind a pointer */
    uint64_t bit;                     /* from the start of the whole; of no meaning behind a pointer */
    const struct type *in_union;      /* the outermost union that it lies in, or NULL */
    uint64_t union_bit;               /* where that begins */
    size_t union_length;              /* of the path's part that names it; 0: it has no name */
};

/* Finds PATH in TYPE. False: there is no such place. */
bool policy_place_find(const struct type *type, const char *path, struct policy_place *ret);

#endif
