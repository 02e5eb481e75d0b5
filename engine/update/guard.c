/*
 * The guard. While it is up, the signals by which a thread is told of its own faults have our handler, and
 * the engine's thread does not block them; all other threads are held and block everything, so nobody else
 * can meet it. The handler leaves by siglongjmp, on a stack of its own, so that an overflown stack is an
 * answer, too. The dispositions and the mask are put back exactly as they were.
 *
 * The time limit is a timer of this thread with signal 32. glibc uses that number for pthread_cancel, which
 * sends it to single threads only: nothing that is meant for the program can arrive here.
 */
#include "engine/update/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/mapping.h"
#include "engine/parallel.h"
#include "engine/threads/disposition.h"
#include "engine/threads/futex.h"

#define TIMER_SIGNAL 32
#define STACK_SIZE (64ul << 10)
#define SIGNAL_COUNT 7

static const int taken[SIGNAL_COUNT] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, TIMER_SIGNAL };

static struct {
    struct disposition before[SIGNAL_COUNT];
    uint64_t mask_before;
    stack_t stack_before;
    void *stack;
    int timer;
    pid_t thread;
    guard_write_handler *writes;
    volatile sig_atomic_t inside; /* guarded code is running */
    sigjmp_buf out;
    struct guard_result result;
} guard;

static const char *name_of(int number)
{
    const char *name = sigabbrev_np(number);

    return name ? name : "?";
}

static __attribute__((noreturn)) void leave(enum guard_end end)
{
    guard.result.end = end;
    guard.inside = 0;
    siglongjmp(guard.out, 1);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    uintptr_t address = number == TIMER_SIGNAL || number == SIGABRT ? 0 : (uintptr_t)info->si_addr;

    parallel_fault();
    if ((number == SIGSEGV) && info->si_code == SEGV_ACCERR && guard.writes && guard.writes(address)) {
        return;
    }
    if (!guard.inside) {
        if (number == TIMER_SIGNAL) {
            return; /* time is up between two functions: the next one is asked */
        }
        /* a fault of the engine's own: as if there were no guard */
        struct disposition fallback = { .handler = (void (*)(int, siginfo_t *, void *))(void *)SIG_DFL };
        disposition_set(number, &fallback, NULL);
        return;
    }
    guard.result.signal = number;
    guard.result.address = address;
    if (number == TIMER_SIGNAL) {
        snprintf(guard.result.message, sizeof(guard.result.message), "it took too long");
        leave(GUARD_OVERRAN);
    }
    if (address) {
        snprintf(guard.result.message, sizeof(guard.result.message), "it crashed (SIG%s at address 0x%lx)",
                 name_of(number), (unsigned long)address);
    } else {
        snprintf(guard.result.message, sizeof(guard.result.message), "it %s (SIG%s)",
                 number == SIGABRT ? "aborted" : "crashed", name_of(number));
    }
    leave(GUARD_CRASHED);
}

/* ---- up and down ----------------------------------------------------------------------------------- */

static int take_stack(void)
{
    if (!guard.stack) { /* kept: a mapping for each update would be one more */
        guard.stack = mapping_create(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, 0, "signal stack");
        if (!guard.stack) {
            return -ENOMEM;
        }
    }
    stack_t stack = { .ss_sp = guard.stack, .ss_size = STACK_SIZE };
    return sigaltstack(&stack, &guard.stack_before) < 0 ? -errno : 0;
}

static void take_signals(void)
{
    const struct disposition ours = disposition_of(on_fault, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, 0);
    uint64_t open = ~0ull;

    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        disposition_set(taken[i], &ours, &guard.before[i]);
        open &= ~(1ull << (taken[i] - 1));
    }
    raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&open, (long)&guard.mask_before, sizeof(uint64_t));
}

void guard_limit(uint32_t limit_ms)
{
    struct itimerspec when = { .it_value = { limit_ms / 1000, (long)(limit_ms % 1000) * 1000000 },
                               .it_interval = { 0, 20000000 } }; /* in case it comes between two functions */

    raw_syscall4(SYS_timer_settime, guard.timer, 0, (long)&when, 0);
}

int guard_begin(guard_write_handler *writes)
{
    guard.thread = (pid_t)raw_syscall4(SYS_gettid, 0, 0, 0, 0);
    guard.writes = writes;
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TIMER_SIGNAL };
    event._sigev_un._tid = guard.thread;
    long status = raw_syscall4(SYS_timer_create, CLOCK_MONOTONIC, (long)&event, (long)&guard.timer, 0);
    if (status < 0) {
        return (int)status;
    }
    status = take_stack();
    if (status < 0) {
        raw_syscall4(SYS_timer_delete, guard.timer, 0, 0, 0);
        return (int)status;
    }
    take_signals();
    return 0;
}

void guard_end(void)
{
    raw_syscall4(SYS_timer_delete, guard.timer, 0, 0, 0);
    raw_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&guard.mask_before, 0, sizeof(uint64_t));
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        disposition_set(taken[i], &guard.before[i], NULL);
    }
    sigaltstack(&guard.stack_before, NULL);
    guard.writes = NULL;
}

/* ---- running --------------------------------------------------------------------------------------- */

enum guard_end guard_run(void (*function)(void *context), void *context, struct guard_result *ret)
{
    guard.result = (struct guard_result){ .end = GUARD_RETURNED };
    if (sigsetjmp(guard.out, 0) == 0) {
        guard.inside = 1;
        function(context);
        guard.inside = 0;
    }
    *ret = guard.result;
    return ret->end;
}

/* Whether guarded code asks: not another thread, nor the child of a fork of it. */
static bool is_guarded(void)
{
    return guard.inside && (pid_t)raw_syscall4(SYS_gettid, 0, 0, 0, 0) == guard.thread;
}

void guard_left(const char *what)
{
    parallel_fault();
    if (is_guarded()) {
        snprintf(guard.result.message, sizeof(guard.result.message), "it called %s", what);
        leave(GUARD_FAILED);
    }
}

void guard_fail(const char *format, va_list arguments)
{
    parallel_fault();
    if (is_guarded()) {
        vsnprintf(guard.result.message, sizeof(guard.result.message), format, arguments);
        leave(GUARD_FAILED);
    }
}
