/*
 * What becomes of each member of each changed type: by name, unless a policy file says otherwise. Plans are
 * what generated C, the review and the way back are made from.
 */
#ifndef MOLT_PATCH_POLICY_PLAN_H
#define MOLT_PATCH_POLICY_PLAN_H

#include "base/diagnostic.h"
#include "patch/emit/emit.h"
#include "patch/policy/compile.h"
#include "patch/policy/policy.h"
#include "patch/types/compare.h"

/* word in manifests */
#define POLICY_STEPS(X)                                                                                      \
    X(VALUE, "value")           /* the old member's value, converted */                                      \
    X(UNION, "union")           /* all members of a union, which kept their places */                        \
    X(EXPRESSION, "expression") /* MOLT_DEFAULT */                                                           \
    X(CUSTOM, "custom")         /* MOLT_MIGRATE sets it */                                                   \
    X(NEW, "new")               /* zero */                                                                   \
    X(GONE, "gone")             /* of the old type only */                                                   \
    X(IMPOSSIBLE, "impossible") /* needs a policy */

enum policy_step_kind {
#define X(name, word) POLICY_STEP_##name,
    POLICY_STEPS(X)
#undef X
};

/* A side of a step. */
struct policy_end {
    const char *path; /* NULL: there is none */
    const struct type *type;
    const struct type_member *member; /* NULL for an element of an array */
    uint64_t bit;                     /* from the start of the whole */
};

/* The function that gives a new member its value in instances that are made from now on. Without: all NULL.
 */
struct policy_maker {
    const char *function, *file;
    unsigned line;
    const char *text;  /* the value, as the function has it */
    const char *value; /* the same for MOLT_DEFAULT; NULL: it is made of the function's own variables */
};

struct policy_step {
    enum policy_step_kind kind;
    struct policy_end old, new;
    enum type_conversion conversion;          /* VALUE */
    const struct policy_statement *statement; /* that says so; NULL: by name */
    bool drop;                                /* what does not fit may be lost */
    bool text;                                /* a string */
    bool indirect;                            /* the old end lies behind pointers */
    const struct policy_statement *choice;    /* MOLT_UNION that tells whether the old end is in use */
    const char *alternative;                  /* which answer of it means this one */
    uint64_t size;                            /* UNION: bytes */
    double confidence;
    const char *evidence;
    const char *why;           /* IMPOSSIBLE: one clause */
    struct policy_maker maker; /* NEW */
};

struct policy_composition;

/* From one type to another. */
struct policy_plan {
    const struct type *old, *new;
    char *name;        /* part of functions' names, unique: "conn" */
    const char *group; /* the unit that its types' names belong to; "" if they mean the same everywhere */
    LIST(struct policy_step) steps;
    LIST(const struct policy_statement *) migrate, invert, validate, delete; /* in the files' order */
    const struct policy_statement *split; /* that it is a choice of; NULL: none */
    const struct policy_composition
        *composed;                /* it goes by other versions: no step stands here; NULL: it does not */
    bool is_split;                /* instances become other types: this one is for members only */
    const char *why;              /* it cannot be followed without a policy: the first reason */
    unsigned line;                /* in `new`'s file, of what `why` is about */
    const char *why_not_back;     /* the way back cannot be derived: the first reason */
    uint32_t migration, way_back; /* 1 + index of the records, of the first program; 0: there are none */
    LIST(char *) owned;
};

/* A statement with what its types mean. */
struct policy_use {
    struct policy_statement *statement;
    const struct type *old, *new; /* NULL: it does not speak of one */
};

struct policy_plans {
    const struct type_changes *changes; /* borrowed, like the models */
    struct type_model *old_types, *new_types;
    const struct earlier_patch *earlier;
    size_t earlier_count;
    struct molt_diagnostics *diagnostics;
    policy_initialisers *visit_initialisers; /* NULL: nobody knows */
    void *initialisers_context;
    const json_t
        *stages; /* updates that this one puts together (patch/policy/stage.h); NULL: there are none */
    const json_t *before; /* this is one of them, these are those in front of it; NULL: there are none */
    LIST(struct policy_composition *) compositions;
    LIST(struct policy_use) uses; /* of this update */
    LIST(struct policy_plan *) list;
    struct table names;
    struct molt_error *error; /* the first */
};

/* Takes the statements of FILES that are about this update as uses and marks the others as dropped. */
void policy_plans_take(struct policy_plans *plans, policy_files *files);

/* Makes the plans. REFUSED: a statement is about a type or member that does not exist. */
struct molt_error *policy_plans_make(struct policy_plans *plans);
void policy_plans_deinit(struct policy_plans *plans);

/* The plan from OLD to NEW (typedefs are stripped), or NULL. */
struct policy_plan *policy_plan_of(const struct policy_plans *plans, const struct type *old,
                                   const struct type *new);

/* How a value of OLD becomes one of NEW, types that policies say have another name counted in. */
enum type_conversion policy_conversion(const struct policy_plans *plans, const struct type *old,
                                       const struct type *new);

/* The plan for the structure or union that STEP holds by value, or for the elements of an array of them; NULL
 * if there is none, or it is not followed. */
struct policy_plan *policy_inner_plan(const struct policy_plans *plans, const struct policy_step *step);

/* policy/emit.c: whether nothing but reading the old and writing the new instance is done for PLAN. */
bool policy_is_generated(const struct policy_plans *plans, const struct policy_plan *plan);

/* What a number, enumeration or pointer may do: whether each value of OLD is one of NEW. BITS: of bit-fields,
 * else 0. */
bool policy_number_fits(const struct type *old, uint32_t old_bits, const struct type *new, uint32_t new_bits);

#endif
