/*
 * Stopping all threads by a signal (DESIGN 4.4).
 *
 * The signal is number 33. glibc keeps it for setxid and for this reason never lets a program block it:
 * sigfillset and pthread_sigmask leave it out, signalfd and sigwait cannot take it. So a program that blocks
 * "all" signals is stopped too. Its disposition is ours only while a stop is under way and is put back
 * afterwards; a setxid signal that arrives in between is handed to glibc's handler.
 *
 * A thread that slept in a system call would see EINTR; restart.c sees to it that it does not.
 *
 * New threads may appear while others are being stopped, so the list of tasks is read again until it brings
 * none. Only threads that run can make threads, so this ends.
 *
 * While the world is stopped the engine must take no lock that a program's thread may hold: no malloc of the
 * program, no stdio, no dl_iterate_phdr.
 */
#include "engine/threads/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/mapping.h"
#include "engine/threads/disposition.h"
#include "engine/threads/filters.h"
#include "engine/threads/futex.h"
#include "engine/threads/restart.h"

#define STOP_SIGNAL 33

enum { THREAD_SIGNALLED, THREAD_STOPPED, THREAD_GONE };

static struct {
    pid_t engine_tid;
    struct stopped_thread *slots; /* grows by whole remapping, only while no stop is under way */
    size_t capacity;
    size_t count;
    _Atomic uint32_t generation; /* odd: stopping or stopped; threads wait for it to change */
    _Atomic uint32_t stopped;    /* how many threads have arrived in the handler */
    _Atomic uint32_t expected;   /* how many are to arrive: the last one wakes the engine */
    uint64_t began_us;           /* when the first signal was sent */
    _Atomic uint32_t inside;     /* how many threads are anywhere in the handler */
    struct disposition previous;
    int task_directory; /* open while threads are being stopped */
} stopper;

/* ---- the handler: runs on the stopped thread --------------------------------------------------------- */

/* The slot that a signal's value names, or NULL: the signal is late, from a stop that is over. */
static struct stopped_thread *slot_of_signal(const siginfo_t *info, uint32_t *ret_generation)
{
    uint64_t value = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
    uint32_t generation = atomic_load(&stopper.generation), index = (uint32_t)value;

    *ret_generation = generation;
    return generation % 2 && value >> 32 == generation && index < stopper.count ? &stopper.slots[index]
                                                                                : NULL;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    if (stopper.previous.handler && (void *)stopper.previous.handler != (void *)SIG_DFL &&
        (void *)stopper.previous.handler != (void *)SIG_IGN) {
        stopper.previous.handler(number, info, context);
    }
}

static void on_stop_signal(int number, siginfo_t *info, void *context)
{
    if (info->si_code != SI_QUEUE) {
        pass_on(number, info, context);
        return;
    }
    atomic_fetch_add(&stopper.inside, 1);
    uint32_t generation;
    struct stopped_thread *thread = slot_of_signal(info, &generation);

    int restarts = restart_interrupted_call(thread ? &thread->blocked : NULL, context);
    if (thread) {
        thread->context = context;
        thread->thread_pointer = (uintptr_t)__builtin_thread_pointer();
        atomic_store(&thread->state, THREAD_STOPPED);
        if (atomic_fetch_add(&stopper.stopped, 1) + 1 == atomic_load(&stopper.expected)) {
            futex_wake_all(&stopper.stopped);
        }
        while (atomic_load(&stopper.generation) == generation) {
            futex_wait(&stopper.generation, generation, NULL);
        }
    }
    if (restarts) {
        restart_begins();
    }
    if (atomic_fetch_sub(&stopper.inside, 1) == 1) {
        futex_wake_all(&stopper.inside);
    }
}

/* ---- the engine's side ------------------------------------------------------------------------------- */

uint64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Takes the signal. What had it before is remembered, unless that is our own handler, left in place by a stop
 * that failed. */
static int take_signal(void)
{
    /* nothing of the program's runs on top of the handler */
    const struct disposition ours =
        disposition_of(on_stop_signal, SA_SIGINFO | SA_RESTART | SA_ONSTACK, ~0ull);
    struct disposition previous;
    int status = disposition_set(STOP_SIGNAL, &ours, &previous);

    if (status == 0 && previous.handler != on_stop_signal) {
        stopper.previous = previous;
    }
    return status;
}

static void give_signal_back(void)
{
    disposition_set(STOP_SIGNAL, &stopper.previous, NULL);
}

void stop_init(void)
{
    stopper.engine_tid = (pid_t)raw_syscall4(SYS_gettid, 0, 0, 0, 0);
}

void stop_after_fork(void)
{
    atomic_store(&stopper.generation, 0);
    atomic_store(&stopper.stopped, 0);
    atomic_store(&stopper.inside, 0);
    stopper.count = 0;
}

static bool has_slot(pid_t tid)
{
    for (size_t i = 0; i < stopper.count; i++) {
        if (stopper.slots[i].tid == tid) {
            return true;
        }
    }
    return false;
}

static int grow(size_t capacity)
{
    size_t size = capacity * sizeof(struct stopped_thread);
    void *slots = mapping_create(NULL, size, PROT_READ | PROT_WRITE, 0, "stopped threads");

    if (!slots) {
        return -ENOMEM;
    }
    mapping_destroy(stopper.slots);
    stopper.slots = slots;
    stopper.capacity = capacity;
    return 0;
}

/* Reads where thread TID is blocked. /proc says "NR args... SP PC", or "running". */
static void read_syscall(struct stopped_thread *thread)
{
    char path[32], line[256];

    thread->blocked.number = -1;
    snprintf(path, sizeof(path), "%d/syscall", (int)thread->tid);
    int file = openat(stopper.task_directory, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return;
    }
    ssize_t length = read(file, line, sizeof(line) - 1);
    close(file);
    line[length > 0 ? length : 0] = '\0';
    if (line[0] < '0' || line[0] > '9') {
        return;
    }
    char *rest;
    long number = strtol(line, &rest, 10);
    for (int i = 0; i < 6; i++) {
        strtoul(rest, &rest, 16);
    }
    thread->blocked.number = number;
    thread->blocked.sp = strtoul(rest, &rest, 16);
    thread->blocked.pc = strtoul(rest, NULL, 16);
}

/* Sends the signal to all threads from slot FIRST on. Those that ended meanwhile count as arrived. 0 or
 * negative errno. */
static int signal_threads(size_t first, uint32_t generation)
{
    siginfo_t info = { .si_signo = STOP_SIGNAL, .si_code = SI_QUEUE };

    info.si_pid = getpid();
    info.si_uid = getuid();
    atomic_store(&stopper.expected, (uint32_t)stopper.count);
    for (size_t i = first; i < stopper.count; i++) {
        struct stopped_thread *thread = &stopper.slots[i];
        info.si_value.sival_ptr = (void *)(uintptr_t)((uint64_t)generation << 32 | i);
        long status = raw_syscall4(SYS_rt_tgsigqueueinfo, info.si_pid, thread->tid, STOP_SIGNAL, (long)&info);
        if (status == -ESRCH) {
            atomic_store(&thread->state, THREAD_GONE);
            atomic_fetch_add(&stopper.stopped, 1);
        } else if (status < 0) {
            return (int)status;
        }
    }
    return 0;
}

struct linux_dirent {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* Gives every thread that has none a slot, with the call it is blocked in. 0 or a negative errno (-EXFULL:
 * more slots are needed). */
static int find_new_threads(void)
{
    char buffer[4096] __attribute__((aligned(8)));

    if (lseek(stopper.task_directory, 0, SEEK_SET) < 0) { /* read anew each time */
        return -errno;
    }
    for (;;) {
        long size = raw_syscall4(SYS_getdents64, stopper.task_directory, (long)buffer, sizeof(buffer), 0);
        if (size <= 0) {
            return (int)size;
        }
        for (long at = 0; at < size;) {
            struct linux_dirent *entry = (struct linux_dirent *)(buffer + at);
            pid_t tid = atoi(entry->name);
            at += entry->length;
            if (tid <= 0 || tid == stopper.engine_tid || has_slot(tid)) {
                continue;
            }
            if (stopper.count == stopper.capacity) {
                return -EXFULL;
            }
            struct stopped_thread *thread = &stopper.slots[stopper.count];
            *thread = (struct stopped_thread){ .tid = tid };
            read_syscall(thread);
            stopper.count++;
        }
    }
}

/* False for a thread that is gone, or has ended and is only kept as the process's first one (pthread_exit
 * in main). */
static bool is_alive(pid_t tid)
{
    char path[32], line[512];

    snprintf(path, sizeof(path), "%d/stat", (int)tid);
    int file = openat(stopper.task_directory, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return errno != ENOENT && errno != ESRCH;
    }
    ssize_t length = read(file, line, sizeof(line) - 1);
    close(file);
    line[length > 0 ? length : 0] = '\0';
    const char *state = strrchr(line, ')'); /* "TID (name) STATE ..." */
    return !state || (state[2] != 'Z' && state[2] != 'X');
}

/* Counts threads that ended before the signal reached them as stopped. */
static void count_gone(void)
{
    for (size_t i = 0; i < stopper.count; i++) {
        struct stopped_thread *thread = &stopper.slots[i];
        if (atomic_load(&thread->state) == THREAD_SIGNALLED && !is_alive(thread->tid)) {
            atomic_store(&thread->state, THREAD_GONE);
            atomic_fetch_add(&stopper.stopped, 1);
        }
    }
}

/* Waits until all signalled threads have arrived. 0, or -ETIMEDOUT with the tid of one that has not. */
static int await_arrival(uint64_t deadline_us, pid_t *ret_stuck)
{
    const struct timespec tick = { .tv_nsec = 2000000 };
    uint32_t stopped;

    while ((stopped = atomic_load(&stopper.stopped)) < stopper.count) {
        if (futex_wait(&stopper.stopped, stopped, &tick) != -ETIMEDOUT) {
            continue;
        }
        count_gone();
        if (monotonic_us() < deadline_us) {
            continue;
        }
        for (size_t i = 0; i < stopper.count; i++) {
            if (atomic_load(&stopper.slots[i].state) == THREAD_SIGNALLED) {
                *ret_stuck = stopper.slots[i].tid;
                return -ETIMEDOUT;
            }
        }
    }
    return 0;
}

/* Moves the threads that are really stopped to the front; the others ended. */
static void drop_gone(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < stopper.count; i++) {
        if (atomic_load(&stopper.slots[i].state) == THREAD_STOPPED) {
            if (kept != i) {
                stopper.slots[kept] = stopper.slots[i];
            }
            kept++;
        }
    }
    stopper.count = kept;
}

static int stop_attempt(uint32_t timeout_ms, pid_t *ret_stuck)
{
    uint64_t deadline = monotonic_us() + 1000ull * timeout_ms;
    uint32_t generation = atomic_fetch_add(&stopper.generation, 1) + 1;
    size_t known;

    do {
        known = stopper.count;
        int status = find_new_threads();
        if (known == 0) {
            stopper.began_us = monotonic_us();
        }
        status = status < 0 ? status : signal_threads(known, generation);
        status = status < 0 ? status : await_arrival(deadline, ret_stuck);
        if (status < 0) {
            return status;
        }
    } while (stopper.count > known);
    drop_gone();
    return 0;
}

/* Threads of the stop before may still be on their way out of the handler; their slots are about to be used
 * again. */
static void await_departure(void)
{
    const struct timespec patience = { .tv_sec = 1 };
    uint32_t inside;

    while ((inside = atomic_load(&stopper.inside)) != 0) {
        if (futex_wait(&stopper.inside, inside, &patience) == -ETIMEDOUT) {
            break; /* a thread held by a debugger, say: it will find the generation changed */
        }
    }
}

/* Not kept open: a program may close descriptors that it does not know. */
static int open_task_directory(void)
{
    stopper.task_directory = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return stopper.task_directory < 0 ? -errno : 0;
}

int stop_world(uint32_t timeout_ms, struct world *ret, pid_t *ret_stuck)
{
    int status = filters_forbid_stops() ? -EPERM : stopper.slots ? 0 : grow(256);

    while (status == 0) {
        await_departure();
        status = open_task_directory();
        if (status < 0) {
            return status;
        }
        stopper.count = 0;
        atomic_store(&stopper.stopped, 0);
        status = take_signal();
        status = status < 0 ? status : stop_attempt(timeout_ms, ret_stuck);
        close(stopper.task_directory);
        if (status == 0) {
            *ret = (struct world){ stopper.slots, stopper.count, getpid(), stopper.began_us };
            return 0;
        }
        resume_world();
        if (status == -EXFULL) {
            status = grow(stopper.capacity * 2);
        } else {
            return status;
        }
    }
    return status;
}

void resume_world(void)
{
    atomic_fetch_add(&stopper.generation, 1);
    futex_wake_all(&stopper.generation);
    if (atomic_load(&stopper.stopped) >= stopper.count) {
        give_signal_back();
    } /* else a signal is still on its way: the handler stays, ignores it, and hands on what is not ours */
}

void thread_name(pid_t tid, char *name, size_t size)
{
    char path[64];

    name[0] = '\0';
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", (int)tid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return;
    }
    ssize_t length = read(file, name, size - 1);
    close(file);
    name[length > 0 ? length : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}
