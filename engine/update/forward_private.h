/* Between the files that forward addresses: what is done (forward.c), where addresses stand in the heap
 * (forward_heap.c), what becomes of one (forward_words.c), and what has moved (forward_find.c). */
#ifndef MOLT_ENGINE_UPDATE_FORWARD_PRIVATE_H
#define MOLT_ENGINE_UPDATE_FORWARD_PRIVATE_H

#include "engine/parallel.h"
#include "engine/update/item_index.h"
#include "engine/update/kernel_words.h"
#include "engine/update/state_private.h"

#define FORWARD_LINES 128 /* bytes that the processor fetches together */
#define FORWARD_WORDS_MAX 16

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

/* A word of an object that may hold an address. */
struct forward_word {
    uint32_t offset;
    const struct layout_word *word;
};

/* A layout with few words, one by one. */
struct forward_shape {
    bool known, simple; /* whether it has been looked at, and is one */
    uint32_t size, count;
    struct forward_word words[FORWARD_WORDS_MAX];
};

struct forwarding {
    uintptr_t low, high;     /* what is outside of [low, high] stays as it is, */
    bool pages_tell;         /* and so does what is not near the new places */
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
    _Alignas(FORWARD_LINES) atomic_size_t next_part, next_moved, next_shown; /* whose turn it is */
    atomic_size_t done;                                       /* of the turns, but for showing */
    atomic_flag telling;                                      /* somebody writes to the report */
    struct forward_shape *shapes;                             /* by layout */
    const struct forward_shape *shapes_of[HEAP_SITE_MAX + 1]; /* by site; NULL: none */
};

/* Whether VALUE may lead elsewhere now: no for most. */
static inline bool forward_may_lead(const struct state *state, uintptr_t value)
{
    const struct forwarding *forwarding = state->forwarding;

    return value - forwarding->low <= forwarding->high - forwarding->low &&
           (!forwarding->pages_tell || new_places_near(&state->places, value));
}

/* The layout that WORD promises to lead to, 0 for any. */
static inline uint32_t forward_promised(const struct layout_word *word)
{
    return word->kind == MOLT_FIELD_POINTER ? word->layout : 0;
}

/* Leads one word, or COUNT words of which no type is known, to where they lead now. For workers; CONTEXT is
 * a struct forwarder. */
void forward_word(void *context, uintptr_t at, const struct layout_word *word);
void forward_untyped(void *context, uintptr_t *start, size_t count);

/* The same for all words of COUNT OBJECTS of SHAPE, HEAP_VISITED_MAX at most. Unless NOTED the update's way
 * back needs nothing of what they were. */
void forward_objects(struct forwarder *forwarder, const struct forward_shape *shape, const uintptr_t *objects,
                     size_t count, bool noted);

/* Makes AT writable until the next one is, or until forward_close. */
void forward_open(struct state *state, const uintptr_t *at);
void forward_close(struct state *state);

/* All blocks of the heap, and what has moved, which the heap knows from then on. Sets state->status. */
void forward_heap(struct state *state);

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
