/*
 * A jmp_buf has all registers that a walk needs, so where the stacks are that are left by longjmp need not be
 * guessed. What leads to a stack that a thread is on is for errors, or was left there by a function that has
 * returned; what leads to another stack counts, unless it lies in memory that was freed. Where a context
 * tells how a stack goes on, it is for errors, too, unless the stack shows that longjmp was called: who
 * begins a coroutine by swapcontext leaves a context that nobody will go back to.
 *
 * Walks are made where there is something to be found: one of the words from the stack pointer up looks like
 * what is searched for. Where a stack ends is not known if the kernel has joined mappings, so whatever is
 * further up in the same memory counts, too.
 */
#include "engine/threads/jump_stacks.h"

#include "engine/sort.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/readable.h"
#include "engine/threads/stubs.h"
#include "engine/watched.h"

#define BUFFERS_MAX 65536

struct left {
    uintptr_t sp;
    struct jump_buffer buffer;
    struct unknown_place place;
};

static struct {
    const struct unknown_wanted *wanted;
    struct left items[BUFFERS_MAX]; /* ascending by stack pointer when they are looked at */
    size_t count, more;
} search;

/* ---- which there are --------------------------------------------------------------------------------- */

/* Whether control comes back to PC, and does not just begin there. */
static bool has_run(uintptr_t pc)
{
    uintptr_t start, end;

    return coroutines_is_return_address(pc) && !(unwind_function(pc, &start, &end) && start == pc);
}

bool jump_stacks_surely(uintptr_t sp)
{
    return unknown_walk_jumps(stubs_original_at(sp - sizeof(uintptr_t)));
}

static void take(void *context, const struct jump_buffer *buffer)
{
    struct left found = { .sp = buffer->sp, .buffer = *buffer };
    uintptr_t slot = buffer->sp - sizeof(uintptr_t); /* the same frame's whether it has stored more or not */

    (void)context;
    if (!has_run(buffer->pc) || !is_readable(slot) || unknown_memory_is_in_use(slot) ||
        !unknown_memory_place(slot, true, &found.place) || !unknown_memory_is_alive(buffer->at) ||
        (coroutines_tell(slot) && !jump_stacks_surely(buffer->sp))) {
        return;
    }
    if (search.count == BUFFERS_MAX) {
        search.more++;
        return;
    }
    search.items[search.count++] = found;
}

/* ---- what is on them --------------------------------------------------------------------------------- */

static bool is_wanted(uintptr_t word)
{
    const struct unknown_wanted *wanted = search.wanted;

    for (size_t i = 0; i < wanted->count; i++) {
        if (word - wanted->values[i].low < wanted->values[i].high - wanted->values[i].low) {
            return true;
        }
    }
    return false;
}

/* A visitor: whether any frame is in an affected function, or may be, since an update is pending there. */
static READS_PROGRAM bool note_affected(void *context, const struct stack_frame *frame)
{
    bool *affected = context;
    uintptr_t word = frame->pc_slot ? *(const uintptr_t *)frame->pc_slot : frame->pc;
    uintptr_t back = frame->pc_slot ? frame->pc : frame->pc + 1;

    *affected =
        *affected || stubs_original(word) != word || search.wanted->is_affected(search.wanted->context, back);
    return true;
}

static bool is_same_place(const struct left *one, const struct left *other)
{
    return one->place.low == other->place.low;
}

/* Where the stack of item INDEX ends, of which nothing is known from REST up: at the next one, or where its
 * memory does. */
static uintptr_t end_of(size_t index, uintptr_t rest)
{
    const struct left *left = &search.items[index];

    for (size_t i = index + 1; i < search.count && is_same_place(left, &search.items[i]); i++) {
        if (search.items[i].sp > rest) {
            return search.items[i].sp;
        }
    }
    return left->place.high;
}

static void visit_left(size_t index, bool all, unknown_stack_visitor *visit, void *context)
{
    const struct left *left = &search.items[index];
    struct unknown_stack stack = { .place = left->place, .sp = left->sp, .pc = left->buffer.pc };
    bool affected = search.wanted->is_affected(search.wanted->context, left->buffer.pc);

    unknown_walk_from_jump(&left->place, &left->buffer, note_affected, &affected, &stack.walk);
    uintptr_t rest = stack.walk.top + sizeof(uintptr_t), end = stack.walk.lost ? end_of(index, rest) : 0;
    if (end > rest && unknown_memory_has(search.wanted->values, search.wanted->count, rest, end)) {
        stack.rest_end = end;
    }
    stack.affected = affected || stack.rest_end;
    if (stack.affected || all) {
        visit(context, &stack);
    }
}

/* Whether the item before INDEX is a copy of it. */
static bool is_copy(size_t index)
{
    const struct jump_buffer *buffer = &search.items[index].buffer;

    return index && search.items[index - 1].sp == buffer->sp &&
           search.items[index - 1].buffer.pc == buffer->pc;
}

size_t jump_stacks_visit(const struct unknown_wanted *wanted, bool all, unknown_stack_visitor *visit,
                         void *context)
{
    bool wanted_above = false;

    search.wanted = wanted;
    search.count = search.more = 0;
    unknown_memory_find_jumps(take, NULL);
    SORT_BY(search.items, search.count, struct left, sp);
    for (size_t i = search.count; i-- > 0;) {
        const struct left *left = &search.items[i];
        bool has_next = i + 1 < search.count && is_same_place(left, &search.items[i + 1]);
        uintptr_t end = has_next ? search.items[i + 1].sp : left->place.high;
        wanted_above =
            (wanted_above && has_next) || unknown_memory_has(wanted->values, wanted->count, left->sp, end);
        if (!is_copy(i) && (all || wanted_above || is_wanted(left->buffer.pc))) {
            visit_left(i, all, visit, context);
        }
    }
    return search.more;
}
