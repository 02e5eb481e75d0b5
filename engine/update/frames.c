/*
 * Policies for frames. Each frame is found once more, since its registers may have been forwarded by the
 * migration meanwhile; what of it the policy may see is copied aside, through all that is pending there
 * already. Then the policies run, under the guard and with the program's memory protected like any other. One
 * piece of memory holds what they see and give, and stays until the last of the frames is turned.
 */
#include "engine/update/frames.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mapping.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/unwind.h"
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
    uint8_t *seen;    /* of the first; those of the others follow */
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

static uint8_t *given_of(uint8_t *seen, const struct transfer *recipe)
{
    return seen + rounded(recipe->seen_size);
}

/* Where the next frame's part begins. */
static uint8_t *behind(uint8_t *seen, const struct transfer *recipe)
{
    return given_of(seen, recipe) + rounded(recipe->given_size + 1); /* each has an address of its own */
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
    uint8_t *seen = giving->seen;

    for (size_t i = 0; i < giving->point->suspended_count; i++) {
        struct suspended *suspended = &giving->point->suspended[i];
        const struct transfer *recipe = policy_of(giving->point, i);
        if (recipe && frame->pc_slot == suspended->slot && !suspended->given) {
            transfer_see(giving->registers, transfer_pending(suspended->slot), recipe, giving->turning, seen);
            suspended->given = given_of(seen, recipe);
            giving->found++;
        }
        seen = recipe ? behind(seen, recipe) : seen;
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
    uint8_t *seen = giving->seen;

    for (size_t i = 0; i < giving->point->suspended_count; i++) {
        const struct transfer *recipe = policy_of(giving->point, i);
        if (recipe) {
            giving->current = i;
            recipe->policy(seen, given_of(seen, recipe));
            seen = behind(seen, recipe);
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

int frames_give(struct frames *frames, struct safe_point *point, const struct world *world,
                struct state *state, struct update_report *report)
{
    struct giving giving = { .point = point };
    size_t turning = 0, count = 0, size = 0;

    for (size_t i = 0; i < point->suspended_count; i++) {
        const struct transfer *recipe = policy_of(point, i);
        if (recipe) {
            size_t room = transfer_see_room(transfer_pending(point->suspended[i].slot));
            turning = room > turning ? room : turning;
            size += (size_t)(behind(NULL, recipe) - (uint8_t *)NULL);
            count++;
        }
    }
    if (!count) {
        return 0;
    }
    size = (rounded(sizeof(struct piece)) + rounded(turning) + size + 4095) & ~4095ul;
    frames->piece = mapping_create(NULL, size, PROT_READ | PROT_WRITE, 0, "frames");
    if (!frames->piece) {
        return -ENOMEM;
    }
    frames->piece->size = size;
    giving.turning = (uint8_t *)frames->piece + rounded(sizeof(struct piece));
    giving.seen = giving.turning + rounded(turning);
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
    *frames = (struct frames){ 0 };
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
}

void frames_revert(struct frames *frames)
{
    if (frames->guarded) {
        page_log_undo_all(&frames->log);
        release_deinit();
    }
    mapping_destroy(frames->piece);
    end(frames);
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
