/*
 * What is where in a type, as JSON: with it whoever has a patch file reads an instance's bytes
 * (base/instance.h tells the format).
 */
#ifndef MOLT_PATCH_SHAPE_H
#define MOLT_PATCH_SHAPE_H

#include <jansson.h>

#include "patch/types/types.h"

/* The shape of TYPE, a structure or union: members of embedded ones are there one by one, by their paths.
 * Of types with very many members only the first. A new object. */
json_t *type_shape(const struct type *type);

#endif
