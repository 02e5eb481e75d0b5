/* Which types the policy files speak of, before anything is known of the types. */
#ifndef MOLT_PATCH_POLICY_MENTIONS_H
#define MOLT_PATCH_POLICY_MENTIONS_H

#include "patch/policy_compile.h"
#include "patch/types_compare.h"

/* A policy about a type. */
struct policy_mention {
    char *type; /* as it is written: "struct conn" */
    char *file; /* "molt/conn.c" */
    unsigned line;
    bool fresh;   /* the old sources do not have this file: it was written for this update */
    bool becomes; /* it may lead to another type */
};

typedef LIST(struct policy_mention) policy_mentions;

/* Reads ROOT/molt/(any).c of tree TO, as text; FROM is the tree before. What cannot be read is passed over here. */
void policy_mentions_read(struct patch_session *session, struct tree *from, struct tree *to,
                          policy_mentions *ret);
void policy_mentions_free(policy_mentions *mentions);

/* Warns of fresh policies about types that no entry of CHANGES is about. */
void policy_mentions_check(const policy_mentions *mentions, struct type_model *old,
                           const struct type_changes *changes, struct molt_diagnostics *diagnostics);

#endif
