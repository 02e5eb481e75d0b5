/* Numbers about types on their way from function to function. */
#ifndef MOLT_PATCH_BUILD_NUMBERS_H
#define MOLT_PATCH_BUILD_NUMBERS_H

#include "patch/build_private.h"
#include "patch/probe/probe.h"
#include "patch/sites/heap_settings.h"

/* A unit that was read, or some functions of it. */
struct number_reading {
    struct unit *unit;
    const char *key;          /* by which type models know it */
    LIST(const char *) names; /* of the functions, NULL behind; empty: all that name numbers */
    struct probe *probe;
};

/* Where a number was followed to. */
struct number_end {
    const struct number_reading *reading; /* that CANDIDATE is of */
    const struct candidate *candidate;    /* a place that may last; NULL: a function that is not known */
    const char *function;                 /* that; "": through a pointer */
};

struct numbers {
    struct build *build;
    const struct heap_settings *settings;
    LIST(struct number_reading *) readings;
    LIST(struct number_summary *) summaries;
    LIST(struct number_reading *) wanted; /* to be read before more can be said */
    struct table definers;                /* function -> its unit */
    LIST(const char *) returning;         /* "=f": f returns the number that is being followed */
    bool circular;                        /* something was put together of what was not known yet */
    LIST(char *) owned;
};

/* Finds where the number of CANDIDATE (from 1) in READING, in FUNCTION, goes: adds to *RET, a list of
 * number_end. What must be read first is in `wanted` afterwards. */
typedef LIST(struct number_end) number_ends;
void numbers_follow(struct numbers *numbers, const struct number_reading *reading, const char *function,
                    size_t candidate, number_ends *ret);

/* build_number_units.c: what was read of the function NAME of UNIT, or, with '=' in front, of what calls it
 * there; NULL: nothing yet. */
const struct number_reading *numbers_find_reading(const struct numbers *numbers, const struct unit *unit,
                                                  const char *name);

/* Notes that this is to be read. NAME must last as long as NUMBERS. */
void numbers_want(struct numbers *numbers, struct unit *unit, const char *name);

/* What was read of FUNCTION as the code of READING calls it; NULL: nothing, *RET_KNOWN saying whether it will
 * be. It may be asked for in vain: it has another name in the source, or that cannot be read. */
const struct number_reading *numbers_find_function(struct numbers *numbers,
                                                   const struct number_reading *reading, const char *function,
                                                   bool *ret_known);

/* The units whose code may call FUNCTION, which OWN defines: added to *RET. */
typedef LIST(struct unit *) number_units;
void numbers_find_callers(const struct numbers *numbers, const char *function, struct unit *own,
                          number_units *ret);

/* Forgets what was put together, since more was read. */
void numbers_forget(struct numbers *numbers);
void numbers_deinit(struct numbers *numbers);

#endif
