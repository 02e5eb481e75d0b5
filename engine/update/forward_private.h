/* Between the two files that forward addresses: what has moved (forward_find.c), and where addresses stand
 * (forward.c). */
#ifndef MOLT_ENGINE_UPDATE_FORWARD_PRIVATE_H
#define MOLT_ENGINE_UPDATE_FORWARD_PRIVATE_H

#include "engine/parallel.h"
#include "engine/update/item_index.h"
#include "engine/update/kernel_words.h"
#include "engine/update/state_private.h"

#define FORWARD_LINES 128 /* bytes that the processor fetches together */

/* A word that was rewritten. */
struct change {
    uintptr_t *at;
    uintptr_t before;
};

/* Who looks at words. Workers write to cache lines of their own. */
struct forwarder {
    _Alignas(FORWARD_LINES) struct state *state;
    struct staging changes;
    uint64_t typed, untyped;
    size_t stretches, hits; /* of memory that were searched for addresses, and had any */
};

struct forwarding {
    uintptr_t low, high;     /* what is outside of [low, high] stays as it is */
    struct item_index index; /* of the items in the heap whose places do not tell what became of them, but for
                                those in the new places */
    struct staging changes;  /* by all; reserved ahead */
    struct kernel_words kernel;
    const struct region *opened; /* a read-only mapping that is writable for now */
    uint64_t lost;
    bool heap;    /* something in the heap has moved or shifted */
    bool aligned; /* all words of the heap that may hold addresses are at multiples of 8 */
    struct forwarder workers[PARALLEL_MAX];
    unsigned width; /* of which there are that many */
    size_t parts;
    atomic_size_t next_part;
    atomic_flag telling; /* somebody writes to the report */
};

enum answer { SAME, ELSEWHERE, GONE };

struct where {
    const struct conversion *conversion; /* NULL: the same type, elsewhere */
    enum place_kind kind;
    uintptr_t place, target; /* of the old and the new object */
    size_t size;             /* of the old one */
    bool moved;
};

/* Where VALUE leads now: *ret if ELSEWHERE, and unless it is SAME *where says how that follows. WANTED is the
 * layout that the pointer promises, 0 for nothing. */
enum answer forward_look_up(struct state *state, uintptr_t value, uint32_t wanted, uintptr_t *ret,
                            struct where *where);

/*
 * Whether VALUE is the start of an object with bits of its own in the lowest places, or else an address
 * within its first member, and it makes a difference which: ANSWER and AFTER are what it is if it leads into
 * the member.
 */
bool forward_may_be_tagged(const struct where *where, uintptr_t value, enum answer answer, uintptr_t after);

#endif
