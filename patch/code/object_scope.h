/* Keys for function-local statics, whose names the compiler numbers. */
#ifndef MOLT_PATCH_OBJECT_SCOPE_H
#define MOLT_PATCH_OBJECT_SCOPE_H

#include "patch/code/object.h"

/* Sets the keys of local definitions whose names end in a number. ALL: by scope even if the base name
 * occurs once. */
void object_scope_keys(struct object *object, bool all);

/* Makes the keys of two objects that are to be compared of one kind: a base name that occurs once in one
 * of them may occur twice in the other. */
void object_scope_align(struct object *one, struct object *other);

#endif
