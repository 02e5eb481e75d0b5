/*
 * Memory for the builder. It runs in the user's tools, never inside the updated program, works on megabytes
 * of objects and debug information and has nothing useful left to do once memory is exhausted: these
 * functions say so on standard error and end the process. Files on disk are only ever replaced whole, so
 * nothing is lost.
 */
#ifndef MOLT_PATCH_MEMORY_H
#define MOLT_PATCH_MEMORY_H

#include <stddef.h>

void *must_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *must_realloc(void *pointer, size_t count, size_t size) __attribute__((returns_nonnull));
char *must_strdup(const char *string) __attribute__((malloc, returns_nonnull));
char *must_strndup(const char *string, size_t length) __attribute__((malloc, returns_nonnull));
char *must_printf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Turns NULL, the answer of base/ to a lack of memory, into the same end. */
void *must_have(void *pointer) __attribute__((returns_nonnull));

/* A growing array of TYPE: declare it as a member, add with LIST_ADD, free with LIST_FREE. */
#define LIST(type)                                                                                           \
    struct {                                                                                                 \
        type *items;                                                                                         \
        size_t count, capacity;                                                                              \
    }

#define LIST_ADD(list, ...)                                                                                  \
    ((list)->count == (list)->capacity                                                                       \
         ? (void)((list)->capacity = (list)->capacity ? (list)->capacity * 2 : 8,                            \
                  (list)->items = must_realloc((list)->items, (list)->capacity, sizeof(*(list)->items)))     \
         : (void)0,                                                                                          \
     (list)->items[(list)->count++] = (__VA_ARGS__))

#define LIST_FREE(list) (free((list)->items), (list)->items = NULL, (list)->count = (list)->capacity = 0)

/* A map from strings to non-NULL pointers, open addressing. Keys are borrowed and must outlive the table. */
struct table {
    struct table_slot {
        const char *key;
        void *value;
    } * slots;
    size_t count, capacity; /* capacity is 0 or a power of two */
};

/* The value of KEY, or NULL. */
void *table_get(const struct table *table, const char *key);

/* Sets KEY's value and returns the one it replaces, or NULL. */
void *table_put(struct table *table, const char *key, void *value);

/* Forgets everything; values are not touched. */
void table_deinit(struct table *table);

#endif
