/*
 * Which of the contexts that were noted (contexts.c) wait, and are to be looked at like threads' stacks.
 *
 * The table tells what happened last to each context; what counts is what happened last on each stack:
 *
 *     a thread is on it            its own walk sees all
 *     saved last                   suspended: unwound from what was saved
 *     gone back to since, and left: it came to its end, or was left for good
 *     nothing known                a registered stack: walked from its stack pointer, or searched
 *
 * A thread has a stack of its own, too, which waits while the thread is on another. Two stacks that overlap
 * are not both there: the one of which something was heard later is. A thread that is in the middle of a
 * switch is neither here nor there: what it goes to counts as suspended.
 *
 * The C library goes on with a uc_link by itself, unheard. So what was saved in one may be over: it is looked
 * at, which does no harm, and does not speak against jmp_bufs that lead to the same stack.
 */
#include "engine/threads/coroutines.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "base/search.h"
#include "engine/code/image.h"
#include "engine/heap/heap.h"
#include "engine/sort.h"
#include "engine/threads/contexts.h"
#include "engine/threads/readable.h"
#include "engine/threads/stubs.h"
#include "engine/threads/unwind.h"
#include "engine/watched.h"

#define PAGE 4096ul

static bool heap_has_room;      /* for its memory map */
static bool heap_is_read;       /* in this look */
static bool any_left;           /* likewise: to the search for unknown stacks */
static uintptr_t readable[256]; /* likewise: pages of code that can be, by their numbers; asked for often */

static size_t entry_count(const struct context_table *table)
{
    size_t count = atomic_load(&table->count);

    return count < CONTEXT_MAX ? count : CONTEXT_MAX;
}

/* ---- the stacks ------------------------------------------------------------------------------------ */

/* Of stacks that overlap, the one heard of last stays. */
static void drop_overlapped(struct context_table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->known.count; i++) {
        struct known_stack *last = kept ? &table->known.items[kept - 1] : NULL;
        if (!last || last->high <= table->known.items[i].low) {
            table->known.items[kept++] = table->known.items[i];
        } else if (last->made_by->stamp < table->known.items[i].made_by->stamp) {
            *last = table->known.items[i];
        }
    }
    table->known.count = kept;
}

static void list_stacks(struct context_table *table)
{
    uint32_t changes = atomic_load(&table->changes);

    if (table->known.changes == changes) {
        return;
    }
    table->known.changes = changes;
    table->known.count = 0;
    for (size_t i = 0; i < entry_count(table); i++) {
        const struct context_entry *entry = &table->entries[i];
        if (atomic_load(&entry->kind) != CONTEXT_NONE && atomic_load(&entry->kind) != CONTEXT_REMOVED &&
            entry->size) {
            table->known.items[table->known.count++] =
                (struct known_stack){ .low = entry->low, .high = entry->low + entry->size, .made_by = entry };
        }
    }
    SORT_BY(table->known.items, table->known.count, struct known_stack, low);
    drop_overlapped(table);
}

static struct known_stack *find_stack(struct context_table *table, uintptr_t address)
{
    /* an empty stack's pointer is at its end */
    size_t index = COUNT_BEFORE(i, table->known.count, table->known.items[i].high < address);

    return index < table->known.count && table->known.items[index].low <= address ? &table->known.items[index]
                                                                                  : NULL;
}

static uintptr_t pointer_of(const struct stopped_thread *thread)
{
    return (uintptr_t)thread->context->uc_mcontext.gregs[REG_RSP];
}

static void note_threads(struct context_table *table, const struct world *world)
{
    for (size_t i = 0; i < table->known.count; i++) {
        table->known.items[i].busy = false;
        table->known.items[i].latest = NULL;
        table->known.items[i].left = 0;
        table->known.items[i].told = false;
    }
    for (size_t i = 0; i < world->count; i++) {
        struct known_stack *stack = find_stack(table, pointer_of(&world->threads[i]));
        if (stack) {
            stack->busy = true;
        }
        if (i < CONTEXT_THREADS_MAX) {
            table->known.own[i] = (struct known_stack){ .busy = !stack };
        }
    }
}

/* The own stack of the thread with this POINTER; NULL: it is gone. */
static struct known_stack *stack_of_thread(struct context_table *table, const struct world *world,
                                           uintptr_t pointer)
{
    static size_t recent;
    size_t most = world->count < CONTEXT_THREADS_MAX ? world->count : CONTEXT_THREADS_MAX;

    if (recent >= most || world->threads[recent].thread_pointer != pointer) {
        for (recent = 0; recent < most && world->threads[recent].thread_pointer != pointer; recent++) {
        }
    }
    return recent < most ? &table->known.own[recent] : NULL;
}

static void note_later(const struct context_entry **latest, const struct context_entry *entry)
{
    if (!*latest || (*latest)->stamp < entry->stamp) {
        *latest = entry;
    }
}

static void note_contexts(struct context_table *table, const struct world *world)
{
    for (size_t i = 0; i < entry_count(table); i++) {
        const struct context_entry *entry = &table->entries[i];
        uint32_t kind = atomic_load(&entry->kind);
        if (kind != CONTEXT_SAVED && kind != CONTEXT_GOT && kind != CONTEXT_MADE) {
            continue;
        }
        struct known_stack *stack = find_stack(table, entry->sp),
                           *switching =
                               entry->resumed_by ? stack_of_thread(table, world, entry->resumed_by) : NULL;
        stack = stack ? stack : stack_of_thread(table, world, entry->thread);
        if (stack) {
            note_later(&stack->latest, entry);
        }
        if (switching && world->threads[switching - table->known.own].switching) {
            note_later(&switching->target, entry);
        }
    }
}

/* ---- what waits on them ---------------------------------------------------------------------------- */

/* Whether the context's memory still holds what was saved there. */
static bool is_intact(const struct context_entry *entry)
{
    const ucontext_t *context = (const ucontext_t *)entry->key;
    const greg_t *registers = context->uc_mcontext.gregs;

    return is_readable((uintptr_t)&registers[REG_RSP]) && is_readable((uintptr_t)&registers[REG_RIP]) &&
           (uintptr_t)registers[REG_RSP] == entry->sp &&
           stubs_original((uintptr_t)registers[REG_RIP]) == entry->pc && is_readable(entry->sp);
}

/* Whether a thread is just on its way to ENTRY. */
static bool is_target(struct context_table *table, const struct world *world,
                      const struct context_entry *entry)
{
    const struct known_stack *own =
        entry && entry->resumed_by ? stack_of_thread(table, world, entry->resumed_by) : NULL;

    return own && own->target == entry;
}

/* A thread that runs on the stack for signals may have interrupted what runs on its own. */
static bool is_busy(struct context_table *table, const struct known_stack *stack, const struct world *world)
{
    if (stack->made_by || !stack->busy) {
        return stack->busy;
    }
    const struct stopped_thread *thread = &world->threads[stack - table->known.own];
    return unwind_stack_end(pointer_of(thread)) == unwind_stack_end(stack->latest->sp);
}

/* Where what can be read of the stack in [low, high) begins: behind its guard, if it has one. */
static uintptr_t behind_guard(uintptr_t low, uintptr_t high)
{
    while (low < high && !is_readable(low)) {
        low = (low & ~(PAGE - 1)) + PAGE;
    }
    return low;
}

/* The stack of which only its place is known. */
static void visit_whole(const struct known_stack *stack, suspended_visitor *visit, void *context)
{
    struct suspended_stack suspended = { .low = stack->low, .end = stack->high };
    void *const *pointer = stack->made_by->pointer;

    if (!is_readable(stack->high - sizeof(uintptr_t))) {
        return;
    }
    if (pointer && is_readable((uintptr_t)pointer)) {
        uintptr_t at = (uintptr_t)*pointer;
        suspended.start = at >= stack->low && at <= stack->high ? at : stack->high;
        suspended.kept_at = (uintptr_t)pointer;
    } else {
        suspended.start = behind_guard(stack->low, stack->high);
    }
    visit(context, &suspended);
}

static void visit_stack(struct context_table *table, struct known_stack *stack, const struct world *world,
                        suspended_visitor *visit, void *context)
{
    const struct context_entry *latest = stack->latest;
    bool registered = stack->made_by && atomic_load(&stack->made_by->kind) == CONTEXT_STACK;
    bool arriving = is_target(table, world, latest);

    if (!latest ? stack->busy : is_busy(table, stack, world) && !arriving) {
        return;
    }
    if (!latest) {
        if (registered) {
            visit_whole(stack, visit, context);
        }
        return;
    }
    uint32_t kind = atomic_load(&latest->kind);
    if (kind == CONTEXT_MADE || (kind == CONTEXT_SAVED && latest->resumed_by && !arriving)) {
        return;
    }
    bool intact = is_intact(latest);
    stack->told = intact && !atomic_load(&latest->is_link);
    if (intact) {
        struct suspended_stack suspended = { .context = (const ucontext_t *)latest->key,
                                             .low = stack->made_by ? stack->low : latest->sp,
                                             .end = stack->made_by ? stack->high : 0,
                                             .returns_once = kind == CONTEXT_SAVED && !arriving };
        visit(context, &suspended);
    } else if (stack->made_by && !arriving) {
        visit_whole(stack, visit, context);
    }
}

void coroutines_prepare(void)
{
    heap_has_room = heap_has_room || (contexts() && heap_refresh() == 0);
}

void coroutines_visit(const struct world *world, suspended_visitor *visit, void *context)
{
    struct context_table *table = contexts();

    heap_is_read = any_left = false;
    memset(readable, 0, sizeof(readable));
    if (!table) {
        return;
    }
    list_stacks(table);
    note_threads(table, world);
    note_contexts(table, world);
    for (size_t i = 0; i < table->known.count; i++) {
        visit_stack(table, &table->known.items[i], world, visit, context);
    }
    for (size_t i = 0; i < world->count && i < CONTEXT_THREADS_MAX; i++) {
        if (table->known.own[i].latest) {
            visit_stack(table, &table->known.own[i], world, visit, context);
        }
    }
}

/* NULL: in none. */
static const struct known_stack *stack_around(uintptr_t address)
{
    struct context_table *table = contexts();
    const struct known_stack *stack = table ? find_stack(table, address) : NULL;

    return stack && address < stack->high ? stack : NULL;
}

bool coroutines_know(uintptr_t address)
{
    const struct known_stack *stack = stack_around(address);

    return stack && (!stack->left || address < stack->left);
}

bool coroutines_tell(uintptr_t address)
{
    const struct known_stack *stack = stack_around(address);

    return stack && stack->told;
}

void coroutines_leave(const struct suspended_stack *stack)
{
    struct context_table *table = contexts();
    struct known_stack *known = find_stack(table, stack->end);

    if (known && known->low == stack->low) {
        known->left = stack->start;
        any_left = true;
    }
}

bool coroutines_have_left(void)
{
    return any_left;
}

bool coroutines_narrow(uintptr_t address, uintptr_t *low, uintptr_t *high)
{
    const struct context_table *table = contexts();
    size_t count = table ? table->known.count : 0;
    const struct known_stack *items = table ? table->known.items : NULL;
    size_t index = COUNT_BEFORE(i, count, items[i].high <= address);

    if (index < count && items[index].low <= address) {
        *low = items[index].low;
        *high = items[index].high;
        return true;
    }
    if (index && items[index - 1].high > *low) {
        *low = items[index - 1].high;
    }
    if (index < count && items[index].low < *high) {
        *high = items[index].low;
    }
    return false;
}

bool coroutines_are_on(uintptr_t address)
{
    const struct known_stack *stack = stack_around(address);

    return stack && stack->busy;
}

bool coroutines_know_own(size_t index)
{
    const struct context_table *table = contexts();

    return table && index < CONTEXT_THREADS_MAX && table->known.own[index].latest;
}

/* False: the heap's block that ADDRESS was in was given back. */
static bool is_live(uintptr_t address)
{
    struct heap_block block;

    if (!is_readable(address) || !heap_has_room) {
        return is_readable(address);
    }
    if (!heap_is_read) {
        heap_refresh();
        heap_is_read = true;
    }
    return !heap_touched(address) || heap_find_guarded(address, &block);
}

bool coroutines_is_live(const struct suspended_stack *stack)
{
    uintptr_t sp = stack->context ? (uintptr_t)stack->context->uc_mcontext.gregs[REG_RSP]
                                  : stack->end - sizeof(uintptr_t);

    return is_live(sp) && (!stack->context || is_live((uintptr_t)stack->context));
}

struct coroutine_counts coroutines_list(struct coroutine_stack *ret, size_t max)
{
    const struct context_table *table = contexts();
    struct coroutine_counts counts = { 0 };

    for (size_t i = 0; table && i < entry_count(table); i++) {
        const struct context_entry *entry = &table->entries[i];
        uint32_t kind = atomic_load(&entry->kind);
        if (!entry->size || kind == CONTEXT_NONE || kind == CONTEXT_REMOVED) {
            continue;
        }
        if (counts.made + counts.registered < max) {
            ret[counts.made + counts.registered] =
                (struct coroutine_stack){ entry->low, entry->size, kind == CONTEXT_STACK };
        }
        counts.registered += kind == CONTEXT_STACK;
        counts.made += kind != CONTEXT_STACK;
    }
    return counts;
}

bool coroutines_overflow(void)
{
    const struct context_table *table = contexts();

    return table && atomic_load(&table->count) > CONTEXT_MAX;
}

/* ---- return addresses ------------------------------------------------------------------------------ */

/* How long a call by way of a register or memory is whose opcode, ff /2, is followed by FORM and SIB
 * (Intel SDM 2, 2.1.5); 0: it is none. */
static unsigned indirect_call_length(uint8_t form, uint8_t sib)
{
    unsigned mode = form >> 6, base = form & 7, length = 2;

    if ((form >> 3 & 7) != 2) {
        return 0;
    }
    if (mode == 3) {
        return length;
    }
    length += base == 4;
    length += mode == 1 ? 1 : mode == 2 ? 4 : base == 5 || (base == 4 && (sib & 7) == 5) ? 4 : 0;
    return length;
}

static bool is_readable_code(uintptr_t address)
{
    uintptr_t page = (address + 7) / PAGE, *known = &readable[page % 256];

    if (*known != page || address % PAGE > PAGE - 8) {
        if (!is_readable(address)) {
            return false;
        }
        *known = page;
    }
    return true;
}

static bool is_code(uintptr_t address)
{
    struct dl_find_object found;

    return image_find(address) || _dl_find_object((void *)address, &found) == 0;
}

bool coroutines_is_loaded(uintptr_t address)
{
    return is_code(address) && is_readable_code(address);
}

READS_PROGRAM bool coroutines_is_return_address(uintptr_t address)
{
    const uint8_t *code = (const uint8_t *)address;

    if (!is_code(address - 1) || !is_readable_code(address - sizeof(address))) {
        return false;
    }
    if (code[-5] == 0xe8) {
        return true;
    }
    for (unsigned length = 2; length <= 7; length++) {
        if (code[-(int)length] == 0xff &&
            indirect_call_length(code[1 - (int)length], length > 2 ? code[2 - (int)length] : 0) == length) {
            return true;
        }
    }
    return false;
}
