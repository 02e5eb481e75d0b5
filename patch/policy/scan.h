/*
 * What a policy file says. Its macros (include/molt/policy.h) leave marks that survive the preprocessor:
 *
 *     _Static_assert(1, "molt:policy" "rename" "struct conn" "struct conn" "count" "total" "12");
 *
 * each followed by the function that goes with it. So a policy file is read after preprocessing, by its
 * tokens: no C is parsed but for braces.
 */
#ifndef MOLT_PATCH_POLICY_SCAN_H
#define MOLT_PATCH_POLICY_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "patch/memory.h"

/* word in the mark, whether a function for use follows */
#define POLICY_KINDS(X)                                                                                      \
    X(MIGRATE, "migrate", true)                                                                              \
    X(INVERT, "invert", true)                                                                                \
    X(SPLIT, "split", true)                                                                                  \
    X(RENAME_TYPE, "rename-type", false)                                                                     \
    X(RENAME, "rename", false)                                                                               \
    X(DEFAULT, "default", true)                                                                              \
    X(DROP, "drop", false)                                                                                   \
    X(DELETE, "delete", true)                                                                                \
    X(TEXT, "text", false)                                                                                   \
    X(CUSTOM, "custom", false)                                                                               \
    X(ENUMERATOR, "enumerator", false)                                                                       \
    X(UNION, "union", true)                                                                                  \
    X(VALIDATE, "validate", true)                                                                            \
    X(INVARIANT, "invariant", true)                                                                          \
    X(TRANSFER, "transfer", true)                                                                            \
    X(TRANSFER_BACK, "transfer-back", true)                                                                  \
    X(VERSIONS, "versions", false)                                                                           \
    X(UNIT, "unit", false)

enum policy_kind {
#define X(name, word, function) POLICY_##name,
    POLICY_KINDS(X)
#undef X
};

/* One use of a macro. */
struct policy_statement {
    enum policy_kind kind;
    char *old_type, *new_type; /* "struct conn"; "" if it does not speak of one; TRANSFER: the function */
    char *from, *to; /* the macro's two words: members, enumerators, versions, callee; "" if there are none */
    char *file;      /* absolute */
    unsigned line;
    char *function;       /* the symbol of the function that follows; NULL if there is none for use */
    LIST(char *) choices; /* SPLIT: the types that the function names */
    char *hash;           /* of the words of it all: the same policy in another update */
    bool dropped;         /* result of policy_text_reduce's caller: not for this update */
};

/* Whether STATEMENT is about suspended functions, and no type. */
static inline bool policy_is_for_frames(const struct policy_statement *statement)
{
    return statement->kind == POLICY_TRANSFER || statement->kind == POLICY_TRANSFER_BACK;
}

/* A part of the text at file scope: a declaration, a function, a mark. */
struct policy_piece {
    size_t start, end;
    int statement;     /* index of the one that it belongs to, -1 for others */
    LIST(char *) olds; /* names with _molt_old that it uses */
    const char *file;  /* where it starts; borrowed from the text's list */
    unsigned line;
};

struct policy_text {
    char *bytes;
    size_t size;
    LIST(struct policy_statement *) statements;
    LIST(struct policy_piece) pieces;
    struct table
        names; /* names known before the first piece about old types: "struct conn", and every other word */
    size_t first_old; /* index of that piece; the number of pieces if there is none */
    LIST(char *) owned;
};

/* Reads preprocessed text, copied. */
void policy_text_init(struct policy_text *text, const char *bytes, size_t size);
void policy_text_deinit(struct policy_text *text);

/* "conn_molt_old": the word for the old version of TYPE ("struct conn"). Owned by the caller. */
char *policy_old_word(const char *type);

/*
 * The text without dropped statements, and without other pieces that use old types that OUT (names with
 * _molt_old) holds; with DECLARATIONS before the first piece about old types. Owned by the caller.
 */
char *policy_text_reduce(const struct policy_text *text, const struct table *out, const char *declarations);

#endif
