/* One migration of a patch, bound: how an instance of one layout becomes one of another. */
#ifndef MOLT_ENGINE_UPDATE_CONVERT_H
#define MOLT_ENGINE_UPDATE_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/code/load.h"
#include "engine/heap/heap.h"
#include "engine/update/ahead.h"
#include "engine/update/layouts.h"
#include "engine/update/staging.h"

/* How many objects a place holds. */
enum place_kind {
    PLACE_OBJECT, /* one, with its flexible array; what follows it in the block goes along */
    PLACE_ARRAY,  /* as many as fit */
    PLACE_ROOT,   /* a variable: as many as fit */
};

/* One instance that was migrated, or is about to be: a whole block or variable. In its conversion's `items`,
 * followed by struct item_target if it moves, else by size + slack bytes: what was at `place` before. */
struct item {
    uint64_t place : 48; /* of the old object */
    uint64_t site : 13;  /* the heap's, of the block before */
    uint64_t kind : 2;   /* enum place_kind */
    uint64_t moved : 1;
    uint64_t size : 40;  /* bytes of the old object, as the program asked for them */
    uint64_t slack : 20; /* bytes behind it that are saved, too */
    uint64_t done : 1;   /* the place has been written to */
    uint64_t retagged : 1;
    uint64_t derived : 1; /* what was there follows from what is: nothing was saved */
    uint64_t passed : 1;  /* made by one_pass.c; if it moved, it stands in the new places */
};

/* An item with these members, in two words: written one by one, they would be waited for when they are read
 * together. */
static inline struct item item_make(uintptr_t place, size_t size, enum place_kind kind, unsigned site,
                                    bool moved, size_t slack)
{
    const uint64_t words[2] = { (uint64_t)place | (uint64_t)site << 48 | (uint64_t)kind << 61 |
                                    (uint64_t)moved << 63,
                                (uint64_t)size | (uint64_t)slack << 40 };
    struct item item;

    _Static_assert(sizeof(item) == sizeof(words), "as the ABI lays out bit-fields");
    memcpy(&item, words, sizeof(item));
    return item;
}

struct item_target {
    uintptr_t target; /* of the new object; 0: not there yet */
    uintptr_t reserved;
};

struct conversion {
    const struct molt_patch_migration *record;
    const struct layouts *layouts;
    const struct layout *from, *to;
    void (*migrate)(const void *old, void *new); /* NULL: segments are copied */
    int (*validate)(const void *old, const void *new);
    int (*select)(const void *old);
    bool tailed;                   /* old and new have a flexible array */
    const struct conversion *tail; /* for the elements of its flexible array; NULL: they are copied */
    bool custom;                   /* `migrate` may look at, and write to, other things than its instance */
    bool in_passing;               /* instances that stay what they are in size are made by one_pass.c */
    bool moves_in_passing; /* the same of those that grow out of their blocks, as far as there are blocks
                              ahead */
    struct ahead ahead;    /* for them */
    void (*back)(
        const void *new,
        void *old); /* which leads back, and is as harmless as `migrate`; NULL: none, or not asked for */
    bool exact; /* it moves each byte of an old instance to a place of its own: nothing else is needed to lead
                   back */
    bool shifts; /* some part of an object gets another distance from its start */
    struct staging items;
    uint64_t count;           /* of items */
    unsigned synthetic;       /* the site that its items got last; 0: none yet */
    const void *synthetic_of; /* the meaning of those before */
    uint32_t synthetic_kind;
    bool from_program;   /* functions of the program have made room for some */
    uint64_t special;    /* of those in the heap, the ones whose places do not tell what became of them */
    uintptr_t low, high; /* addresses that may have to be forwarded lie in [low, high] */
};

/* Says of each migration of PATCH, which is loaded, whether it is to be made: those for an update, or for a
 * ROLLBACK; of several for the same in modules that the process may have or not, the first that it has.
 * IN_USE has as many elements as there are. */
void conversions_choose(const struct loaded_patch *patch, bool rollback, bool *in_use);

/* Whether IN_USE, of conversions_choose, has a migration for each change that the patch makes; else
 * *RET_MISSING is one that the process has not, borrowed. */
bool conversions_are_complete(const struct loaded_patch *patch, bool rollback, const bool *in_use,
                              const struct molt_patch_migration **ret_missing);

/* Binds the migrations of PATCH that are IN_USE; *ret is the caller's to free. 0, -ENOMEM, or -EINVAL with
 * the patch's reason. */
int conversions_bind(struct loaded_patch *patch, const struct layouts *layouts, const bool *in_use,
                     struct conversion **ret);

/* How many objects lie in SIZE bytes of KIND. */
size_t conversion_count(const struct conversion *conversion, enum place_kind kind, size_t size);

/* Whether instances may have to move for the sake of their alignment: the new type asks for more than the old
 * one, and than what every block has. */
static inline bool conversion_realigns(const struct conversion *conversion)
{
    return conversion->to->record->alignment > MOLT_ALIGNMENT_ANYWHERE &&
           conversion->to->record->alignment > conversion->from->record->alignment;
}

/* As conversion_size, of arrays and objects with a flexible array. */
size_t conversion_size_of_many(const struct conversion *conversion, enum place_kind kind, size_t size);

/* Bytes of the new object that SIZE bytes of an old one become. Bytes behind the object stay behind it. */
static inline size_t conversion_size(const struct conversion *conversion, enum place_kind kind, size_t size)
{
    size_t from = conversion->from->size, to = conversion->to->size;

    return size == from && !conversion->tailed           ? to
           : kind == PLACE_OBJECT && !conversion->tailed ? to + (size > from ? size - from : 0)
                                                         : conversion_size_of_many(conversion, kind, size);
}

/* The other way: how long the old object was. */
size_t conversion_size_before(const struct conversion *conversion, enum place_kind kind, size_t size);

/* As conversion_run, of what is more than an object. */
void conversion_run_many(const struct conversion *conversion, enum place_kind kind, const void *old,
                         size_t size, void *new, volatile size_t *index);

/* Makes, of the SIZE bytes at OLD, a new object at NEW, which has conversion_size bytes and is zeroed. *INDEX
 * (may be NULL) is kept at the element that is being made. */
static inline void conversion_run(const struct conversion *conversion, enum place_kind kind, const void *old,
                                  size_t size, void *new, volatile size_t *index)
{
    if (size == conversion->from->size && conversion->migrate && !conversion->tailed) {
        conversion->migrate(old, new);
    } else {
        conversion_run_many(conversion, kind, old, size, new, index);
    }
}

/* Whether what follows the first of several instances, or the only one, side by side is elsewhere after it.
 */
static inline bool conversion_spreads(const struct conversion *conversion, enum place_kind kind)
{
    return kind != PLACE_OBJECT && conversion->from->size != conversion->to->size;
}

/* Whether CONVERSION, which is generated, moves each byte of an old instance to a place of its own; and the
 * old instance at OLD, made of the new one at NEW, if it does. */
bool conversion_is_exact(const struct conversion *conversion);
void conversion_reverse(const struct conversion *conversion, const void *new, void *old);

/* Where what was OFFSET bytes into an old object of SIZE bytes is in the new one. WANTED is the layout that a
 * pointer to it promises, 0 if none is known. False: it is gone. */
bool conversion_offset(const struct conversion *conversion, enum place_kind kind, size_t size,
                       uint64_t offset, uint32_t wanted, uint64_t *ret);

#endif
