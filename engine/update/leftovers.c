/*
 * Does anything still lead to where an instance was before it moved? Forwarding goes by types, in the pause;
 * a rehearsal has time, and memory of its own, so here every word is looked at, whatever it is said to be:
 * what the rules of forwarding overlook is not overlooked again.
 *
 * A word counts if it is an address within an instance that has moved, or that of its start with the upper
 * bits used for something else. What is found may be stale, or a number that only looks like an address:
 * nobody can know, so it is told, with its place, and stops nothing. Nor does it take longer than LIMIT_US.
 */
#include <stdio.h>
#include <string.h>

#include "engine/update/item_index.h"
#include "engine/update/state_private.h"
#include "engine/watched.h"

#define LIMIT_US 2000000
#define WORDS_BETWEEN ((size_t)1 << 16)
#define ADDRESS_MASK (((uintptr_t)1 << 47) - 1)

struct leftovers {
    struct state *state;
    struct references all;   /* what else there is beside the heap's blocks */
    struct item_index index; /* of the instances in the heap that have moved */
    uintptr_t low, high;     /* of all that has moved */
    uint64_t deadline_us;
    size_t looked; /* words since the clock was looked at */
    bool over;     /* the time: what has been found is all that is told */
    uint64_t count;
    uintptr_t at, value;           /* the first one, and what it holds */
    const struct conversion *type; /* to an instance of which it leads; NULL: to a variable */
};

/* ---- what has moved -------------------------------------------------------------------------------- */

static void widen(struct leftovers *left, uintptr_t start, size_t size)
{
    left->low = start < left->low ? start : left->low;
    left->high = start + size > left->high ? start + size : left->high;
}

static bool is_moved_block(const struct item *item)
{
    return item->moved && item->kind != PLACE_ROOT;
}

static int index_conversion(struct leftovers *left, const struct conversion *conversion)
{
    struct staging_position position = { 0 };
    const struct item *item;
    int status = 0;

    while (status == 0 && (item = item_next(conversion, &position))) {
        if (is_moved_block(item)) {
            uint32_t header = sites_meaning(&left->state->sites, item->site)->allocator.header;
            status =
                item_index_add(&left->index, (struct indexed_item){ item->place - header, conversion, item });
            widen(left, item->place, item->size);
        }
    }
    return status;
}

static int index_moved(struct leftovers *left)
{
    struct state *state = left->state;
    int status = item_index_make_room(&left->index, state->moved);

    for (size_t i = 0; i < state->conversion_count && status == 0; i++) {
        status = index_conversion(left, &state->conversions[i]);
    }
    item_index_lay_out(&left->index);
    for (size_t i = 0; i < state->roots.count; i++) {
        const struct root *root = &state->roots.items[i];
        if (root->target != root->place) {
            widen(left, root->place, root_size(state, root));
        }
    }
    return status;
}

/* Where something was that has moved. */
struct spot {
    const struct conversion *conversion; /* NULL: its type stayed */
    enum place_kind kind;
    uintptr_t place;
    size_t size;
};

/* Whether ADDRESS lies where something was that has moved: *ret. */
static bool was_in(const struct leftovers *left, uintptr_t address, struct spot *ret)
{
    const struct indexed_item *found = item_index_find(&left->index, address);

    if (found && address - found->item->place < found->item->size) {
        const struct item *item = found->item;
        *ret = (struct spot){ found->conversion, item->kind, item->place, item->size };
        return true;
    }
    const struct root *root = roots_find(left->state, address);
    if (root && root->target != root->place) {
        *ret = (struct spot){ root->conversion, PLACE_ROOT, root->place, root_size(left->state, root) };
        return true;
    }
    return false;
}

/* ---- what leads there ------------------------------------------------------------------------------ */

/* What leads to a member that is gone can be led nowhere: forwarding has said so. */
static bool is_gone(const struct spot *spot, uintptr_t address)
{
    uint64_t offset;

    return spot->conversion &&
           !conversion_offset(spot->conversion, spot->kind, spot->size, address - spot->place, 0, &offset);
}

/* Dead words of stacks are overwritten in part. */
READS_PROGRAM static bool is_tagged(const struct leftovers *left, const uintptr_t *word,
                                    const struct spot *spot)
{
    return (*word & ADDRESS_MASK) == spot->place && !references_on_stack(&left->all, (uintptr_t)word);
}

/* Two small numbers side by side are an address below 4 GB, where programs without PIE have theirs: of those
 * only the start counts, and else what may be a member. */
static bool is_likely(uintptr_t address, const struct spot *spot)
{
    return address == spot->place || (address >> 32 && address % sizeof(uintptr_t) == 0);
}

READS_PROGRAM static void look_at(struct leftovers *left, const uintptr_t *word)
{
    uintptr_t address = *word & ADDRESS_MASK;
    struct spot spot, here;

    if (address - left->low >= left->high - left->low || !was_in(left, address, &spot) ||
        !is_likely(address, &spot) || (address != *word && !is_tagged(left, word, &spot)) ||
        is_gone(&spot, address) || was_in(left, (uintptr_t)word, &here)) {
        return;
    }
    if (!left->count++) {
        left->at = (uintptr_t)word;
        left->value = *word;
        left->type = spot.conversion;
    }
}

READS_PROGRAM static void visit_words(void *context, uintptr_t *start, size_t count)
{
    struct leftovers *left = context;

    if (left->looked > WORDS_BETWEEN) {
        left->looked = 0;
        left->over = monotonic_us() > left->deadline_us;
    }
    for (size_t i = 0; i < count && !left->over; i++) {
        look_at(left, &start[i]);
    }
    left->looked += count + 1;
}

static bool visit_block(void *context, const struct heap_block *block)
{
    struct leftovers *left = context;

    references_range(&left->all, block->start, block->start + block->size, visit_words, left);
    return !left->over;
}

/* With a memory map of its own: migration has asked for memory. */
static int search(struct leftovers *left)
{
    const struct world *world = left->state->world;
    int status = heap_refresh();

    status = status < 0 ? status : references_init(&left->all);
    status = status < 0 ? status : references_threads(&left->all, world);
    if (status == 0) {
        references_sort(&left->all);
        heap_walk(NULL, visit_block, left);
        references_walk(&left->all, world, visit_words, left);
        references_mapped(&left->all, world, visit_words, left);
    }
    return status;
}

static void tell(const struct leftovers *left, char *text, size_t size)
{
    char owner[256];

    state_describe_owner(left->state, left->at, owner, sizeof(owner));
    snprintf(
        text, size,
        "%lu %s where %s was before it moved, though not by %s type: the first, in %s at 0x%lx, is 0x%lx; "
        "if it is an address, let a policy lead it on (MOLT_FORWARD), or make it a pointer",
        (unsigned long)left->count, left->count == 1 ? "word seems to lead to" : "words seem to lead to",
        left->type ? left->type->from->name : "a variable", left->count == 1 ? "its" : "their", owner,
        (unsigned long)left->at, (unsigned long)left->value);
}

int state_find_leftovers(struct state *state, char *text, size_t size)
{
    struct leftovers left = {
        .state = state, .all.constants = true, .low = UINTPTR_MAX, .deadline_us = monotonic_us() + LIMIT_US
    };
    int status = index_moved(&left);

    *text = '\0';
    if (status == 0 && left.low < left.high) {
        status = search(&left);
    }
    if (status == 0 && left.count) {
        tell(&left, text, size);
    }
    references_deinit(&left.all);
    item_index_deinit(&left.index);
    return status;
}
