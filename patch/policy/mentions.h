/* Which types the policy files speak of, before anything is known of the types. */
#ifndef MOLT_PATCH_POLICY_MENTIONS_H
#define MOLT_PATCH_POLICY_MENTIONS_H

#include "patch/policy/compile.h"
#include "patch/types/compare.h"

/* A policy about a type. */
struct policy_mention {
    char *type; /* as it is written: "struct conn" */
    char *file; /* "molt/conn.c" */
    unsigned line;
    bool fresh;    /* the old sources do not have this file: it was written for this update */
    bool becomes;  /* it may lead to another type */
    char *renamed; /* what a MOLT_RENAME_TYPE says its name is now; NULL: it is another statement */
};

typedef LIST(struct policy_mention) policy_mentions;

/* Reads ROOT/molt/(any).c of tree TO, as text; FROM is the tree before. What cannot be read is passed over
 * here. */
void policy_mentions_read(struct patch_session *session, struct tree *from, struct tree *to,
                          policy_mentions *ret);
void policy_mentions_free(policy_mentions *mentions);

/* CHANGES (may be NULL), the recorder's, with what MENTIONS say of types that have another name now, as if it
 * had seen that. Of an earlier update's, whose name the types of OLD have got by now, none. A new array. */
json_t *policy_mentions_hints(const policy_mentions *mentions, struct type_model *old, const json_t *changes);

/* Warns of fresh policies about types that no entry of CHANGES is about. */
void policy_mentions_check(const policy_mentions *mentions, struct type_model *old,
                           const struct type_changes *changes, struct molt_diagnostics *diagnostics);

#endif
