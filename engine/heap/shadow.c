/*
 * The shadow's rare cases: mapping a region, sizes that take more than one entry, and reading it all back.
 * shadow.h says how it is laid out.
 *
 * Regions are mapped by whichever thread comes first, without a lock: inside malloc there is no room for one.
 * Large pages are declined, since one would be resident for each few bytes of a sparse heap.
 */
#include "engine/heap/shadow.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/heap/heap.h"
#include "engine/mapping.h"

#define REGION_SIZE ((sizeof(struct shadow_region) + 4095) & ~(size_t)4095)

struct shadow_region *shadow_regions[SHADOW_REGIONS];
size_t shadow_sized = 49;
size_t shadow_quick;

size_t shadow_small_room = SHADOW_ROOM_GLIBC;
static bool is_glibc, in_use;
static struct shadow_region *_Atomic all_regions;

/* The first regions of a program, for its heap and those of its threads. What comes later is mapped with
 * as few system calls as can be: the program may have entered a sandbox by then. */
#define POOL_REGIONS 4
static struct {
    char *start; /* NULL if the program's address space is limited */
    atomic_int left;
    bool listed;
} pool;

/* By number: mmap leads to the list of mappings in what the engine is linked with (engine/wrap.c), which
 * is behind a lock and names them, which a sandbox may forbid. MAP_STACK declines large pages since Linux
 * 6.7. */
static void *map(size_t size)
{
    int saved = errno;
    long start = syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0l);

    errno = saved;
    return start == -1 ? NULL : (void *)start;
}

static void make_pool(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY &&
        (pool.start = map(POOL_REGIONS * REGION_SIZE))) {
        madvise(pool.start, POOL_REGIONS * REGION_SIZE, MADV_NOHUGEPAGE);
        madvise(pool.start, POOL_REGIONS * REGION_SIZE, MADV_DONTDUMP);
        atomic_store(&pool.left, POOL_REGIONS);
    }
}

void shadow_init(bool glibc)
{
    int saved = errno;
    uintptr_t first = ((uintptr_t)shadow_regions + 4095) & ~(uintptr_t)4095;
    uintptr_t end = (uintptr_t)(shadow_regions + SHADOW_REGIONS) & ~(uintptr_t)4095;

    madvise((void *)first, end - first, MADV_NOHUGEPAGE);
    make_pool();
    shadow_small_room = glibc ? SHADOW_ROOM_GLIBC : SHADOW_ROOM_OTHERS;
    shadow_sized =
        glibc ? SHADOW_ROOM_GLIBC + 16 + 1 : SHADOW_ROOM_OTHERS + 16 + 1; /* the next room has 16 more */
    shadow_quick = glibc ? SHADOW_ROOM_GLIBC + 16 + 1 : 0;
    is_glibc = glibc;
    in_use = true;
    errno = saved;
}

static struct shadow_region *new_region(void)
{
    int left = atomic_load(&pool.left);

    while (left > 0) {
        if (atomic_compare_exchange_weak(&pool.left, &left, left - 1)) {
            return (struct shadow_region *)(pool.start + (size_t)(left - 1) * REGION_SIZE);
        }
    }
    return map(REGION_SIZE);
}

static bool is_in_pool(const struct shadow_region *region)
{
    return pool.start && (uintptr_t)region - (uintptr_t)pool.start < POOL_REGIONS * REGION_SIZE;
}

/* One that another thread has made superfluous. If it is the pool's it is lost, but nobody has touched it. */
static void drop_region(struct shadow_region *region)
{
    if (!is_in_pool(region)) {
        syscall(SYS_munmap, region, REGION_SIZE);
    }
}

static void publish(struct shadow_region *region, uintptr_t memory)
{
    region->memory = memory;
    region->listed = is_in_pool(region);
    region->next = atomic_load(&all_regions);
    while (!atomic_compare_exchange_weak(&all_regions, &region->next, region)) {
    }
}

void heap_list_mappings(void)
{
    pool.listed =
        pool.listed || !pool.start || mapping_adopt(pool.start, POOL_REGIONS * REGION_SIZE, HEAP_SHADOW_NAME);
    for (struct shadow_region *region = atomic_load(&all_regions); region; region = region->next) {
        region->listed = region->listed || mapping_adopt(region, REGION_SIZE, HEAP_SHADOW_NAME);
    }
}

/* The region of the block at ADDRESS, mapped if need be, its page marked as touched; NULL without memory. */
static struct shadow_region *touch(uintptr_t address)
{
    if (!in_use || address >> SHADOW_ADDRESS_SHIFT) {
        return NULL;
    }
    struct shadow_region **place = &shadow_regions[address >> SHADOW_REGION_SHIFT];
    struct shadow_region *region = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (!region) {
        struct shadow_region *mapped = new_region();
        if (!mapped) {
            return NULL;
        }
        if (__atomic_compare_exchange_n(place, &region, mapped, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            region = mapped;
            publish(region, address >> SHADOW_REGION_SHIFT << SHADOW_REGION_SHIFT);
        } else {
            drop_region(mapped);
        }
    }
    region->touched[(address >> SHADOW_PAGE_SHIFT) % SHADOW_PAGES] = 1;
    return region;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

void shadow_remove_size(uint16_t *entry)
{
    uint16_t present = __atomic_load_n(entry, __ATOMIC_RELAXED);

    while (present >= SHADOW_SIZE &&
           !__atomic_compare_exchange_n(entry, &present, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static uint16_t start_entry(unsigned form, unsigned site)
{
    return (uint16_t)(form << SHADOW_SITE_BITS | site);
}

static void put_size(uint16_t *entry, size_t size)
{
    if (size < SHADOW_SHORT_LIMIT) {
        *entry = (uint16_t)(SHADOW_SIZE | size);
        return;
    }
    *entry = (uint16_t)(SHADOW_SIZE | SHADOW_LONG | size % SHADOW_LONG);
    size /= SHADOW_LONG;
    for (int i = 1; i <= 3; i++) {
        entry[i] = (uint16_t)(SHADOW_SIZE | size % 0x4000);
        size /= 0x4000;
    }
}

/* The room's last byte, or two, take the size of a block that does not fill it. */
static void put_in_room(uint8_t *block, size_t room, size_t size)
{
    if (room > shadow_small_room && size < room - 1) {
        uint16_t both = (uint16_t)(SHADOW_SIZE | size);
        memcpy(block + room - sizeof(both), &both, sizeof(both));
    } else {
        block[room - 1] = (uint8_t)size;
    }
}

void shadow_set(uintptr_t address, size_t size, size_t usable, unsigned site)
{
    struct shadow_region *region = address % 16 ? NULL : touch(address);

    if (!region) {
        return;
    }
    uint16_t *entry = shadow_entry(region, address);
    unsigned half = shadow_half(address);
    if (half * 16 + usable > 48) {
        put_size(entry + 1, size);
        *entry = start_entry(half, site);
        return;
    }
    size_t room = !half && usable >= shadow_small_room + 16 ? shadow_small_room + 16 : shadow_small_room;
    if (usable < room || size > room) { /* not one of glibc's blocks and not asked for by shadow_asked */
        *entry = 0;
        return;
    }
    if (size < room) {
        put_in_room((uint8_t *)address, room, size);
    } else {
        shadow_remove_size(entry + 1);
    }
    *entry =
        start_entry(room > shadow_small_room ? (size < room ? 5 : 4) : half + (size < room ? 2 : 0), site);
}

void shadow_tag(void *pointer, size_t size, unsigned site)
{
    if (!pointer || shadow_tag_quickly(pointer, size, site)) {
        return;
    }
    if (is_glibc) {
        shadow_set((uintptr_t)pointer, size, size <= 24 ? 24 : ((size + 8 + 15) & ~(size_t)15) - 8, site);
    } else if (size) { /* a block of none may share its granule, and nothing can be in it */
        shadow_set((uintptr_t)pointer, size, size <= 32 ? 32 : size <= 48 ? 48 : size, site);
    }
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static size_t get_size(const uint16_t *entry)
{
    size_t size = *entry % SHADOW_LONG;

    if (*entry & SHADOW_LONG) {
        for (int i = 3; i >= 1; i--) {
            size |= (size_t)(entry[i] % 0x4000) << (13 + 14 * (i - 1));
        }
    }
    return size;
}

static size_t get_from_room(const uint8_t *block, size_t room)
{
    uint16_t both;
    size_t size = block[room - 1];

    if (room > shadow_small_room && size >= SHADOW_SIZE >> 8) {
        memcpy(&both, block + room - sizeof(both), sizeof(both));
        size = both - SHADOW_SIZE;
    }
    return size < room ? size : room; /* overwritten by a program that forgot its size */
}

struct shadow_note shadow_read_elsewhere(const uint16_t *entry, uintptr_t address)
{
    struct shadow_note note = { .site = *entry & SHADOW_SITE_MASK };

    switch (*entry >> SHADOW_SITE_BITS) {
    case 2:
    case 3:
        note.size = get_from_room((const uint8_t *)address, shadow_small_room);
        break;
    case 4:
        note.size = shadow_small_room + 16;
        break;
    case 5:
        note.size = get_from_room((const uint8_t *)address, shadow_small_room + 16);
        break;
    default:
        note.size = entry[1] >= SHADOW_SIZE ? get_size(entry + 1) : shadow_small_room;
    }
    return note;
}

struct shadow_note shadow_get(uintptr_t address)
{
    struct shadow_region *region = shadow_region_of(address);
    const uint16_t *entry = region ? shadow_entry(region, address) : NULL;

    return entry && *entry && *entry < SHADOW_SIZE ? shadow_read(entry, address) : (struct shadow_note){ 0 };
}

struct shadow_note shadow_take(uintptr_t address)
{
    struct shadow_note note = shadow_get(address);

    shadow_clear((const void *)address);
    return note;
}

size_t shadow_size_at_most(const uint16_t *entry)
{
    return *entry >> SHADOW_SITE_BITS > 1 ? shadow_small_room + 16
           : entry[1] >= SHADOW_SIZE      ? get_size(entry + 1)
                                          : shadow_small_room;
}

static size_t count_in_page(const uint16_t *entries, const bool *wanted, size_t *bytes)
{
    size_t count = 0;

    for (size_t i = 0; i < (size_t)1 << (SHADOW_PAGE_SHIFT - SHADOW_GRANULE_SHIFT); i++) {
        uint16_t entry = entries[i];
        if (entry && entry < SHADOW_SIZE && wanted[entry & SHADOW_SITE_MASK]) {
            count++;
            *bytes += shadow_size_at_most(entries + i);
        }
    }
    return count;
}

size_t heap_count(const bool *wanted, size_t *ret_bytes)
{
    size_t count = 0, bytes = 0;

    for (struct shadow_region *region = atomic_load(&all_regions); region; region = region->next) {
        for (size_t page = 0; page < SHADOW_PAGES; page++) {
            const uint16_t *entries = region->entries + (page << (SHADOW_PAGE_SHIFT - SHADOW_GRANULE_SHIFT));
            count += region->touched[page] ? count_in_page(entries, wanted, &bytes) : 0;
        }
    }
    *ret_bytes = bytes;
    return count;
}

static bool has_any(const uint16_t *entries, const bool *wanted)
{
    for (size_t i = 0; i < (size_t)1 << (SHADOW_PAGE_SHIFT - SHADOW_GRANULE_SHIFT); i++) {
        if (entries[i] && entries[i] < SHADOW_SIZE && wanted[entries[i] & SHADOW_SITE_MASK]) {
            return true;
        }
    }
    return false;
}

void heap_pages(const bool *wanted, void (*visit)(void *context, uintptr_t start, size_t size), void *context)
{
    for (struct shadow_region *region = atomic_load(&all_regions); region; region = region->next) {
        for (size_t page = 0; page < SHADOW_PAGES; page++) {
            const uint16_t *entries = region->entries + (page << (SHADOW_PAGE_SHIFT - SHADOW_GRANULE_SHIFT));
            if (region->touched[page] && has_any(entries, wanted)) {
                visit(context, region->memory + (page << SHADOW_PAGE_SHIFT), (size_t)1 << SHADOW_PAGE_SHIFT);
            }
        }
    }
}
