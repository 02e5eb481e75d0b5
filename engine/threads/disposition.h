/*
 * What a signal does, set past libc: its functions know nothing of the signals that it keeps for itself, and
 * those of the program may be wrapped.
 */
#ifndef MOLT_ENGINE_THREADS_DISPOSITION_H
#define MOLT_ENGINE_THREADS_DISPOSITION_H

#include <signal.h>
#include <stdint.h>

struct disposition { /* as the kernel has it */
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* That signals call HANDLER, with FLAGS of sigaction(2); SIGNALS are blocked meanwhile. */
struct disposition disposition_of(void (*handler)(int, siginfo_t *, void *), unsigned long flags,
                                  uint64_t signals);

/* Gives signal NUMBER another disposition; *RET (may be NULL) becomes the one before. Returns 0 or a negative
 * errno. */
int disposition_set(int number, const struct disposition *disposition, struct disposition *ret);

#endif
