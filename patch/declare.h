/*
 * Types written as C that reproduces their layout exactly, whatever headers the program has: for old types in migration
 * policies, which are compiled with the new sources.
 */
#ifndef MOLT_PATCH_DECLARE_H
#define MOLT_PATCH_DECLARE_H

#include "patch/types.h"

struct declarations;

/*
 * Declarations are appended to TEXT, borrowed. Each structure, union and enumeration reached by value is declared under its
 * name with SUFFIX ("struct conn_molt_old"), and so are the enumerators. Pointers keep naming "struct conn" without the
 * suffix; those to types without a tag are void *.
 */
struct declarations *declarations_create(const char *suffix, struct text *text);
void declarations_destroy(struct declarations *declarations);

/* Declares TYPE and what it needs, unless that was done before, and checks them with _Static_assert. */
void declare(struct declarations *declarations, const struct type *type);

/* How the declared TYPE is written with declarator NAME ("" for a type name): "struct conn_molt_old *x[4]". Appended to RET. */
void declare_object(const struct declarations *declarations, const struct type *type, const char *name,
                    struct text *ret);

/* The name TYPE (a structure, union or enumeration) was declared under: "struct conn_molt_old". Owned by the caller. */
char *declared_name(const struct declarations *declarations, const struct type *type);

#endif
