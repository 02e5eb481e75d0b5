/* Sources that a test compiles to objects, and their types. */
#ifndef MOLT_TESTS_UNIT_PATCH_COMPILED_H
#define MOLT_TESTS_UNIT_PATCH_COMPILED_H

#include "patch/code/object.h"
#include "patch/types/types.h"

/* Compiles TEXT with COMPILER and FLAGS; fails the test if that fails. */
struct object *compile_text(const char *compiler, const char *flags, const char *text);

/* The same with a file called NAME, which the debug information puts into /source: two versions of it are
 * one file. */
struct object *compile_named(const char *compiler, const char *flags, const char *text, const char *name);

/* The types of one object, its unit being called "a.c". */
struct type_model *model_of(struct object *object);

#endif
