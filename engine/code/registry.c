/* Two growing arrays. Functions stay: one whose updates were rolled back runs its first version. Only those
 * of an update that was not committed are forgotten. */
#include "engine/code/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct function **functions; /* each on its own: pointers to them are kept */
    size_t function_count, function_capacity;
    struct definition *definitions;
    size_t definition_count, definition_capacity;
} registry;

static bool reserve_one(void **array, size_t count, size_t *capacity, size_t element)
{
    if (count < *capacity) {
        return true;
    }
    size_t larger = *capacity ? *capacity * 2 : 32;
    void *grown = realloc(*array, larger * element);
    if (!grown) {
        return false;
    }
    *array = grown;
    *capacity = larger;
    return true;
}

struct function *registry_function(size_t index)
{
    return index < registry.function_count ? registry.functions[index] : NULL;
}

struct function *registry_function_at(uintptr_t address)
{
    for (size_t i = 0; i < registry.function_count; i++) {
        if (registry.functions[i]->identity == address) {
            return registry.functions[i];
        }
    }
    return NULL;
}

struct function *registry_function_named(const char *unit, const char *name)
{
    for (size_t i = registry.function_count; i-- > 0;) { /* the latest of a name counts */
        struct function *function = registry.functions[i];
        if (function->home && strcmp(function->name, name) == 0 && strcmp(function->unit, unit) == 0) {
            return function;
        }
    }
    return NULL;
}

struct function *registry_add_function(const char *unit, const char *name, uintptr_t identity, uint32_t size,
                                       uint32_t room, struct image *home)
{
    struct function *function = calloc(1, sizeof(*function));

    if (function) {
        *function = (struct function){
            .name = strdup(name),
            .unit = strdup(unit),
            .identity = identity,
            .size = size,
            .room = room,
            .home = home,
            .current = { .image = home, .ranges = { { identity, size } }, .count = 1, .room = room },
        };
    }
    if (!function || !function->name || !function->unit ||
        !reserve_one((void **)&registry.functions, registry.function_count, &registry.function_capacity,
                     sizeof(struct function *))) {
        if (function) {
            free(function->name);
            free(function->unit);
            free(function);
        }
        return NULL;
    }
    registry.functions[registry.function_count++] = function;
    return function;
}

size_t registry_function_count(void)
{
    return registry.function_count;
}

void registry_forget_functions(size_t count)
{
    while (registry.function_count > count) {
        struct function *last = registry.functions[--registry.function_count];
        free(last->name);
        free(last->unit);
        free(last);
    }
}

/* Among the first COUNT; the latest of a name counts. */
static const struct definition *find_definition(const char *unit, const char *name, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        const struct definition *definition = &registry.definitions[i];
        if (strcmp(definition->name, name) == 0 && strcmp(definition->unit, unit) == 0) {
            return definition;
        }
    }
    return NULL;
}

const struct definition *registry_definition(const char *unit, const char *name)
{
    return find_definition(unit, name, registry.definition_count);
}

const struct definition *registry_definition_before(const struct definition *definition)
{
    return find_definition(definition->unit, definition->name, definition - registry.definitions);
}

int registry_define(const char *unit, const char *name, bool is_tls, uintptr_t address)
{
    if (!reserve_one((void **)&registry.definitions, registry.definition_count, &registry.definition_capacity,
                     sizeof(struct definition))) {
        return -ENOMEM;
    }
    struct definition definition = { strdup(name), strdup(unit), is_tls, address };
    if (!definition.name || !definition.unit) {
        free(definition.name);
        free(definition.unit);
        return -ENOMEM;
    }
    registry.definitions[registry.definition_count++] = definition;
    return 0;
}

size_t registry_definition_count(void)
{
    return registry.definition_count;
}

void registry_forget_definitions(size_t count)
{
    while (registry.definition_count > count) {
        struct definition *last = &registry.definitions[--registry.definition_count];
        free(last->name);
        free(last->unit);
    }
}
