/* Which names the source of a unit can make its object refer to. */
#ifndef MOLT_PATCH_NAMED_H
#define MOLT_PATCH_NAMED_H

#include "patch/compile/compile.h"

struct named_request {
    struct unit *unit; /* borrowed */
    struct tree *tree; /* borrowed */
    char *words; /* result, the caller's: each between newlines. NULL: the source could not be preprocessed */
};

/* Answers all, from the cache where it can be. */
struct molt_error *named_read(const struct compile_setup *setup, struct named_request *requests,
                              size_t count);

/* Whether WORDS have NAME, or might, for all that is known. */
bool named_has(const char *words, const char *name);

/* The words of TEXT, which was preprocessed; the caller's. */
char *named_words(const char *text, size_t length);

#endif
