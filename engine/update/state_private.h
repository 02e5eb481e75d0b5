/* Between the files that change the program's state (update/state.h). */
#ifndef MOLT_ENGINE_UPDATE_STATE_PRIVATE_H
#define MOLT_ENGINE_UPDATE_STATE_PRIVATE_H

#include "engine/heap/heap.h"
#include "engine/heap/references.h"
#include "engine/update/convert.h"
#include "engine/update/layouts.h"
#include "engine/update/new_places.h"
#include "engine/update/page_log.h"
#include "engine/update/sites.h"
#include "engine/update/staging.h"
#include "engine/update/state.h"

/* A variable that this process has: one for each thread if it is thread-local. */
struct root {
    const struct molt_patch_root *record;
    uintptr_t place;                     /* 0: not in this process */
    uintptr_t target;                    /* where it is after the update; == place if it stays */
    const struct conversion *conversion; /* that it takes, and its item; NULL if its type stays */
    const struct item *item;
};

struct roots {
    struct root *items; /* ascending by place */
    size_t count, capacity;
};

/* A block whose site says nothing, and what pointers to it say. */
struct guess {
    uintptr_t start;
    size_t size;
    unsigned site;
    uint32_t layout; /* 0: nothing yet */
    uint32_t kind;   /* OBJECT or ARRAY */
    bool queued;
};

struct guesses {
    struct guess *items; /* ascending by start */
    size_t count, capacity;
};

/* A pointer into an instance that has moved, to a member that is gone. */
struct lost_pointer {
    uintptr_t at; /* 0: there is none */
    uint32_t field;
    const struct conversion *conversion;
    uint64_t offset; /* in the old instance, or in the element of an array */
};

/* The functions of a patch, and of the program, that are run. */
enum state_function {
    STATE_SELECT,
    STATE_ALLOCATE,
    STATE_MIGRATE,
    STATE_VALIDATE,
    STATE_INVARIANT,
    STATE_SYSTEM
};

struct state {
    struct loaded_patch *patch;
    struct layouts layouts;
    struct sites sites;
    bool rollback;
    struct molt_patch_root *records; /* the patch's, for a rollback with old and new exchanged */
    bool *in_use;                    /* by migration: it is made */
    uintptr_t *earlier;              /* by root record: where it is, if an earlier patch brought it */
    struct conversion *conversions;
    size_t conversion_count;
    struct roots roots;
    const struct frame_instance *instances; /* in suspended frames; borrowed */
    size_t instance_count;
    struct guesses guesses;
    bool *invariants; /* by layout: it has, or contains what has, an invariant */
    bool *checks;     /* by invariant of the patch: it is the one to run */
    bool *wanted;     /* by the heap's site id: blocks to visit */
    bool *strays;     /* by layout: its objects hold addresses other than the starts of what they promise */
    const struct world *world;
    struct update_report *report;
    struct references references;

    size_t smallest;   /* bytes of the smallest layout that a block of unknown type may turn out to have */
    size_t queued;     /* guesses whose own pointers have not been looked at */
    size_t sites_mark; /* what was remembered before */
    uint64_t live;     /* instances that were there when memory was reserved */
    bool roots_moved;
    uint64_t variables_moved;
    size_t dangling; /* pointers to changed types that lead to nothing */

    struct forwarding *forwarding;
    struct lost_pointer lost; /* the first of them */

    bool changes;             /* there is anything to do */
    bool migrates;            /* more than initial values */
    struct staging initials;  /* what becomes of variables whose initial value changed */
    bool custom;              /* some function runs that may do anything */
    bool guarded;             /* the guard is up */
    int status;               /* of what runs under the guard */
    uint64_t moved;           /* instances that do not fit their blocks */
    bool in_passing;          /* one_pass.c has its part in it */
    bool left;                /* after it: some block is still to be migrated */
    struct one_pass *pass;    /* while it is under way */
    struct new_places places; /* of what it has moved */
    uint64_t unplaced;        /* of those that move, the ones for which there is no block yet */
    bool collected; /* every instance in a block has its item: none is left to be converted where it is */
    struct page_log pages; /* what others have written meanwhile */
    struct staging aside;  /* for one new instance */

    /* What is being worked on, should it fail. */
    const struct conversion *volatile current;
    const struct item *volatile current_item;
    const struct molt_patch_invariant *volatile current_invariant;
    const void *volatile current_old;
    void *volatile current_new;
    volatile size_t current_index;
    volatile enum state_function current_function;
    struct state_notes *notes; /* where that is written for others to read; NULL: nowhere */
};

/* The heap's blocks as objects: where the object begins behind what an allocation function keeps in front of
 * it. */
struct place {
    const struct meaning *meaning;
    uint32_t layout; /* of one element */
    enum place_kind kind;
    uintptr_t start; /* of the object */
    size_t size;     /* from there, as asked for */
    size_t usable;   /* from there */
};

/* Whether what is in PLACE, and becomes SIZE bytes, cannot become so where it is. */
static inline bool place_is_left(const struct place *place, const struct conversion *conversion, size_t size)
{
    return size > place->usable ||
           (conversion_realigns(conversion) && place->start % conversion->to->record->alignment);
}

/* As state_place, of a block whose site says nothing. */
bool state_guessed_place(struct state *state, const struct heap_block *block, struct place *ret);

/* What BLOCK holds: false if that is not known, or nothing that has a type. */
static inline bool state_place(struct state *state, const struct heap_block *block, struct place *ret)
{
    const struct meaning *meaning = sites_meaning(&state->sites, block->site);
    size_t header = meaning->allocator.header;

    if (meaning->kind == MOLT_SITE_UNKNOWN) {
        return state->guesses.count && state_guessed_place(state, block, ret);
    }
    if (!meaning->layout || header > block->size || state->layouts.items[meaning->layout].opaque) {
        return false;
    }
    *ret = (struct place){ .meaning = meaning,
                           .layout = meaning->layout,
                           .kind = meaning->kind == MOLT_SITE_ARRAY ? PLACE_ARRAY : PLACE_OBJECT,
                           .start = block->start + header,
                           .size = block->size - header,
                           .usable = block->usable - header };
    return true;
}

/* A word that holds VALUE leads, without a doubt, to the start of what WORD promises. */
static inline bool state_leads_to_start(struct state *state, uintptr_t value, const struct layout_word *word)
{
    const struct meaning *meaning = sites_meaning(&state->sites, heap_site_at(value));

    return meaning->layout == word->layout && meaning->layout && !meaning->allocator.header;
}

/* Whether the site of MEANING says of blocks what they are when CONVERSION was made where they are, because
 * it stands for a call of which that will be remembered. What a synthetic site means never changes. */
static inline bool state_keeps_site(const struct state *state, const struct conversion *conversion,
                                    const struct meaning *meaning)
{
    bool leaves =
        state->rollback && meaning->entry && meaning->entry->of_patch; /* with the code that asked for it */

    return conversion->from->conversion_count == 1 && meaning->kind != MOLT_SITE_UNKNOWN && meaning->entry &&
           !leaves;
}

/* Refuses the update for want of SIZE bytes that WHOSE memory ("the program") should have given. Returns
 * -ENOMEM. */
int state_exhausted(struct state *state, const char *whose, size_t size);

/* Whether blocks of changed types come from functions of the program, which are called if one has to move. */
bool state_has_allocators(const struct state *state);

/* Sets outcome and reason. Returns -EINVAL. */
int state_refuse(struct state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The function that is being run failed for the reason that FORMAT says: the report tells all about it.
 * Returns -EFAULT. */
int state_fail(struct state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Notes what is being worked on. Cheap where nobody reads it. */
void state_note_now(const struct state *state);
static inline void state_note(const struct state *state)
{
    if (state->notes) {
        state_note_now(state);
    }
}

/* Milliseconds that the functions of the patch may take, one kind of them at a time. */
uint32_t state_limit(const struct state *state);

/* Adds a line to the report's warnings. */
void state_warn(struct state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The guess about the block at START; NULL if there is none. */
struct guess *guess_find(const struct guesses *guesses, uintptr_t start);

/* The site of what was a block of MEANING and becomes an instance of KIND of CONVERSION in another block. */
unsigned state_site_of_moved(struct state *state, struct conversion *conversion,
                             const struct meaning *meaning, enum place_kind kind);

/* Sets state->wanted to the sites for which WANTS is true. */
typedef bool state_wants(const struct state *state, const struct meaning *meaning);
void state_want(struct state *state, state_wants *wants);

/* What follows the head of an item: where it moves to, or what was at its place. */
static inline struct item_target *item_target(const struct item *item)
{
    return (struct item_target *)(item + 1);
}

static inline void *item_place(const struct item *item)
{
    return (void *)(uintptr_t)item->place;
}

static inline uint8_t *item_saved(const struct item *item)
{
    return (uint8_t *)(item + 1);
}

/* The items of CONVERSION one after the other; NULL at the end. */
struct item *item_next(const struct conversion *conversion, struct staging_position *position);

/* The old and the new instance, once the new one is in place. */
const void *item_old(const struct item *item);
void *item_new(const struct item *item);

/* Lists the variables of this process. 0 or -ENOMEM. */
int roots_collect(struct state *state);

/* Bytes of the variable at its old place; the variable that ADDRESS lies in, NULL if in none that is listed.
 */
size_t root_size(const struct state *state, const struct root *root);
struct root *roots_find(const struct state *state, uintptr_t address);

/* Visits the words of ROOT, which is at PLACE now, as it was or as it is AFTER the update. */
void root_walk(const struct state *state, const struct root *root, uintptr_t place, bool after,
               layout_visitor *visit, void *context);

/* Visits the words of the flexible array of an object of LAYOUT, which has SIZE bytes at START. */
void place_walk_tail(const struct layouts *layouts, uint32_t layout, uintptr_t start, size_t size,
                     layout_visitor *visit, void *context);

/* Visits the words of the SIZE bytes of KIND of LAYOUT at START, flexible arrays included. */
static inline __attribute__((always_inline)) void place_walk(const struct layouts *layouts, uint32_t layout,
                                                             enum place_kind kind, uintptr_t start,
                                                             size_t size, layout_visitor *visit,
                                                             void *context)
{
    const struct layout *type = &layouts->items[layout];
    size_t count = kind == PLACE_OBJECT || size == type->size ? 1 : type->size ? size / type->size : 0;

    for (size_t i = 0; i < count; i++) {
        layouts_walk_here(layouts, layout, start + i * type->size, visit, context);
    }
    if (kind == PLACE_OBJECT && type->record->tail_stride) {
        place_walk_tail(layouts, layout, start, size, visit, context);
    }
}

/* Gives blocks of unknown type the one that pointers to them promise, and checks that every pointer to a
 * changed type leads where instances are known to be. 0, or negative with the report. */
int trace(struct state *state);

/* Looks at the pointers in PLACE, for trace. Returns false if the update is refused. */
bool trace_place(struct state *state, const struct place *place);

/* Refuses if a type changes of which nothing tells where its instances are, and there may be some. After the
 * tracing, while blocks that stayed unknown are still listed. 0, or negative with the report. */
int refuse_missed(struct state *state);

/* carved.c: whether a block of SITE that turns out to be of LAYOUT may have several of them. */
bool carved_may_be_array(struct state *state, unsigned site, uint32_t layout);

/* Has all pointers looked at that may tell what blocks are which have been used before. Before the tracing.
 */
void carved_watch(struct state *state);

/* Refuses if a type changes of which some may be pieces of other blocks, or blocks that something else has
 * used. As refuse_missed. */
int refuse_carved(struct state *state);

/* Refuses if there are blocks that may be of a type that changes: what is remembered of them and what the
 * patch says do not agree. 0, or negative with the report. */
int refuse_doubtful(struct state *state);

/* Leads every address of what has moved, or shifted inside of its instance, to where it is now. 0, or
 * negative with the report. */
int forward(struct state *state);
void forward_undo(struct state *state);
int forward_init(struct state *state);

/* Takes memory ahead for COUNT instances more that are going to move. 0 or -ENOMEM. World running. */
int forward_reserve(struct state *state, size_t count);
void forward_deinit(struct state *state);
void forward_destroy(struct state *state);

/* Decides, while all is old, which variables take their new initial values; once all is new they do, and the
 * report says which do not; and back. 0 or -ENOMEM. */
int initials_decide(struct state *state);
void initials_take(struct state *state);
void initials_undo(struct state *state);

/* Looks at the pointers that custom policies have made, and at what forwarding could not lead anywhere. 0, or
 * negative with the report. */
int check_pointers(struct state *state);

/* Whose word stands at ADDRESS: "a struct list", "the variable table". */
void state_describe_owner(struct state *state, uintptr_t address, char *text, size_t size);

/* An array of COUNT elements of SIZE bytes that lives outside of all heaps; NULL without memory. Usable in a
 * stopped world. */
void *state_map(size_t count, size_t size);
void state_unmap(void *array);

#endif
