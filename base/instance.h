/*
 * An instance in words: its bytes, read by a shape that the builder noted (patch/types/shape.h).
 *
 * A shape is JSON, {"size": 24, "members": [...]}, each member with a "path" ("position.x", as in C),
 * "offset" and "size" in bytes, and a "kind": int, unsigned, bool, float, pointer, text (an array of
 * characters), enum (with "names": {"0": "IDLE"}) or bytes. A bit-field has "bit" and "bits", from the byte
 * at its offset; an array has "count", and "size" is an element's.
 */
#ifndef MOLT_BASE_INSTANCE_H
#define MOLT_BASE_INSTANCE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* {"position.x": "1.5", "name": "\"Ann\""}: the value of each member of SHAPE that lies within SIZE bytes
 * at BYTES, in the shape's order. Both are borrowed; neither need be well-formed. A new object, NULL
 * without memory. */
json_t *instance_values(const json_t *shape, const uint8_t *bytes, size_t size);

#endif
