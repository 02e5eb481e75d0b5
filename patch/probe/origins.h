/* Following values backwards through a function, as probe/origins.c and probe/pieces.c share it. */
#ifndef MOLT_PATCH_PROBE_ORIGINS_H
#define MOLT_PATCH_PROBE_ORIGINS_H

#include "patch/probe/calls.h"

/* LEFT = RIGHT. RIGHT is null where LEFT is counted up or its address given away. */
struct store {
    TSNode left, right;
    char *text;  /* LEFT's */
    char *name;  /* of the lasting variable or the member that it is, or an element of; else NULL */
    bool counts; /* adds to what was there */
};

struct trace {
    struct scan *scan;
    LIST(struct store) stores;
    LIST(char *) locals;
    LIST(char *) met; /* variables that were followed already */
    unsigned depth;
    bool cast;           /* what is being followed is cast afterwards */
    const char *through; /* the function that it is given to, whose value is followed; NULL: none */
};

bool trace_is_sum(const struct trace *trace, TSNode node);
bool trace_is_local(const struct trace *trace, TSNode name); /* parameters included */
bool trace_is_parameter(const struct trace *trace, TSNode name);

/* Whether VARIABLE was met before, with something ADDED to it or not; from now on it was. */
bool trace_meet(struct trace *trace, TSNode variable, bool added);
void trace_forget_met(struct trace *trace);

/* NODE without casts, those included that the grammar takes for calls: (item *)(p), (item_t)(p). */
TSNode trace_plain_value(const struct trace *trace, TSNode node);

/* The same of what is assigned, if NODE is an assignment. */
TSNode trace_value(const struct trace *trace, TSNode node);

/* Whether NODE is a call of an allocator, or through a pointer. */
bool trace_is_fresh_call(const struct trace *trace, TSNode node);

/* Whether the place NODE gets nothing in this function but what an allocator has just made. */
bool trace_is_fresh(const struct trace *trace, TSNode node);

/* Adds an origin of KIND that AT shows. CALLEE and PLACE (may be NULL) are taken over. */
void trace_add(struct trace *trace, enum origin_kind kind, TSNode at, char *callee, char *place);

/* probe/pieces.c: adds what the function does with addresses inside of blocks. */
void trace_pieces(struct trace *trace);

#endif
