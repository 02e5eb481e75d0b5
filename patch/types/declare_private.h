/* Declarations, as types/declare.c and types/declare_layout.c see them. */
#ifndef MOLT_PATCH_DECLARE_PRIVATE_H
#define MOLT_PATCH_DECLARE_PRIVATE_H

#include "patch/types/declare.h"
#include "patch/memory.h"
#include "patch/number_map.h"

struct declarations {
    struct declaration_rules rules;
    struct text *text;
    struct table names;       /* "struct conn_molt_old" -> type that is declared under it */
    struct table advance;     /* "struct conn_molt_old" -> type that was announced by name */
    struct table done;        /* the same, declared as a whole */
    struct table enumerators; /* their names, declared so far */
    struct number_map of;     /* type -> name */
    LIST(char *) owned;
    unsigned padding; /* members made up so far, for their names */
};

/* How a leaf of a declarator is written; for type_write. */
void declare_leaf(void *declarations, const struct type *leaf, bool pointed, struct text *ret);

/* types/declare_layout.c: writes "struct NAME { ... }" with what reproduces the layout of TYPE, indented by
 * DEPTH. NAME may be "". */
void declare_compound(struct declarations *declarations, const struct type *type, const char *name,
                      unsigned depth, struct text *ret);

/* Writes a check of size and places of TYPE, declared as NAME. */
void declare_check(const struct type *type, const char *name, struct text *ret);

#endif
