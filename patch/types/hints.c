/* A change set by name. Two trees may differ in many thousands of declarations that no program has: each
 * question is one look-up. */
#include "patch/types/hints.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/memory.h"

/* All changes of one action to things of one kind and name. */
struct entry {
    char *key;
    LIST(const json_t *) changes;
};

struct hints {
    struct table entries; /* "renamed member size" -> struct entry */
    LIST(const char *) removed;
};

static const char *word_of(const json_t *change, const char *key)
{
    const char *word = json_string_value(json_object_get(change, key));

    return word ? word : "";
}

static char *key_of(const char *action, const char *kind, const char *name)
{
    return must_printf("%s %s %s", action, kind, name);
}

static void add(struct hints *hints, const json_t *change)
{
    char *key = key_of(word_of(change, "action"), word_of(change, "kind"), word_of(change, "name"));
    struct entry *entry = table_get(&hints->entries, key);

    if (!entry) {
        entry = must_calloc(1, sizeof(*entry));
        entry->key = key;
        table_put(&hints->entries, key, entry);
    } else {
        free(key);
    }
    LIST_ADD(&entry->changes, change);
}

struct hints *hints_create(const json_t *changes)
{
    struct hints *hints = must_calloc(1, sizeof(*hints));
    const json_t *change;
    size_t index;

    json_array_foreach(changes, index, change)
    {
        const char *action = word_of(change, "action"), *kind = word_of(change, "kind");
        bool removed =
            strcmp(action, "removed") == 0 && (strcmp(kind, "type") == 0 || strcmp(kind, "typedef") == 0);
        if (removed) {
            LIST_ADD(&hints->removed, word_of(change, "name"));
        }
        if (removed || strcmp(action, "renamed") == 0) {
            add(hints, change);
        }
    }
    return hints;
}

void hints_destroy(struct hints *hints)
{
    for (size_t i = 0; hints && i < hints->entries.capacity; i++) {
        struct entry *entry = hints->entries.slots[i].value;
        if (entry) {
            LIST_FREE(&entry->changes);
            free(entry->key);
            free(entry);
        }
    }
    if (hints) {
        table_deinit(&hints->entries);
        LIST_FREE(&hints->removed);
        free(hints);
    }
}

bool hints_are_empty(const struct hints *hints)
{
    return hints->entries.count == 0;
}

static const struct entry *find(const struct hints *hints, const char *action, const char *kind,
                                const char *name)
{
    char *key = key_of(action, kind, name);
    const struct entry *entry = table_get(&hints->entries, key);

    free(key);
    return entry;
}

/* Owners are written with those around them: "outer.inner". */
static bool is_owner(const char *path, const char *owner)
{
    const char *last = strrchr(path, '.');

    return !owner || strcmp(path, owner) == 0 || (last && strcmp(last + 1, owner) == 0);
}

struct rename_hint hint_renamed(const struct hints *hints, const char *kind, const char *owner,
                                const char *name)
{
    const struct entry *entry = name ? find(hints, "renamed", kind, name) : NULL;

    for (size_t i = 0; entry && i < entry->changes.count; i++) {
        const json_t *change = entry->changes.items[i], *noted = json_object_get(change, "confidence");
        const char *evidence = word_of(change, "evidence");
        double confidence = noted ? json_number_value(noted) : 1;
        /* below that it is a guess: the user may say so, with MOLT_RENAME */
        if (is_owner(word_of(change, "owner"), owner) && confidence >= HINT_CERTAIN) {
            return (struct rename_hint){ .old_name = json_string_value(json_object_get(change, "old_name")),
                                         .confidence = confidence,
                                         .evidence = *evidence ? evidence : "renamed" };
        }
    }
    return (struct rename_hint){ 0 };
}

bool hint_removed(const struct hints *hints, const char *kind, const char *name)
{
    return name && find(hints, "removed", kind, name);
}

void hints_walk_removed(const struct hints *hints, void (*visit)(void *context, const char *name),
                        void *context)
{
    for (size_t i = 0; i < hints->removed.count; i++) {
        visit(context, hints->removed.items[i]);
    }
}
