/* Following numbers through a function, as probe/flows.c and probe/flow_places.c share it. */
#ifndef MOLT_PATCH_PROBE_FLOWS_H
#define MOLT_PATCH_PROBE_FLOWS_H

#include "patch/probe/calls.h"

/* A local variable or a parameter. */
struct flow_variable {
    const char *name, *end; /* how ends of flows call it */
    bool pointer;           /* it leads to something */
    bool array;
};

/* `sizeof` or the place of a member, where it stands. */
struct number {
    TSNode node, whole; /* of which it is the size or the place: a type or an expression */
    bool size, whole_is_type, through_pointer;
    char *path;       /* of the member; NULL: the size of the whole */
    size_t candidate; /* result: number of the candidate that it became, from 1 */
};

/* Where something is put that may last. */
struct flow_place {
    TSNode left;        /* null: a member of something that is written in braces */
    TSNode beside;      /* what questions are asked beside */
    const char *holder; /* question for the structure; NULL: it is a variable, or unknown */
    const char *member; /* "#1": the second one; "": it is a variable */
    size_t candidate;
};

/* A flow before it is known whether anybody wants it. */
struct flow_draft {
    const char *from, *from_member, *to, *to_member;
    size_t place, number; /* from 1; 0: none */
};

struct flowing {
    struct scan *scan;
    LIST(struct flow_variable) variables;
    LIST(struct number) numbers;
    LIST(struct flow_place) places;
    LIST(struct flow_draft) drafts;
    LIST(char *) owned;
};

/* TEXT, which is taken over, for as long as FLOWING. */
const char *flow_keep(struct flowing *flowing, char *text);

/* Learns the function's parameters and variables. */
void flow_read_variables(struct flowing *flowing);

/* The variable or member of a variable's object, or of what it points to ("*": all of that), that the place
 * NODE is. False: it is somewhere else. */
bool flow_find_place(struct flowing *flowing, TSNode node, const char **ret_end, const char **ret_member);

/* The same for what NODE, an address, leads to. */
bool flow_find_target(struct flowing *flowing, TSNode node, const char **ret_end, const char **ret_member);

/* probe/flows.c: reads all flows of the function at ROOT. */
void flow_read(struct flowing *flowing, TSNode root);

/* probe/offsets.c: whether NODE, without casts, is a number about a type. */
bool scan_number(const struct scan *scan, TSNode node, struct number *ret);

#endif
