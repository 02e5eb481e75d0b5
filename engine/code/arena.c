/*
 * Arenas. A code model of 2 GB ties patches to the neighbourhood of their module. The neighbourhood below a
 * module is preferred, since the heap grows above the executable.
 *
 * Read-only data is interned by content and kept for ever: a string literal of a superseded function may
 * still be pointed to by the program's state, and nobody could say when it is not. As equal contents share
 * one copy, a thousand updates that bring the same strings take the memory of one.
 */
#include "engine/code/arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mapping.h"
#include "engine/proc.h"

#define PAGE 4096ul
#define CODE_SIZE (16ul << 20)
#define POOL_SIZE (8ul << 20)
#define ARENA_SIZE (CODE_SIZE + ARENA_POOLS * POOL_SIZE)
#define REACH (2000ul << 20) /* leaves room for the module's own size and the arena's */
#define GUARD (1ul << 20)

struct interned {
    uint64_t hash;
    uint32_t offset, size; /* in the read-only pool; size 0: free entry */
};

struct arena {
    struct arena *next;
    uintptr_t module_start;
    uint8_t *base;                              /* code zone, read-only pool, writable pool */
    uint64_t code_pages[CODE_SIZE / PAGE / 64]; /* bit set: in use */
    size_t used[ARENA_POOLS], mapped[ARENA_POOLS];
    struct interned *interned; /* open addressing, power of two */
    size_t interned_count, interned_capacity;
    bool open; /* the read-only pool can be written */
};

static struct arena *arenas;

/* ---- reserving --------------------------------------------------------------------------------------- */

struct gap_search {
    uintptr_t low, high, near; /* where the arena may lie, and what it should be close to */
    uintptr_t best;
    uintptr_t best_distance;
    uintptr_t previous_end; /* of the last mapping */
};

static void consider_gap(struct gap_search *search, uintptr_t start, uintptr_t end)
{
    start = start + GUARD > search->low ? start + GUARD : search->low;
    end = end < search->high ? end : search->high;
    if (end < start || end - start < ARENA_SIZE + GUARD) {
        return;
    }
    uintptr_t candidate = end <= search->near ? end - ARENA_SIZE - GUARD : start;
    candidate = (candidate + PAGE - 1) & ~(PAGE - 1);
    /* Above the executable the heap grows: only if there is nothing below. */
    uintptr_t distance =
        candidate < search->near ? search->near - candidate : REACH + (candidate - search->near);
    if (distance < search->best_distance) {
        search->best = candidate;
        search->best_distance = distance;
    }
}

static int consider_mapping(void *context, const struct proc_mapping *mapping)
{
    struct gap_search *search = context;

    consider_gap(search, search->previous_end, mapping->start);
    search->previous_end = mapping->end;
    return 0;
}

static int find_gap(struct gap_search *search)
{
    search->best_distance = UINTPTR_MAX;
    search->previous_end = 65536;
    int status = proc_mappings(consider_mapping, search);
    if (status < 0) {
        return status;
    }
    consider_gap(search, search->previous_end, 0x7ffffffff000ul);
    return search->best_distance == UINTPTR_MAX ? -ENOMEM : 0;
}

static int reserve(const struct module *module, bool fixed, struct arena *arena)
{
    struct gap_search search = {
        .low = module->end > REACH ? module->end - REACH : 65536,
        .high = module->start + REACH,
        .near = module->start,
    };
    if (fixed) { /* absolute 32-bit addresses; the top of the low 2 GB leaves the heap its room */
        search.low = 0x10000000;
        search.high = 0x7fff0000;
        search.near = 0x7fff0000;
    }
    int status = find_gap(&search);
    if (status < 0) {
        return status;
    }
    arena->base = mapping_create((void *)search.best, ARENA_SIZE, PROT_NONE,
                                 MAP_NORESERVE | MAP_FIXED_NOREPLACE, ARENA_NAME);
    return arena->base ? 0 : -errno;
}

int arena_of(const struct module *module, bool fixed, struct arena **ret)
{
    for (struct arena *arena = arenas; arena; arena = arena->next) {
        if (arena->module_start == module->start) {
            *ret = arena;
            return 0;
        }
    }
    struct arena *arena = calloc(1, sizeof(*arena));
    if (!arena) {
        return -ENOMEM;
    }
    int status = reserve(module, fixed, arena);
    if (status < 0) {
        free(arena);
        return status;
    }
    arena->module_start = module->start;
    arena->next = arenas;
    arenas = arena;
    *ret = arena;
    return 0;
}

/* ---- code -------------------------------------------------------------------------------------------- */

static bool page_used(const struct arena *arena, size_t page)
{
    return arena->code_pages[page / 64] >> page % 64 & 1;
}

static void mark_pages(struct arena *arena, size_t first, size_t count, bool used)
{
    for (size_t page = first; page < first + count; page++) {
        uint64_t bit = 1ull << page % 64;
        arena->code_pages[page / 64] =
            used ? arena->code_pages[page / 64] | bit : arena->code_pages[page / 64] & ~bit;
    }
}

int arena_code_allocate(struct arena *arena, size_t size, void **ret)
{
    size_t count = (size + PAGE - 1) / PAGE, run = 0;

    for (size_t page = 0; page < CODE_SIZE / PAGE && count; page++) {
        run = page_used(arena, page) ? 0 : run + 1;
        if (run < count) {
            continue;
        }
        size_t first = page + 1 - count;
        void *code = arena->base + first * PAGE;
        if (mprotect(code, count * PAGE, PROT_READ | PROT_WRITE) < 0) {
            return -errno;
        }
        memset(code, 0, count * PAGE); /* locked memory keeps its contents when it is freed */
        mark_pages(arena, first, count, true);
        *ret = code;
        return 0;
    }
    return -ENOMEM;
}

int arena_code_seal(void *code, size_t size)
{
    return mprotect(code, (size + PAGE - 1) / PAGE * PAGE, PROT_READ | PROT_EXEC) < 0 ? -errno : 0;
}

void arena_code_free(struct arena *arena, void *code, size_t size)
{
    size_t count = (size + PAGE - 1) / PAGE;

    madvise(code, count * PAGE, MADV_DONTNEED);
    mprotect(code, count * PAGE, PROT_NONE);
    mark_pages(arena, (size_t)((uint8_t *)code - arena->base) / PAGE, count, false);
}

/* ---- pools ------------------------------------------------------------------------------------------- */

static uint8_t *pool_base(const struct arena *arena, enum arena_pool pool)
{
    return arena->base + CODE_SIZE + pool * POOL_SIZE;
}

int arena_pools_open(struct arena *arena)
{
    size_t mapped = arena->mapped[ARENA_READ_ONLY];

    if (mapped && mprotect(pool_base(arena, ARENA_READ_ONLY), mapped, PROT_READ | PROT_WRITE) < 0) {
        return -errno;
    }
    arena->open = true;
    return 0;
}

void arena_pools_close(struct arena *arena)
{
    size_t mapped = arena->mapped[ARENA_READ_ONLY];

    if (mapped) {
        mprotect(pool_base(arena, ARENA_READ_ONLY), mapped, PROT_READ);
    }
    arena->open = false;
}

void *arena_pool_allocate(struct arena *arena, enum arena_pool pool, size_t size, size_t alignment)
{
    size_t at = (arena->used[pool] + alignment - 1) & ~(alignment - 1);

    if (size > POOL_SIZE || at > POOL_SIZE - size) {
        return NULL;
    }
    size_t needed = (at + size + PAGE - 1) & ~(PAGE - 1);
    if (needed > arena->mapped[pool]) {
        if (mprotect(pool_base(arena, pool), needed, PROT_READ | PROT_WRITE) < 0) {
            return NULL;
        }
        arena->mapped[pool] = needed;
    }
    arena->used[pool] = at + size;
    return pool_base(arena, pool) + at;
}

struct arena_mark arena_mark(const struct arena *arena)
{
    struct arena_mark mark;

    memcpy(mark.used, arena->used, sizeof(mark.used));
    return mark;
}

static void insert_interned(struct interned *table, size_t capacity, struct interned entry)
{
    size_t at = entry.hash & (capacity - 1);

    while (table[at].size) {
        at = (at + 1) & (capacity - 1);
    }
    table[at] = entry;
}

/* Makes the table anew with CAPACITY places, without what lies at or behind LIMIT in the pool. */
static int rebuild_interned(struct arena *arena, size_t capacity, size_t limit)
{
    struct interned *table = calloc(capacity, sizeof(*table));
    size_t count = 0;

    if (!table) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < arena->interned_capacity; i++) {
        if (arena->interned[i].size && arena->interned[i].offset < limit) {
            insert_interned(table, capacity, arena->interned[i]);
            count++;
        }
    }
    free(arena->interned);
    arena->interned = table;
    arena->interned_capacity = capacity;
    arena->interned_count = count;
    return 0;
}

void arena_reset(struct arena *arena, struct arena_mark mark)
{
    /* Without memory for the table the read-only pool keeps what it has: still right, a little larger. */
    if (!arena->interned ||
        rebuild_interned(arena, arena->interned_capacity, mark.used[ARENA_READ_ONLY]) == 0) {
        arena->used[ARENA_READ_ONLY] = mark.used[ARENA_READ_ONLY];
    }
    memset(pool_base(arena, ARENA_WRITABLE) + mark.used[ARENA_WRITABLE], 0,
           arena->used[ARENA_WRITABLE] - mark.used[ARENA_WRITABLE]);
    arena->used[ARENA_WRITABLE] = mark.used[ARENA_WRITABLE];
}

static uint64_t hash_bytes(const uint8_t *bytes, size_t size) /* FNV-1a */
{
    uint64_t hash = 0xcbf29ce484222325ull;

    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    }
    return hash ^ hash >> 32;
}

void *arena_intern(struct arena *arena, const void *bytes, size_t size, size_t alignment)
{
    uint64_t hash = hash_bytes(bytes, size);
    uint8_t *base = pool_base(arena, ARENA_READ_ONLY);

    if (arena->interned_count * 2 >= arena->interned_capacity &&
        rebuild_interned(arena, arena->interned_capacity ? arena->interned_capacity * 2 : 64, POOL_SIZE) <
            0) {
        return NULL;
    }
    size_t mask = arena->interned_capacity - 1;
    for (size_t at = hash & mask; arena->interned[at].size; at = (at + 1) & mask) {
        const struct interned *entry = &arena->interned[at];
        if (entry->hash == hash && entry->size == size && entry->offset % alignment == 0 &&
            memcmp(base + entry->offset, bytes, size) == 0) {
            return base + entry->offset;
        }
    }
    uint8_t *copy = arena->open ? arena_pool_allocate(arena, ARENA_READ_ONLY, size, alignment) : NULL;
    if (copy) {
        memcpy(copy, bytes, size);
        insert_interned(arena->interned, arena->interned_capacity,
                        (struct interned){ hash, (uint32_t)(copy - base), (uint32_t)size });
        arena->interned_count++;
    }
    return copy;
}
