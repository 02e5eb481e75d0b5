/*
 * Which site a call of the allocator is: chains of return addresses and their ids (heap.h). Asked at every allocation, so
 * for a call site that was met before it is one look into a table.
 */
#ifndef MOLT_ENGINE_HEAP_SITES_H
#define MOLT_ENGINE_HEAP_SITES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A node of the tree of chains, in an open hash table. Key: the return address, and from bit 48 on the slot + 1 of the node
 * that it is a caller of; 0 is no node. Value, 0 until it is known:
 *
 *     0 .. 12   the site, if the chain ends here
 *     13        it goes on; 14: from rbp, else rsp; 16 .. 39, 40 .. 63: to the CFA, and from there down to the saved rbp
 */
struct site_node {
    _Atomic uint64_t key, value;
};

#define SITE_SLOT_BITS 14
#define SITE_SLOTS ((size_t)1 << SITE_SLOT_BITS)
#define SITE_GOES_ON ((uint64_t)1 << 13)

extern struct site_node site_nodes[SITE_SLOTS] __attribute__((visibility("hidden")));

static inline size_t site_slot(uint64_t key)
{
    return key * 0x9e3779b97f4a7c15 >> (64 - SITE_SLOT_BITS);
}

/* The site of a call that returns to RETURN_ADDRESS, from a function with a frame pointer at FRAME. What site_of does not
 * find at once. */
unsigned site_find(uintptr_t return_address, const uintptr_t *frame);

/* The site of a call that returns to RETURN_ADDRESS if that decides alone and was met before; else 0. */
static inline unsigned site_if_known(uintptr_t return_address)
{
    const struct site_node *node = &site_nodes[site_slot(return_address)];
    uint64_t key = atomic_load_explicit(&node->key, memory_order_acquire);
    uint64_t value = atomic_load_explicit(&node->value, memory_order_relaxed);

    return key == return_address && value < SITE_GOES_ON ? (unsigned)value : 0;
}

static inline unsigned site_of(uintptr_t return_address, const uintptr_t *frame)
{
    unsigned site = site_if_known(return_address);

    return __builtin_expect(site != 0, 1) ? site : site_find(return_address, frame);
}

/* Forgets what is known of code that lies in no module and no patch any more. */
void sites_forget_unloaded(void);

#endif
