/*
 * What a program may tell Molt, and be told by it. Nothing here is needed by programs that have neither of
 * these wishes.
 *
 * To read a configuration again, or anything else that was made of what an update may have changed:
 *
 *     int updates = molt_update_fd();       (-1 without Molt)
 *
 * A byte can be read there after each update and each rollback: it goes where the program waits for input.
 *
 * For programs with stacks of their own: coroutines, fibers, green threads.
 *
 * An update waits until no stack holds a function that it changes. Molt knows the stacks of threads, and
 * those of makecontext and swapcontext, and searches memory for others. A program on which that fails, or
 * that wants to be sure, says where they are:
 *
 *     #include <molt/engine.h>
 *
 *     coroutine->stack = mmap(NULL, size, ...);
 *     molt_stack_add(coroutine->stack, size, &coroutine->sp);
 *     ...
 *     molt_stack_remove(coroutine->stack);
 *     munmap(coroutine->stack, size);
 *
 * While no thread is on a stack, it is walked from its stack pointer. If a function that changes waits on it
 * that one is taken over where that can be, as on any other stack; else the update waits, and names the stack.
 *
 * Nothing needs to be linked: a program that runs without Molt finds no engine, and the calls do nothing.
 * They may be made on any thread, at any time after main has begun.
 */
#ifndef MOLT_ENGINE_H
#define MOLT_ENGINE_H

#pragma GCC system_header

#include <dlfcn.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The SIZE bytes from LOW are a stack. POINTER says where the program keeps its stack pointer while no thread
 * is on it: what lies below that is not in use; a value outside of the stack means that nothing is. It is
 * borrowed until the stack is removed. With NULL, or where no registers and return address stand at the stack
 * pointer, memory is searched for what leads to the stack; if nothing does, all of it counts, and what
 * functions that returned long ago have left there delays updates.
 */
static inline void molt_stack_add(void *low, size_t size, void *const *pointer)
{
    void (*add)(void *, size_t, void *const *);

    *(void **)&add = dlsym(RTLD_DEFAULT, "molt_engine_stack_add");
    if (add) {
        add(low, size, pointer);
    }
}

/*
 * A descriptor, nonblocking and closed on exec, from which a byte can be read after each update and each
 * rollback that is in force; the program's to close. A forked child asks for one of its own. -1: Molt is not
 * there, or errno says why not.
 */
static inline int molt_update_fd(void)
{
    int (*get)(void);

    *(void **)&get = dlsym(RTLD_DEFAULT, "molt_engine_update_fd");
    return get ? get() : -1;
}

/* The stack at LOW is no longer one; before its memory is given back. */
static inline void molt_stack_remove(void *low)
{
    void (*remove_it)(void *);

    *(void **)&remove_it = dlsym(RTLD_DEFAULT, "molt_engine_stack_remove");
    if (remove_it) {
        remove_it(low);
    }
}

#ifdef __cplusplus
}
#endif

#endif
