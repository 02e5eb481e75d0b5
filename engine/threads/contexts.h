/*
 * Stacks of the program's own making: what is known of them. The engine stands in front of the C library's
 * getcontext, makecontext, swapcontext and setcontext, and notes which contexts were saved where; programs
 * that switch stacks in another way say where these are (<molt/engine.h>).
 *
 * What is noted is a hint: contexts are copied, and their memory is given back, without a word. Who reads the
 * table (coroutines.c) looks whether the memory still holds what was noted.
 */
#ifndef MOLT_ENGINE_THREADS_CONTEXTS_H
#define MOLT_ENGINE_THREADS_CONTEXTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"

enum context_kind {
    CONTEXT_NONE,    /* being entered */
    CONTEXT_MADE,    /* makecontext: nothing has run on its stack */
    CONTEXT_SAVED,   /* swapcontext */
    CONTEXT_GOT,     /* getcontext: can be gone back to more than once */
    CONTEXT_STACK,   /* a stack that the program has registered */
    CONTEXT_REMOVED, /* which it was no longer */
};

struct context_entry {
    uintptr_t key;        /* address of the ucontext_t; of a registered stack, its low end + 1 */
    uintptr_t pc, sp;     /* as they were saved */
    uintptr_t thread;     /* pointer of the thread that saved it */
    uintptr_t resumed_by; /* of the one that went back to it since; 0: nobody has */
    uintptr_t low;        /* the stack that it was made with or that was registered */
    size_t size;
    void *const *pointer; /* of a registered stack: where the program keeps its stack pointer, or NULL */
    uintptr_t moves_to;   /* during contexts_follow: its next key, 0: it stays */
    uint64_t stamp;       /* of the last of these events: later ones have higher ones */
    _Atomic uint32_t kind;
    _Atomic bool is_link; /* some context's uc_link: whether it was gone back to is not noted */
};

#define CONTEXT_MAX 65536

/* A stack as coroutines.c makes it out of the entries. It has memory here because there is none to be had
 * in the stopped world. */
struct known_stack {
    uintptr_t low, high;
    const struct context_entry *made_by; /* NULL: a thread's own */
    const struct context_entry *latest;  /* what was saved on it last, NULL: nothing */
    const struct context_entry
        *target;    /* of a thread's own: what the thread is just switching to, NULL: nothing */
    bool busy;      /* a thread is on it */
    bool told;      /* where it goes on: a context that was saved on it is as it was */
    uintptr_t left; /* from here up it is searched like memory of which nothing is known; 0: it is not */
};
#define CONTEXT_THREADS_MAX 8192 /* whose own stacks can wait */

struct context_table {
    _Atomic uint32_t count;                  /* entries in use; more than CONTEXT_MAX: some are not known */
    _Atomic uint32_t changes;                /* of stacks: counts makecontext and registrations */
    _Atomic uint32_t index[2 * CONTEXT_MAX]; /* by a hash of the key: number of the entry, + 1 */
    struct context_entry entries[CONTEXT_MAX];

    struct {
        uint32_t changes; /* when they were listed */
        size_t count;     /* of those that the program has made, ascending */
        struct known_stack items[CONTEXT_MAX];
        struct known_stack own[CONTEXT_THREADS_MAX]; /* by the thread's number in the world */
    } known;
};

/* NULL: the program has no stacks of its own. */
struct context_table *contexts(void);

/* An update has moved parts of the program's memory, as NOW_AT says: contexts, and where stack pointers of
 * registered stacks are kept, are known there. In the stopped world. */
void contexts_follow(memory_mover *now_at, void *context);

/* Whether a thread at PC is on its way from one context to another: what its stack is then is not to be
 * told. */
bool contexts_is_switching(uintptr_t pc);

/* Behind the functions of the same names in contexts_entry.S. Those of ucontext return the C library's
 * function, and run on the program's threads: no lock, no system call but in the first call of all. */
typedef void context_function(void);
context_function *molt_context_got(uintptr_t context, uintptr_t pc, uintptr_t sp);
context_function *molt_context_made(uintptr_t context);
context_function *molt_context_swapped(uintptr_t from, uintptr_t to, uintptr_t pc, uintptr_t sp);
context_function *molt_context_resumed(uintptr_t context);
void molt_context_stack_added(void *low, size_t size, void *const *pointer);
void molt_context_stack_removed(void *low);

#endif
