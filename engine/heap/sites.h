/*
 * Which site a call of the allocator is: chains of return addresses and their ids (heap.h). Asked at every
 * allocation, so for a call site that was met before it is one look into a table.
 */
#ifndef MOLT_ENGINE_HEAP_SITES_H
#define MOLT_ENGINE_HEAP_SITES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A node of the tree of chains, in an open hash table. Key: the return address, and from bit 48 on the slot +
 * 1 of the node that it is a caller of; 0 is no node. Value, 0 until it is known:
 *
 *     0 .. 12   the site, if the chain ends here
 *     13        it goes on
 *     14        from rbp, else rsp
 *     16 .. 39  so far to the CFA
 *     40 .. 63  and from there down to the saved rbp
 */
struct site_node {
    _Atomic uint64_t key, value;
};

#define SITE_SLOT_BITS 14
#define SITE_SLOTS ((size_t)1 << SITE_SLOT_BITS)
#define SITE_GOES_ON ((uint64_t)1 << 13)
#define SITE_PARENT_SHIFT 48

extern struct site_node site_nodes[SITE_SLOTS] __attribute__((visibility("hidden")));

static inline size_t site_slot(uint64_t key)
{
    return key * 0x9e3779b97f4a7c15 >> (64 - SITE_SLOT_BITS);
}

/* The site of a call that returns to RETURN_ADDRESS, from a function with a frame pointer at FRAME. What
 * site_if_known does not find. */
unsigned site_find(uintptr_t return_address, const uintptr_t *frame);

#define SITE_NO_CALLER ((uintptr_t)1)        /* stands for a return address that could not be found */
#define SITE_FRAME_MAX ((uintptr_t)16 << 20) /* of an rbp that is believed */

struct site_frame { /* a caller's registers */
    uintptr_t sp, rbp;
};

/* The caller of a function whose frame pointer is FRAME. */
static inline struct site_frame site_frame_of(const uintptr_t *frame)
{
    return (struct site_frame){ .sp = (uintptr_t)(frame + 2), .rbp = frame[0] };
}

/* Goes to the caller's frame by the rule in VALUE and returns the return address there. */
static inline uintptr_t site_ascend(struct site_frame *frame, uint64_t value)
{
    uintptr_t cfa = (value >> 14 & 1 ? frame->rbp : frame->sp) + (value >> 16 & 0xffffff);
    uintptr_t saved_rbp = value >> 40;

    if (__builtin_expect(cfa % 8 || cfa - frame->sp - 1 > SITE_FRAME_MAX, 0)) {
        return SITE_NO_CALLER;
    }
    if (saved_rbp && saved_rbp <= cfa - frame->sp) {
        frame->rbp = *(const uintptr_t *)(cfa - saved_rbp);
    }
    frame->sp = cfa;
    return ((const uintptr_t *)cfa)[-1];
}

/* The site of a call that was met before; else 0. */
static inline __attribute__((always_inline)) unsigned site_if_known(uintptr_t return_address,
                                                                    const uintptr_t *frame_pointer)
{
    struct site_frame frame = site_frame_of(frame_pointer);
    uint64_t key = return_address;

    for (;;) {
        size_t slot = site_slot(key);
        uint64_t value = atomic_load_explicit(&site_nodes[slot].value, memory_order_acquire);
        if (__builtin_expect(
                atomic_load_explicit(&site_nodes[slot].key, memory_order_relaxed) != key || !value, 0)) {
            return 0;
        }
        if (__builtin_expect(value < SITE_GOES_ON, 1)) {
            return (unsigned)value;
        }
        key = (uint64_t)(slot + 1) << SITE_PARENT_SHIFT | site_ascend(&frame, value);
    }
}

static inline unsigned site_of(uintptr_t return_address, const uintptr_t *frame)
{
    unsigned site = site_if_known(return_address, frame);

    return site ? site : site_find(return_address, frame);
}

/* Forgets what is known of code that lies in no module and no patch any more. */
void sites_forget_unloaded(void);

#endif
