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

#include "base/search.h"
#include "engine/threads/barrier.h"
#include "engine/threads/contexts.h"
#include "engine/threads/readable.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/stubs.h"
#include "engine/threads/unwind.h"

#define FIRST_WINDOW_MS 20
#define LAST_WINDOW_MS 320
#define GAP_MS 5
#define FIRST_LOOK_MS 2
#define LAST_LOOK_MS 50
#define PROGRESS_US 100000
#define NAMED_FRAMES 6
#define NAMED_COROUTINES 4
#define LASTING_COUNT 512

static struct suspended suspended[STUB_COUNT]; /* found by the last look */

/* An activation that was waited for in vain once. Its frame may have changed its size since; where its own
 * return address stands has not. */
struct lasting {
    pid_t tid;
    uintptr_t return_slot;
    uint64_t function; /* its name's hash */
};
static struct lasting lasting[LASTING_COUNT]; /* the latest, in a ring */
static size_t lasting_next;
static struct lasting found_lasting[STUB_COUNT]; /* of `suspended`, in its order */

/* What one walk found. */
struct findings {
    struct safe_point *wanted;
    pid_t tid;
    const char *reason;              /* why the first of them cannot be taken over where it waits */
    const char *names[NAMED_FRAMES]; /* affected functions, innermost first */
    size_t affected;
    uintptr_t oldest_slot; /* return slot of the oldest affected frame */
    bool lost;
    bool waited_long;  /* frames may be taken over */
    bool returns_once; /* what is on this stack comes back where return addresses say, and once */
    bool switching;    /* the thread is in the middle of a switch of stacks */
    size_t transferred;
    size_t unexpected; /* of those affected: frames without a recipe, or met for the first time */
};

static const struct affected_range *find_range(const struct safe_point *wanted, uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, wanted->count, wanted->ranges[i].end <= address);

    return index < wanted->count && wanted->ranges[index].start <= address ? &wanted->ranges[index] : NULL;
}

static void note_affected(struct findings *findings, const struct affected_range *range,
                          uintptr_t return_slot)
{
    if (findings->affected < NAMED_FRAMES) {
        findings->names[findings->affected] = range->name;
    }
    findings->affected++;
    findings->oldest_slot = return_slot;
}

static const struct transfer *find_recipe(const struct transfers *transfers, uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, transfers->count, transfers->recipes[i].from < address);

    return index < transfers->count && transfers->recipes[index].from == address ? &transfers->recipes[index]
                                                                                 : NULL;
}

static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (; *name; name++) {
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
    }
    return hash;
}

static bool is_lasting(const struct lasting *frame)
{
    for (size_t i = 0; i < LASTING_COUNT && frame->return_slot; i++) {
        if (lasting[i].return_slot == frame->return_slot && lasting[i].tid == frame->tid &&
            lasting[i].function == frame->function) {
            return true;
        }
    }
    return false;
}

/* The frames that are taken over now would do so the next time, too. */
static void remember_lasting(const struct safe_point *reached)
{
    for (size_t i = 0; i < reached->suspended_count; i++) {
        if (!is_lasting(&found_lasting[i])) {
            lasting[lasting_next++ % LASTING_COUNT] = found_lasting[i];
        }
    }
}

/* Whether FRAME, in a function of RANGE, which waits for a call to come back to ADDRESS, can be taken
 * over. */
static bool can_transfer(struct findings *findings, const struct affected_range *range,
                         const struct stack_frame *frame, uintptr_t address)
{
    struct lasting self = { findings->tid, frame->return_slot, hash_name(range->name) };
    struct safe_point *wanted = findings->wanted;
    const struct transfers *transfers = &wanted->transfers;
    const struct transfer *recipe = frame->pc_slot ? find_recipe(transfers, address) : NULL;
    const struct transfer *pending = transfer_last(frame->pc_slot);

    if (pending && pending >= transfers->cancelled &&
        pending < transfers->cancelled + transfers->cancelled_count) {
        recipe = NULL;
    } else if (!recipe || recipe->reason) {
        findings->reason = findings->reason ? findings->reason : recipe ? recipe->reason : NULL;
        findings->unexpected++;
        return false;
    }
    if (!findings->waited_long || !findings->returns_once || wanted->suspended_count == transfer_room()) {
        findings->unexpected += findings->waited_long || !findings->returns_once || !is_lasting(&self);
        return false;
    }
    found_lasting[wanted->suspended_count] = self;
    suspended[wanted->suspended_count++] =
        (struct suspended){ .tid = findings->tid, .slot = frame->pc_slot, .recipe = recipe };
    return true;
}

static bool is_between_versions(const struct stack_frame *frame)
{
    size_t count;
    const struct transfer_code *code = transfer_code(&count);

    for (size_t i = 0; i < count; i++) {
        if (frame->pc >= code[i].start && frame->pc < code[i].end) {
            return true;
        }
    }
    return false;
}

/* A frame whose transfer is pending counts as being where that leads. */
static bool visit_frame(void *context, const struct stack_frame *frame)
{
    static const struct affected_range turning = { .name = "a frame that is just being taken over" };
    struct findings *findings = context;
    uintptr_t destination = transfer_destination(frame->pc_slot, frame->pc);
    const struct affected_range *range =
        find_range(findings->wanted, destination == frame->pc ? frame->lookup : destination - 1);

    if (contexts_is_switching(frame->pc)) {
        findings->switching = true;
        findings->returns_once = false; /* where it goes on may stand in a context already */
    }
    if (is_between_versions(frame)) {
        note_affected(findings, &turning, 0);
        findings->unexpected++;
    } else if (range && can_transfer(findings, range, frame, destination)) {
        findings->transferred++;
    } else if (range) {
        note_affected(findings, range, frame->return_slot);
    }
    return true;
}

/* Where the walk lost its way, any word that points into affected code counts as a return address; on
 * stacks of which nothing is known, if it is one. */
static void scan_conservatively(struct findings *findings, uintptr_t sp, uintptr_t end, bool after_calls)
{
    for (uintptr_t at = sp & ~7ul; at < end; at += 8) {
        /* The end is that of another mapping if this stack is younger than the list of them. */
        if ((at % 4096 == 0 || at == (sp & ~7ul)) && !is_readable(at)) {
            break;
        }
        uintptr_t word = stubs_original(*(uintptr_t *)at);
        const struct affected_range *range = find_range(findings->wanted, word - 1);
        if (range && (!after_calls || coroutines_is_return_address(word))) {
            note_affected(findings, range, 0);
            findings->unexpected++;
        }
    }
}

static void examine(struct safe_point *wanted, struct stopped_thread *thread, bool waited_long,
                    struct findings *ret)
{
    uintptr_t lost_sp;

    *ret = (struct findings){
        .wanted = wanted, .tid = thread->tid, .waited_long = waited_long, .returns_once = true
    };
    if (unwind_thread(thread, visit_frame, ret, &lost_sp) == UNWIND_LOST) {
        ret->lost = true;
        scan_conservatively(ret, lost_sp, unwind_stack_end(lost_sp), false);
    }
    thread->switching = ret->switching;
}

/* HOLDER is whose stack it is, "thread 12 (main)". */
static void describe(struct safe_point *wanted, const char *holder, const struct findings *findings)
{
    size_t length = strlen(wanted->blocked_by), room = sizeof(wanted->blocked_by);

    if (length + 128 > room) {
        return;
    }
    length +=
        (size_t)snprintf(wanted->blocked_by + length, room - length, "%s%s in ", length ? "\n" : "", holder);
    size_t shown = findings->affected < NAMED_FRAMES ? findings->affected : NAMED_FRAMES;
    for (size_t i = 0; i < shown && length + 2 < room; i++) {
        length += (size_t)snprintf(wanted->blocked_by + length, room - length, "%s%s", i ? " < " : "",
                                   findings->names[i]);
    }
    if (findings->reason && findings->waited_long && length + 2 < room) {
        snprintf(wanted->blocked_by + length, room - length, ", which cannot be taken over there: %s",
                 findings->reason);
    }
}

static void describe_thread(struct safe_point *wanted, pid_t tid, const struct findings *findings)
{
    char name[32], holder[64];

    thread_name(tid, name, sizeof(name));
    snprintf(holder, sizeof(holder), "thread %d (%s)", (int)tid, name);
    describe(wanted, holder, findings);
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

struct coroutines {
    struct safe_point *wanted;
    bool waited_long;
    size_t blocking, unexpected;
};

/* Quickly: false if no word of the stack leads into affected code, or to where it may come from. Most
 * coroutines of many wait elsewhere. */
static bool may_be_affected(const struct safe_point *wanted, const struct suspended_stack *stack)
{
    const greg_t *registers = stack->context ? stack->context->uc_mcontext.gregs : NULL;
    uintptr_t start = registers ? (uintptr_t)registers[REG_RSP] & ~7ul : stack->start & ~7ul;
    uintptr_t pc = registers ? (uintptr_t)registers[REG_RIP] : 0;

    if (!stack->end || find_range(wanted, pc - 1) || stubs_original(pc) != pc) {
        return true;
    }
    for (uintptr_t at = start; at < stack->end; at += sizeof(uintptr_t)) {
        if ((at % 4096 == 0 || at == start) && !is_readable(at)) {
            return false;
        }
        uintptr_t word = *(const uintptr_t *)at;
        if (find_range(wanted, word - 1) || stubs_original(word) != word) {
            return true;
        }
    }
    return false;
}

/* There are no barriers on these stacks: the thread that comes to one may be what all the others wait for. */
static void look_at_coroutine(void *context, const struct suspended_stack *stack)
{
    struct coroutines *coroutines = context;
    struct findings findings = { .wanted = coroutines->wanted,
                                 .waited_long = coroutines->waited_long,
                                 .returns_once = stack->returns_once };
    char holder[64];
    uintptr_t lost_sp;

    if (!may_be_affected(coroutines->wanted, stack) || !coroutines_is_live(stack)) {
        return;
    }
    if (!stack->context) {
        scan_conservatively(&findings, stack->start, stack->end, true);
    } else if (unwind_saved(stack->context, visit_frame, &findings, &lost_sp) == UNWIND_LOST) {
        scan_conservatively(&findings, lost_sp, stack->end ? stack->end : unwind_stack_end(lost_sp), true);
    }
    coroutines->unexpected += findings.unexpected;
    if (!findings.affected) {
        return;
    }
    if (coroutines->blocking++ < NAMED_COROUTINES) {
        snprintf(holder, sizeof(holder), "suspended coroutine (stack at 0x%lx)", (unsigned long)stack->low);
        describe(coroutines->wanted, holder, &findings);
    }
}

static size_t look_at_coroutines(struct safe_point *wanted, const struct world *world, bool waited_long,
                                 size_t *unexpected)
{
    struct coroutines coroutines = { .wanted = wanted, .waited_long = waited_long };
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

    wanted->blocked_by[0] = '\0';
    wanted->suspended = suspended;
    wanted->suspended_count = 0;
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
    return blocking + look_at_coroutines(wanted, world, waited_long, ret_unexpected);
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
        remember_lasting(wanted);
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

void safe_point_transfer(const struct safe_point *reached)
{
    for (size_t i = 0; i < reached->suspended_count; i++) {
        if (reached->suspended[i].recipe) {
            transfer_add(reached->suspended[i].slot, reached->suspended[i].recipe,
                         reached->suspended[i].given);
        } else {
            transfer_cancel(reached->suspended[i].slot);
        }
    }
}
