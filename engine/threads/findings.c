/*
 * What a frame means for a safe point: whether its function is affected, whether it can be taken over where
 * it waits, and what is said of it otherwise.
 */
#include "engine/threads/findings.h"

#include <stdio.h>
#include <string.h>

#include "base/search.h"
#include "engine/threads/contexts.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/readable.h"
#include "engine/threads/setjmp_sites.h"
#include "engine/threads/stubs.h"

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

const struct affected_range *findings_range(const struct safe_point *wanted, uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, wanted->count, wanted->ranges[i].end <= address);

    return index < wanted->count && wanted->ranges[index].start <= address ? &wanted->ranges[index] : NULL;
}

void findings_note(struct findings *findings, const struct affected_range *range, uintptr_t return_slot)
{
    if (findings->affected < NAMED_FRAMES) {
        findings->names[findings->affected] = range->name;
    }
    findings->affected++;
    findings->oldest_slot = return_slot;
}

const struct transfer *findings_recipe(const struct transfers *transfers, uintptr_t address)
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

void findings_remember(const struct safe_point *reached)
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
    static const char executing[] = "it is executing that function itself, and waits in no call of it";
    struct lasting self = { findings->tid, frame->return_slot, hash_name(range->name) };
    struct safe_point *wanted = findings->wanted;
    const struct transfers *transfers = &wanted->transfers;
    const struct transfer *recipe = frame->pc_slot ? findings_recipe(transfers, address) : NULL;
    const struct transfer *pending = transfer_last(frame->pc_slot);

    if (pending && pending >= transfers->cancelled &&
        pending < transfers->cancelled + transfers->cancelled_count) {
        recipe = NULL;
    } else if (recipe && recipe->policy && findings->by_walk_alone) {
        findings->reason = "MOLT_TRANSFER reaches threads and contexts of makecontext only";
        findings->unexpected++;
        return false;
    } else if (!recipe || recipe->reason) {
        const char *reason = recipe ? recipe->reason : frame->pc_slot ? NULL : executing;
        findings->reason = findings->reason ? findings->reason : reason;
        findings->unexpected++;
        return false;
    } else if (recipe->is_setjmp || (recipe->has_setjmp && !setjmp_frames_room())) {
        findings->reason = recipe->is_setjmp
                               ? "it is just calling setjmp, or longjmp comes back to it"
                               : "too many frames were taken over that longjmp may come back to";
        findings->unexpected++;
        return false;
    } else if (recipe->instance_count && frame->return_slot &&
               frame->return_slot + sizeof(uintptr_t) != transfer_cfa(frame->pc_slot, recipe)) {
        findings->reason = "a structure of its own is migrated, and it goes on by a context, not by a return";
        findings->unexpected++;
        return false;
    } else if (!transfer_finds_instances(frame->pc_slot, recipe)) {
        findings->reason = "an earlier update, pending there, keeps one of its structures in several pieces";
        findings->unexpected++;
        return false;
    }
    for (size_t i = 0; i < wanted->suspended_count; i++) {
        if (wanted->suspended[i].slot == frame->pc_slot) { /* two walks have come to it */
            return true;
        }
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

/* A caller may return to where superseded code leads on: its frame goes on elsewhere, and is no such one. */
static bool is_between_versions(const struct stack_frame *frame)
{
    size_t count;
    const struct transfer_code *code = transfer_code(&count);

    for (size_t i = 0; i < count; i++) {
        if (frame->pc >= code[i].start && frame->pc < code[i].end) {
            return true;
        }
    }
    return frame->lookup == frame->pc && setjmp_sites_hold(frame->pc);
}

bool findings_visit(void *context, const struct stack_frame *frame)
{
    static const struct affected_range turning = { .name = "a frame that is just being taken over" };
    struct findings *findings = context;
    uintptr_t destination = transfer_destination(frame->pc_slot, frame->pc);
    const struct affected_range *range =
        findings_range(findings->wanted, destination == frame->pc ? frame->lookup : destination - 1);

    if (contexts_is_switching(frame->pc)) {
        findings->switching = true;
        findings->returns_once = false; /* where it goes on may stand in a context already */
    }
    if (is_between_versions(frame)) {
        findings_note(findings, &turning, 0);
        findings->unexpected++;
    } else if (range && !can_transfer(findings, range, frame, destination)) {
        findings_note(findings, range, frame->return_slot);
    }
    return true;
}

void findings_scan(struct findings *findings, uintptr_t sp, uintptr_t end, bool after_calls)
{
    for (uintptr_t at = sp & ~7ul; at < end; at += 8) {
        /* The end is that of another mapping if this stack is younger than the list of them. */
        if ((at % 4096 == 0 || at == (sp & ~7ul)) && !is_readable(at)) {
            break;
        }
        uintptr_t word = stubs_original_at(at);
        const struct affected_range *range = findings_range(findings->wanted, word - 1);
        if (range && (!after_calls || coroutines_is_return_address(word))) {
            findings_note(findings, range, 0);
            findings->unexpected++;
        }
    }
}

void findings_describe(struct safe_point *wanted, const char *holder, const struct findings *findings)
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

void findings_begin(struct safe_point *wanted)
{
    wanted->blocked_by[0] = '\0';
    wanted->suspended = suspended;
    wanted->suspended_count = 0;
}
