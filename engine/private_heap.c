/*
 * A small allocator over mappings.
 *
 *     span, 64 kB, aligned to its size          large block: a span of its own, as long as it needs to be
 *     +--------+-----+-----+-----+----          +--------+----------------------------------
 *     | header | blk | blk | blk | ...          | header | the block
 *     +--------+-----+-----+-----+----          +--------+----------------------------------
 *
 * A span holds blocks of one size class; where a block begins, its span's header is found by masking. Classes
 * are sixteen bytes apart up to 128, then four to each doubling, so at most a fifth is lost. Spans that
 * become empty go back to the system, except one per class.
 */
#include "engine/private_heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/mapping.h"
#include "engine/watched.h"

#define SPAN_SIZE ((size_t)65536)
#define HEADER_SIZE ((size_t)64)
#define LARGEST_CLASS ((size_t)16384)
#define CLASS_COUNT 36
#define LARGE CLASS_COUNT /* span.class of a large block */

struct block {
    struct block *next;
};

struct span {
    struct span *next; /* in its class's list of spans with free blocks */
    struct span *previous;
    struct block *free;
    size_t mapped; /* bytes */
    uint32_t class;
    uint32_t used;  /* blocks handed out */
    uint32_t fresh; /* blocks that never were */
    uint32_t count;
};

_Static_assert(sizeof(struct span) <= HEADER_SIZE, "the header's place");

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct span *open_spans[CLASS_COUNT]; /* with at least one free block */
static size_t mapped;

/* 0 for up to 16 bytes, 1 for up to 32, ... 7 for up to 128, 8 for up to 160, ... */
static unsigned class_of(size_t size)
{
    if (size <= 128) {
        return size ? (unsigned)((size - 1) / 16) : 0;
    }
    unsigned power = 63 - (unsigned)__builtin_clzl(size - 1); /* 2^power <= size - 1 */
    unsigned quarter = (unsigned)((size - 1) >> (power - 2)) & 3;

    return 8 + (power - 7) * 4 + quarter;
}

static size_t class_size(unsigned class)
{
    if (class < 8) {
        return (class + 1) * 16;
    }
    size_t power = (size_t)128 << ((class - 8) / 4);

    return power + (power / 4) * ((class - 8) % 4 + 1);
}

static struct span *span_of(const void *pointer)
{
    return (struct span *)((uintptr_t)pointer & ~(SPAN_SIZE - 1));
}

/* Maps SIZE bytes (a multiple of the page size) at a multiple of SPAN_SIZE. */
static struct span *map_aligned(size_t size)
{
    struct span *span = mapping_create_aligned(size, SPAN_SIZE, "heap");

    if (span) {
        mapped += size;
        span->mapped = size;
    }
    return span;
}

static void unmap(struct span *span)
{
    mapped -= span->mapped;
    mapping_destroy(span);
}

static void open_span(struct span *span)
{
    span->previous = NULL;
    span->next = open_spans[span->class];
    if (span->next) {
        span->next->previous = span;
    }
    open_spans[span->class] = span;
}

static void close_span(struct span *span)
{
    if (span->previous) {
        span->previous->next = span->next;
    } else {
        open_spans[span->class] = span->next;
    }
    if (span->next) {
        span->next->previous = span->previous;
    }
}

static struct span *make_span(unsigned class)
{
    struct span *span = map_aligned(SPAN_SIZE);

    if (span) {
        span->class = class;
        span->count = (uint32_t)((SPAN_SIZE - HEADER_SIZE) / class_size(class));
        open_span(span);
    }
    return span;
}

static void *allocate_small(unsigned class)
{
    struct span *span = open_spans[class] ? open_spans[class] : make_span(class);
    void *pointer;

    if (!span) {
        return NULL;
    }
    if (span->free) {
        pointer = span->free;
        WATCHED_OPEN(pointer, sizeof(struct block));
        span->free = span->free->next;
    } else {
        pointer = (char *)span + HEADER_SIZE + span->fresh++ * class_size(class);
    }
    if (++span->used == span->count) {
        close_span(span);
    }
    return pointer;
}

static void *allocate_large(size_t size)
{
    if (size > PTRDIFF_MAX - 2 * SPAN_SIZE) {
        return NULL;
    }
    struct span *span = map_aligned((size + HEADER_SIZE + 4095) & ~(size_t)4095);

    if (!span) {
        return NULL;
    }
    span->class = LARGE;
    return (char *)span + HEADER_SIZE;
}

static void free_small(struct span *span, struct block *block)
{
    WATCHED_OPEN(block, sizeof(*block)); /* it may have been smaller */
    block->next = span->free;
    span->free = block;
    WATCHED_CLOSE(block, class_size(span->class));
    if (span->used-- == span->count) {
        open_span(span);
    }
    if (!span->used && (span->next || span->previous)) {
        close_span(span);
        unmap(span);
    }
}

/* The rest of its room is nobody's. */
static void give(void *pointer, size_t size)
{
    WATCHED_CLOSE(pointer, private_heap_usable(pointer));
    WATCHED_OPEN(pointer, size);
}

void *private_heap_allocate(size_t size)
{
    pthread_mutex_lock(&mutex);
    void *pointer = size <= LARGEST_CLASS ? allocate_small(class_of(size)) : allocate_large(size);
    if (pointer) {
        give(pointer, size);
    }
    pthread_mutex_unlock(&mutex);
    if (!pointer) {
        errno = ENOMEM;
    }
    return pointer;
}

void private_heap_free(void *pointer)
{
    if (!pointer) {
        return;
    }
    int saved = errno;
    struct span *span = span_of(pointer);

    pthread_mutex_lock(&mutex);
    if (span->class == LARGE) {
        unmap(span);
    } else {
        free_small(span, pointer);
    }
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

size_t private_heap_usable(const void *pointer)
{
    const struct span *span = pointer ? span_of(pointer) : NULL;

    if (!span) {
        return 0;
    }
    return span->class == LARGE ? span->mapped - HEADER_SIZE : class_size(span->class);
}

void *private_heap_resize(void *pointer, size_t size)
{
    size_t room = private_heap_usable(pointer);

    if (pointer && size <= room && size >= room / 2) {
        give(pointer, size);
        return pointer;
    }
    void *result = private_heap_allocate(size);
    if (result && pointer) {
        WATCHED_OPEN(pointer, room);
        memcpy(result, pointer, size < room ? size : room);
        private_heap_free(pointer);
    }
    return result;
}

size_t private_heap_mapped(void)
{
    pthread_mutex_lock(&mutex);
    size_t result = mapped;
    pthread_mutex_unlock(&mutex);
    return result;
}

void private_heap_fork_prepare(void)
{
    pthread_mutex_lock(&mutex);
}

void private_heap_fork_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

void private_heap_fork_child(void)
{
    pthread_mutex_init(&mutex, NULL);
}
