/*
 * The page log. Memory is saved and made writable again in pieces of 64 kB, since each change of protection
 * splits a mapping, and a process may have 65530 of them; pieces that are written side by side join again.
 *
 * Left out are the engine's memory and its thread's stack; the pages in which threads stand in the stop's
 * handler; and those with the threads' control blocks, which the kernel writes (rseq) whenever it moves a
 * thread. What the program has in the last, a few thread-local variables, is copied beforehand.
 */
#include "engine/update/page_log.h"

#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/update/state_private.h"
#include "engine/watched.h"

#define PIECE (64ul << 10)
#define PAGE 4096ul
#define HANDLER_ROOM                                                                                         \
    (16ul << 10) /* around a stopped thread's saved registers: frames of the handler, vector registers */
#define CONTROL_BLOCK 4096ul /* struct pthread */
#define STATIC_TLS_MAX (128ul << 10)

struct saved {
    uintptr_t start;
    size_t size;
    uint8_t bytes[];
};

static struct page_log *active;
static uintptr_t tls_low; /* where the static thread-local memory of the engine's thread begins */

static int find_tls(struct dl_phdr_info *info, size_t size, void *context)
{
    uintptr_t block = (uintptr_t)info->dlpi_tls_data, thread = (uintptr_t)__builtin_thread_pointer();

    if (block && block < tls_low && block < thread && thread - block < STATIC_TLS_MAX) {
        tls_low = block;
    }
    return 0;
}

void page_log_init(void)
{
    tls_low = (uintptr_t)__builtin_thread_pointer();
    dl_iterate_phdr(find_tls, NULL);
}

size_t page_log_tls_size(void)
{
    return (uintptr_t)__builtin_thread_pointer() - tls_low;
}

/* ---- what is protected ----------------------------------------------------------------------------- */

static int add_range(struct page_log *log, uintptr_t start, uintptr_t end, const struct region *region)
{
    if (start >= end) {
        return 0;
    }
    if (log->count == log->capacity) {
        size_t capacity = log->capacity ? log->capacity * 2 : 1024;
        struct protected_range *grown = state_map(capacity, sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        if (log->count) {
            memcpy(grown, log->ranges, log->count * sizeof(*grown));
        }
        state_unmap(log->ranges);
        log->ranges = grown;
        log->capacity = capacity;
    }
    log->ranges[log->count++] = (struct protected_range){
        .start = start,
        .end = end,
        .rights = PROT_READ | PROT_WRITE | (region->executable ? PROT_EXEC : 0),
        .shared = region->shared,
    };
    return 0;
}

static int add_mappings(struct page_log *log)
{
    int status = memory_map_read(&log->map);

    log->count = 0;
    for (size_t i = 0; i < log->map.count && status == 0; i++) {
        const struct region *region = &log->map.items[i];
        if (region->writable && region->readable && region->kind != REGION_KERNEL) {
            status = add_range(log, region->start, region->end, region);
        }
    }
    return status;
}

/* Takes [start, end), widened to pages, out of what is protected. */
static void exclude(struct page_log *log, uintptr_t start, uintptr_t end)
{
    start &= ~(PAGE - 1);
    end = (end + PAGE - 1) & ~(PAGE - 1);
    for (size_t i = 0; i < log->count; i++) {
        struct protected_range *range = &log->ranges[i];
        if (range->end <= start || range->start >= end) {
            continue;
        }
        struct protected_range above = *range;
        above.start = end;
        range->end = range->start < start ? start : range->start;
        if (above.start < above.end) {
            const struct region rest = { .executable = above.rights & PROT_EXEC, .shared = above.shared };
            add_range(log, above.start, above.end, &rest); /* without memory it stays unprotected */
        }
    }
}

static int save(struct page_log *log, uintptr_t start, size_t size)
{
    struct saved *saved = staging_push(&log->saved[log->phases - 1], sizeof(*saved) + size);

    if (!saved) {
        return -ENOMEM;
    }
    saved->start = start;
    saved->size = size;
    copy_unwatched(saved->bytes, (const void *)start, size);
    return 0;
}

static int leave_threads(struct page_log *log, const struct world *world)
{
    int status = 0;

    for (size_t i = 0; i < world->count && status == 0; i++) {
        const struct stopped_thread *thread = &world->threads[i];
        uintptr_t context = (uintptr_t)thread->context, control = thread->thread_pointer;
        exclude(log, context - HANDLER_ROOM, context + HANDLER_ROOM);
        exclude(log, control, control + CONTROL_BLOCK);
        status = save(log, control & ~(PAGE - 1), control % PAGE);
    }
    return status;
}

static int leave_own_thread(struct page_log *log)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), control = (uintptr_t)__builtin_thread_pointer();
    const struct region *stack = memory_map_find(&log->map, here);

    if (stack) { /* other memory may join it above the control block */
        bool joined = control > here && control < stack->end;
        exclude(log, stack->start, joined ? control + CONTROL_BLOCK : stack->end);
    }
    exclude(log, tls_low, control + CONTROL_BLOCK);
    return save(log, tls_low, control - tls_low);
}

int page_log_begin(struct page_log *log, const struct world *world)
{
    if (log->phases++ && !log->first.items) {
        log->first = log->map;
        log->map = (struct memory_map){ 0 };
    }
    log->exhausted = false;
    int status = add_mappings(log);
    status = status < 0 ? status : leave_own_thread(log);
    status = status < 0 ? status : leave_threads(log, world);
    if (status < 0) {
        return status;
    }
    active = log;
    log->active = true;
    for (size_t i = 0; i < log->count; i++) { /* what cannot be protected (special devices) is left alone */
        mprotect((void *)log->ranges[i].start, log->ranges[i].end - log->ranges[i].start,
                 log->ranges[i].rights & ~PROT_WRITE);
    }
    return 0;
}

void page_log_pause(struct page_log *log)
{
    for (size_t i = 0; i < log->count && log->active; i++) {
        mprotect((void *)log->ranges[i].start, log->ranges[i].end - log->ranges[i].start,
                 log->ranges[i].rights);
    }
    log->active = false;
    active = NULL;
}

void page_log_keep(struct page_log *log)
{
    page_log_pause(log);
    log->kept = log->phases;
}

bool page_log_write(uintptr_t address)
{
    const struct protected_range *range = NULL;

    for (size_t i = 0; active && i < active->count && !range; i++) {
        range =
            address >= active->ranges[i].start && address < active->ranges[i].end ? &active->ranges[i] : NULL;
    }
    if (!range || range->shared) { /* others may be writing to shared memory: it cannot be put back */
        return false;
    }
    uintptr_t start = address & ~(PIECE - 1), end = start + PIECE;
    start = start > range->start ? start : range->start;
    end = end < range->end ? end : range->end;
    if (save(active, start, end - start) < 0 || mprotect((void *)start, end - start, range->rights) < 0) {
        active->exhausted = true;
        return false;
    }
    return true;
}

/* ---- back ------------------------------------------------------------------------------------------ */

static void undo_phase(struct staging *phase)
{
    struct staging_position position = { 0 };
    struct saved *saved;

    while ((saved = staging_next(phase, &position))) {
        staging_advance(&position, sizeof(*saved) + saved->size);
        copy_unwatched((void *)saved->start, saved->bytes, saved->size);
    }
    staging_deinit(phase);
}

/* Empties what of [start, end) could not be read before. */
static void empty(const struct memory_map *before, uintptr_t start, uintptr_t end)
{
    for (size_t i = 0; i < before->count && start < end; i++) {
        const struct region *region = &before->items[i];
        if (!region->readable || region->end <= start) {
            continue;
        }
        if (region->start > start) {
            uintptr_t until = region->start < end ? region->start : end;
            madvise((void *)start, until - start, MADV_DONTNEED);
        }
        start = region->end;
    }
    if (start < end) {
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
}

/* Memory that an allocator has taken meanwhile is not given back: it has forgotten it, takes it once more,
 * and expects that to be zero, as what comes from the system is. */
static void empty_new_memory(const struct memory_map *before)
{
    struct memory_map now = { 0 };

    if (memory_map_read(&now) == 0) {
        for (size_t i = 0; i < now.count; i++) {
            const struct region *region = &now.items[i];
            bool ours = region->kind == REGION_SHADOW || region->kind == REGION_PATCHES;
            if (!ours && region->writable && !region->shared && region->kind != REGION_STACK) {
                empty(before, region->start, region->end);
            }
        }
    }
    memory_map_deinit(&now);
}

void page_log_undo_last(struct page_log *log)
{
    page_log_pause(log);
    if (log->phases > log->kept) {
        undo_phase(&log->saved[--log->phases]);
    }
}

void page_log_undo_all(struct page_log *log)
{
    page_log_pause(log);
    for (unsigned i = log->phases; i-- > 0;) {
        undo_phase(&log->saved[i]);
    }
    if (log->map.items) {
        empty_new_memory(log->first.items ? &log->first : &log->map);
    }
}

void page_log_deinit(struct page_log *log)
{
    for (unsigned i = 0; i < PAGE_LOG_PHASES; i++) {
        staging_deinit(&log->saved[i]);
    }
    memory_map_deinit(&log->map);
    memory_map_deinit(&log->first);
    state_unmap(log->ranges);
    *log = (struct page_log){ 0 };
}
