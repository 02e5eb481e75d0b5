/*
 * A suspended stack is known by two things: return addresses, and the stack pointer that the program has
 * saved to go on with it:
 *
 *     the program's memory     | ... | saved stack pointer | ... |
 *                                              |
 *     a place (unknown_memory.h)     | dead    +-> registers | return address | frame | return address | ...
 *
 * Return addresses into affected functions are searched for first. Where there are some, whatever leads to a
 * place with one is a stack pointer if a return address stands a few words above it, and a walk from there is
 * one of a stack: it begins behind the call of a function that loads the stack pointer (switches.c), or the
 * calls on it fit together, or it ends where the place does.
 *
 * What lies below such a pointer is dead, and what lies between return addresses on the way up is data. What
 * else there is counts only if it looks like a stack: if there or shortly below is one behind the call of a
 * switch, or the calls fit together twice. Return addresses that the program keeps as data, for backtraces
 * and statistics, do not.
 *
 * Stacks that are left by longjmp need no guessing: a jmp_buf (jump_buffers.h) has all registers. What it
 * leads to waits, unless a thread is there: then the buffer is for errors, or was left there. What lies below
 * is dead only if the stack was surely left that way, and not further down in another.
 */
#include "engine/threads/unknown_stacks.h"

#include "base/search.h"
#include "engine/sort.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/jump_stacks.h"
#include "engine/threads/readable.h"
#include "engine/threads/stubs.h"
#include "engine/threads/switches.h"
#include "engine/watched.h"

#define ADDRESSES_MAX 8192
#define STACKS_MAX 2048
#define VISITED_MAX 8192
#define SAVED_WORDS 24 /* that a switch leaves between the stack pointer and the return address */
#define RECORD_WORDS 8 /* of what stands around a saved stack pointer */
#define BESIDE (3 * sizeof(uintptr_t)) /* so far from the stack pointer its pc may be kept */
#define BELOW_WORDS 64
#define HEADER_SIZE 4096
#define ENOUGH_LINKS 2

struct address {
    uintptr_t slot;
    struct unknown_place place;
};

struct found {
    uintptr_t sp;
    struct unknown_stack stack;
    bool by_switch; /* surely: it waits in a switch of stacks */
    bool exact;     /* SP is the stack pointer, not the address of a variable further up */
    uintptr_t dead; /* from here up to SP is nothing but what it has left there */
};

static struct {
    const struct unknown_wanted *wanted;
    struct address addresses[ADDRESSES_MAX]; /* ascending by slot when stacks are searched for */
    size_t address_count, address_more;
    struct found stacks[STACKS_MAX];
    size_t stack_count;
    size_t replaced;                /* so many of the first are affected, when there are too many */
    size_t overlooked;              /* affected stacks, and jmp_bufs, for which there was no room */
    uintptr_t visited[VISITED_MAX]; /* slots */
    size_t visited_count;
    unwind_visitor *visit_frame;
    void *visit_context;
} search;

static bool is_affected(uintptr_t word)
{
    return search.wanted->is_affected(search.wanted->context, word);
}

/* ---- return addresses ------------------------------------------------------------------------------ */

static READS_PROGRAM void take_address(void *context, uintptr_t *at)
{
    struct address found = { .slot = (uintptr_t)at };
    uintptr_t word = stubs_original_at(found.slot);

    (void)context;
    if (!is_affected(word) || !unknown_walk_resumes(word) || unknown_memory_is_in_use(found.slot) ||
        !unknown_memory_place(found.slot, false, &found.place)) {
        return;
    }
    if (search.address_count == ADDRESSES_MAX) {
        search.address_more++;
        return;
    }
    search.addresses[search.address_count++] = found;
}

/* The last of the addresses in the place that HOLDS lies in, NULL: there is none. */
static const struct address *last_in_place_of(uintptr_t holds)
{
    size_t count = COUNT_BEFORE(i, search.address_count, search.addresses[i].place.low <= holds);
    const struct address *last = count ? &search.addresses[count - 1] : NULL;

    return last && holds < last->place.high ? last : NULL;
}

/* ---- stack pointers -------------------------------------------------------------------------------- */

static bool is_better(const struct unknown_walk *one, const struct unknown_walk *other)
{
    return one->complete != other->complete ? one->complete
           : one->links != other->links     ? one->links > other->links
                                            : one->top > other->top;
}

/* The frame pointer stands among the registers that the switch has saved: on the stack, or beside its
 * pointer. */
static READS_PROGRAM void try_frame_pointers(const struct unknown_place *place, uintptr_t from, uintptr_t to,
                                             struct unknown_walk *best)
{
    for (uintptr_t at = from; at < to && is_readable(at); at += sizeof(uintptr_t)) {
        uintptr_t rbp = *(const uintptr_t *)at;
        if (rbp <= best->slot || rbp >= place->high - sizeof(uintptr_t) || rbp % sizeof(uintptr_t)) {
            continue;
        }
        struct unknown_walk walk;
        unknown_walk_from(place, best->slot, best->pc_at, rbp, &walk);
        *best = is_better(&walk, best) ? walk : *best;
    }
}

/* Walks from the return address at SLOT, above the stack pointer SP that stands at SAVED_AT; it may be kept
 * at PC_AT, too. */
static struct unknown_walk walk_best(const struct unknown_place *place, uintptr_t sp, uintptr_t slot,
                                     uintptr_t pc_at, uintptr_t saved_at)
{
    const size_t around = RECORD_WORDS * sizeof(uintptr_t);
    struct unknown_walk best;

    unknown_walk_from(place, slot, pc_at, 0, &best);
    if (!best.complete || !best.links) {
        try_frame_pointers(place, sp, slot, &best);
        try_frame_pointers(place, saved_at - around, saved_at + around, &best);
    }
    return best;
}

/* Whether the program goes on at SLOT when it goes on with the stack pointer SP, which stands at SAVED_AT. */
static bool goes_on_at(const struct unknown_place *place, uintptr_t sp, uintptr_t slot, uintptr_t saved_at,
                       struct found *ret)
{
    bool by_switch = unknown_walk_switches(stubs_original_at(slot));
    struct unknown_walk walk = walk_best(place, sp, slot, 0, saved_at);

    *ret = (struct found){ .sp = sp,
                           .stack = { .place = *place, .sp = sp, .walk = walk },
                           .by_switch = by_switch,
                           .exact = by_switch || slot == sp };
    return by_switch || (walk.complete && walk.links) || walk.links >= ENOUGH_LINKS ||
           (walk.complete && place->high - walk.top <= SAVED_WORDS * sizeof(uintptr_t));
}

/* Whether SP, which stands at SAVED_AT, is a saved stack pointer into PLACE. Registers that are saved may
 * hold the address of a place in a switch, where coroutines begin, so return addresses are tried first. */
static bool is_stack_pointer(const struct unknown_place *place, uintptr_t sp, uintptr_t saved_at,
                             struct found *ret)
{
    uintptr_t end = sp + SAVED_WORDS * sizeof(uintptr_t);

    end = end < place->high ? end : place->high;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uintptr_t slot = sp; slot < end; slot += sizeof(uintptr_t)) {
            uintptr_t word = stubs_original_at(slot);
            if (unknown_walk_resumes(word) && coroutines_is_return_address(word) != (pass == 1) &&
                goes_on_at(place, sp, slot, saved_at, ret)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether SP is the stack pointer as it will be when a call of a switch has returned, and where to is kept
 * beside it, as in a ucontext_t: then the call has left that below. */
static READS_PROGRAM bool has_returned(const struct unknown_place *place, uintptr_t sp, uintptr_t saved_at,
                                       struct found *ret)
{
    uintptr_t slot = sp - sizeof(uintptr_t), pc = stubs_original_at(slot);

    if (!coroutines_is_return_address(pc)) {
        return false;
    }
    for (uintptr_t at = saved_at - BESIDE; at <= saved_at + BESIDE; at += sizeof(uintptr_t)) {
        if (is_readable(at) && stubs_original_at(at) == pc && at != slot) {
            *ret = (struct found){
                .sp = sp,
                .stack = { .place = *place, .sp = sp, .walk = walk_best(place, sp, slot, at, saved_at) },
                .by_switch = true,
                .exact = true
            };
            return true;
        }
    }
    return false;
}

bool unknown_stacks_at(const struct unknown_place *place, uintptr_t sp, uintptr_t kept_at,
                       struct unknown_stack *ret)
{
    struct found found;

    if (sp % sizeof(uintptr_t) || sp <= place->low || !is_readable(sp) ||
        !is_readable(sp - sizeof(uintptr_t)) || /* a guard that belongs to the stack */
        (!has_returned(place, sp, kept_at, &found) && !is_stack_pointer(place, sp, kept_at, &found))) {
        return false;
    }
    *ret = found.stack;
    return true;
}

/* Stacks are full of pointers to their own variables and frames, dead ones too. What a library keeps of a
 * stack may lie in front of it in the same block. */
static bool is_on_itself(const struct found *found, uintptr_t saved_at)
{
    const struct unknown_place *place = &found->stack.place;

    return saved_at >= place->low && saved_at < place->high &&
           (!found->by_switch || found->stack.walk.pc_at) && saved_at - place->low >= HEADER_SIZE;
}

/* Where there is no room for one more: one that is not affected gives its place away. */
static void add_stack(const struct found *found)
{
    if (search.stack_count < STACKS_MAX) {
        search.stacks[search.stack_count++] = *found;
        return;
    }
    while (search.replaced < STACKS_MAX && search.stacks[search.replaced].stack.affected) {
        search.replaced++;
    }
    if (found->stack.affected && search.replaced < STACKS_MAX) {
        search.stacks[search.replaced++] = *found;
    } else if (found->stack.affected) {
        search.overlooked++;
    }
}

static bool is_known_pointer(uintptr_t sp)
{
    for (size_t i = 0; i < search.stack_count; i++) {
        if (search.stacks[i].sp == sp) {
            return true;
        }
    }
    return false;
}

static READS_PROGRAM void take_pointer(void *context, uintptr_t *at)
{
    uintptr_t sp = *at, slot = sp - sizeof(sp);
    const struct address *last = last_in_place_of(slot);
    struct found found;

    (void)context;
    if (!last || slot > last->slot || sp % sizeof(uintptr_t) || !is_readable(slot)) {
        return;
    }
    if (!has_returned(&last->place, sp, (uintptr_t)at, &found) &&
        (is_known_pointer(sp) || sp > last->slot ||
         !is_stack_pointer(&last->place, sp, (uintptr_t)at, &found))) {
        return;
    }
    if (!unknown_memory_is_alive((uintptr_t)at) || is_on_itself(&found, (uintptr_t)at)) {
        return;
    }
    found.dead = found.exact ? unknown_memory_depth(last->place.low, sp) : sp;
    found.stack.affected = true;
    add_stack(&found);
}

/* Whether what leads to STACK may just as well be the address of a variable on another one. */
static bool is_within_another(const struct found *stack)
{
    for (size_t i = 0; i < search.stack_count && !stack->exact; i++) {
        const struct found *other = &search.stacks[i];
        if (other->by_switch && stack->sp > other->sp && stack->sp <= other->stack.walk.top) {
            return true;
        }
    }
    return false;
}

/* ---- stacks left by longjmp ------------------------------------------------------------------------ */

static void take_left(void *context, const struct unknown_stack *stack)
{
    (void)context;
    add_stack(&(struct found){ .sp = stack->sp,
                               .stack = *stack,
                               .by_switch = true,
                               .exact = true,
                               .dead = jump_stacks_surely(stack->sp)
                                           ? unknown_memory_depth(stack->place.low, stack->sp)
                                           : stack->walk.slot });
}

/* ---- what is made of it ---------------------------------------------------------------------------- */

/* Stacks may come together further up: dead frames below live ones do. Each is told of once. */
static bool is_new(uintptr_t slot)
{
    for (size_t i = 0; i < search.visited_count; i++) {
        if (search.visited[i] == slot) {
            return false;
        }
    }
    if (search.visited_count < VISITED_MAX) {
        search.visited[search.visited_count++] = slot;
    }
    return true;
}

static bool visit_new_frame(void *context, const struct stack_frame *frame)
{
    (void)context;
    return (frame->pc_slot && !is_new(frame->pc_slot)) || search.visit_frame(search.visit_context, frame);
}

void unknown_stacks_frames(const struct unknown_stack *stack, unwind_visitor *visit, void *context)
{
    search.visit_frame = visit;
    search.visit_context = context;
    unknown_walk_visit(&stack->place, &stack->walk, visit_new_frame, NULL);
}

/* Whether the return address at ADDRESS is known to be on a stack that was walked, or to be dead. */
static bool is_explained(const struct address *address)
{
    for (size_t i = 0; i < search.stack_count; i++) {
        const struct found *found = &search.stacks[i];
        if (found->stack.place.low == address->place.low && address->slot >= found->dead &&
            address->slot <= found->stack.walk.top) {
            return true;
        }
    }
    return false;
}

/* Whether a stack ends below ADDRESS in the same place, of which it is not known how it goes on. */
static bool is_above_broken(const struct address *address)
{
    for (size_t i = 0; i < search.stack_count; i++) {
        const struct unknown_stack *stack = &search.stacks[i].stack;
        if (stack->place.low == address->place.low && stack->walk.top < address->slot &&
            !stack->walk.complete) {
            return true;
        }
    }
    return false;
}

/* What was looked at for things like stacks, ascending. */
struct looked {
    uintptr_t end; /* up to here */
    uintptr_t top; /* the highest return address on one */
};

/* Whether ADDRESS is on something that looks like a stack. */
static READS_PROGRAM bool looks_like_stack(const struct address *address, struct looked *looked)
{
    uintptr_t low = address->slot - BELOW_WORDS * sizeof(uintptr_t);

    low = low > address->place.low ? low : address->place.low + sizeof(uintptr_t);
    for (uintptr_t slot = low > looked->end ? low : looked->end; slot <= address->slot;
         slot += sizeof(uintptr_t)) {
        struct unknown_walk walk = { 0 };
        if (unknown_walk_resumes(stubs_original_at(slot))) {
            unknown_walk_from(&address->place, slot, 0, stubs_original_at(slot - sizeof(uintptr_t)), &walk);
        }
        if (walk.links >= ENOUGH_LINKS || (walk.slot && unknown_walk_switches(stubs_original_at(slot)))) {
            looked->top = walk.top > looked->top ? walk.top : looked->top;
        }
    }
    looked->end = address->slot + sizeof(uintptr_t);
    return looked->top >= address->slot;
}

static bool is_not_understood(const struct address *address, struct looked *looked)
{
    return !is_explained(address) && (address->place.kind == UNKNOWN_COROUTINE || is_above_broken(address) ||
                                      !coroutines_is_return_address(stubs_original_at(address->slot)) ||
                                      looks_like_stack(address, looked));
}

static void visit_not_understood(unknown_stack_visitor *visit, void *context)
{
    const struct address *first = NULL;
    struct looked looked = { 0 };
    size_t more = search.address_more;

    for (size_t i = 0; i < search.address_count; i++) {
        if (is_not_understood(&search.addresses[i], &looked)) {
            more += first != NULL;
            first = first ? first : &search.addresses[i];
        }
    }
    if (!first && search.address_more) {
        first = &search.addresses[0];
    }
    if (first) {
        visit(context, &(struct unknown_stack){
                           .place = first->place, .walk = { .slot = first->slot }, .more = more });
    }
}

static void visit_understood(unknown_stack_visitor *visit, void *context)
{
    SORT_BY(search.stacks, search.stack_count, struct found, sp);
    for (size_t i = 0; i < search.stack_count; i++) {
        if (!is_within_another(&search.stacks[i])) {
            visit(context, &search.stacks[i].stack);
        }
    }
}

static void find_stacks(void)
{
    struct unknown_values places = { UINTPTR_MAX, 0 };

    SORT_BY(search.addresses, search.address_count, struct address, slot);
    for (size_t i = 0; i < search.address_count; i++) {
        const struct address *address = &search.addresses[i];
        places.low = address->place.low < places.low ? address->place.low : places.low;
        uintptr_t end = address->slot + sizeof(uintptr_t) + 1;
        places.high = end > places.high ? end : places.high;
    }
    if (search.address_count) {
        unknown_memory_find(&places, 1, take_pointer, NULL);
    }
}

bool unknown_stacks_visit(const struct world *world, const struct unknown_wanted *wanted,
                          unknown_stack_visitor *visit, void *context, size_t *ret_overlooked)
{
    search.wanted = wanted;
    search.address_count = search.address_more = search.stack_count = search.visited_count = 0;
    search.replaced = search.overlooked = 0;
    if (!unknown_memory_begin(world)) {
        return false;
    }
    if (jump_buffers_possible()) {
        search.overlooked +=
            jump_stacks_visit(wanted, switches_exist() || coroutines_have_left(), take_left, NULL);
    }
    if (switches_exist() || coroutines_have_left()) {
        unknown_memory_find(wanted->values, wanted->count, take_address, NULL);
        find_stacks();
    }
    visit_understood(visit, context);
    visit_not_understood(visit, context);
    unknown_memory_end();
    *ret_overlooked = search.overlooked;
    return true;
}
