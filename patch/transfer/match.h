/*
 * Which instruction of a function's new code does what which of its old code did, and whether two places hold
 * what the same computation left there.
 */
#ifndef MOLT_PATCH_TRANSFER_MATCH_H
#define MOLT_PATCH_TRANSFER_MATCH_H

#include "patch/code/compare.h"
#include "patch/transfer/members.h"
#include "patch/transfer/live.h"

struct match {
    const struct code *old, *new;
    same_line *lines; /* may be NULL: lines of the same number */
    void *lines_context;
    uint32_t *old_of; /* by instruction of the new code: that of the old, or NO_INSTRUCTION */
    bool *unsure;     /* by instruction of the new code: the two stand on lines with other texts */
    uint32_t *new_of; /* by instruction of the old code */
    const struct moved_members *members;
    const struct comparison *comparison; /* may be NULL */
    bool same_parameters;                /* both versions take the same ones */
    struct proofs *proofs;
};

/* Aligns the two; all is borrowed. */
void match_init(struct match *match, const struct code *old, const struct code *new, same_line *lines,
                void *lines_context);
void match_deinit(struct match *match);

/* The name of what INSTRUCTION, a call, calls: a static string; "" if only the running program knows. */
const char *code_callee(const struct code *code, uint32_t instruction);

/* Whether what OLD and NEW, operands at the same place of aligned instructions, name is the same. */
bool match_same_name(const struct match *match, const struct code_operand *old,
                     const struct code_operand *new);

/* Whether memory that is read at NEW is the member that was read at OLD, which has moved within its
 * structure. */
bool match_same_member(const struct match *match, const struct code_operand *old,
                       const struct code_operand *new);

/*
 * transfer/prove.c: which of COUNT places of the old code, in front of its instruction OLD_AT, holds SIZE
 * bytes that were computed as those at NEW_PLACE in front of the new code's NEW_AT: by instructions that are
 * aligned, from operands that correspond. COUNT: none.
 */
size_t match_finds(struct match *match, uint32_t new_at, int32_t new_place, uint32_t old_at,
                   const int32_t *old_places, size_t count, uint32_t size);

/* Whether the new code's instruction AT, which is aligned, computes what its counterpart does. */
bool match_same_computation(struct match *match, uint32_t at);

/* The instruction that the bytes come from, copies left out, if there is but one on all ways; else
 * NO_INSTRUCTION. The value that a function was entered with comes from none, *RET_ENTRY being its place
 * then. */
uint32_t code_origin(const struct code *code, uint32_t at, int32_t place, uint32_t size, int32_t *ret_entry);

/* The one instruction (or one of several with the same constant) that the bytes come from through any number
 * of copies, on whichever way; else NO_INSTRUCTION. That says what they are only if it makes the same value
 * each time. They begin *RET_INSIDE bytes behind the start of what it writes. */
uint32_t code_only_source(const struct code *code, uint32_t at, int32_t place, uint32_t size,
                          uint32_t *ret_inside);

enum extension { EXTENSION_UNKNOWN, EXTENSION_ZERO, EXTENSION_SIGN };

/* What the upper half of register NUMBER is in front of AT, whichever way led there: zero, or the sign of the
 * lower half. */
enum extension code_extension(const struct code *code, uint32_t at, unsigned number);

void proofs_destroy(struct proofs *proofs);

#endif
