/*
 * A helper is a process that shares this one's memory and files (clone without CLONE_THREAD), as the child of
 * vfork does. It uses the thread-local memory of the engine's thread, and is a child without an exit signal:
 * the program's waiting for its children passes it over. It goes with its parent, should that be killed.
 */
#include "engine/parallel.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/mapping.h"
#include "engine/threads/futex.h"
#include "engine/update/rehearsal.h"

#define STACK_SIZE (256ul << 10)
#define SIGNAL_STACK_SIZE (64ul << 10) /* the lowest part of it */
#define PATIENCE_MS 200

struct helper {
    parallel_function *function;
    void *context;
    uint8_t *stack;
    unsigned number;
    pid_t pid; /* 0: there is none */
    pid_t parent;
};

static struct helper helpers[PARALLEL_MAX];
static pid_t thread; /* that waits for them */
atomic_bool parallel_broken;

unsigned parallel_width(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return count < 2 || rehearsal_is_sandboxed() ? 1 : count < PARALLEL_MAX ? (unsigned)count : PARALLEL_MAX;
}

/* ---- a helper -------------------------------------------------------------------------------------- */

static __attribute__((noreturn)) void end_helper(int status)
{
    for (;;) {
        raw_syscall4(SYS_exit_group, status, 0, 0, 0);
    }
}

void parallel_fault(void)
{
    if (thread && (pid_t)raw_syscall4(SYS_gettid, 0, 0, 0, 0) != thread) {
        atomic_store(&parallel_broken, true);
        end_helper(1);
    }
}

static int be_helper(void *argument)
{
    const struct helper *helper = argument;
    const stack_t stack = { .ss_sp = helper->stack, .ss_size = SIGNAL_STACK_SIZE };

    raw_syscall4(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    if ((pid_t)raw_syscall4(SYS_getppid, 0, 0, 0, 0) != helper->parent) {
        end_helper(1);
    }
    raw_syscall4(SYS_sigaltstack, (long)&stack, 0, 0, 0);
    helper->function(helper->context, helper->number);
    end_helper(0);
}

static void make(struct helper *helper)
{
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED;

    helper->stack = mapping_create(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, 0, "helper's stack");
    if (helper->stack) {
        int pid = clone(be_helper, helper->stack + STACK_SIZE, flags, helper);
        helper->pid = pid > 0 ? pid : 0;
    }
}

/* ---- all of them ----------------------------------------------------------------------------------- */

/* Whether the helper came to its end; with OPTIONS WNOHANG also false if it has not yet. */
static bool await(struct helper *helper, int options)
{
    int status = 0;
    long pid;

    do {
        pid = raw_syscall4(SYS_wait4, helper->pid, (long)&status, __WALL | options, 0);
    } while (pid == -EINTR);
    if (pid) {
        helper->pid = 0;
    }
    return pid > 0 && status == 0;
}

static void forget(void)
{
    for (unsigned i = 1; i < PARALLEL_MAX; i++) {
        mapping_destroy(helpers[i].stack);
        helpers[i] = (struct helper){ 0 };
    }
    thread = 0;
}

unsigned parallel_run(parallel_function *function, void *context, unsigned width)
{
    pid_t parent = (pid_t)raw_syscall4(SYS_getpid, 0, 0, 0, 0);
    unsigned failed = 0;

    thread = (pid_t)raw_syscall4(SYS_gettid, 0, 0, 0, 0);
    atomic_store(&parallel_broken, false);
    for (unsigned i = 1; i < width; i++) {
        helpers[i] =
            (struct helper){ .function = function, .context = context, .number = i, .parent = parent };
        make(&helpers[i]);
    }
    function(context, 0);
    for (unsigned i = 1; i < width; i++) {
        if (helpers[i].pid && !await(&helpers[i], 0)) {
            failed = i;
        }
    }
    forget();
    return failed;
}

void parallel_abandon(void)
{
    const struct timespec tick = { .tv_nsec = 1000000 };

    for (unsigned i = 1; i < PARALLEL_MAX; i++) {
        for (int waited = 0; helpers[i].pid && waited < PATIENCE_MS; waited++) {
            await(&helpers[i], WNOHANG);
            if (helpers[i].pid) {
                raw_syscall4(SYS_nanosleep, (long)&tick, 0, 0, 0);
            }
        }
        if (helpers[i].pid) {
            raw_syscall4(SYS_kill, helpers[i].pid, SIGKILL, 0, 0);
            await(&helpers[i], 0);
        }
    }
    forget();
}
