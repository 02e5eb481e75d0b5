/* Allocation that ends the process when there is none, and the string table. */
#include "patch/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *must_have(void *pointer)
{
    if (!pointer) {
        fputs("molt: out of memory\n", stderr);
        abort();
    }
    return pointer;
}

void *must_calloc(size_t count, size_t size)
{
    return must_have(calloc(count ? count : 1, size));
}

void *must_realloc(void *pointer, size_t count, size_t size)
{
    return must_have(reallocarray(pointer, count ? count : 1, size));
}

char *must_strdup(const char *string)
{
    return must_have(strdup(string));
}

char *must_strndup(const char *string, size_t length)
{
    return must_have(strndup(string, length));
}

char *must_printf(const char *format, ...)
{
    char *result = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&result, format, arguments) < 0) {
        result = NULL;
    }
    va_end(arguments);
    return must_have(result);
}

static size_t hash(const char *key)
{
    uint64_t value = 14695981039346656037u;

    while (*key) {
        value = (value ^ (unsigned char)*key++) * 1099511628211u;
    }
    return value ^ (value >> 29);
}

/* The slot that holds KEY, or the free one where it belongs. */
static struct table_slot *find(const struct table *table, const char *key)
{
    size_t at = hash(key) & (table->capacity - 1);

    while (table->slots[at].key && strcmp(table->slots[at].key, key) != 0) {
        at = (at + 1) & (table->capacity - 1);
    }
    return &table->slots[at];
}

void *table_get(const struct table *table, const char *key)
{
    return table->capacity ? find(table, key)->value : NULL;
}

static void grow(struct table *table)
{
    struct table bigger = { .capacity = table->capacity ? table->capacity * 2 : 64 };

    bigger.slots = must_calloc(bigger.capacity, sizeof(*bigger.slots));
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].key) {
            *find(&bigger, table->slots[i].key) = table->slots[i];
        }
    }
    bigger.count = table->count;
    free(table->slots);
    *table = bigger;
}

void *table_put(struct table *table, const char *key, void *value)
{
    if (table->count * 2 >= table->capacity) {
        grow(table);
    }
    struct table_slot *slot = find(table, key);
    void *before = slot->value;
    table->count += !slot->key;
    *slot = (struct table_slot){ slot->key ? slot->key : key, value };
    return before;
}

void table_deinit(struct table *table)
{
    free(table->slots);
    *table = (struct table){ 0 };
}
