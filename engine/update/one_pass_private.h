/* Between the two files of the one pass: how it is planned and run (one_pass.c), and what is done to blocks
 * (in_passing.c). */
#ifndef MOLT_ENGINE_UPDATE_ONE_PASS_PRIVATE_H
#define MOLT_ENGINE_UPDATE_ONE_PASS_PRIVATE_H

#include <stdatomic.h>

#include "engine/parallel.h"
#include "engine/update/one_pass.h"
#include "engine/update/state_private.h"

#define SIZE_MAX_IN_PASSING 256
#define ONE_PASS_LINES 128 /* bytes that the processor fetches together */
#define SIMPLE_MAX 255
#define WORDS_MAX 12

/* Of one conversion, by one worker. Workers write to cache lines of their own. */
struct one_pass_items {
    _Alignas(ONE_PASS_LINES) struct staging items;
    uint64_t count, saved, moved;
    bool spreads; /* conversion_spreads for some of them */
    uintptr_t low, high;
    struct ahead_batch batch;
};

/* Instances that become new ones one after the other, by one worker. */
struct making {
    const struct conversion *conversion;
    unsigned site; /* of their blocks */
    enum place_kind kind;
    bool moves;
    uint64_t before;                     /* how many items there were */
    volatile size_t count;               /* how many are begun; 0: nothing is under way */
    size_t reserved;                     /* bytes that were taken ahead for the item of each */
    uintptr_t places[HEAP_VISITED_MAX];  /* ascending */
    uintptr_t targets[HEAP_VISITED_MAX]; /* if they move */
    _Alignas(ONE_PASS_LINES) uint8_t copies[HEAP_VISITED_MAX * SIZE_MAX_IN_PASSING]; /* if they do not */
};

struct worker {
    _Alignas(ONE_PASS_LINES) struct state *state;
    struct one_pass_items *items; /* by conversion */
    bool left;                    /* an instance was not for this pass */
    struct making making;
};

/* A word of an object that may hold an address. */
struct simple_word {
    uint32_t offset, layout; /* that it promises; UINT32_MAX: nothing that could be known */
    bool matters; /* what it leads to has to be right: else it is only noted that it leads elsewhere */
};

/* A site whose blocks hold objects with few words: all there is to know of one, at a glance. */
struct simple {
    const struct conversion *conversion; /* that is made in passing; NULL: only the words are looked at */
    uint32_t layout;
    size_t header, size; /* in front of the first object, and of each */
    enum place_kind kind;
    bool moves;
    uint32_t count;
    struct simple_word words[WORDS_MAX];
};

struct one_pass {
    struct worker workers[PARALLEL_MAX];
    struct one_pass_items *items; /* of all workers */
    unsigned width;
    size_t parts;
    _Alignas(ONE_PASS_LINES) atomic_size_t next_part;
    bool moves;                             /* some may move */
    unsigned site_after[HEAP_SITE_MAX + 1]; /* by site: of what moves; 0: it does not in this pass */
    struct simple simple[SIMPLE_MAX];
    size_t simple_count;
    uint8_t simple_of[HEAP_SITE_MAX + 1]; /* by site: 1 + which; 0: none */
    uint32_t starts[HEAP_SITE_MAX + 1]; /* by site: the layout of what its blocks begin with; 0: not known */
    atomic_flag slow;                   /* somebody looks at pointers that are not what they promise */
};

/* Blocks for a worker. As heap_visitor_of_many; false if the update fails, and state->status says how. */
bool in_passing_visit(void *worker, const struct heap_block *blocks, size_t count);

/* WORKER is to make instances; where they are is put into the result. */
static inline struct making *making_set(struct worker *worker, const struct conversion *conversion,
                                        unsigned site, enum place_kind kind, bool moves)
{
    struct making *making = &worker->making;

    making->conversion = conversion;
    making->site = site;
    making->kind = kind;
    making->moves = moves;
    return making;
}

/* Makes the first COUNT of them. False without memory, which state->status says. */
bool making_run(struct worker *worker, size_t count);

/* If WORKER was interrupted in an instance: that is as it was again, *ret its item, and where it would have
 * moved. */
bool making_interrupted(struct worker *worker, struct item *ret, uintptr_t *ret_target);

#endif
