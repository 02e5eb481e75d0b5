/*
 * What patches have made of the program so far: which functions run in another version than the one they were
 * built with, and which definitions exist that no module has.
 */
#ifndef MOLT_ENGINE_CODE_REGISTRY_H
#define MOLT_ENGINE_CODE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/patch_file.h"
#include "engine/code/image.h"

struct code_range {
    uintptr_t start;
    size_t size;
};

#define VERSION_RANGES_MAX 16
#define JUMP_SIZE MOLT_JUMP_ROOM

/* One version of a function: its entry first, then its parts elsewhere (.cold and the like). */
struct version {
    struct image *image; /* that holds the code, NULL: a module */
    struct code_range ranges[VERSION_RANGES_MAX];
    size_t count;
    uint32_t room; /* bytes at its entry that a jump may take */
};

/* A function that was replaced at least once, or that a patch introduced. It keeps its first address for
 * ever: its identity. */
struct function {
    char *name, *unit;
    uintptr_t identity;
    uint32_t size;          /* of the code at the identity */
    uint32_t room;          /* bytes there that a jump may take */
    struct image *home;     /* the image that holds the identity, NULL: a module */
    struct version current; /* the version that is in force: at first the code at the identity */
};

/* The function whose identity is ADDRESS; or that an earlier patch introduced under this unit and name. NULL:
 * none. */
struct function *registry_function_at(uintptr_t address);
struct function *registry_function_named(const char *unit, const char *name);

/* Adds a function whose version in force is the code at its identity. Strings are copied. NULL without
 * memory. */
struct function *registry_add_function(const char *unit, const char *name, uintptr_t identity, uint32_t size,
                                       uint32_t room, struct image *home);

/* The function as INDEXth of all, NULL past the end. */
struct function *registry_function(size_t index);

/* How many functions there are, and back to it: for an update that was not committed. */
size_t registry_function_count(void);
void registry_forget_functions(size_t count);

struct definition {
    char *name, *unit;
    bool is_tls;
    uintptr_t address; /* TLS: offset in the reserve */
};

const struct definition *registry_definition(const char *unit, const char *name);

/* The one that was there of this name before DEFINITION was added; NULL if there was none. */
const struct definition *registry_definition_before(const struct definition *definition);

/* Adds a definition, or moves the one of that name. 0 or -ENOMEM. */
int registry_define(const char *unit, const char *name, bool is_tls, uintptr_t address);

/* How many definitions there are, and back to it. */
size_t registry_definition_count(void);
void registry_forget_definitions(size_t count);

#endif
