/* What the recorder knows about names: which declaration was called otherwise before. */
#ifndef MOLT_PATCH_TYPES_HINTS_H
#define MOLT_PATCH_TYPES_HINTS_H

#include <jansson.h>

#include "patch/types/types.h"

/* What another name in the same place must be to be taken for the same thing without asking. */
#define HINT_CERTAIN 0.9

struct rename_hint {
    const char *old_name; /* NULL: there is none */
    double confidence;
    const char *evidence;
};

/* What the type, member or enumerator (KIND: "type", "typedef", "member", "enumerator") that is NAME now,
 * in a type called OWNER (NULL for types; "" if it has no name), was called. CHANGES (may be NULL) is the
 * recorder's array; the result points into it. */
struct rename_hint hint_renamed(const json_t *changes, const char *kind, const char *owner, const char *name);

/* Whether the recorder says that the type KIND ("type", "typedef") NAME was removed. */
bool hint_removed(const json_t *changes, const char *kind, const char *name);

#endif
