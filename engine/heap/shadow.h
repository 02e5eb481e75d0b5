/*
 * The shadow of the address space: what is known of each block, beside it, so that the allocator underneath
 * need know nothing. Two bytes, an *entry*, stand for 32 bytes of memory, a *granule*; no two blocks start in
 * the same granule.
 *
 *     entry                     15  13 12         0
 *     no block starts here        0         0
 *     a block starts here       [form ][  site   ]     form: which half of the granule, and where its size is
 *     a size, under 8192        1 1 0 [  13 bits ]
 *     a longer size             1 1 1 [  13 bits ] 1 1 [ 14 bits ] 1 1 [ 14 bits ] 1 1 [ 14 bits ]
 *
 * A block's exact size stands in the entries behind its own, if no other block can start in their granules:
 * if the block reaches beyond the middle of its second granule. Smaller ones are told by their form: they
 * fill the room that the allocator gives to the smallest requests, or the next larger one, or, if they do
 * not, the last byte of that room holds the size:
 *
 *     form                      glibc    others (see next.h)
 *     0, 1   first, second half; a size follows, or the block fills the small room
 *                               24       32
 *     2, 3   first, second half; the last byte of the small room holds the size
 *     4      first half, fills the next room
 *                               40       48        (in the second half it reaches into its second granule)
 *     5      first half, the last bytes of the next room hold the size: two as in an entry, or one if it is
 *            that room less 1
 *
 * A block's own entry becomes 0 when it is freed; a size stays, and means something only behind an entry of
 * form 0 or 1. So whoever notes a block that fills the small room sees to it that none is there.
 *
 * So nothing has to be asked of the allocator to note a size, and nothing read of a block to tell it, those
 * last bytes apart. They are behind what the program asked for; it may not write there until it asks
 * malloc_usable_size, and from then on the block's size is what the answer was.
 *
 * The shadow is mapped region by region when a block first lies in it.
 */
#ifndef MOLT_ENGINE_HEAP_SHADOW_H
#define MOLT_ENGINE_HEAP_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHADOW_GRANULE_SHIFT 5
#define SHADOW_PAGE_SHIFT 16    /* memory whose entries fill one page */
#define SHADOW_REGION_SHIFT 27  /* memory whose entries are mapped together: 8 MiB of them */
#define SHADOW_ADDRESS_SHIFT 47 /* what programs can have */
#define SHADOW_REGIONS ((size_t)1 << (SHADOW_ADDRESS_SHIFT - SHADOW_REGION_SHIFT))
#define SHADOW_ENTRIES ((size_t)1 << (SHADOW_REGION_SHIFT - SHADOW_GRANULE_SHIFT))
#define SHADOW_SPILL 1000
#define SHADOW_PAGES ((size_t)1 << (SHADOW_REGION_SHIFT - SHADOW_PAGE_SHIFT))

#define SHADOW_SITE_BITS 13
#define SHADOW_SITE_MASK ((1u << SHADOW_SITE_BITS) - 1)
#define SHADOW_SIZE 0xc000u /* entries from here on are sizes */
#define SHADOW_LONG 0x2000u /* of a size: three more follow */
#define SHADOW_SHORT_LIMIT ((size_t)8192)

struct shadow_region {
    uint16_t entries[SHADOW_ENTRIES +
                     SHADOW_SPILL]; /* a size may reach beyond the region; what is there belongs to it */
    uint8_t touched[SHADOW_PAGES];  /* whether a block has ever started in the memory of a page of entries */
    struct shadow_region *next;     /* in the list of all */
    uintptr_t memory;               /* the first that it is for */
    bool listed;                    /* among the engine's mappings (engine/mapping.h) */
};

#pragma GCC visibility push(hidden) /* no way round by the GOT */
extern struct shadow_region *shadow_regions[SHADOW_REGIONS];
/* For shadow_tag_quickly: from SIZED on, blocks reach so far into their second granule that it is theirs;
 * below QUICK their rooms are glibc's (none, if another allocator is underneath). */
extern size_t shadow_sized, shadow_quick;
extern size_t shadow_small_room; /* what the allocator gives to the smallest requests */
#pragma GCC visibility pop

#define SHADOW_ROOM_GLIBC ((size_t)24)
#define SHADOW_ROOM_OTHERS ((size_t)32)

/* Says what allocator is underneath, before any block is noted. Without it none is. */
void shadow_init(bool glibc);

/* Notes a new block, which may be NULL. */
void shadow_tag(void *pointer, size_t size, unsigned site);

/* Notes the block at ADDRESS, of SITE and SIZE, of which USABLE bytes can be used, whatever these are. */
void shadow_set(uintptr_t address, size_t size, size_t usable, unsigned site);

/* What is noted of the block that starts at ADDRESS. Its last bytes have to be readable if they hold its
 * size. */
struct shadow_note {
    unsigned site; /* 0: nothing is */
    size_t size;
};
struct shadow_note shadow_get(uintptr_t address);

/* As shadow_get, and nothing is noted any more. */
struct shadow_note shadow_take(uintptr_t address);

/* The block that is noted at ADDRESS is of SITE from now on. */
static inline void shadow_change_site(uintptr_t address, unsigned site);

/* Removes a size that an earlier block left at ENTRY, unless another thread has begun a block there
 * meanwhile. */
void shadow_remove_size(uint16_t *entry);

static inline struct shadow_region *shadow_region_of(uintptr_t address)
{
    return address >> SHADOW_ADDRESS_SHIFT ? NULL : shadow_regions[address >> SHADOW_REGION_SHIFT];
}

static inline uint16_t *shadow_entry(struct shadow_region *region, uintptr_t address)
{
    return &region->entries[(address >> SHADOW_GRANULE_SHIFT) % SHADOW_ENTRIES];
}

static inline void shadow_change_site(uintptr_t address, unsigned site)
{
    uint16_t *entry = shadow_entry(shadow_region_of(address), address);

    *entry = (uint16_t)((*entry & ~SHADOW_SITE_MASK) | site);
}

static inline unsigned shadow_half(uintptr_t address)
{
    return address >> (SHADOW_GRANULE_SHIFT - 1) & 1;
}

/* Whether reading what is noted of a block with ENTRY reads the block; if so, *ret_offset is where that
 * ends. */
static inline bool shadow_reads_block(uint16_t entry, size_t *ret_offset)
{
    unsigned form = entry >> SHADOW_SITE_BITS;

    if (form == 2 || form == 3 || form == 5) {
        *ret_offset = form == 5 ? shadow_small_room + 16 : shadow_small_room;
        return true;
    }
    return false;
}

/* How long the block with ENTRY is at most, without a look at the block. */
size_t shadow_size_at_most(const uint16_t *entry);

/* What stands in ENTRY, of a form that needs looking elsewhere for the size. */
struct shadow_note shadow_read_elsewhere(const uint16_t *entry, uintptr_t address);

/* What is noted in ENTRY, with which the block at ADDRESS starts. As shadow_get. */
static inline struct shadow_note shadow_read(const uint16_t *entry, uintptr_t address)
{
    if (*entry >> SHADOW_SITE_BITS <= 1 && entry[1] >= SHADOW_SIZE && !(entry[1] & SHADOW_LONG)) {
        return (struct shadow_note){ *entry & SHADOW_SITE_MASK, entry[1] % SHADOW_LONG };
    }
    return shadow_read_elsewhere(entry, address);
}

typedef uint16_t __attribute__((may_alias)) shadow_word;

/* A size between the small room and the next, which is that less 1 apart. Halves alternate, so nothing may
 * depend on them by a branch. */
static inline void shadow_tag_next_room(uintptr_t address, uint16_t *entry, unsigned half, size_t size,
                                        unsigned site)
{
    const size_t room = SHADOW_ROOM_GLIBC + 16;
    bool full = size == room;
    shadow_word discarded;
    uintptr_t in_block = full ? (uintptr_t)&discarded : address + room - sizeof(shadow_word);
    uintptr_t in_shadow = (uintptr_t)(entry + 1);
    shadow_word *where = (shadow_word *)(in_block ^ ((in_block ^ in_shadow) & -(uintptr_t)half));
    unsigned form = full ? 4 - 3 * half : 5 - 4 * half;

    *where = (uint16_t)(SHADOW_SIZE | size);
    *entry = (uint16_t)(form << SHADOW_SITE_BITS | site);
}

/* As shadow_tag for almost all blocks. False if it is not for this one, and nothing was done. */
static inline __attribute__((always_inline)) bool shadow_tag_quickly(void *pointer, size_t size,
                                                                     unsigned site)
{
    uintptr_t address = (uintptr_t)pointer;
    struct shadow_region *region = shadow_region_of(address);

    if (__builtin_expect(!region || address % 16, 0) ||
        __builtin_expect(!region->touched[(address >> SHADOW_PAGE_SHIFT) % SHADOW_PAGES], 0)) {
        return false;
    }
    uint16_t *entry = shadow_entry(region, address);
    unsigned half = shadow_half(address);
    if (size >= shadow_sized && size < SHADOW_SHORT_LIMIT) {
        uint32_t two = half << SHADOW_SITE_BITS | site | (SHADOW_SIZE | (uint32_t)size) << 16;
        memcpy(entry, &two, sizeof(two));
        return true;
    }
    if (__builtin_expect(size >= shadow_quick || size == SHADOW_ROOM_GLIBC + 15, 0)) {
        return false;
    }
    if (size > SHADOW_ROOM_GLIBC) {
        shadow_tag_next_room(address, entry, half, size, site);
    } else {
        unsigned less = size < SHADOW_ROOM_GLIBC ? 2 : 0;
        *entry = (uint16_t)((half | less) << SHADOW_SITE_BITS | site);
        if (less) {
            ((uint8_t *)pointer)[SHADOW_ROOM_GLIBC - 1] = (uint8_t)size;
        } else if (__builtin_expect(entry[1] >= SHADOW_SIZE, 0)) {
            shadow_remove_size(entry + 1);
        }
    }
    return true;
}

/* Forgets the block at POINTER. What was behind its entry stays there and means nothing. Nothing is read
 * of the shadow, which would be waited for: a heap that the caches cannot hold has a shadow that they
 * cannot hold. */
static inline void shadow_clear(const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    struct shadow_region *region = shadow_region_of(address);

    if (__builtin_expect(region != NULL, 1)) {
        *shadow_entry(region, address) = 0;
    }
}

#endif
