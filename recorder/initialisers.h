/*
 * Functions that make structures, and set a member now that they did not set before. Instances that are alive
 * were made by the function as it was, and lack that value: the oblivious update of Gosh! (table 3:
 * constructor implementation changed).
 */
#ifndef MOLT_RECORDER_INITIALISERS_H
#define MOLT_RECORDER_INITIALISERS_H

#include <stddef.h>

#include "base/error.h"

/* One such member. Strings are borrowed for the call. */
struct initialiser {
    const char *file;   /* as it was given */
    const char *type;   /* as the function writes it: "struct conn", "conn_t" */
    const char *member; /* "timeout", "limits.open" */
    const char *text;   /* what it is set to, on one line */
    const char *value;  /* the same as an expression of an instance called new; NULL: it is made of the
                           function's own variables */
    const char *function;
    unsigned line; /* 1-based, of the new text */
};

typedef void initialiser_visitor(void *context, const struct initialiser *initialiser);

/*
 * Visits what functions of FILE (a name only, nothing is read) newly set, in the order of the new text. Only
 * functions that both texts have count, and of these what they set of a structure that they make: one that
 * comes from a call, is a variable of their own or a literal; or that is handed to a function whose name says
 * that it makes one (init, new, create ...). Names are gone by, not types: the visitor knows which types
 * there are.
 */
struct molt_error *initialisers_between(const char *file, const char *old_text, size_t old_length,
                                        const char *new_text, size_t new_length, initialiser_visitor *visit,
                                        void *context);

#endif
