/*
 * Waiting for a safe point (DESIGN 4.4).
 *
 * Stop; walk all stacks; if some hold an affected function, put a return barrier on the oldest such frame of
 * each thread, let everything run, and look again when all have been reached. Threads that reach their
 * barrier are held, over several rounds, so that they do not run into the function again while the others are
 * awaited. Holding may cause what it waits for: a held thread may own a lock that another needs to get out.
 * So threads are held for some milliseconds, then all may pass for a moment, then they are held for longer.
 *
 * longjmp and exceptions leave frames without meeting the barrier; therefore each wait has an end, and the
 * stacks are looked at anew.
 *
 * Frames that had to be taken over once, such as main's with its loop, will not leave this time either: they
 * are known again, and where nothing else blocks they are taken over at the first look.
 */
#include "engine/threads/safe_point.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/threads/barrier.h"
#include "engine/threads/contexts.h"
#include "engine/threads/readable.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/findings.h"
#include "engine/threads/look_unknown.h"
#include "engine/threads/stubs.h"
#include "engine/threads/unknown_stacks.h"
#include "engine/threads/unwind.h"

#define FIRST_WINDOW_MS 20
#define LAST_WINDOW_MS 320
#define GAP_MS 5
#define FIRST_LOOK_MS 2
#define LAST_LOOK_MS 50
#define PROGRESS_US 100000
#define NAMED_COROUTINES 4

static void examine(struct safe_point *wanted, struct stopped_thread *thread, bool waited_long,
                    struct findings *ret)
{
    static const struct affected_range switching = { .name = "a switch of stacks" };
    uintptr_t lost_sp;

    *ret = (struct findings){
        .wanted = wanted, .tid = thread->tid, .waited_long = waited_long, .returns_once = true
    };
    if (unwind_thread(thread, findings_visit, ret, &lost_sp) == UNWIND_LOST) {
        findings_scan(ret, lost_sp, unwind_stack_end(lost_sp), false);
    }
    if (unknown_walk_is_switching((uintptr_t)thread->context->uc_mcontext.gregs[REG_RIP])) {
        findings_note(ret, &switching, 0);
        ret->unexpected++;
    }
    thread->switching = ret->switching;
}

static void describe_thread(struct safe_point *wanted, pid_t tid, const struct findings *findings)
{
    char name[32], holder[64];

    thread_name(tid, name, sizeof(name));
    snprintf(holder, sizeof(holder), "thread %d (%s)", (int)tid, name);
    findings_describe(wanted, holder, findings);
}

static void tell_repeated(struct safe_point *wanted, size_t *repeated)
{
    size_t length = strlen(wanted->blocked_by);

    if (*repeated) {
        snprintf(wanted->blocked_by + length, sizeof(wanted->blocked_by) - length,
                 "\n%zu more thread%s in the same place", *repeated, *repeated == 1 ? "" : "s");
    }
    *repeated = 0;
}

/* Describes one more thread, after the line that begins at *LINE. Those that say the same are only counted: a
 * server has many. */
static void describe_one_of(struct safe_point *wanted, pid_t tid, const struct findings *findings,
                            size_t *line, size_t *repeated)
{
    size_t end = strlen(wanted->blocked_by);

    describe_thread(wanted, tid, findings);
    const char *before = strstr(wanted->blocked_by + *line, ") in "),
               *now = strstr(wanted->blocked_by + end, ") in ");
    if (end && before && now && strlen(now) == (size_t)(wanted->blocked_by + end - before) &&
        strncmp(before, now, strlen(now)) == 0) {
        wanted->blocked_by[end] = '\0';
        ++*repeated;
        return;
    }
    if (*repeated) {
        wanted->blocked_by[end] = '\0';
        tell_repeated(wanted, repeated);
        end = strlen(wanted->blocked_by);
        describe_thread(wanted, tid, findings);
    }
    *line = end;
}

/* ---- coroutines ------------------------------------------------------------------------------------ */

/* Quickly: false if no word of the stack leads into affected code, or to where it may come from. Most
 * coroutines of many wait elsewhere. */
static bool may_be_affected(const struct safe_point *wanted, const struct suspended_stack *stack)
{
    const greg_t *registers = stack->context ? stack->context->uc_mcontext.gregs : NULL;
    uintptr_t start = registers ? (uintptr_t)registers[REG_RSP] & ~7ul : stack->start & ~7ul;
    uintptr_t pc = registers ? (uintptr_t)registers[REG_RIP] : 0;

    if (!stack->end || findings_range(wanted, pc - 1) || stubs_original(pc) != pc) {
        return true;
    }
    for (uintptr_t at = start; at < stack->end; at += sizeof(uintptr_t)) {
        if ((at % 4096 == 0 || at == start) && !is_readable(at)) {
            return false;
        }
        uintptr_t word = *(const uintptr_t *)at;
        if (findings_range(wanted, word - 1) || stubs_original(word) != word) {
            return true;
        }
    }
    return false;
}

/* Walks STACK, of which there is no context, from where the program keeps its stack pointer. False: that is
 * not understood. */
static bool look_by_pointer(const struct suspended_stack *stack, struct findings *findings)
{
    struct unknown_place place = { UNKNOWN_COROUTINE, stack->low, stack->end, 0 };
    struct unknown_stack found;

    if (!stack->kept_at || !unknown_stacks_at(&place, stack->start, stack->kept_at, &found)) {
        return false;
    }
    findings->returns_once = findings->by_walk_alone = true;
    unknown_walk_visit(&place, &found.walk, findings_visit, findings);
    if (!found.walk.complete) {
        findings_scan(findings, found.walk.end, stack->end, true);
    }
    return true;
}

/* What is found on STACK. False: that is left to the search for unknown ones. */
static bool look_at(const struct suspended_stack *stack, struct findings *findings)
{
    uintptr_t lost_sp;

    if (!stack->context) {
        if (look_by_pointer(stack, findings)) {
            return true;
        }
        if (!findings->wanted->transfers.known_only) {
            coroutines_leave(stack);
            return false;
        }
        findings_scan(findings, stack->start, stack->end, true);
    } else if (unwind_saved(stack->context, findings_visit, findings, &lost_sp) == UNWIND_LOST) {
        findings_scan(findings, lost_sp, stack->end ? stack->end : unwind_stack_end(lost_sp), true);
    }
    return true;
}

/* There are no barriers on these stacks: the thread that comes to one may be what all the others wait for. */
static void look_at_coroutine(void *context, const struct suspended_stack *stack)
{
    struct looking *coroutines = context;
    struct findings findings = { .wanted = coroutines->wanted,
                                 .waited_long = coroutines->waited_long,
                                 .returns_once = stack->returns_once };
    char holder[64];

    if (!may_be_affected(coroutines->wanted, stack) || !coroutines_is_live(stack) ||
        !look_at(stack, &findings)) {
        return;
    }
    coroutines->unexpected += findings.unexpected;
    if (!findings.affected) {
        return;
    }
    if (coroutines->blocking++ < NAMED_COROUTINES) {
        snprintf(holder, sizeof(holder), COROUTINE_HOLDER, (unsigned long)stack->low);
        findings_describe(coroutines->wanted, holder, &findings);
    }
}

static size_t look_at_coroutines(struct safe_point *wanted, const struct world *world, bool waited_long,
                                 size_t *unexpected)
{
    struct looking coroutines = { .wanted = wanted, .waited_long = waited_long };
    size_t length;

    coroutines_visit(world, look_at_coroutine, &coroutines);
    length = strlen(wanted->blocked_by);
    if (coroutines.blocking > NAMED_COROUTINES) {
        snprintf(wanted->blocked_by + length, sizeof(wanted->blocked_by) - length,
                 "\n%zu more suspended coroutines", coroutines.blocking - NAMED_COROUTINES);
    }
    *unexpected += coroutines.unexpected;
    return coroutines.blocking;
}

/* Walks all stacks of the stopped world and sets barriers. Returns how many threads and coroutines hold
 * affected functions; *RET_UNEXPECTED is how many frames among them are others than those known to last. */
static size_t look(struct safe_point *wanted, const struct world *world, bool waited_long,
                   size_t *ret_barriers, size_t *ret_unexpected)
{
    size_t blocking = 0, line = 0, repeated = 0;

    findings_begin(wanted);
    *ret_barriers = 0;
    *ret_unexpected = 0;
    for (size_t i = 0; i < world->count; i++) {
        struct findings findings;
        examine(wanted, &world->threads[i], waited_long, &findings);
        *ret_unexpected += findings.unexpected;
        if (!findings.affected) {
            continue;
        }
        blocking++;
        describe_one_of(wanted, world->threads[i].tid, &findings, &line, &repeated);
        if (findings.oldest_slot && barrier_set(findings.oldest_slot)) {
            ++*ret_barriers;
        }
    }
    tell_repeated(wanted, &repeated);
    blocking += look_at_coroutines(wanted, world, waited_long, ret_unexpected);
    return blocking ? blocking : unknown_look(wanted, world, waited_long, ret_unexpected);
}

/* Looks once, and once more with frames taken over at once if none blocks but those that will not leave. */
static size_t look_well(struct safe_point *wanted, const struct world *world, bool waited_long,
                        size_t *ret_barriers)
{
    size_t unexpected, blocking = look(wanted, world, waited_long, ret_barriers, &unexpected);

    if (blocking && !unexpected && wanted->transfers.after_ms != UINT32_MAX) {
        barrier_remove_all(world);
        blocking = look(wanted, world, true, ret_barriers, &unexpected);
    }
    if (!blocking) {
        findings_remember(wanted);
    }
    return blocking;
}

static void sleep_ms(uint32_t milliseconds)
{
    nanosleep(&(struct timespec){ milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 }, NULL);
}

static int name_stuck_thread(struct safe_point *wanted, pid_t tid)
{
    char name[32];

    thread_name(tid, name, sizeof(name));
    snprintf(
        wanted->blocked_by, sizeof(wanted->blocked_by),
        "thread %d (%s) does not react to signals: stopped by a debugger, in vfork, or stuck in the kernel",
        (int)tid, name);
    return -ETIMEDOUT;
}

/* One round: stop, look. 0: safe, world stopped; 1: not safe, world running, barriers set; negative: failed,
 * running. */
static int attempt(struct safe_point *wanted, uint32_t left_ms, bool waited_long, bool hold,
                   struct world *ret, size_t *ret_barriers)
{
    pid_t stuck;
    int status = unwind_refresh();

    if (status < 0) {
        return status;
    }
    coroutines_prepare();
    status = stop_world(left_ms, ret, &stuck);
    if (status == -ETIMEDOUT) {
        return name_stuck_thread(wanted, stuck);
    }
    if (status < 0) {
        return status;
    }
    barrier_release();
    barrier_remove_all(ret);
    transfer_collect();
    if (look_well(wanted, ret, waited_long, ret_barriers) == 0) {
        return 0;
    }
    if (hold) {
        barrier_hold(); /* threads held since an earlier round stay held */
    }
    resume_world();
    return 1;
}

/* Takes the barriers off the stacks again, for good. */
static void give_up(const struct safe_point *wanted, uint32_t timeout_ms)
{
    struct world world;
    pid_t stuck;

    barrier_release();
    wanted->enter_critical();
    if (stop_world(timeout_ms, &world, &stuck) == 0) {
        barrier_remove_all(&world);
        resume_world();
    } /* else they stay, and let threads pass when they are reached */
    wanted->leave_critical();
}

/* When threads that reach their barrier are held: in windows that grow, with gaps in which all may pass. */
struct holding {
    uint64_t until_us;
    uint32_t window_ms;
    uint32_t look_ms; /* how long to wait for barriers before looking at the stacks anew */
    bool gap;
};

static bool hold_now(struct holding *holding)
{
    uint64_t now = monotonic_us();

    if (now >= holding->until_us) {
        holding->gap = holding->until_us && !holding->gap;
        if (!holding->gap) {
            holding->window_ms = holding->window_ms ? holding->window_ms * 2 : FIRST_WINDOW_MS;
            holding->window_ms = holding->window_ms < LAST_WINDOW_MS ? holding->window_ms : LAST_WINDOW_MS;
        }
        holding->until_us = now + 1000ull * (holding->gap ? GAP_MS : holding->window_ms);
    }
    return !holding->gap;
}

/* Between two attempts: until all barriers have been reached, or the window or the time is over. */
static void await_change(struct holding *holding, size_t barriers, uint64_t deadline)
{
    uint64_t now = monotonic_us(), end = holding->until_us < deadline ? holding->until_us : deadline;
    uint32_t left = end > now ? (uint32_t)((end - now) / 1000) + 1 : 1;

    left = left < holding->look_ms ? left : holding->look_ms;
    if (!barriers) {
        sleep_ms(left);
    } else if (barrier_await(left)) {
        holding->look_ms = FIRST_LOOK_MS;
        return;
    }
    holding->look_ms = holding->look_ms * 2 < LAST_LOOK_MS ? holding->look_ms * 2 : LAST_LOOK_MS;
}

int safe_point_reach(struct safe_point *wanted, struct world *ret)
{
    uint64_t start = monotonic_us(), deadline = start + 1000ull * wanted->timeout_ms, told = start;
    struct holding holding = { .look_ms = FIRST_LOOK_MS };
    size_t barriers;
    int status;

    unknown_begin();
    for (;;) {
        uint64_t left = monotonic_us() < deadline ? (deadline - monotonic_us()) / 1000 : 0;
        bool waited_long = wanted->transfers.after_ms != UINT32_MAX &&
                           monotonic_us() >= start + 1000ull * wanted->transfers.after_ms;
        wanted->enter_critical();
        status = attempt(wanted, left < 1000 ? 1000 : (uint32_t)left, waited_long, hold_now(&holding), ret,
                         &barriers);
        if (status == 0) {
            wanted->waited_us = ret->began_us - start;
            return 0;
        }
        wanted->leave_critical();
        if (status < 0 || monotonic_us() >= deadline) {
            break;
        }
        if (wanted->progress && monotonic_us() - told > PROGRESS_US) {
            told = monotonic_us();
            if (!wanted->progress(wanted->context, wanted->blocked_by)) {
                status = -ECANCELED;
                break;
            }
        }
        await_change(&holding, barriers, deadline);
    }
    give_up(wanted, 1000);
    wanted->waited_us = monotonic_us() - start;
    return status < 0 ? status : -EBUSY;
}

void safe_point_transfer(const struct safe_point *reached, memory_mover *now_at, void *context)
{
    contexts_follow(now_at, context);
    transfer_follow(now_at, context);
    for (size_t i = 0; i < reached->suspended_count; i++) {
        const struct suspended *suspended = &reached->suspended[i];
        uintptr_t slot = now_at(context, suspended->slot);
        if (suspended->recipe) {
            transfer_add(slot, suspended->recipe, suspended->given);
        } else {
            transfer_cancel(slot);
        }
    }
}
