/*
 * Types written as C that reproduces their layout exactly, whatever headers the program has: for old types in
 * migration policies, which are compiled with the new sources.
 */
#ifndef MOLT_PATCH_DECLARE_H
#define MOLT_PATCH_DECLARE_H

#include "patch/types/types.h"

struct declarations;

/* What is to be declared how. */
struct declaration_rules {
    const char *suffix; /* "_molt_old"; "" for none */

    /* Whether TYPE (a structure, union or enumeration) is declared under its name with the suffix, its
     * enumerators too; the others are under their own. NULL: all are. */
    bool (*suffixed)(void *context, const struct type *type);

    /* Whether what a pointer to TYPE leads to is none of its business: it is named with "_molt_earlier"
     * behind it, and never declared. NULL: that is so of none. */
    bool (*hidden)(void *context, const struct type *type);

    /* Whether NAME ("struct conn", "enum state", "conn_t") is declared already, by a header or another set
     * of declarations: it is not declared again. NULL: nothing is. */
    bool (*known)(void *context, const char *name);
    void *context;
};

/*
 * Declarations are appended to TEXT, borrowed; so are what RULES name. Each structure, union and enumeration
 * reached by value is declared. Pointers name what they lead to as it would be declared ("struct
 * conn_molt_old *"), those to types without a tag the typedef's name if it is declared or known by then, else
 * void *. Base types are written in C's own words, so that no typedef is needed.
 */
struct declarations *declarations_create(const struct declaration_rules *rules, struct text *text);
void declarations_destroy(struct declarations *declarations);

/* Declares TYPE and what it needs, unless that was done before, and checks them with _Static_assert. */
void declare(struct declarations *declarations, const struct type *type);

/* Whether "struct conn", "enum state_molt_old", "conn_t" was declared by DECLARATIONS. */
bool declarations_has(const struct declarations *declarations, const char *name);

/* How the declared TYPE is written with declarator NAME ("" for a type name): "struct conn_molt_old
 * *x[4]". Appended to RET. */
void declare_object(const struct declarations *declarations, const struct type *type, const char *name,
                    struct text *ret);

/* The name TYPE (a structure, union or enumeration) was declared under: "struct conn_molt_old". Owned by
 * the caller. */
char *declared_name(const struct declarations *declarations, const struct type *type);

#endif
