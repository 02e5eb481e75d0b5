/*
 * Memory without types. What lies in typed variables and in heap blocks is somebody else's business; the rest
 * is modules' data, stacks, registers and thread-local memory:
 *
 *     module's .data and .bss    | hole: typed variable | ... | hole | ...
 *     thread's mapping           | unused stack | stack in use | thread-local | control block |
 *
 * Words are visited once each: what has been led to a new place might look like an old address again. The C
 * library's and the allocator's own data are left alone: they hold addresses next to blocks, which mean
 * something else.
 */
#include "engine/heap/references.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "base/search.h"
#include "engine/sort.h"
#include "engine/update/frames.h"
#include "engine/update/state_private.h"

#define RED_ZONE 128
#define CONTROL_BLOCK 2304   /* struct pthread: what pthread_setspecific notes lies in it */
#define GENERAL_REGISTERS 15 /* of gregs: r8 to rcx, all but the stack pointer */
#define CONTROL_HEADER 704   /* tcbhead_t: what compilers and the C library find through the thread pointer */
#define LONGEST_STACK (8ul << 20)
#define XSTATE_MAGIC 0x46505853u

int references_init(struct references *references)
{
    references->hole_count = references->stack_count = 0;
    return memory_map_read(&references->map);
}

void references_deinit(struct references *references)
{
    memory_map_deinit(&references->map);
    state_unmap(references->holes);
    state_unmap(references->stacks);
    *references = (struct references){ 0 };
}

static int push(struct references_hole **list, size_t *count, size_t *capacity, struct references_hole hole)
{
    if (*count == *capacity) {
        size_t larger = *capacity ? *capacity * 2 : 1024;
        struct references_hole *grown = state_map(larger, sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        if (*count) {
            memcpy(grown, *list, *count * sizeof(*grown));
        }
        state_unmap(*list);
        *list = grown;
        *capacity = larger;
    }
    (*list)[(*count)++] = hole;
    return 0;
}

int references_leave(struct references *references, uintptr_t start, uintptr_t end)
{
    return start < end ? push(&references->holes, &references->hole_count, &references->hole_capacity,
                              (struct references_hole){ start, end })
                       : 0;
}

/* ---- ranges ---------------------------------------------------------------------------------------- */

static void visit_words(uintptr_t start, uintptr_t end, references_visitor *visit, void *context)
{
    start = (start + 7) & ~7ul;
    end &= ~7ul;
    if (start < end) {
        visit(context, (uintptr_t *)start, (end - start) / sizeof(uintptr_t));
    }
}

void references_range(const struct references *references, uintptr_t start, uintptr_t end,
                      references_visitor *visit, void *context)
{
    /* from the first hole that ends behind START on */
    size_t index = COUNT_BEFORE(i, references->hole_count, references->holes[i].end <= start);

    for (; index < references->hole_count && references->holes[index].start < end; index++) {
        visit_words(start, references->holes[index].start, visit, context);
        start = references->holes[index].end;
    }
    visit_words(start, end, visit, context);
}

/* ---- threads --------------------------------------------------------------------------------------- */

/* What of the mapping around ADDRESS belongs to THREAD: other memory may have joined it above the control
 * block. */
static uintptr_t end_of_stack(const struct region *region, const struct stopped_thread *thread)
{
    uintptr_t control = thread->thread_pointer + CONTROL_BLOCK;

    return thread->thread_pointer >= region->start && thread->thread_pointer < region->end &&
                   control < region->end
               ? control
               : region->end;
}

static int add_stack(struct references *references, uintptr_t start, uintptr_t end)
{
    struct heap_block block;

    if (start >= end || heap_find(start, &block)) { /* a stack in a heap block is visited with that */
        return 0;
    }
    return push(&references->stacks, &references->stack_count, &references->stack_capacity,
                (struct references_hole){ start, end });
}

/* Memory of the engine's that holds what belongs to some frame. */
static int add_kept(void *references, uintptr_t start, uintptr_t end)
{
    return add_stack(references, start, end);
}

/* A thread that runs on a signal stack, or one of its own making, has its first stack, too. */
static int add_first_stack(struct references *references, const struct stopped_thread *thread,
                           const struct region *current)
{
    uintptr_t control = thread->thread_pointer;
    const struct region *local = memory_map_find(&references->map, control);

    for (size_t i = 0; i < references->map.count && thread->tid == references->process; i++) {
        const struct region *region = &references->map.items[i];
        if (region->kind == REGION_STACK && region != current) {
            return add_stack(references, region->start, region->end);
        }
    }
    if (!local || local == current) {
        return 0;
    }
    size_t size = page_log_tls_size(); /* below that are the dynamic linker's own tables */
    bool first = thread->tid == references->process && control - local->start > size;
    return add_stack(references, first ? control - size : local->start, end_of_stack(local, thread));
}

static int add_thread(struct references *references, const struct stopped_thread *thread)
{
    uintptr_t sp = (uintptr_t)thread->context->uc_mcontext.gregs[REG_RSP] - RED_ZONE,
              control = thread->thread_pointer;
    const struct region *stack = memory_map_find(&references->map, sp);
    int status = 0;

    if (stack && stack->kind != REGION_MODULE) {
        bool own = stack->kind == REGION_STACK || (control > sp && control < stack->end);
        uintptr_t end = end_of_stack(stack, thread);
        status = add_stack(references, sp, !own && end - sp > LONGEST_STACK ? sp + LONGEST_STACK : end);
    }
    return status < 0 ? status : add_first_stack(references, thread, stack);
}

/* How long the saved vector registers are: their first 512 bytes say whether more follow (struct
 * _fpx_sw_bytes). */
static size_t vector_size(const uint8_t *state)
{
    uint32_t magic, size;

    memcpy(&magic, state + 464, sizeof(magic));
    memcpy(&size, state + 468, sizeof(size));
    return magic == XSTATE_MAGIC && size >= 576 && size < 65536 ? size : 512;
}

/* A thread's vector of thread-local blocks holds their addresses, not those of the first variables in
 * them. Its length stands in front of it. */
static int leave_vector(struct references *references, const struct stopped_thread *thread)
{
    struct slot {
        uintptr_t block, unused;
    } *vector = *(struct slot **)(thread->thread_pointer + sizeof(uintptr_t));

    int status =
        references_leave(references, thread->thread_pointer, thread->thread_pointer + CONTROL_HEADER);
    return vector && status == 0 ? references_leave(references, (uintptr_t)(vector - 1),
                                                    (uintptr_t)(vector + vector[-1].block + 1))
                                 : status;
}

/* The saved registers, which stand on some stack, are visited as such. */
static int leave_context(struct references *references, const struct stopped_thread *thread)
{
    uintptr_t context = (uintptr_t)thread->context, state = (uintptr_t)thread->context->uc_mcontext.fpregs;
    int status = references_leave(references, context, context + sizeof(ucontext_t));

    return status < 0 || !state
               ? status
               : references_leave(references, state, state + vector_size((const uint8_t *)state));
}

static void visit_vectors(const struct stopped_thread *thread, references_visitor *visit, void *context)
{
    static const unsigned components[] = { 2, 6, 7 }; /* upper halves of ymm, of zmm; zmm16 to 31 */
    uint8_t *state = (uint8_t *)thread->context->uc_mcontext.fpregs;
    uint64_t present = 0;

    if (!state) {
        return;
    }
    visit(context, (uintptr_t *)(state + 160), 32); /* xmm0 to 15 (Intel SDM 1, 10.5.1) */
    size_t all = vector_size(state);
    if (all > 512) {
        memcpy(&present, state + 512, sizeof(present));
    }
    for (size_t i = 0; i < sizeof(components) / sizeof(components[0]); i++) {
        unsigned size = 0, offset = 0, c = 0, d = 0;
        if (present >> components[i] & 1 && __get_cpuid_count(0xd, components[i], &size, &offset, &c, &d) &&
            offset + size <= all) {
            visit(context, (uintptr_t *)(state + offset), size / sizeof(uintptr_t));
        }
    }
}

/* ---- all of it ------------------------------------------------------------------------------------- */

bool references_on_stack(const struct references *references, uintptr_t address)
{
    for (size_t i = 0; i < references->stack_count; i++) {
        if (address >= references->stacks[i].start && address < references->stacks[i].end) {
            return true;
        }
    }
    return false;
}

int references_threads(struct references *references, const struct world *world)
{
    int status = frames_visit(add_kept, references);

    references->process = world->process;
    for (size_t i = 0; i < world->count && status == 0; i++) {
        status = add_thread(references, &world->threads[i]);
        status = status < 0 ? status : leave_context(references, &world->threads[i]);
        status = status < 0 ? status : leave_vector(references, &world->threads[i]);
    }
    SORT_BY(references->stacks, references->stack_count, struct references_hole, start);
    return status;
}

void references_sort(struct references *references)
{
    SORT_BY(references->holes, references->hole_count, struct references_hole, start);
}

void references_walk(struct references *references, const struct world *world, references_visitor *visit,
                     void *context)
{
    uintptr_t done = 0; /* stacks may share a mapping */

    for (size_t i = 0; i < references->map.count; i++) {
        const struct region *region = &references->map.items[i];
        bool variables = region->kind == REGION_MODULE || region->kind == REGION_PATCHES;
        if (variables && region->readable && !region->shared &&
            (region->writable || (references->constants && !region->executable))) {
            references_range(references, region->start, region->end, visit, context);
        }
    }
    for (size_t i = 0; i < references->stack_count; i++) {
        const struct references_hole *stack = &references->stacks[i];
        uintptr_t start = stack->start > done ? stack->start : done;
        references_range(references, start, stack->end > start ? stack->end : start, visit, context);
        done = stack->end > done ? stack->end : done;
    }
    for (size_t i = 0; i < world->count; i++) {
        visit(context, (uintptr_t *)world->threads[i].context->uc_mcontext.gregs, GENERAL_REGISTERS);
        visit_vectors(&world->threads[i], visit, context);
    }
}
