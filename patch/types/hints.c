/* Looking things up in a change set. It is a short list: a linear search will do. */
#include "patch/types/hints.h"

#include <string.h>

static const char *word_of(const json_t *change, const char *key)
{
    return json_string_value(json_object_get(change, key));
}

static bool is(const char *one, const char *other)
{
    return one && other && strcmp(one, other) == 0;
}

/* Owners are written with those around them: "outer.inner". */
static bool is_owner(const char *path, const char *owner)
{
    const char *last = path ? strrchr(path, '.') : NULL;

    return !owner || is(path, owner) || is(last ? last + 1 : NULL, owner);
}

struct rename_hint hint_renamed(const json_t *changes, const char *kind, const char *owner, const char *name)
{
    const json_t *change;
    size_t index;

    json_array_foreach(changes, index, change)
    {
        if (is(word_of(change, "action"), "renamed") && is(word_of(change, "kind"), kind) &&
            is(word_of(change, "name"), name) && is_owner(word_of(change, "owner"), owner)) {
            const json_t *noted = json_object_get(change, "confidence");
            const char *evidence = word_of(change, "evidence");
            double confidence = noted ? json_number_value(noted) : 1;
            if (confidence < HINT_CERTAIN) {
                continue; /* a guess: the user may say so, with MOLT_RENAME */
            }
            return (struct rename_hint){ .old_name = word_of(change, "old_name"),
                                         .confidence = confidence,
                                         .evidence = evidence ? evidence : "renamed" };
        }
    }
    return (struct rename_hint){ 0 };
}

bool hint_removed(const json_t *changes, const char *kind, const char *name)
{
    const json_t *change;
    size_t index;

    json_array_foreach(changes, index, change)
    {
        if (is(word_of(change, "action"), "removed") && is(word_of(change, "kind"), kind) &&
            is(word_of(change, "name"), name)) {
            return true;
        }
    }
    return false;
}
