/* A growing list of diagnostics. */
#include "base/diagnostic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct molt_diagnostic *reserve(struct molt_diagnostics *list)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        struct molt_diagnostic *items = realloc(list->items, capacity * sizeof(*items));
        if (!items) {
            return NULL;
        }
        list->items = items;
        list->capacity = capacity;
    }
    return &list->items[list->count];
}

void molt_diagnostics_add(struct molt_diagnostics *list, enum molt_severity severity, const char *file,
                          unsigned line, unsigned column, const char *code, const char *format, ...)
{
    struct molt_diagnostic *item = reserve(list);
    char *message = NULL;
    char *copy = file ? strdup(file) : NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&message, format, arguments) < 0) {
        message = NULL;
    }
    va_end(arguments);
    if (!item || !message || (file && !copy)) {
        free(message);
        free(copy);
        list->dropped++;
        return;
    }
    *item = (struct molt_diagnostic){ severity, copy, line, column, code, message };
    list->count++;
}

int molt_diagnostics_has_error(const struct molt_diagnostics *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].severity == MOLT_SEVERITY_ERROR) {
            return 1;
        }
    }
    return list->dropped > 0;
}

void molt_diagnostics_deinit(struct molt_diagnostics *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].file);
        free(list->items[i].message);
    }
    free(list->items);
    *list = (struct molt_diagnostics){ 0 };
}
