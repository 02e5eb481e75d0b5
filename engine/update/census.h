/*
 * A census: the instances of types in the running program, counted as an update would find them, and looked
 * at. The types come with a patch that changes nothing (a query, patch/query.h).
 */
#ifndef MOLT_ENGINE_UPDATE_CENSUS_H
#define MOLT_ENGINE_UPDATE_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/update/update.h"

#define CENSUS_LAYOUTS_MAX 64
#define CENSUS_INSTANCES_MAX 1000
#define CENSUS_BYTES_MAX 4096 /* of one instance */
#define CENSUS_TEXT_MAX 40    /* bytes that a pointer leads to */

struct census_request {
    uint32_t layouts[CENSUS_LAYOUTS_MAX]; /* of the query: those that are asked for; none: all */
    size_t layout_count;
    size_t limit; /* instances of them to be copied out, <= CENSUS_INSTANCES_MAX */
    uint32_t timeout_ms;
};

/* Blocks of one site that turned out to be of one layout. */
struct census_tally {
    uint64_t blocks, bytes, elements, tails; /* elements: objects; tails: elements of their flexible arrays */
    uint64_t largest;                        /* bytes of one block */
    uint32_t site, layout;                   /* layout 0: without a type */
    uint8_t kind;                            /* enum molt_site_kind */
    bool guessed;                            /* its type is known from pointers to it */
    bool used;
};

/* Where a pointer in an instance leads. */
struct census_pointer {
    uint32_t offset;      /* in the instance */
    uint32_t layout;      /* of what it leads to, 0: none that is known */
    uint64_t distance;    /* from the start of the block or variable */
    const char *variable; /* NULL: a block */
    uint32_t site;
    const char *memory;             /* in words, where it is neither; else NULL */
    uint32_t module;                /* of the query, if `code` is not 0 */
    uint64_t code;                  /* an address of the module: the pointer is a function's */
    char text[CENSUS_TEXT_MAX + 1]; /* what stands there, if it is text and the pointer has no better type */
};

struct census_instance {
    uint64_t address;
    uint32_t layout, size;
    uint32_t site;               /* of its block, 0: in a variable */
    const char *variable, *unit; /* NULL: in a block */
    bool thread_local;
    char path[128]; /* from the block or variable to it: "[3].stats", "" if it is all of it */
    const uint8_t *bytes;
    uint32_t byte_count; /* that were copied */
    uint32_t first_pointer, pointer_count;
};

struct census;

/* Takes the census with QUERY, which update_prepare gave; it is consumed. The world stands still for
 * report->pause_us. 0 with *ret for census_destroy, or a negative errno with outcome and reason in *report.
 */
int update_census(struct update *query, const struct census_request *request, update_progress *progress,
                  void *context, struct census **ret, struct update_report *report);
void census_destroy(struct census *census);

/* Everything below is valid until census_destroy. */
struct state;
struct census_result {
    const struct state *state;
    const struct census_tally *tallies;
    size_t tally_count;
    const uint64_t *own, *total; /* by layout: instances that are no members of others; all */
    const bool *asked;           /* by layout */
    const struct census_instance *instances;
    size_t instance_count;
    const struct census_pointer *pointers;
    const char *obstacle; /* why an update of the types asked for would be refused, as far as can be told now;
                             "" if nothing is */
    bool tracked;         /* blocks of the heap are known */
};
const struct census_result *census_result(const struct census *census);

#endif
