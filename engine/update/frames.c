/*
 * Policies for frames. Each frame is found once more, since its registers may have been forwarded by the
 * migration meanwhile; what of it the policy may see is copied aside, through all that is pending there
 * already. Then the policies run, under the guard and with the program's memory protected like any other. One
 * piece of memory holds what they see and give, and the instances that frames have until they are turned
 * (frame_instances.h); it stays until the last of the frames is.
 */
#include "engine/update/frames.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mapping.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/unwind.h"
#include "engine/update/frame_instances.h"
#include "engine/update/guard.h"
#include "engine/update/release.h"

#define ALIGNMENT 64ul /* of locals: vectors have no more */
#define LIMIT_MS 1000
#define RELEASE_LIMIT_MS 1000

/* The piece of memory begins so: there is none to be had otherwise in the stopped world. */
struct piece {
    size_t size;
    struct piece *next;
};
static struct piece *kept; /* of committed updates */

struct giving {
    struct safe_point *point;
    uint8_t *turning; /* room for frames that are turned already */
    uint64_t registers[TRANSFER_REGISTERS];
    size_t found;
    size_t current; /* index of the frame whose policy runs */
};

static size_t rounded(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static const struct transfer *policy_of(const struct safe_point *point, size_t index)
{
    const struct transfer *recipe = point->suspended[index].recipe;

    return recipe && recipe->policy ? recipe : NULL;
}

/* What the policy of SUSPENDED sees lies in front of what it gives. */
static uint8_t *seen_of(const struct suspended *suspended)
{
    return suspended->given - rounded(suspended->recipe->seen_size);
}

/* How much of the piece SUSPENDED needs; 0: it has neither a policy nor instances. */
static size_t part_of(const struct suspended *suspended)
{
    const struct transfer *recipe = suspended->recipe;
    bool needs = recipe && (recipe->policy || recipe->instance_count);
    size_t given = needs && recipe->given_room > recipe->given_size ? recipe->given_room
                   : needs                                          ? recipe->given_size
                                                                    : 0;

    return needs ? rounded(recipe->seen_size) + rounded(given + 1) : 0; /* each has an address of its own */
}

bool frames_have_policies(const struct transfers *transfers)
{
    for (size_t i = 0; i < transfers->count; i++) {
        if (transfers->recipes[i].policy) {
            return true;
        }
    }
    return false;
}

/* ---- what they see --------------------------------------------------------------------------------- */

static bool visit_frame(void *context, const struct stack_frame *frame)
{
    struct giving *giving = context;

    for (size_t i = 0; i < giving->point->suspended_count; i++) {
        struct suspended *suspended = &giving->point->suspended[i];
        const struct transfer *recipe = policy_of(giving->point, i);
        if (recipe && frame->pc_slot == suspended->slot && !suspended->seen) {
            transfer_see(giving->registers, transfer_pending(suspended->slot), recipe, giving->turning,
                         seen_of(suspended));
            suspended->seen = true;
            giving->found++;
        }
    }
    return true;
}

static void visit_coroutine(void *context, const struct suspended_stack *stack)
{
    struct giving *giving = context;

    if (stack->context && stack->returns_once) {
        unwind_with_registers(stack->context, true, visit_frame, giving, giving->registers);
    }
}

static bool has_policies(const struct safe_point *point, pid_t tid)
{
    for (size_t i = 0; i < point->suspended_count; i++) {
        if (point->suspended[i].tid == tid && policy_of(point, i)) {
            return true;
        }
    }
    return false;
}

/* Fills in what all policies see. */
static void look(struct giving *giving, const struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        if (has_policies(giving->point, world->threads[i].tid)) {
            unwind_with_registers(world->threads[i].context, false, visit_frame, giving, giving->registers);
        }
    }
    if (has_policies(giving->point, 0)) {
        coroutines_visit(world, visit_coroutine, giving);
    }
}

/* ---- running them ---------------------------------------------------------------------------------- */

static void run_policies(void *context)
{
    struct giving *giving = context;

    for (size_t i = 0; i < giving->point->suspended_count; i++) {
        const struct suspended *suspended = &giving->point->suspended[i];
        const struct transfer *recipe = policy_of(giving->point, i);
        if (recipe) {
            giving->current = i;
            recipe->policy(seen_of(suspended), suspended->given);
        }
    }
}

static int say_failed(const struct giving *giving, const struct guard_result *result,
                      struct update_report *report)
{
    const struct suspended *suspended = &giving->point->suspended[giving->current];
    const struct transfer *recipe = suspended->recipe;
    struct update_failure *failure = &report->failure;
    char name[32] = "coroutine";

    if (suspended->tid) {
        thread_name(suspended->tid, name, sizeof(name));
    }
    failure->kind = "transfer";
    failure->line = recipe->policy_line;
    snprintf(failure->name, sizeof(failure->name), "%s", recipe->function);
    snprintf(failure->file, sizeof(failure->file), "%s", recipe->policy_file);
    snprintf(failure->instance, sizeof(failure->instance), "thread %d (%s)", (int)suspended->tid, name);
    snprintf(failure->message, sizeof(failure->message), "%s", result->message);
    report->outcome = UPDATE_FAILED;
    snprintf(report->reason, sizeof(report->reason), "MOLT_TRANSFER of %s (%s:%u), %s, line %u: %s",
             recipe->function, recipe->policy_file, (unsigned)recipe->policy_line, failure->instance,
             (unsigned)recipe->line, result->message);
    return -EFAULT;
}

/* Whether what policy INDEX has given leads into what it was shown, which is a copy and does not last. */
static bool leads_into_copy(const struct frames *frames, const struct safe_point *point, size_t index)
{
    const struct transfer *recipe = policy_of(point, index);
    uintptr_t start = (uintptr_t)frames->piece, word;

    for (uint32_t at = 0; recipe && at + sizeof(word) <= recipe->given_size; at += sizeof(word)) {
        memcpy(&word, point->suspended[index].given + at, sizeof(word));
        if (word - start < frames->piece->size) {
            return true;
        }
    }
    return false;
}

/* Under no guard: nothing here is the program's. */
static int check_given(const struct frames *frames, struct giving *giving, struct update_report *report)
{
    struct guard_result result = { .message = "it gives an address inside of old or new, which are copies" };

    for (size_t i = 0; i < giving->point->suspended_count; i++) {
        if (leads_into_copy(frames, giving->point, i)) {
            giving->current = i;
            return say_failed(giving, &result, report);
        }
    }
    return 0;
}

static int run(struct frames *frames, struct giving *giving, const struct world *world, struct state *state,
               struct update_report *report)
{
    struct page_log *log = state_pages(state);
    struct guard_result result;
    int status = log ? 0 : guard_begin(page_log_write);

    if (status < 0) {
        return status;
    }
    frames->guarded = !log;
    log = log ? log : &frames->log;
    status = page_log_begin(log, world);
    guard_limit(LIMIT_MS);
    if (status == 0 && guard_run(run_policies, giving, &result) != GUARD_RETURNED) {
        status = say_failed(giving, &result, report);
    }
    page_log_pause(log);
    return status < 0 ? status : check_given(frames, giving, report);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

/* How many bytes turning a frame takes, at most. */
static size_t room_for_turning(const struct safe_point *point)
{
    size_t most = 0;

    for (size_t i = 0; i < point->suspended_count; i++) {
        size_t room = policy_of(point, i) ? transfer_see_room(transfer_pending(point->suspended[i].slot)) : 0;
        most = room > most ? room : most;
    }
    return rounded(most);
}

/* The piece: its head, the list of COUNT instances, room for turning, and each frame's part. */
static int take_piece(struct frames *frames, struct safe_point *point, size_t count)
{
    size_t list = rounded(count * sizeof(struct frame_instance)), turning = room_for_turning(point),
           parts = 0;

    for (size_t i = 0; i < point->suspended_count; i++) {
        parts += part_of(&point->suspended[i]);
    }
    if (!count && !parts) {
        return 0;
    }
    size_t size = (rounded(sizeof(struct piece)) + list + turning + parts + 4095) & ~4095ul;
    frames->piece = mapping_create(NULL, size, PROT_READ | PROT_WRITE, 0, "frames");
    if (!frames->piece) {
        return -ENOMEM;
    }
    frames->piece->size = size;
    frames->instances = (struct frame_instance *)((uint8_t *)frames->piece + rounded(sizeof(struct piece)));
    frames->turning = (uint8_t *)frames->instances + list;
    uint8_t *part = frames->turning + turning;
    for (size_t i = 0; i < point->suspended_count; i++) {
        struct suspended *suspended = &point->suspended[i];
        size_t needed = part_of(suspended);
        suspended->given = needed ? part + rounded(suspended->recipe->seen_size) : NULL;
        suspended->seen = false;
        part += needed;
    }
    return 0;
}

int frames_prepare(struct frames *frames, struct safe_point *point, struct state *state,
                   struct update_report *report)
{
    size_t count = frame_instances_count(point);
    int status = take_piece(frames, point, count);

    status = status < 0 || !count ? status : frame_instances_find(point, frames->instances);
    if (status == -EIO || (count && !state_changes(state))) {
        snprintf(
            report->reason, sizeof(report->reason),
            "a suspended function has an instance of a changed type of which an earlier update that is still "
            "pending there has made several pieces; wait until it has gone on, and try again");
        report->outcome = UPDATE_REFUSED;
        return -EINVAL;
    }
    if (state) {
        state_take_instances(state, frames->instances, count);
    }
    return status;
}

int frames_give(struct frames *frames, struct safe_point *point, const struct world *world,
                struct state *state, struct update_report *report)
{
    struct giving giving = { .point = point, .turning = frames->turning };
    size_t count = 0;

    for (size_t i = 0; i < point->suspended_count; i++) {
        count += policy_of(point, i) != NULL;
    }
    if (!count) {
        return 0;
    }
    look(&giving, world);
    return giving.found == count ? run(frames, &giving, world, state, report) : -EIO;
}

/* ---- afterwards ------------------------------------------------------------------------------------ */

static void end(struct frames *frames)
{
    if (frames->guarded) {
        page_log_deinit(&frames->log);
        guard_end();
    }
    frames->guarded = false;
}

void frames_commit(struct frames *frames)
{
    if (frames->guarded) {
        guard_limit(RELEASE_LIMIT_MS);
        release_run();
    }
    if (frames->piece) {
        frames->piece->next = kept;
        kept = frames->piece;
    }
    end(frames);
    *frames = (struct frames){ 0 };
}

void frames_revert(struct frames *frames)
{
    if (frames->guarded) {
        page_log_undo_all(&frames->log);
        release_deinit();
    }
    end(frames);
}

void frames_free(struct frames *frames)
{
    mapping_destroy(frames->piece);
    *frames = (struct frames){ 0 };
}

int frames_visit(int (*visit)(void *context, uintptr_t start, uintptr_t end), void *context)
{
    int status = 0;

    for (const struct piece *piece = kept; piece && status == 0; piece = piece->next) {
        status = visit(context, (uintptr_t)(piece + 1), (uintptr_t)piece + piece->size);
    }
    return status;
}

void frames_reclaim(void)
{
    for (struct piece **link = &kept; *link;) {
        struct piece *piece = *link;
        if (transfer_uses_given((uintptr_t)piece, (uintptr_t)piece + piece->size)) {
            link = &piece->next;
        } else {
            *link = piece->next;
            mapping_destroy(piece);
        }
    }
}
