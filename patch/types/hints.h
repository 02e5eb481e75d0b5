/* What the recorder knows about names: which declaration was called otherwise before, and which is gone. */
#ifndef MOLT_PATCH_TYPES_HINTS_H
#define MOLT_PATCH_TYPES_HINTS_H

#include <jansson.h>
#include <stdbool.h>

/* What another name in the same place must be to be taken for the same thing without asking. */
#define HINT_CERTAIN 0.9

struct hints;

struct rename_hint {
    const char *old_name; /* NULL: there is none */
    double confidence;
    const char *evidence;
};

/* CHANGES: the recorder's array, or NULL; it must outlive the hints. */
struct hints *hints_create(const json_t *changes);
void hints_destroy(struct hints *hints);

/* Whether nothing was renamed or removed. */
bool hints_are_empty(const struct hints *hints);

/* What the type, member or enumerator (KIND: "type", "typedef", "member", "enumerator") that is NAME now, in
 * a type called OWNER (NULL for types; "" if it has no name), was called. The result points into the changes.
 */
struct rename_hint hint_renamed(const struct hints *hints, const char *kind, const char *owner,
                                const char *name);

/* Whether the recorder says that the type KIND ("type", "typedef") NAME was removed. */
bool hint_removed(const struct hints *hints, const char *kind, const char *name);

/* Visits the names of all types that were removed. */
void hints_walk_removed(const struct hints *hints, void (*visit)(void *context, const char *name),
                        void *context);

#endif
