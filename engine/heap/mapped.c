/*
 * Memory that the program has mapped itself: arenas, pools, stacks of coroutines. Nothing is known of what
 * lies in it, so each word may be an address. It is told from what else is mapped without a file: stacks of
 * threads, and what the allocator has mapped. Of the latter glibc's own words about its blocks lie beside
 * them, in
 *
 *     a block of its own mapping     | header | block ...      |      whole pages
 *     the heap of a thread's arena   | arena | block | block | ... |  64 MB, at a multiple of that
 *
 * where a header says which of them a block is in. An arena without a live block has addresses of free memory
 * only. Of other allocators it is not known what they map: there, nothing is searched.
 *
 * Only pages that are there are looked at (present.h).
 */
#include <unistd.h>

#include "engine/heap/heap.h"
#include "engine/heap/present.h"
#include "engine/heap/references.h"

#define PAGE 4096ul
#define ARENA_HEAP (64ul << 20) /* HEAP_MAX_SIZE of glibc on 64 bits */
#define IN_OWN_MAPPING 2u       /* flags in the word before a block (malloc/malloc.c, "chunk") */
#define IN_ARENA 4u

struct search {
    const struct references *references;
    const struct world *world;
    references_visitor *visit;
    void *context;
    int pagemap; /* -1: all pages count */
};

static uintptr_t later(uintptr_t one, uintptr_t other)
{
    return one > other ? one : other;
}

static void visit_page(void *context, uintptr_t start, uintptr_t end)
{
    const struct search *search = context;

    references_range(search->references, start, end, search->visit, search->context);
}

/* Visits the pages of [start, end) that are there. */
static void visit_present(const struct search *search, uintptr_t start, uintptr_t end)
{
    present_visit(search->pagemap, start, end, visit_page, (void *)search);
}

/* What of memory around BLOCK is the allocator's; for the main heap, where that has no place of its own,
 * all of it up to END. */
static void extent_of(const struct heap_block *block, uintptr_t end, uintptr_t *ret_start, uintptr_t *ret_end)
{
    uintptr_t flags = *(const uintptr_t *)(block->start - sizeof(uintptr_t));

    if (flags & IN_OWN_MAPPING) {
        *ret_start = (block->start - 2 * sizeof(uintptr_t)) & ~(PAGE - 1);
        *ret_end = (block->start + block->usable + PAGE - 1) & ~(PAGE - 1);
    } else if (flags & IN_ARENA) {
        *ret_start = block->start & ~(ARENA_HEAP - 1);
        *ret_end = *ret_start + ARENA_HEAP;
    } else {
        *ret_start = 0;
        *ret_end = end;
    }
}

/* Visits what of [start, end) the allocator has not. */
static void visit_between(const struct search *search, uintptr_t start, uintptr_t end)
{
    struct heap_block block;
    uintptr_t from, to;

    while (start < end && heap_first(start, end, &block)) {
        extent_of(&block, end, &from, &to);
        if (from > start) {
            visit_present(search, start, from);
        }
        start = later(start, to);
    }
    if (start < end) {
        visit_present(search, start, end);
    }
}

/* Where the stack of a thread begins that ends in REGION: below what is in use, too, if the mapping is the
 * thread's own. */
static uintptr_t start_of_stack(const struct search *search, const struct region *region,
                                const struct references_hole *stack)
{
    for (size_t i = 0; i < search->world->count; i++) {
        uintptr_t control = search->world->threads[i].thread_pointer;
        if (control >= stack->start && control < region->end) {
            return region->start;
        }
    }
    return stack->start;
}

/* The engine's own thread has a stack, too: nobody may write there but itself. Other memory may join it
 * above. */
static uintptr_t end_of_own_stack(const struct region *region)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), control = (uintptr_t)__builtin_thread_pointer();

    if (here < region->start || here >= region->end) {
        return region->start;
    }
    return control > here && control + PAGE < region->end ? control + PAGE : region->end;
}

static void visit_region(const struct search *search, const struct region *region)
{
    uintptr_t at = end_of_own_stack(region);

    for (size_t i = 0; i < search->references->stack_count; i++) { /* ascending */
        const struct references_hole *stack = &search->references->stacks[i];
        if (stack->end <= region->start || stack->start >= region->end) {
            continue;
        }
        uintptr_t start = start_of_stack(search, region, stack);
        visit_between(search, at, start);
        at = later(at, stack->end);
    }
    visit_between(search, at, region->end);
}

void references_mapped(const struct references *references, const struct world *world,
                       references_visitor *visit, void *context)
{
    if (!heap_has_headers()) {
        return;
    }
    struct search search = { references, world, visit, context, present_open() };
    for (size_t i = 0; i < references->map.count; i++) {
        const struct region *region = &references->map.items[i];
        if (region->kind == REGION_ANONYMOUS && region->readable && region->writable && !region->shared) {
            visit_region(&search, region);
        }
    }
    if (search.pagemap >= 0) {
        close(search.pagemap);
    }
}
