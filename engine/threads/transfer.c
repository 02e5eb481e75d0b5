/*
 * Pending transfers: which recipes wait at which return address. The stubs are those of stubs.c; each has a
 * chain of steps, one per update that came while the frame was suspended, out of a pool that is never
 * allocated from in the stopped world.
 */
#include "engine/threads/transfer.h"

#include <errno.h>

#include "engine/threads/setjmp_sites.h"
#include "engine/threads/stubs.h"

#define STEP_MAX 8192

struct stub_area transfer_stubs;

static struct transfer_step pool[STEP_MAX];
static struct transfer_step *unused; /* given back, by EARLIER */
static size_t taken;                 /* of the pool, ever */
static size_t unused_count;

void molt_transfer_entry(void);
extern const char __start_molt_transfer_code[] __attribute__((visibility("hidden")));
extern const char __stop_molt_transfer_code[] __attribute__((visibility("hidden")));

int transfer_init(void)
{
    return stubs_init(&transfer_stubs, molt_transfer_entry, "transfers");
}

const struct transfer_code *transfer_code(size_t *ret_count)
{
    static struct transfer_code code[2];

    code[0] =
        (struct transfer_code){ (uintptr_t)__start_molt_transfer_code, (uintptr_t)__stop_molt_transfer_code };
    code[1] = (struct transfer_code){ (uintptr_t)transfer_stubs.code,
                                      (uintptr_t)transfer_stubs.code + STUB_AREA_SIZE };
    *ret_count = 2;
    return code;
}

static uint32_t pending_at(uintptr_t return_slot)
{
    return return_slot ? stubs_index(&transfer_stubs, *(const uintptr_t *)return_slot) : 0;
}

const struct transfer_step *transfer_pending(uintptr_t return_slot)
{
    uint32_t index = pending_at(return_slot);

    return index ? stub_data(&transfer_stubs, index)->user : NULL;
}

const struct transfer *transfer_last(uintptr_t return_slot)
{
    const struct transfer_step *last = transfer_pending(return_slot);

    return last ? last->recipe : NULL;
}

uintptr_t transfer_destination(uintptr_t return_slot, uintptr_t address)
{
    const struct transfer *last = transfer_last(return_slot);

    return last ? last->to : address;
}

uintptr_t transfer_cfa(uintptr_t return_slot, const struct transfer *recipe)
{
    const struct transfer_step *first = transfer_pending(return_slot);

    while (first && first->earlier) {
        first = first->earlier;
    }
    return return_slot + sizeof(uintptr_t) +
           (uint64_t)(int64_t)(first ? first->recipe : recipe)->cfa_offset; /* from rsp behind the call */
}

bool transfer_finds_instances(uintptr_t return_slot, const struct transfer *recipe)
{
    for (uint32_t i = 0; i < recipe->instance_count; i++) {
        if (!transfer_locate(transfer_pending(return_slot), transfer_cfa(return_slot, recipe),
                             &recipe->instances[i])) {
            return false;
        }
    }
    return true;
}

size_t transfer_room(void)
{
    size_t steps = STEP_MAX - taken + unused_count, stubs = STUB_COUNT - 1 - transfer_stubs.used;

    return steps < stubs ? steps : stubs;
}

static struct transfer_step *take_step(void)
{
    struct transfer_step *step = unused;

    if (step) {
        unused = step->earlier;
        unused_count--;
        return step;
    }
    return &pool[taken++];
}

static struct transfer_step *give_back(struct transfer_step *step)
{
    struct transfer_step *earlier = step->earlier;

    step->earlier = unused;
    unused = step;
    unused_count++;
    return earlier;
}

void transfer_add(uintptr_t return_slot, const struct transfer *recipe, const uint8_t *given)
{
    uint32_t index = pending_at(return_slot);
    struct transfer_step *step = take_step();

    if (!index) {
        index = stubs_set(&transfer_stubs, return_slot);
        stub_data(&transfer_stubs, index)->user = NULL;
        atomic_store(&stub_data(&transfer_stubs, index)->state, TRANSFER_PENDING);
    }
    *step = (struct transfer_step){ recipe, stub_data(&transfer_stubs, index)->user, given };
    stub_data(&transfer_stubs, index)->user = step;
}

void transfer_cancel(uintptr_t return_slot)
{
    uint32_t index = pending_at(return_slot);

    if (index) {
        struct stub *stub = stub_data(&transfer_stubs, index);
        stub->user = give_back(stub->user);
        if (!stub->user) {
            stubs_clear(&transfer_stubs, index);
            atomic_store(&stub->state, TRANSFER_FREE);
        }
    }
}

void transfer_follow(memory_mover *now_at, void *context)
{
    for (uint32_t i = 1; i < STUB_COUNT && transfer_stubs.used; i++) {
        struct stub *stub = stub_data(&transfer_stubs, i);
        if (stub->return_slot && atomic_load(&stub->state) == TRANSFER_PENDING) {
            stub->return_slot = now_at(context, stub->return_slot);
        }
    }
}

static void forget(uint32_t index)
{
    struct stub *stub = stub_data(&transfer_stubs, index);

    for (struct transfer_step *step = stub->user; step;) {
        step = give_back(step);
    }
    stub->user = NULL;
    stubs_forget(&transfer_stubs, index);
    atomic_store(&stub->state, TRANSFER_FREE);
}

void transfer_collect(void)
{
    for (uint32_t i = 1; i < STUB_COUNT && transfer_stubs.used; i++) {
        uint32_t state = atomic_load(&stub_data(&transfer_stubs, i)->state);
        if (state == TRANSFER_DONE || (state == TRANSFER_PENDING && !stubs_is_set(&transfer_stubs, i))) {
            forget(i);
        }
    }
}

/* Whether a step that is pending is one that IS asks for. */
static bool any_step(bool (*is)(const struct transfer_step *step, uintptr_t start, uintptr_t end),
                     uintptr_t start, uintptr_t end)
{
    for (uint32_t i = 1; i < STUB_COUNT && transfer_stubs.used; i++) {
        const struct stub *stub = stub_data(&transfer_stubs, i);
        for (const struct transfer_step *step = stub->return_slot ? stub->user : NULL; step;
             step = step->earlier) {
            if (is(step, start, end)) {
                return true;
            }
        }
    }
    return false;
}

static bool is_recipe(const struct transfer_step *step, uintptr_t start, uintptr_t end)
{
    return (uintptr_t)step->recipe >= start && (uintptr_t)step->recipe < end;
}

static bool is_code(const struct transfer_step *step, uintptr_t start, uintptr_t end)
{
    return (step->recipe->from >= start && step->recipe->from < end) ||
           (step->recipe->to >= start && step->recipe->to < end);
}

static bool is_given(const struct transfer_step *step, uintptr_t start, uintptr_t end)
{
    return (uintptr_t)step->given >= start && (uintptr_t)step->given < end;
}

bool transfer_uses(const struct transfer *recipes, size_t count)
{
    return any_step(is_recipe, (uintptr_t)recipes, (uintptr_t)(recipes + count)) ||
           setjmp_sites_use(recipes, count);
}

bool transfer_uses_code(uintptr_t start, uintptr_t end)
{
    return any_step(is_code, start, end) || setjmp_sites_use_code(start, end);
}

bool transfer_uses_given(uintptr_t start, uintptr_t end)
{
    return any_step(is_given, start, end);
}
