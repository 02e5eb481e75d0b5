/*
 * The search for stacks that nobody has told of, as a part of a safe point: what is searched for, how often,
 * and what is said of what is found.
 */
#include "engine/threads/look_unknown.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "engine/threads/coroutines.h"
#include "engine/threads/findings.h"
#include "engine/threads/jump_buffers.h"
#include "engine/threads/stubs.h"
#include "engine/threads/switches.h"
#include "engine/threads/unknown_stacks.h"

#define HULLS 4
#define HULL_GAP (16ul << 20) /* between affected functions that are searched for together */
#define SEARCH_SHARE 8        /* of the time of waiting, one part in so many is for searches */
#define NAMED_STACKS 2

/* A search stops the world for as long as reading the program's memory takes, so it is not made at each
 * look. Meanwhile what the last one found counts. */
static struct {
    uint64_t next_us;
    bool waited_long;
    char blocked_by[sizeof(((struct safe_point *)NULL)->blocked_by)];
} searched;

/* Whether a function that changes holds WORD's call. */
static bool is_affected(void *context, uintptr_t word)
{
    return findings_range(context, word - 1) != NULL;
}

/* Where affected code lies, and what stands for it on stacks. The engine's own is called by everybody, and
 * leaves no frames on stacks that wait. */
static size_t list_values(const struct safe_point *wanted, struct unknown_values ret[HULLS + 1])
{
    struct dl_find_object own;
    size_t count = 0;

    if (_dl_find_object((void *)list_values, &own) != 0) {
        own.dlfo_map_start = own.dlfo_map_end = NULL;
    }
    for (size_t i = 0; i < wanted->count; i++) {
        const struct affected_range *range = &wanted->ranges[i];
        if (range->start >= (uintptr_t)own.dlfo_map_start && range->start < (uintptr_t)own.dlfo_map_end) {
            continue;
        }
        if (count && (count == HULLS || range->start - ret[count - 1].high < HULL_GAP)) {
            ret[count - 1].high = range->end + 1;
        } else {
            ret[count++] = (struct unknown_values){ range->start + 1, range->end + 1 };
        }
    }
    if (count && transfer_stubs.used) {
        uintptr_t stubs = (uintptr_t)transfer_stubs.code;
        ret[count++] = (struct unknown_values){ stubs, stubs + STUB_AREA_SIZE };
    }
    return count;
}

static void name_place(const struct unknown_place *place, char *ret, size_t size)
{
    static const char *const kinds[] = { [UNKNOWN_BLOCK] = "block of the heap",
                                         [UNKNOWN_MAPPING] = "mapping",
                                         [UNKNOWN_DATA] = "variables",
                                         [UNKNOWN_THREAD] = "stack of thread",
                                         [UNKNOWN_COROUTINE] = "stack of coroutine" };
    char thread[24] = "";

    if (place->kind == UNKNOWN_THREAD) {
        snprintf(thread, sizeof(thread), " %d", (int)place->tid);
    }
    snprintf(ret, size, "%s%s at 0x%lx, %zu bytes", kinds[place->kind], thread, (unsigned long)place->low,
             (size_t)(place->high - place->low));
}

static void name_holder(const struct unknown_place *place, char *ret, size_t size)
{
    char where[96];

    if (place->kind == UNKNOWN_COROUTINE) {
        snprintf(ret, size, COROUTINE_HOLDER, (unsigned long)place->low);
        return;
    }
    name_place(place, where, sizeof(where));
    snprintf(ret, size, "suspended stack that nobody has registered (%s)", where);
}

/* A return address on a stack that is known, but not where it goes on. */
static void describe_known(const struct unknown_stack *stack, struct findings *findings)
{
    uintptr_t word = stubs_original_at(stack->walk.slot);
    const struct affected_range *range = findings_range(findings->wanted, word - 1);
    char holder[160];

    name_holder(&stack->place, holder, sizeof(holder));
    if (range) {
        findings_note(findings, range, 0);
    }
    findings->reason = "nothing in memory leads to where that stack goes on";
    findings_describe(findings->wanted, holder, findings);
}

/* A return address in a place of which nothing more is understood. */
static void describe_not_understood(struct safe_point *wanted, const struct unknown_stack *stack)
{
    uintptr_t word = stubs_original_at(stack->walk.slot);
    const struct affected_range *range = findings_range(wanted, word - 1);
    const struct transfer *recipe = findings_recipe(&wanted->transfers, word);
    size_t length = strlen(wanted->blocked_by), room = sizeof(wanted->blocked_by);
    char where[96], line[96] = "";

    name_place(&stack->place, where, sizeof(where));
    if (recipe) {
        snprintf(line, sizeof(line), " (%.64s:%u)", recipe->unit, (unsigned)recipe->line);
    }
    snprintf(
        wanted->blocked_by + length, room - length,
        "%sa return address into %s%s at 0x%lx (%s), %zu more like it: it looks like a suspended stack, and "
        "where that goes on is not known. Register it, molt_stack_add((void *)0x%lx, %zu, &saved_sp) of "
        "<molt/engine.h>; or, if it is data, use --known-stacks (knownStacks in molt.toml)",
        length ? "\n" : "", range ? range->name : "a function that changes", line,
        (unsigned long)stack->walk.slot, where, stack->more, (unsigned long)stack->place.low,
        (size_t)(stack->place.high - stack->place.low));
}

static void describe_overlooked(struct looking *stacks, size_t count)
{
    struct safe_point *wanted = stacks->wanted;
    size_t length = strlen(wanted->blocked_by);

    stacks->blocking++;
    stacks->unexpected++;
    snprintf(
        wanted->blocked_by + length, sizeof(wanted->blocked_by) - length,
        "%s%zu stacks, or jmp_bufs that lead to some, are more than can be looked at: let fewer wait, or, "
        "if none is in a function that changes, use --known-stacks (knownStacks in molt.toml)",
        length ? "\n" : "", count);
}

/* The function that called setjmp is gone on with by longjmp: nothing stands in between that could be led
 * elsewhere. */
static void note_jump(const struct unknown_stack *stack, struct findings *findings)
{
    const struct affected_range *range = stack->pc ? findings_range(findings->wanted, stack->pc - 1) : NULL;

    if (range) {
        findings->reason = "it has called setjmp, and longjmp comes back to it; if nobody will do that any "
                           "more, use --known-stacks (knownStacks in molt.toml)";
        findings_note(findings, range, 0);
        findings->unexpected++;
    }
}

static void look_at_stack(void *context, const struct unknown_stack *stack)
{
    struct looking *stacks = context;
    struct findings findings = { .wanted = stacks->wanted,
                                 .waited_long = stacks->waited_long,
                                 .returns_once = true,
                                 .by_walk_alone = true };
    char holder[160];

    if (!stack->sp) {
        stacks->blocking++;
        stacks->unexpected++;
        if (stack->place.kind == UNKNOWN_COROUTINE) {
            describe_known(stack, &findings);
        } else {
            describe_not_understood(stacks->wanted, stack);
        }
        return;
    }
    note_jump(stack, &findings);
    unknown_stacks_frames(stack, findings_visit, &findings);
    if (stack->rest_end) {
        findings_scan(&findings, stack->walk.top + sizeof(uintptr_t), stack->rest_end, true);
    }
    stacks->unexpected += findings.unexpected;
    if (findings.affected && stacks->blocking++ < NAMED_STACKS) {
        name_holder(&stack->place, holder, sizeof(holder));
        findings_describe(stacks->wanted, holder, &findings);
    }
}

size_t unknown_look(struct safe_point *wanted, const struct world *world, bool waited_long,
                    size_t *ret_unexpected)
{
    struct unknown_values values[HULLS + 1];
    struct unknown_wanted search = { .values = values, .is_affected = is_affected, .context = wanted };
    struct looking stacks = { .wanted = wanted, .waited_long = waited_long };

    if (wanted->transfers.known_only ||
        !(switches_exist() || jump_buffers_possible() || coroutines_have_left())) {
        return 0;
    }
    size_t overlooked = 0;
    uint64_t start = monotonic_us();
    search.count = list_values(wanted, values);
    if (!search.count) {
        return 0;
    }
    if (start < searched.next_us && waited_long == searched.waited_long) {
        memcpy(wanted->blocked_by, searched.blocked_by, sizeof(searched.blocked_by));
        ++*ret_unexpected;
        return 1;
    }
    if (!unknown_stacks_visit(world, &search, look_at_stack, &stacks, &overlooked)) {
        stacks.blocking = 1;
        snprintf(wanted->blocked_by, sizeof(wanted->blocked_by),
                 "there is no memory for a search of the program's for suspended stacks");
    }
    if (overlooked) {
        describe_overlooked(&stacks, overlooked);
    }
    uint64_t end = monotonic_us();
    searched.next_us = stacks.blocking ? end + SEARCH_SHARE * (end - start) : 0;
    searched.waited_long = waited_long;
    memcpy(searched.blocked_by, wanted->blocked_by, sizeof(searched.blocked_by));
    *ret_unexpected += stacks.unexpected;
    return stacks.blocking;
}

void unknown_begin(void)
{
    switches_look();
    jump_buffers_look();
    searched.next_us = 0;
}
