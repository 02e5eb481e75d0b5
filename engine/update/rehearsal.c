/*
 * The copy is a child that fork's system call makes, without what libc and the program do around it: it has
 * the engine's thread only, and all other threads as they stand in the stop's handler, in its memory. So the
 * same code runs in it as in a stopped world.
 *
 *     process   stopped | clone | runs on .............................. | stopped again: the update
 *     copy              | cut off | play -> stage | _exit                |
 *
 * Nobody notices it: a child that sends no signal at its end is passed over by wait and waitpid (unless they
 * ask for __WALL), and no tracer of the program follows it. It ends with the engine's thread, that is with
 * the program. Descriptors are the same open files: what a policy sends, prints or reads is seen outside, in
 * the rehearsal as in the update.
 *
 * Both share the stage, one mapping, and no descriptor, since the program runs meanwhile and may close what
 * it does not know.
 */
#include "engine/update/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/mapping.h"
#include "engine/proc.h"
#include "engine/threads/futex.h"
#include "engine/threads/readable.h"
#include "engine/update/guard.h"
#include "engine/update/memory_map.h"

#define LOOK_MS 10      /* at least so often it is asked whether the copy still lives */
#define PROGRESS_MS 100 /* and so often whether anybody waits for the answer */
#define MEMORY_MORE ((rlim_t)1 << 30)

struct stage {
    _Atomic uint32_t ended;
    int status;
    bool unlike; /* the copy lacks memory that the process has */
    struct update_report report;
    uint8_t notes[REHEARSAL_NOTES] __attribute__((aligned(16)));
};

static int64_t filters_at_start;

/* How many system call filters this thread has; -1: unknown. */
static int64_t count_filters(void)
{
    return proc_number("/proc/thread-self/status", "Seccomp_filters:");
}

void rehearsal_init(void)
{
    filters_at_start = count_filters();
}

/* A container's filter lets a program fork; the program's own may kill it for that. */
bool rehearsal_is_sandboxed(void)
{
    return count_filters() > filters_at_start;
}

static void warn(struct update_report *report, const char *prefix, const char *text)
{
    size_t length = strlen(report->warnings), room = sizeof(report->warnings) - length;

    snprintf(report->warnings + length, room, "%s%s%s", length ? "\n" : "", prefix, text);
}

static void warn_not_made(struct update_report *report, const char *why)
{
    warn(report, "the update was not rehearsed: ", why);
}

/* ---- the copy -------------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t written = file < 0 ? 0 : write(file, text, strlen(text));

    (void)written; /* the limit on memory remains */
    if (file >= 0) {
        close(file);
    }
}

/* If memory runs out, it is the copy that goes: it may take as much again as the process has twice, and 1 GB.
 */
static void limit_memory(void)
{
    unsigned long size = 0, resident = 0;
    char text[128] = "";
    struct rlimit limit;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);

    if (file >= 0) {
        close(file);
    }
    write_file("/proc/self/oom_score_adj", "1000");
    if (length <= 0 || sscanf(text, "%lu %lu", &size, &resident) != 2 || getrlimit(RLIMIT_AS, &limit) < 0) {
        return;
    }
    rlim_t wanted = ((rlim_t)size + 2 * (rlim_t)resident) * 4096 + MEMORY_MORE;
    limit.rlim_cur = wanted < limit.rlim_cur ? wanted : limit.rlim_cur;
    setrlimit(RLIMIT_AS, &limit);
}

/* What other processes see is not written to: such a write faults here as it does under the page log. */
static void protect_shared(const struct memory_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct region *region = &map->items[i];
        if (region->shared && region->writable) {
            mprotect((void *)region->start, region->end - region->start,
                     (region->readable ? PROT_READ : 0) | (region->executable ? PROT_EXEC : 0));
        }
    }
}

/* Memory may be kept from children (MADV_DONTFORK). What devices mapped holds no instances. */
static bool is_complete(const struct memory_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct region *region = &map->items[i];
        if (region->readable && region->kind != REGION_FILE && region->kind != REGION_KERNEL &&
            !is_readable(region->start)) {
            return false;
        }
    }
    return true;
}

static __attribute__((noreturn)) void end_copy(void)
{
    for (;;) {
        raw_syscall4(SYS_exit_group, 0, 0, 0, 0);
    }
}

/* What is registered last is called first: the program's own handlers are never reached. */
static void at_exit(void)
{
    guard_left("exit");
    end_copy();
}

static __attribute__((noreturn)) void be_copy(struct rehearsal *rehearsal, const struct world *world,
                                              struct stage *stage, const struct memory_map *map)
{
    const struct rlimit none = { 0 };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != world->process) {
        end_copy();
    }
    setrlimit(RLIMIT_CORE, &none);
    limit_memory();
    stage->unlike = !is_complete(map);
    if (!stage->unlike) {
        protect_shared(map);
        atexit(at_exit);
        stage->status = rehearsal->play(rehearsal->context, world, &stage->report, stage->notes);
    }
    atomic_store(&stage->ended, 1);
    raw_syscall4(SYS_futex, (long)&stage->ended, FUTEX_WAKE, INT_MAX, 0);
    end_copy();
}

/* ---- the process ----------------------------------------------------------------------------------- */

static struct stage *make_stage(void)
{
    size_t size = (sizeof(struct stage) + 4095) & ~4095ul;
    void *stage = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (stage == MAP_FAILED) {
        return NULL;
    }
    if (!mapping_adopt(stage, size, "rehearsal")) {
        munmap(stage, size);
        return NULL;
    }
    return stage;
}

/* The pid of the copy, or negative errno. */
static long make_copy(struct rehearsal *rehearsal, const struct world *world, struct stage *stage)
{
    struct memory_map map = { 0 };
    long status = memory_map_read(&map);

    if (status == 0) {
        status = raw_syscall4(SYS_clone, CLONE_UNTRACED, 0, 0, 0); /* no signal at its end, its own memory */
        if (status == 0) {
            be_copy(rehearsal, world, stage, &map);
        }
    }
    memory_map_deinit(&map);
    return status;
}

static bool is_over(pid_t copy)
{
    siginfo_t info = { 0 };
    int status = waitid(P_PID, (id_t)copy, &info, WEXITED | WNOHANG | WNOWAIT | __WALL);

    return status < 0 || info.si_pid == copy;
}

enum wait_end { ANSWERED, OVER, TOO_LONG, ABANDONED };

static enum wait_end await_copy(const struct rehearsal *rehearsal, struct stage *stage, pid_t copy,
                                const struct watcher *watcher)
{
    const struct timespec tick = { .tv_nsec = LOOK_MS * 1000000l };
    uint64_t start = monotonic_us(), told = start;

    for (;;) {
        uint64_t now = monotonic_us();
        if (atomic_load(&stage->ended)) {
            return ANSWERED;
        }
        if (is_over(copy)) {
            return atomic_load(&stage->ended) ? ANSWERED : OVER;
        }
        if (now - start > 1000ull * rehearsal->limit_ms) {
            return TOO_LONG;
        }
        if (watcher->progress && now - told > 1000ull * PROGRESS_MS) {
            told = now;
            if (!watcher->progress(watcher->context, "rehearsal", "")) {
                return ABANDONED;
            }
        }
        raw_syscall4(SYS_futex, (long)&stage->ended, FUTEX_WAIT, 0, (long)&tick);
    }
}

/* Takes the copy away; HOW it ended by itself, in words. */
static void reap(pid_t copy, char *how, size_t size)
{
    siginfo_t info = { 0 };

    kill(copy, SIGKILL);
    while (waitid(P_PID, (id_t)copy, &info, WEXITED | __WALL) < 0 && errno == EINTR) {
    }
    if (info.si_code == CLD_EXITED) {
        snprintf(how, size, "it ended the process (exit status %d)", info.si_status);
    } else {
        const char *name = sigabbrev_np(info.si_status);
        snprintf(how, size, "it ended the process (SIG%s)", name ? name : "?");
    }
}

static int judge(struct rehearsal *rehearsal, const struct stage *stage, enum wait_end end, const char *how,
                 struct update_report *report)
{
    if (end == ABANDONED) {
        return fail(report, UPDATE_REFUSED, -ECANCELED, "nobody waits for this any more");
    }
    if (end != ANSWERED) {
        rehearsal->perished(rehearsal->context, stage->notes, end == OVER ? how : "it took too long", report);
        return -EFAULT;
    }
    if (stage->unlike) {
        warn_not_made(report, "the program keeps some of its memory from child processes (MADV_DONTFORK)");
        return REHEARSAL_NOT_MADE;
    }
    rehearsal->played = stage->report;
    if (stage->status < 0) {
        const struct update_report *played = &stage->report;
        report->outcome = played->outcome;
        report->failure = played->failure;
        memcpy(report->reason, played->reason, sizeof(report->reason));
        memcpy(report->warnings, played->warnings, sizeof(report->warnings));
        return *report->reason ? stage->status : fail(report, UPDATE_FAILED, stage->status, NULL);
    }
    if (*stage->report.rehearsal.leftovers) {
        warn(report, "", stage->report.rehearsal.leftovers);
        warn(&rehearsal->played, "", stage->report.rehearsal.leftovers);
    }
    return REHEARSAL_PASSED;
}

/* RESUMED: the world runs, the copy is at it. */
static int watch(struct rehearsal *rehearsal, struct stage *stage, pid_t copy, const struct watcher *watcher,
                 struct update_report *report)
{
    enum wait_end end = await_copy(rehearsal, stage, copy, watcher);
    char how[96];

    reap(copy, how, sizeof(how));
    return judge(rehearsal, stage, end, how, report);
}

static void say_where(struct update_report *report)
{
    static const char where[] = "in the rehearsal: ";
    size_t length = sizeof(where) - 1, size = sizeof(report->reason);

    memmove(report->reason + length, report->reason, size - length);
    memcpy(report->reason, where, length);
    report->reason[size - 1] = '\0';
}

int rehearsal_run(struct rehearsal *rehearsal, const struct world *world, const struct watcher *watcher,
                  struct update_report *report)
{
    bool sandboxed = rehearsal_is_sandboxed();
    struct stage *stage = sandboxed ? NULL : make_stage();
    long copy = stage ? make_copy(rehearsal, world, stage) : -ENOMEM;
    uint64_t start = world->began_us;
    int status = REHEARSAL_NOT_MADE;
    char why[128];

    resume(world, report);
    leave_critical();
    report->rehearsal.pause_us = report->pause_us;
    if (copy > 0) {
        status = watch(rehearsal, stage, (pid_t)copy, watcher, report);
    } else if (sandboxed) {
        warn_not_made(
            report, "the program is in a sandbox of its own (seccomp), which may kill it for copying itself");
    } else {
        snprintf(why, sizeof(why), "the process could not be copied (%s)", strerrordesc_np((int)-copy));
        warn_not_made(report, why);
    }
    if (status < 0 && report->outcome == UPDATE_FAILED) {
        say_where(report);
    }
    report->rehearsal.made = status != REHEARSAL_NOT_MADE;
    report->rehearsal.passed = status == REHEARSAL_PASSED;
    report->rehearsal.total_us = monotonic_us() - start;
    mapping_destroy(stage);
    return status;
}
