/* The files that a recorder knows, sorted by path. */
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "base/text.h"
#include "recorder/recorder_private.h"

/* Index of the entry called PATH, or of where it belongs. */
static size_t find_index(const struct recorder *recorder, const char *path)
{
    return COUNT_BEFORE(i, recorder->count, strcmp(recorder->entries[i]->file.path, path) < 0);
}

static struct entry *lookup(const struct recorder *recorder, const char *path)
{
    size_t index = find_index(recorder, path);

    return index < recorder->count && strcmp(recorder->entries[index]->file.path, path) == 0
               ? recorder->entries[index]
               : NULL;
}

struct entry *recorder_find(const struct recorder *recorder, const char *path)
{
    char *full = path_normalise(recorder->root, path);
    struct entry *entry = full ? lookup(recorder, full) : NULL;

    free(full);
    return entry;
}

static bool reserve_entry(struct recorder *recorder)
{
    if (recorder->count < recorder->capacity) {
        return true;
    }
    size_t capacity = recorder->capacity ? recorder->capacity * 2 : 32;
    struct entry **entries = realloc(recorder->entries, capacity * sizeof(*entries));
    if (!entries) {
        return false;
    }
    recorder->entries = entries;
    recorder->capacity = capacity;
    return true;
}

struct molt_error *recorder_find_or_add(struct recorder *recorder, const char *path, struct entry **ret)
{
    char *full = path_normalise(recorder->root, path);

    if (!full) {
        return molt_error_nomem();
    }
    size_t index = find_index(recorder, full);
    if (index < recorder->count && strcmp(recorder->entries[index]->file.path, full) == 0) {
        free(full);
        *ret = recorder->entries[index];
        return NULL;
    }
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry || !reserve_entry(recorder)) {
        free(entry);
        free(full);
        return molt_error_nomem();
    }
    file_init(&entry->file, full);
    memmove(recorder->entries + index + 1, recorder->entries + index,
            (recorder->count - index) * sizeof(*recorder->entries));
    recorder->entries[index] = entry;
    recorder->count++;
    *ret = entry;
    return NULL;
}
