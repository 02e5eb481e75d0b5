/*
 * Waiting and waking without libc's help: usable in a signal handler, in a return barrier's trampoline and in
 * a stopped world. Nothing here touches errno.
 */
#ifndef MOLT_ENGINE_THREADS_FUTEX_H
#define MOLT_ENGINE_THREADS_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

static inline long raw_syscall4(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

/* Sleeps while *WORD is EXPECTED, at most TIMEOUT (relative, NULL: for ever); may return early. 0 or negative
 * errno. */
static inline long futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *timeout)
{
    return raw_syscall4(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, expected, (long)timeout);
}

static inline void futex_wake_all(_Atomic uint32_t *word)
{
    raw_syscall4(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, INT_MAX, 0);
}

#endif
