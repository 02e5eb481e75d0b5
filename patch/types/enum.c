/* Enumerations: whether a stored number means after the update what it meant before. */
#include <string.h>

#include "patch/types/compare_private.h"
#include "patch/types/hints.h"

/* The enumerator that OLD is now: of its name, or called so by then. */
static const struct type_enumerator *successor(const struct type_changes *changes,
                                               const struct type_enumerator *old, const struct type *new)
{
    const char *owner = new->name ? new->name : "";

    for (size_t i = 0; i < new->enumerator_count; i++) {
        if (strcmp(new->enumerators[i].name, old->name) == 0) {
            return &new->enumerators[i];
        }
    }
    for (size_t i = 0; i < new->enumerator_count; i++) {
        struct rename_hint hint = hint_renamed(changes->hints, "enumerator", owner, new->enumerators[i].name);
        if (hint.old_name && strcmp(hint.old_name, old->name) == 0) {
            return &new->enumerators[i];
        }
    }
    return NULL;
}

static bool had(const struct type *type, const char *name, int64_t value)
{
    for (size_t i = 0; i < type->enumerator_count; i++) {
        if (type->enumerators[i].value == value && strcmp(type->enumerators[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether VALUE, whose name in OLD is gone, means something else in NEW. */
static bool is_taken_over(const struct type *old, const struct type *new, int64_t value)
{
    for (size_t i = 0; i < new->enumerator_count; i++) {
        if (new->enumerators[i].value == value && !had(old, new->enumerators[i].name, value)) {
            return true;
        }
    }
    return false;
}

/* A number whose name is gone and that no other name took over does no harm. */
bool types_same_enumerators(const struct type_changes *changes, const struct type *old,
                            const struct type *new)
{
    for (size_t i = 0; i < old->enumerator_count; i++) {
        int64_t value = old->enumerators[i].value;
        const struct type_enumerator *now = successor(changes, &old->enumerators[i], new);
        if (now ? now->value != value : is_taken_over(old, new, value)) {
            return false;
        }
    }
    return true;
}
