/* The engine's view of the program's heap (engine/heap/heap.h) over one mapping, filled from its start. */
#include "tests/unit/engine/fake_heap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/patch_file.h"
#include "engine/heap/heap.h"

#define AREA ((size_t)2 << 30)
#define GAP 48 /* between blocks */
#define BLOCKS_MAX (12u << 20)
#define SITES_MAX 1000

struct block {
    uint32_t offset, size, usable; /* in units of 1, from the area's start */
    uint32_t site;                 /* 0: it was freed, or is hidden */
    bool hidden;
};

/* Not in the engine's library: what is allocated while a policy runs is undone with what the program has
 * written. */
static struct {
    uint8_t *area;
    size_t used, left;
    struct block *blocks;
    size_t count;
    struct heap_site sites[SITES_MAX];
    size_t site_count;
} * heap;

static void make(void)
{
    if (!heap) {
        heap = mmap(NULL, sizeof(*heap), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        heap->area =
            mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        heap->blocks = mmap(NULL, BLOCKS_MAX * sizeof(struct block), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
}

void fake_heap_reset(void)
{
    make();
    madvise(heap->area, heap->used, MADV_DONTNEED);
    heap->used = GAP;
    heap->left = AREA;
    heap->count = 0;
    heap->site_count = HEAP_SITE_OTHERS;
}

unsigned fake_heap_site(const uintptr_t *callers)
{
    struct heap_site *site = &heap->sites[++heap->site_count];

    *site = (struct heap_site){ 0 };
    while (callers[site->depth]) {
        site->callers[site->depth] = callers[site->depth];
        site->depth++;
    }
    return (unsigned)heap->site_count;
}

void *fake_heap_block(size_t size, size_t usable, unsigned site)
{
    make();
    struct block *block = &heap->blocks[heap->count++];
    *block = (struct block){ (uint32_t)heap->used, (uint32_t)size, (uint32_t)usable, site, false };
    heap->used += (usable + 15) / 16 * 16 + GAP;
    return heap->area + block->offset;
}

void fake_heap_limit(size_t bytes)
{
    heap->left = bytes;
}

static struct block *find(uintptr_t address)
{
    size_t low = 0, high = heap->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct block *block = &heap->blocks[middle];
        if ((uintptr_t)heap->area + block->offset + block->usable <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < heap->count && (uintptr_t)heap->area + heap->blocks[low].offset <= address
               ? &heap->blocks[low]
               : NULL;
}

size_t fake_heap_size(void *block)
{
    return find((uintptr_t)block)->size;
}

unsigned fake_heap_site_of(void *block)
{
    const struct block *found = find((uintptr_t)block);

    return found ? found->site : 0;
}

size_t fake_heap_count(void)
{
    size_t count = 0;

    for (size_t i = 0; i < heap->count; i++) {
        count += heap->blocks[i].site != 0;
    }
    return count;
}

size_t fake_heap_hidden(void)
{
    size_t count = 0;

    for (size_t i = 0; i < heap->count; i++) {
        count += heap->blocks[i].hidden;
    }
    return count;
}

size_t fake_heap_used(void)
{
    return heap->used;
}

static uint64_t hash_on(uint64_t hash, size_t start, size_t size)
{
    for (size_t i = start; i < start + size; i++) {
        hash = (hash ^ heap->area[i]) * 1099511628211u;
    }
    return hash;
}

uint64_t fake_heap_hash_of(size_t size)
{
    return hash_on(14695981039346656037u, 0, size);
}

/* The first byte behind the last block that is in use. */
static size_t end_of_used(void)
{
    size_t end = 0;

    for (size_t i = 0; i < heap->count; i++) {
        const struct block *block = &heap->blocks[i];
        end = block->site ? block->offset + block->usable : end;
    }
    return end;
}

uint64_t fake_heap_hash(void)
{
    uint64_t hash = fake_heap_hash_of(0);
    size_t at = 0, end = end_of_used();

    for (size_t i = 0; i < heap->count; i++) {
        const struct block *block = &heap->blocks[i];
        if (block->hidden && block->offset < end) {
            hash = hash_on(hash, at, block->offset - at);
            at = block->offset + block->usable;
        }
    }
    return hash_on(hash, at, end - at);
}

/* ---- engine/heap/heap.h ---------------------------------------------------------------------------- */

static struct heap_block describe(const struct block *block)
{
    return (struct heap_block){ (uintptr_t)heap->area + block->offset, block->size, block->usable,
                                block->site };
}

size_t heap_site_count(void)
{
    return SITES_MAX - 1;
}

const struct heap_site *heap_site(unsigned id)
{
    return id && id < SITES_MAX ? &heap->sites[id] : NULL;
}

unsigned heap_site_synthetic(void)
{
    static unsigned synthetic = SITES_MAX / 2; /* they outlive what a test has made */

    return ++synthetic < SITES_MAX ? synthetic : 0;
}

int heap_refresh(void)
{
    make();
    return 0;
}

void heap_walk(const bool *wanted, heap_visitor *visit, void *context)
{
    for (size_t i = 0; i < heap->count; i++) {
        struct heap_block block = describe(&heap->blocks[i]);
        if (block.site && (!wanted || wanted[block.site]) && !visit(context, &block)) {
            return;
        }
    }
}

#define PART 1000 /* blocks */

size_t heap_parts(void)
{
    return (heap->count + PART - 1) / PART;
}

size_t heap_part_turn(size_t turn, size_t count)
{
    return count - 1 - turn;
}

void heap_part(size_t number, uintptr_t *ret_start, uintptr_t *ret_end)
{
    size_t last = (number + 1) * PART < heap->count ? (number + 1) * PART : heap->count - 1;

    *ret_start = (uintptr_t)heap->area + heap->blocks[number * PART].offset;
    *ret_end = (uintptr_t)heap->area + heap->blocks[last].offset + heap->blocks[last].usable;
}

void heap_walk_part(size_t number, const bool *wanted, heap_filter *concerns, heap_visitor_of_many *visit,
                    void *context)
{
    struct heap_block some[HEAP_VISITED_MAX];
    size_t count = 0;
    uintptr_t start, end;

    heap_part(number, &start, &end);
    if (concerns && !concerns(context, start, end)) {
        return;
    }

    for (size_t i = number * PART; i < heap->count && i < (number + 1) * PART; i++) {
        some[count] = describe(&heap->blocks[i]);
        count += some[count].site && wanted[some[count].site];
        if (count == HEAP_VISITED_MAX) {
            if (!visit(context, some, count)) {
                return;
            }
            count = 0;
        }
    }
    if (count) {
        visit(context, some, count);
    }
}

bool heap_find(uintptr_t address, struct heap_block *ret)
{
    const struct block *block = find(address);

    if (!block || !block->site) {
        return false;
    }
    *ret = describe(block);
    return true;
}

bool heap_find_guarded(uintptr_t address, struct heap_block *ret)
{
    return heap_find(address, ret);
}

unsigned heap_site_at(uintptr_t address)
{
    const struct block *block = find(address);

    return block && (uintptr_t)heap->area + block->offset == address ? block->site : 0;
}

void heap_words_lead(const uintptr_t *objects, size_t offset, size_t count, const uint32_t *meanings,
                     uint32_t wanted, bool *ret)
{
    for (size_t i = 0; i < count; i++) {
        uintptr_t value;
        memcpy(&value, (const void *)(objects[i] + offset), sizeof(value));
        ret[i] &= !value || meanings[heap_site_at(value)] == wanted;
    }
}

size_t heap_count(const bool *wanted, size_t *ret_bytes)
{
    size_t count = 0;

    *ret_bytes = 0;
    for (size_t i = 0; i < heap->count; i++) {
        if (heap->blocks[i].site && wanted[heap->blocks[i].site]) {
            count++;
            *ret_bytes += heap->blocks[i].size;
        }
    }
    return count;
}

void heap_pages(const bool *wanted, void (*visit)(void *context, uintptr_t start, size_t size), void *context)
{
    for (size_t i = 0; i < heap->count; i++) {
        if (heap->blocks[i].site && wanted[heap->blocks[i].site]) {
            visit(context, (uintptr_t)heap->area + heap->blocks[i].offset, 1 << 16);
        }
    }
}

bool heap_touched(uintptr_t address)
{
    return address - (uintptr_t)heap->area < heap->used;
}

void heap_retag(uintptr_t start, unsigned site, size_t size)
{
    struct block *block = find(start);

    if (size > block->usable) {
        abort();
    }
    block->site = site;
    block->size = (uint32_t)size;
    if (size < block->usable) { /* as the real one may */
        memset((uint8_t *)start + block->usable - 1, (int)(block->usable - size), 1);
    }
}

struct code_range heap_allocator_code(void)
{
    return (struct code_range){ 0, 0 };
}

void heap_make_room(void)
{
}

void *heap_allocate(size_t size, unsigned site)
{
    if (size > heap->left) {
        return NULL;
    }
    heap->left -= size;
    void *block = fake_heap_block(size, (size + 15) / 16 * 16 + 8, site);
    memset(block, 0xee, size);
    return block;
}

void *heap_allocate_aligned(size_t alignment, size_t size, unsigned site)
{
    return alignment <= MOLT_ALIGNMENT_ANYWHERE ? heap_allocate(size, site)
                                                : NULL; /* whole programs show the others */
}

void heap_hide(uintptr_t start)
{
    find(start)->site = 0;
    find(start)->hidden = true;
}

void heap_show(uintptr_t start, size_t size, unsigned site)
{
    find(start)->site = site;
    find(start)->hidden = false;
    find(start)->size = (uint32_t)size;
}

size_t heap_usable(uintptr_t start)
{
    return find(start)->usable;
}

void heap_release(void *pointer)
{
    find((uintptr_t)pointer)->site = 0;
    find((uintptr_t)pointer)->hidden = false;
}

void heap_defer_frees(heap_later *later)
{
}

const char *heap_allocator(void)
{
    return "fake";
}

void heap_list_mappings(void)
{
}

void heap_code_added(uintptr_t start, uintptr_t end, const uint8_t *eh_frame_header)
{
}

void heap_code_removed(uintptr_t start, uintptr_t end)
{
}

void heap_after_fork(void)
{
}

/* Blocks are of one area, and have no headers. */
bool heap_has_headers(void)
{
    return false;
}

bool heap_first(uintptr_t from, uintptr_t end, struct heap_block *ret)
{
    return false;
}
