/*
 * Blocks as the shadow has them, one entry at a time: what heap_find and heap_walk share. The shadow tells
 * where blocks start and how big they are. Nothing is read of a block unless the memory map of this stop says
 * that it can be, and with glibc underneath, whose blocks say how big they are, too, both have to agree: a
 * block that was freed behind our back still has an entry.
 */
#ifndef MOLT_ENGINE_HEAP_BLOCKS_H
#define MOLT_ENGINE_HEAP_BLOCKS_H

#include <emmintrin.h>

#include "engine/heap/extents.h"
#include "engine/heap/heap.h"
#include "engine/heap/next.h"
#include "engine/heap/shadow.h"

#define GRANULE ((uintptr_t)1 << SHADOW_GRANULE_SHIFT)
#define ENTRIES_PER_PAGE ((size_t)1 << (SHADOW_PAGE_SHIFT - SHADOW_GRANULE_SHIFT))

static inline bool is_start(uint16_t entry)
{
    return entry && entry < SHADOW_SIZE;
}

static inline uintptr_t start_of(uintptr_t granule, uint16_t entry)
{
    unsigned form = entry >> SHADOW_SITE_BITS;

    return granule + (form == 1 || form == 3 ? GRANULE / 2 : 0);
}

/* The block at START, which has ENTRY and lies in EXTENT. False if it is not there any more: then what the
 * allocator says that it can hold cannot be true. */
static inline __attribute__((always_inline)) bool look_at(const struct extent *extent, uintptr_t start,
                                                          const uint16_t *entry, struct heap_block *ret)
{
    bool glibc = next_is_glibc();
    size_t room = extent->end - start, read_to;

    if (start < extent->start + (glibc ? sizeof(size_t) : 0) || start >= extent->end ||
        (shadow_reads_block(*entry, &read_to) && read_to > room)) {
        return false;
    }
    struct shadow_note note = shadow_read(entry, start);
    if (note.size > room) {
        return false;
    }
    size_t usable = next_usable(start);
    if (usable < note.size || usable > room) {
        if (glibc) {
            return false;
        }
        usable = note.size;
    }
    *ret = (struct heap_block){ start, note.size, usable, note.site };
    return usable > 0;
}

/* Which of the 16 entries at ENTRIES are starts of blocks, as bits: neither 0 nor sizes, which are the
 * highest 16384 numbers. */
static inline unsigned starts_among(const uint16_t *entries)
{
    const __m128i zero = _mm_setzero_si128(), below_sizes = _mm_set1_epi16((short)(SHADOW_SIZE - 1));
    __m128i none[2];

    for (size_t i = 0; i < 2; i++) {
        __m128i eight = _mm_loadu_si128((const __m128i *)(entries + 8 * i));
        __m128i size = _mm_and_si128(_mm_cmpgt_epi16(eight, below_sizes), _mm_cmplt_epi16(eight, zero));
        none[i] = _mm_or_si128(size, _mm_cmpeq_epi16(eight, zero));
    }
    return ~(unsigned)_mm_movemask_epi8(_mm_packs_epi16(none[0], none[1])) & 0xffff;
}

/* The block that ADDRESS, which lies in EXTENT, is in, as heap_find; *ret_entry is its entry. The way to it
 * may be long. */
bool block_search(const struct extent *extent, uintptr_t address, struct heap_block *ret,
                  const uint16_t **ret_entry);

#endif
