/*
 * The table of contexts. Entries are found by a hash of the context's address and are never taken out while
 * the program runs: whoever saves a context at the same address uses the entry again, so there are as many as
 * there are places for contexts.
 *
 * Threads write entries of contexts that are theirs to use at the moment, so only the finding is a matter of
 * concurrency: an entry is taken by counting up, and published by one compare-and-exchange in the index.
 * Nothing here waits, so a signal handler may switch contexts, too.
 */
#include "engine/threads/contexts.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <x86intrin.h>

#include "engine/code/lookup.h"
#include "engine/mapping.h"

/* A thread in this section is in the middle of a switch, as in the C library's functions. */
#define CONTEXT_CODE __attribute__((section("molt_context_code")))
extern const char __start_molt_context_code[] __attribute__((visibility("hidden")));
extern const char __stop_molt_context_code[] __attribute__((visibility("hidden")));

enum { GET, MAKE, SWAP, SET, FUNCTION_COUNT };

static _Atomic(struct context_table *) table;
static _Atomic(context_function *) next[FUNCTION_COUNT]; /* the C library's */
static size_t next_size[FUNCTION_COUNT];

struct context_table *contexts(void)
{
    return atomic_load(&table);
}

/* While there is one thread, or in a constructor that runs before ours. */
static __attribute__((constructor, noinline)) void find_next(void)
{
    static const char *const names[FUNCTION_COUNT] = {
        [GET] = "getcontext", [MAKE] = "makecontext", [SWAP] = "swapcontext", [SET] = "setcontext"
    };

    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        uintptr_t address = lookup_definition(names[i], LOOKUP_UNDERNEATH);
        const ElfW(Sym) *symbol = NULL;
        Dl_info info;
        if (dladdr1((void *)address, &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol) {
            next_size[i] = symbol->st_size;
        }
        atomic_store(&next[i], (context_function *)address);
    }
}

static __attribute__((noinline)) struct context_table *make_table(void)
{
    int saved = errno;
    struct context_table *made = mapping_create(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_NORESERVE,
                                                "contexts"),
                         *other = NULL;

    if (made && !atomic_compare_exchange_strong(&table, &other, made)) {
        mapping_destroy(made);
        made = other;
    }
    errno = saved;
    return made;
}

bool contexts_is_switching(uintptr_t pc)
{
    bool is = pc >= (uintptr_t)__start_molt_context_code && pc < (uintptr_t)__stop_molt_context_code;

    for (size_t i = 0; i < FUNCTION_COUNT && atomic_load(&table); i++) {
        is |= i != MAKE && pc - (uintptr_t)atomic_load(&next[i]) < next_size[i];
    }
    return is;
}

/* ---- on the program's threads ---------------------------------------------------------------------- */

CONTEXT_CODE static context_function *next_of(unsigned function)
{
    context_function *found = atomic_load_explicit(&next[function], memory_order_relaxed);

    if (__builtin_expect(!found, 0)) {
        find_next();
        found = atomic_load(&next[function]);
    }
    return found;
}

/* Where the search for KEY in the index begins. */
CONTEXT_CODE static uint32_t first_place(uintptr_t key)
{
    return (uint32_t)((key >> 3) * 0x9e3779b97f4a7c15ull >> 40);
}

/* The entry of KEY, made if MAKE says so; NULL if there is none, or no room. */
CONTEXT_CODE static struct context_entry *find(uintptr_t key, bool make)
{
    struct context_table *all = atomic_load_explicit(&table, memory_order_acquire);
    uint32_t at = first_place(key), mine = 0;

    if (!all && (!make || !(all = make_table()))) {
        return NULL;
    }
    for (;; at++) {
        _Atomic uint32_t *slot = &all->index[at % (2 * CONTEXT_MAX)];
        uint32_t number = atomic_load_explicit(slot, memory_order_acquire);
        if (!number && !make) {
            return NULL;
        }
        if (!number) {
            if (!mine && (atomic_load(&all->count) >= CONTEXT_MAX ||
                          (mine = atomic_fetch_add(&all->count, 1) + 1) > CONTEXT_MAX)) {
                atomic_store(&all->count, CONTEXT_MAX + 1);
                return NULL;
            }
            all->entries[mine - 1].key = key;
            if (atomic_compare_exchange_strong(slot, &number, mine)) {
                return &all->entries[mine - 1];
            }
        }
        if (all->entries[number - 1].key == key) {
            return &all->entries[number - 1];
        }
    }
}

CONTEXT_CODE static void note(uintptr_t context, uint32_t kind, uintptr_t pc, uintptr_t sp)
{
    struct context_entry *entry = find(context, true);

    if (entry) {
        entry->pc = pc;
        entry->sp = sp;
        entry->thread = (uintptr_t)__builtin_thread_pointer();
        entry->resumed_by = 0;
        entry->stamp = __rdtsc();
        atomic_store_explicit(&entry->kind, kind, memory_order_release);
    }
}

CONTEXT_CODE static void note_resumed(uintptr_t context)
{
    struct context_entry *entry = find(context, false);

    if (entry) {
        entry->stamp = __rdtsc();
        entry->resumed_by = (uintptr_t)__builtin_thread_pointer();
    }
}

CONTEXT_CODE context_function *molt_context_got(uintptr_t context, uintptr_t pc, uintptr_t sp)
{
    note(context, CONTEXT_GOT, pc, sp);
    return next_of(GET);
}

CONTEXT_CODE static void note_link(uintptr_t context)
{
    struct context_entry *entry = context ? find(context, true) : NULL;

    if (entry) {
        atomic_store(&entry->is_link, true);
    }
}

CONTEXT_CODE context_function *molt_context_made(uintptr_t context)
{
    const stack_t *stack = &((const ucontext_t *)context)->uc_stack;

    note(context, CONTEXT_MADE, 0, (uintptr_t)stack->ss_sp);
    struct context_entry *entry = find(context, false);

    note_link((uintptr_t)((const ucontext_t *)context)->uc_link);
    if (entry) {
        entry->low = (uintptr_t)stack->ss_sp;
        entry->size = stack->ss_size;
        atomic_fetch_add(&atomic_load(&table)->changes, 1);
    }
    return next_of(MAKE);
}

CONTEXT_CODE context_function *molt_context_swapped(uintptr_t from, uintptr_t to, uintptr_t pc, uintptr_t sp)
{
    note(from, CONTEXT_SAVED, pc, sp);
    note_resumed(to);
    return next_of(SWAP);
}

CONTEXT_CODE context_function *molt_context_resumed(uintptr_t context)
{
    note_resumed(context);
    return next_of(SET);
}

/* ---- what an update moves --------------------------------------------------------------------------- */

/* Adds entry NUMBER, from 1, to the index. One of the same key that is there already stays. */
static void add_to_index(struct context_table *all, uint32_t number)
{
    uint32_t at = first_place(all->entries[number - 1].key), found;

    while ((found = atomic_load(&all->index[at % (2 * CONTEXT_MAX)])) != 0) {
        if (all->entries[found - 1].key == all->entries[number - 1].key) {
            return;
        }
        at++;
    }
    atomic_store(&all->index[at % (2 * CONTEXT_MAX)], number);
}

/* Those that have moved first: where they are now, whatever was before is over. A thread that was stopped
 * while it looked for an entry may not find it, and enter what it notes twice: of the two, what memory does
 * not hold any more does not count (coroutines.c). */
static void make_index(struct context_table *all, uint32_t count)
{
    for (size_t i = 0; i < 2 * CONTEXT_MAX; i++) {
        atomic_store_explicit(&all->index[i], 0, memory_order_relaxed);
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < count; i++) {
            if ((all->entries[i].moves_to != 0) == (pass == 0) && all->entries[i].key) {
                add_to_index(all, i + 1);
            }
        }
    }
}

void contexts_follow(memory_mover *now_at, void *context)
{
    struct context_table *all = contexts();
    uint32_t count = all ? atomic_load(&all->count) : 0;
    bool any = false;

    count = count < CONTEXT_MAX ? count : CONTEXT_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct context_entry *entry = &all->entries[i];
        uint32_t kind = atomic_load(&entry->kind);
        bool is_context = kind == CONTEXT_MADE || kind == CONTEXT_SAVED || kind == CONTEXT_GOT ||
                          atomic_load(&entry->is_link);
        uintptr_t key = is_context ? now_at(context, entry->key) : entry->key;
        entry->moves_to = key != entry->key ? key : 0;
        any |= entry->moves_to != 0;
        if (kind == CONTEXT_STACK && entry->pointer) {
            entry->pointer = (void *const *)now_at(context, (uintptr_t)entry->pointer);
        }
    }
    for (uint32_t i = 0; i < count && any; i++) {
        struct context_entry *entry = &all->entries[i];
        entry->key = entry->moves_to ? entry->moves_to : entry->key;
    }
    if (any) {
        make_index(all, count);
    }
}

/* ---- registered stacks (<molt/engine.h>) ----------------------------------------------------------- */

static struct context_entry *find_stack(void *low, bool make)
{
    struct context_entry *entry = find((uintptr_t)low + 1, make);

    if (entry) {
        entry->stamp = __rdtsc();
    }
    return entry;
}

void molt_context_stack_added(void *low, size_t size, void *const *pointer)
{
    struct context_entry *entry = find_stack(low, true);

    if (entry) {
        entry->low = (uintptr_t)low;
        entry->size = size;
        entry->pointer = pointer;
        atomic_store(&entry->kind, CONTEXT_STACK);
        atomic_fetch_add(&atomic_load(&table)->changes, 1);
    }
}

void molt_context_stack_removed(void *low)
{
    struct context_entry *entry = find_stack(low, false);

    if (entry) {
        atomic_store(&entry->kind, CONTEXT_REMOVED);
        atomic_fetch_add(&atomic_load(&table)->changes, 1);
    }
}
