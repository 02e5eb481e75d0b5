/*
 * malloc and its family, as the program calls them: each notes the block's site in the shadow, or forgets the
 * block, and leaves the rest to the allocator underneath (next.h). What that answers, and how it sets errno,
 * is what the program gets.
 *
 * A block is forgotten before it is given back and noted after it was received, so an entry is never written
 * by two threads. All of this lies in a section of its own, and nothing is called by a jump from here (see
 * meson.build): as long as a thread is inside the allocator, it has a frame in this section, and a safe point
 * waits for it to leave.
 *
 * The functions have frame pointers, since chains of callers start at them.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/patch_file.h"
#include "engine/code/lookup.h"
#include "engine/heap/heap.h"
#include "engine/heap/next.h"
#include "engine/heap/shadow.h"
#include "engine/heap/sites.h"

#define ALLOCATOR __attribute__((section("molt_allocator"), noinline))
#define EXPORTED ALLOCATOR __attribute__((visibility("default"), used))
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

extern const char __start_molt_allocator[] __attribute__((visibility("hidden")));
extern const char __stop_molt_allocator[] __attribute__((visibility("hidden")));

/* not in glibc's headers any more, or not yet; old programs and new ones call them */
void cfree(void *pointer);
void free_sized(void *pointer, size_t size);
void free_aligned_sized(void *pointer, size_t alignment, size_t size);

struct code_range heap_allocator_code(void)
{
    uintptr_t start = (uintptr_t)__start_molt_allocator;

    return (struct code_range){ start, (uintptr_t)__stop_molt_allocator - start };
}

/* A call's return address and frame pointer: what its site is found by. */
#define CALLER (uintptr_t) __builtin_return_address(0), (const uintptr_t *)__builtin_frame_address(0)

#define CALLER_SITE() (next_library() ? site_of(CALLER) : HEAP_SITE_OTHERS)

/* Notes a block that a function called by the program was given, and passes it on. */
ALLOCATOR static void *note(void *block, size_t size, uintptr_t return_address, const uintptr_t *frame)
{
    if (next_library()) { /* else a sanitizer's, which may not be ready for anything else */
        shadow_tag(block, size, site_of(return_address, frame));
    }
    return block;
}

/* The same for what nearly always is quick. */
#define NOTE(block, size) (LIKELY(tag_quickly(block, size, CALLER)) ? (block) : note(block, size, CALLER))

static inline __attribute__((always_inline)) bool
tag_quickly(void *block, size_t size, uintptr_t return_address, const uintptr_t *frame)
{
    unsigned site = site_if_known(return_address, frame);

    return LIKELY(site) && shadow_tag_quickly(block, size, site);
}

EXPORTED void *malloc(size_t size)
{
    if (UNLIKELY(!next.malloc) && !next_find()) {
        return next_early(size);
    }
    void *block = next.malloc(size);
    return NOTE(block, size);
}

EXPORTED void free(void *pointer)
{
    if (UNLIKELY(next_is_early(pointer)) || (UNLIKELY(!next.free) && !next_find())) {
        return;
    }
    shadow_clear(pointer);
    next.free(pointer);
}

EXPORTED void *calloc(size_t count, size_t size)
{
    size_t total = 0;
    bool overflow = __builtin_mul_overflow(count, size, &total);

    if (UNLIKELY(!next.calloc) && !next_find()) {
        return overflow ? NULL : next_early(total);
    }
    void *block = next.calloc(count, size);
    return NOTE(block, total);
}

ALLOCATOR static void *allocate(size_t size, unsigned site)
{
    if (UNLIKELY(!next.malloc) && !next_find()) {
        return next_early(size);
    }
    void *block = next.malloc(size);
    shadow_tag(block, size, site);
    return block;
}

/* What early gave stays where it is; its content moves to the allocator. */
ALLOCATOR static void *move_early(void *pointer, size_t size, unsigned site)
{
    size_t old = next_early_size(pointer);
    void *block = allocate(size, site);

    return block ? memcpy(block, pointer, old < size ? old : size) : NULL;
}

ALLOCATOR static void *resize(void *pointer, size_t size, unsigned site)
{
    if (UNLIKELY((!next.realloc && !next_find()) || next_is_early(pointer))) {
        return pointer ? move_early(pointer, size, site) : allocate(size, site);
    }
    struct shadow_note note = shadow_take((uintptr_t)pointer);
    void *block = next.realloc(pointer, size);
    if (block) {
        shadow_tag(block, size, site);
    } else if (note.site && size) { /* it is still there; of 0 bytes, it is not */
        shadow_set((uintptr_t)pointer, note.size, next_usable((uintptr_t)pointer), note.site);
    }
    return block;
}

EXPORTED void *realloc(void *pointer, size_t size)
{
    return resize(pointer, size, CALLER_SITE());
}

EXPORTED void *reallocarray(void *pointer, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(pointer, total, CALLER_SITE());
}

/* ---- aligned ----------------------------------------------------------------------------------------- */

/* Notes what one of the following functions gave: they round as they like. */
ALLOCATOR static void *note_aligned(void *block, size_t size, unsigned site)
{
    if (block && (size || next_is_glibc())) {
        shadow_set((uintptr_t)block, size, next_usable((uintptr_t)block), site);
    }
    return block;
}

EXPORTED void *memalign(size_t alignment, size_t size)
{
    return next.memalign || next_find() ? note_aligned(next.memalign(alignment, size), size, CALLER_SITE())
                                        : NULL;
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size)
{
    return next.aligned_alloc || next_find()
               ? note_aligned(next.aligned_alloc(alignment, size), size, CALLER_SITE())
               : NULL;
}

EXPORTED int posix_memalign(void **ret, size_t alignment, size_t size)
{
    if (!next.posix_memalign && !next_find()) {
        return ENOMEM;
    }
    int status = next.posix_memalign(ret, alignment, size);
    if (status == 0) {
        note_aligned(*ret, size, CALLER_SITE());
    }
    return status;
}

EXPORTED void *valloc(size_t size)
{
    return next.valloc || next_find() ? note_aligned(next.valloc(size), size, CALLER_SITE()) : NULL;
}

EXPORTED void *pvalloc(size_t size)
{
    return next.pvalloc || next_find() ? note_aligned(next.pvalloc(size), size, CALLER_SITE()) : NULL;
}

/* ---- the rest ---------------------------------------------------------------------------------------- */

EXPORTED void cfree(void *pointer)
{
    free(pointer);
}

EXPORTED void free_sized(void *pointer, size_t size)
{
    free(pointer);
}

EXPORTED void free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
    free(pointer);
}

/* Whoever asks may use what he hears of. */
EXPORTED size_t malloc_usable_size(void *pointer)
{
    if (next_is_early(pointer)) {
        return next_early_size(pointer);
    }
    if (!next.malloc_usable_size && !next_find()) {
        return 0;
    }
    size_t usable = next.malloc_usable_size(pointer);
    struct shadow_note note = shadow_get((uintptr_t)pointer);
    if (note.site && note.size != usable) {
        shadow_take((uintptr_t)pointer);
        shadow_set((uintptr_t)pointer, usable, usable, note.site);
    }
    return usable;
}

/* These take the allocator's locks, too. */

EXPORTED int malloc_trim(size_t pad)
{
    return next.malloc_trim || next_find() ? next.malloc_trim(pad) : 0;
}

EXPORTED int mallopt(int parameter, int value)
{
    return next.mallopt || next_find() ? next.mallopt(parameter, value) : 0;
}

EXPORTED struct mallinfo mallinfo(void)
{
    return next.mallinfo || next_find() ? next.mallinfo() : (struct mallinfo){ 0 };
}

EXPORTED struct mallinfo2 mallinfo2(void)
{
    return next.mallinfo2 || next_find() ? next.mallinfo2() : (struct mallinfo2){ 0 };
}

EXPORTED void malloc_stats(void)
{
    if (next.malloc_stats || next_find()) {
        next.malloc_stats();
    }
}

EXPORTED int malloc_info(int options, FILE *stream)
{
    return next.malloc_info || next_find() ? next.malloc_info(options, stream) : EINVAL;
}

/* What is closed may take call sites with it. */
__attribute__((visibility("default"), used)) int dlclose(void *handle)
{
    if (!next.dlclose && !next_find()) {
        return -1;
    }
    int status = next.dlclose(handle);
    int saved = errno;
    sites_forget_unloaded();
    errno = saved;
    return status;
}

/* ---- the engine as the program ----------------------------------------------------------------------- */

void *heap_allocate(size_t size, unsigned site)
{
    return allocate(size, site);
}

void *heap_allocate_aligned(size_t alignment, size_t size, unsigned site)
{
    return alignment <= MOLT_ALIGNMENT_ANYWHERE ? allocate(size, site)
           : next.memalign || next_find()       ? note_aligned(next.memalign(alignment, size), size, site)
                                                : NULL;
}

void heap_release(void *pointer)
{
    free(pointer);
}

ALLOCATOR void heap_make_room(void)
{
    uintptr_t block = next_is_glibc() ? (uintptr_t)next.malloc(HEAP_ROOM) : 0;

    if (block) {
        madvise((void *)((block + 4095) & ~4095ul), HEAP_ROOM - 4096, MADV_POPULATE_WRITE);
        next.free((void *)block);
    }
}

static struct {
    heap_later *later;
    void (*free)(void *);
    void *(*realloc)(void *, size_t);
} deferred;

static void free_later(void *pointer)
{
    if (pointer) {
        deferred.later(deferred.free, pointer);
    }
}

static void *move_and_free_later(void *pointer, size_t size)
{
    void *block = size || !pointer ? next.malloc(size) : NULL;
    size_t old = pointer ? next_usable((uintptr_t)pointer) : 0;

    if (block && pointer) {
        memcpy(block, pointer, old < size ? old : size);
    }
    if (block || !size) { /* else it stays what it is */
        free_later(pointer);
    }
    return block;
}

void heap_defer_frees(heap_later *later)
{
    if (later && !deferred.later && next.free) {
        deferred.free = next.free;
        deferred.realloc = next.realloc;
        deferred.later = later;
        next.free = free_later;
        next.realloc = move_and_free_later;
    } else if (!later && deferred.later) {
        next.free = deferred.free;
        next.realloc = deferred.realloc;
        deferred.later = NULL;
    }
}

static const char *allocator;

/* While there is one thread. */
__attribute__((constructor)) static void find_allocator(void)
{
    bool is_ours = lookup_definition("malloc", LOOKUP_FROM_FIRST) == (uintptr_t)malloc;

    allocator = is_ours && (next.malloc || next_find()) ? next_library() : NULL;
}

const char *heap_allocator(void)
{
    return allocator;
}
