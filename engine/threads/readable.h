/*
 * Whether memory can be read, asked of the kernel: what was a stack before the world was stopped may be
 * unmapped by now. No lock, and no signal if it cannot.
 */
#ifndef MOLT_ENGINE_THREADS_READABLE_H
#define MOLT_ENGINE_THREADS_READABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/threads/futex.h"

/* Whether the 8 bytes at ADDRESS can be read. rt_sigprocmask copies the new mask before it looks at what
 * to do with it, and there is no operation of this number: so it changes nothing. */
static inline bool is_readable(uintptr_t address)
{
    return raw_syscall4(SYS_rt_sigprocmask, ~0l, (long)address, 0, 8) != -EFAULT;
}

#endif
