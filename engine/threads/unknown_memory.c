/*
 * Memory is read as a whole, word by word, as far as it is there; what a word lies in is only asked where one
 * is found. So the search costs what reading the memory costs.
 *
 * Dead memory is full of return addresses: below stack pointers, on stacks for signals, in blocks that were
 * freed, on stacks of threads that are gone, which glibc keeps for others. These are told:
 *
 *     a thread's own mapping   | below | in use, walked | control block: the thread pointer, leads to itself
 * |
 *
 * Small blocks hold no stack.
 */
#include "engine/threads/unknown_memory.h"

#include <emmintrin.h>
#include <signal.h>
#include <unistd.h>

#include "engine/heap/heap.h"
#include "engine/heap/present.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/unwind.h"
#include "engine/update/memory_map.h"
#include "engine/watched.h"

#define SMALLEST_STACK 1024
#define RED_ZONE 128
#define PAGE 4096ul
#define CONTROL_WITHIN (64ul << 10) /* of the end of a thread's mapping: thread-local variables lie there */
/* Words of a control block (tcbhead_t): the first one leads to itself, and so does another; those that code
 * compares with are the same for all threads. */
enum { SELF = 2, STACK_GUARD = 5, POINTER_GUARD = 6, CONTROL_WORDS };
#define USED_MAX 1024

static const struct world *world;
static struct memory_map map;
static int pagemap = -1;
static const struct region *asked_of; /* whether a thread that is gone had it, and the answer */
static bool answered;

/* Parts of stacks that threads are on which are not their own, with what is dead below. */
static struct used {
    uintptr_t low, high;
} used[USED_MAX];
static size_t used_count;

/* ---- threads --------------------------------------------------------------------------------------- */

static uintptr_t pointer_of(const struct stopped_thread *thread)
{
    return (uintptr_t)thread->context->uc_mcontext.gregs[REG_RSP];
}

static bool is_in(const struct region *region, uintptr_t address)
{
    return address >= region->start && address < region->end;
}

/* Whether REGION has the stack that THREAD was started with. */
static bool is_own(const struct region *region, const struct stopped_thread *thread)
{
    return thread->tid == world->process
               ? region->kind == REGION_STACK
               : region->kind == REGION_ANONYMOUS && is_in(region, thread->thread_pointer);
}

static bool is_for_signals(const struct stopped_thread *thread, uintptr_t address)
{
    const stack_t *stack = &thread->context->uc_stack;

    return !(stack->ss_flags & SS_DISABLE) && address - (uintptr_t)stack->ss_sp < stack->ss_size;
}

struct walked {
    uintptr_t last;   /* slot */
    bool for_signals; /* it begins on a stack for signals, from which it goes on on the one below */
};

/* Only what a signal has interrupted is on another stack. Where a coroutine ends there may be anything, the
 * frame pointer of who made it, too. */
static bool note_slot(void *context, const struct stack_frame *frame)
{
    struct walked *walked = context;
    uintptr_t slot = frame->return_slot;

    if (slot && (slot < walked->last || unwind_stack_end(slot) != unwind_stack_end(walked->last))) {
        if (!walked->for_signals || used_count == USED_MAX) {
            return false;
        }
        used[used_count++] = (struct used){ slot, slot };
    }
    if (slot) {
        used[used_count - 1].high = walked->last = slot;
    }
    return true;
}

/* Where a thread is that has left its own stack. */
static void note_used(const struct stopped_thread *thread)
{
    uintptr_t sp = pointer_of(thread), lost_sp;
    struct walked walked = { .last = sp, .for_signals = is_for_signals(thread, sp) };
    const struct region *region = memory_map_find(&map, sp);

    if (used_count == USED_MAX || !region || is_own(region, thread)) {
        return;
    }
    used[used_count++] = (struct used){ unknown_memory_depth(region->start, sp), sp };
    if (unwind_thread(thread, note_slot, &walked, &lost_sp) == UNWIND_LOST) {
        used[used_count - 1].high = unwind_stack_end(lost_sp); /* the safe point has searched it */
    }
}

bool unknown_memory_is_in_use(uintptr_t address)
{
    for (size_t i = 0; i < used_count; i++) {
        if (address >= used[i].low && address <= used[i].high) {
            return true;
        }
    }
    return false;
}

/* Whether a thread is on a stack in REGION that has left another one. */
static bool is_used(const struct region *region)
{
    for (size_t i = 0; i < used_count; i++) {
        if (is_in(region, used[i].high)) {
            return true;
        }
    }
    return false;
}

static READS_PROGRAM bool is_empty(uintptr_t page)
{
    const uint64_t *words = (const uint64_t *)page;
    uint64_t any = 0;

    for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
        any |= words[i];
    }
    return !any;
}

uintptr_t unknown_memory_depth(uintptr_t low, uintptr_t sp)
{
    for (uintptr_t page = (sp & ~(PAGE - 1)); page >= low + PAGE; page -= PAGE) {
        if (is_empty(page - PAGE)) {
            return page;
        }
    }
    return low;
}

/* ---- what there is --------------------------------------------------------------------------------- */

bool unknown_memory_begin(const struct world *stopped)
{
    world = stopped;
    used_count = 0;
    asked_of = NULL;
    if (heap_refresh() < 0 || memory_map_read(&map) < 0) {
        memory_map_deinit(&map);
        return false;
    }
    pagemap = present_open();
    for (size_t i = 0; i < world->count; i++) {
        note_used(&world->threads[i]);
    }
    return true;
}

void unknown_memory_end(void)
{
    if (pagemap >= 0) {
        close(pagemap);
    }
    memory_map_deinit(&map);
}

struct search {
    const struct unknown_values *values;
    size_t count;
    unknown_visitor *visit;
    void *context;
};

static READS_PROGRAM bool any_between(const uintptr_t *words, size_t count, uintptr_t low, uintptr_t high)
{
    unsigned found = 0;

    for (size_t i = 0; i < count; i++) {
        found |= words[i] - low < high - low;
    }
    return found;
}

/* Whether one of COUNT words, a multiple of four, lies between LOW and HIGH, which are less than 4 GB apart:
 * as quick as memory can be read. The distance from LOW has nothing in its upper half, and less than that of
 * HIGH, as unsigned numbers, in its lower one. */
static READS_PROGRAM bool any_near(const uintptr_t *words, size_t count, uintptr_t low, uintptr_t high)
{
    const __m128i start = _mm_set1_epi64x((int64_t)low), sign = _mm_set1_epi32(INT32_MIN);
    const __m128i size = _mm_xor_si128(_mm_set1_epi32((int32_t)(high - low)), sign);
    __m128i found = _mm_setzero_si128();

    for (size_t i = 0; i < count; i += 4) {
        __m128 one = _mm_castsi128_ps(_mm_sub_epi64(_mm_loadu_si128((const __m128i *)&words[i]), start));
        __m128 two = _mm_castsi128_ps(_mm_sub_epi64(_mm_loadu_si128((const __m128i *)&words[i + 2]), start));
        __m128i upper = _mm_castps_si128(_mm_shuffle_ps(one, two, _MM_SHUFFLE(3, 1, 3, 1)));
        __m128i lower = _mm_castps_si128(_mm_shuffle_ps(one, two, _MM_SHUFFLE(2, 0, 2, 0)));
        __m128i near = _mm_cmpeq_epi32(upper, _mm_setzero_si128());
        found = _mm_or_si128(found, _mm_and_si128(near, _mm_cmpgt_epi32(size, _mm_xor_si128(lower, sign))));
    }
    return _mm_movemask_epi8(found);
}

/* A page, which the caches hold if it has to be looked at again. */
static READS_PROGRAM void look_at_page(void *context, uintptr_t start, uintptr_t end)
{
    const struct search *search = context;
    uintptr_t *words = (uintptr_t *)start;
    size_t count = (end - start) / sizeof(uintptr_t);

    for (size_t i = 0; i < search->count; i++) {
        const struct unknown_values *values = &search->values[i];
        bool is_near = count % 4 == 0 && values->high - values->low <= UINT32_MAX;
        if (!(is_near ? any_near : any_between)(words, count, values->low, values->high)) {
            continue;
        }
        for (size_t j = 0; j < count; j++) {
            if (words[j] - values->low < values->high - values->low) {
                search->visit(search->context, &words[j]);
            }
        }
    }
}

static bool is_searched(const struct region *region)
{
    bool wanted =
        region->kind == REGION_ANONYMOUS || region->kind == REGION_MODULE || region->kind == REGION_HEAP ||
        region->kind == REGION_STACK || region->kind == REGION_PATCHES ||
        (region->kind == REGION_FILE && pagemap >= 0); /* what lies behind a file's end cannot be read */

    return wanted && region->readable && region->writable && !region->shared;
}

static void visit_pages(present_visitor *visit, void *context)
{
    for (size_t i = 0; i < map.count; i++) {
        if (is_searched(&map.items[i])) {
            present_visit(pagemap, map.items[i].start, map.items[i].end, visit, context);
        }
    }
}

void unknown_memory_find(const struct unknown_values *values, size_t count, unknown_visitor *visit,
                         void *context)
{
    struct search search = { values, count, visit, context };

    visit_pages(look_at_page, &search);
}

static void note_any(void *context, uintptr_t *at)
{
    (void)at;
    *(bool *)context = true;
}

bool unknown_memory_has(const struct unknown_values *values, size_t count, uintptr_t start, uintptr_t end)
{
    bool any = false;
    struct search search = { values, count, note_any, &any };

    present_visit(pagemap, start, end, look_at_page, &search);
    return any;
}

struct jump_search {
    jump_buffer_visitor *visit;
    void *context;
};

static void look_for_jumps(void *context, uintptr_t start, uintptr_t end)
{
    const struct jump_search *search = context;

    jump_buffers_find(start, end, search->visit, search->context);
}

void unknown_memory_find_jumps(jump_buffer_visitor *visit, void *context)
{
    struct jump_search search = { visit, context };

    visit_pages(look_for_jumps, &search);
}

/* ---- what it is ------------------------------------------------------------------------------------ */

static bool is_of_thread(uintptr_t control)
{
    for (size_t i = 0; i < world->count; i++) {
        if (world->threads[i].thread_pointer == control) {
            return true;
        }
    }
    return false;
}

static READS_PROGRAM bool is_control(const uintptr_t *words)
{
    const uintptr_t *own = __builtin_thread_pointer();

    return words[0] == (uintptr_t)words && words[SELF] == (uintptr_t)words &&
           words[STACK_GUARD] == own[STACK_GUARD] && words[POINTER_GUARD] == own[POINTER_GUARD];
}

/* Whether REGION is the mapping of a thread that is gone. */
static READS_PROGRAM bool has_control_of_gone(const struct region *region)
{
    uintptr_t at = region->end - CONTROL_WORDS * sizeof(uintptr_t);

    for (; region->kind == REGION_ANONYMOUS && at >= region->start && region->end - at < CONTROL_WITHIN;
         at -= sizeof(uintptr_t)) {
        if (is_control((const uintptr_t *)at) && !is_of_thread(at)) {
            return true;
        }
    }
    return false;
}

/* Asked of the same one many times. */
static bool is_of_gone_thread(const struct region *region)
{
    if (asked_of != region) {
        asked_of = region;
        answered = has_control_of_gone(region);
    }
    return answered;
}

/* False if the allocator has the memory at ADDRESS, but nobody else. */
static bool is_allocated(const struct region *region, uintptr_t address, struct heap_block *ret)
{
    struct heap_block other;

    *ret = (struct heap_block){ 0 };
    if (!heap_allocator() || heap_find_guarded(address, ret)) {
        return true;
    }
    return region->kind != REGION_HEAP &&
           !(heap_touched(address) && heap_first(region->start, region->end, &other));
}

/* What a thread has to do with ADDRESS in REGION. */
enum relation { NO_RELATION, KNOWN_OR_DEAD, LEFT_STACK };

static enum relation relate(const struct region *region, uintptr_t address, bool by_jump,
                            struct unknown_place *ret)
{
    for (size_t i = 0; i < world->count; i++) {
        const struct stopped_thread *thread = &world->threads[i];
        if (is_for_signals(thread, address)) {
            if (!by_jump || is_for_signals(thread, pointer_of(thread))) {
                return KNOWN_OR_DEAD;
            }
            continue; /* a coroutine may have been brought to life there */
        }
        if (!is_own(region, thread)) {
            continue;
        }
        uintptr_t end = region->kind == REGION_STACK ? region->end : thread->thread_pointer;
        *ret = (struct unknown_place){ UNKNOWN_THREAD, region->start, end, thread->tid };
        bool left = address < end && !is_in(region, pointer_of(thread)) &&
                    (by_jump || !coroutines_know_own(i)) && !is_used(region);
        return left ? LEFT_STACK : KNOWN_OR_DEAD;
    }
    return NO_RELATION;
}

/* As unknown_memory_place, but for stacks that are known. */
static bool place_of(const struct region *region, uintptr_t address, bool by_jump, struct unknown_place *ret)
{
    struct heap_block block;
    enum relation relation = relate(region, address, by_jump, ret);

    if (relation != NO_RELATION) {
        return relation == LEFT_STACK;
    }
    if (!is_allocated(region, address, &block)) {
        return false;
    }
    if (block.start) {
        *ret = (struct unknown_place){ UNKNOWN_BLOCK, block.start, block.start + block.usable, 0 };
        return block.usable >= SMALLEST_STACK;
    }
    bool data = region->kind == REGION_MODULE || region->kind == REGION_PATCHES;
    *ret = (struct unknown_place){ data ? UNKNOWN_DATA : UNKNOWN_MAPPING, region->start, region->end, 0 };
    return data || !is_of_gone_thread(region);
}

bool unknown_memory_place(uintptr_t address, bool by_jump, struct unknown_place *ret)
{
    const struct region *region = memory_map_find(&map, address);

    if (!region || (by_jump ? coroutines_are_on(address) : coroutines_know(address)) ||
        !place_of(region, address, by_jump, ret)) {
        return false;
    }
    if (coroutines_narrow(address, &ret->low, &ret->high)) {
        ret->kind = UNKNOWN_COROUTINE;
    }
    /* a stack may have a guard in it that nobody can read, and be unmapped in part */
    ret->low = ret->low > region->start ? ret->low : region->start;
    ret->high = ret->high < region->end ? ret->high : region->end;
    return true;
}

bool unknown_memory_is_alive(uintptr_t address)
{
    const struct region *region = memory_map_find(&map, address);
    struct heap_block block;

    for (size_t i = 0; region && i < world->count; i++) {
        uintptr_t sp = pointer_of(&world->threads[i]);
        if (is_own(region, &world->threads[i]) && is_in(region, sp)) {
            return address >= sp - RED_ZONE;
        }
    }
    return region && is_allocated(region, address, &block);
}
