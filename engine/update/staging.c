/* Chunks of mapped memory, linked in the order in which they are filled. Every entry lies in one chunk. */
#include "engine/update/staging.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mapping.h"
#include "engine/parallel.h"
#include "engine/proc.h"

#define CHUNK_SIZE ((size_t)4 << 20)
#define PART_SIZE ((size_t)128 << 10)
#define LARGE_PAGE ((size_t)2 << 20)
#define HEADER_SIZE 64

_Static_assert(sizeof(struct staging_chunk) <= HEADER_SIZE, "the header's place");

static struct staging_chunk *begin(void *memory, size_t size)
{
    struct staging_chunk *chunk = memory;

    if (chunk) {
        *chunk = (struct staging_chunk){ .mapped = size, .used = HEADER_SIZE };
    }
    return chunk;
}

static struct staging_chunk *map_chunk(size_t size)
{
    return begin(mapping_create(NULL, size, PROT_READ | PROT_WRITE, 0, "update"), size);
}

/* All of it touched, in large pages if there are any: clearing small ones takes the kernel several times as
 * long. */
static struct staging_chunk *map_populated(size_t size)
{
    if (size < LARGE_PAGE) {
        return begin(mapping_create(NULL, size, PROT_READ | PROT_WRITE, MAP_POPULATE, "update"), size);
    }
    size = (size + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
    uint8_t *memory = mapping_create_aligned(size, LARGE_PAGE, "update");
    if (memory) {
        madvise(memory, size, MADV_HUGEPAGE);
        for (size_t at = 0; at < size; at += 4096) {
            ((volatile uint8_t *)memory)[at] = 0;
        }
    }
    return begin(memory, size);
}

/* Behind the chunk that is being filled: it is filled next. */
static void append(struct staging *staging, struct staging_chunk *chunk)
{
    if (staging->last) {
        chunk->next = staging->last->next;
        staging->last->next = chunk;
    } else {
        staging->first = staging->last = chunk;
    }
}

/* What the system could give now without taking it from others; mapping more would succeed, and end in the
 * kernel's killing somebody. */
size_t staging_available(void)
{
    int64_t kilobytes = proc_number("/proc/meminfo", "MemAvailable:");

    return kilobytes < 0 ? SIZE_MAX : (size_t)kilobytes << 10;
}

static struct staging_chunk *reserve(size_t size)
{
    size_t mapped = (size + HEADER_SIZE + 4095) & ~4095ul;

    return mapped > staging_available() ? NULL : map_populated(mapped);
}

int staging_reserve(struct staging *staging, size_t size)
{
    struct staging_chunk *chunk = reserve(size);

    if (!chunk) {
        return -ENOMEM;
    }
    append(staging, chunk);
    return 0;
}

int staging_reserve_parts(struct staging *staging, size_t size)
{
    struct staging_chunk *whole = reserve(size + PARALLEL_MAX * PART_SIZE);
    size_t mapped = whole ? whole->mapped : 0;

    for (size_t at = 0; at < mapped; at += PART_SIZE) {
        struct staging_chunk *part =
            begin((uint8_t *)whole + at, mapped - at < PART_SIZE ? mapped - at : PART_SIZE);
        part->part = at > 0;
        append(staging, part);
    }
    return whole ? 0 : -ENOMEM;
}

/* The first part of POOL, which others may be taking parts of. Nobody gives one back meanwhile. */
static struct staging_chunk *take_part(struct staging *pool)
{
    struct staging_chunk *part = __atomic_load_n(&pool->first, __ATOMIC_ACQUIRE);

    while (part && !__atomic_compare_exchange_n(&pool->first, &part, part->next, false, __ATOMIC_ACQ_REL,
                                                __ATOMIC_ACQUIRE)) {
    }
    if (part) {
        part->next = NULL;
    }
    return part;
}

void *staging_push_chunk(struct staging *staging, size_t size)
{
    struct staging_chunk *next = staging->last ? staging->last->next : NULL;

    if (!next && staging->pool && (next = take_part(staging->pool))) {
        append(staging, next);
    }
    if (!next || size > next->mapped - next->used) {
        size_t wanted = (size + HEADER_SIZE + 4095) & ~4095ul;
        next = map_chunk(wanted > CHUNK_SIZE ? wanted : CHUNK_SIZE);
        if (!next) {
            return NULL;
        }
        append(staging, next);
    }
    staging->last = next;
    return staging_push(staging, size);
}

void staging_pop(struct staging *staging, size_t size)
{
    staging->last->used -= (size + 15) & ~15ul;
}

void *staging_next(const struct staging *staging, struct staging_position *position)
{
    if (!position->chunk) {
        *position = (struct staging_position){ staging->first, HEADER_SIZE };
    }
    while (position->chunk && position->offset >= position->chunk->used) {
        struct staging_chunk *next = position->chunk->next;
        if (!next) {
            return NULL;
        }
        *position = (struct staging_position){ next, HEADER_SIZE };
    }
    return position->chunk ? (uint8_t *)position->chunk + position->offset : NULL;
}

void staging_advance(struct staging_position *position, size_t size)
{
    position->offset += (size + 15) & ~15ul;
}

void staging_join(struct staging *to, struct staging *from)
{
    struct staging_chunk **end = &to->first;

    if (!from->first) {
        return;
    }
    while (*end) {
        end = &(*end)->next;
    }
    *end = from->first;
    to->last = from->last;
    *from = (struct staging){ 0 };
}

/* Parts go with the mapping that they are of. */
void staging_deinit(struct staging *staging)
{
    struct staging_chunk *mappings = NULL, *next;

    for (struct staging_chunk *chunk = staging->first; chunk; chunk = next) {
        next = chunk->next;
        if (!chunk->part) {
            chunk->next = mappings;
            mappings = chunk;
        }
    }
    for (; mappings; mappings = next) {
        next = mappings->next;
        mapping_destroy(mappings);
    }
    *staging = (struct staging){ 0 };
}
