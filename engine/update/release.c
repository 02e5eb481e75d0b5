/*
 * A list of calls. They are made in the stopped world of the commit, under the guard: a program with one
 * thread may take for granted that nobody else is in its functions, so they cannot be made while it runs; and
 * a function that waits for a lock of a thread that stands still is given up after a while, which leaks what
 * it should have freed and harms nothing.
 */
#include "engine/update/release.h"

#include "engine/update/guard.h"
#include "engine/update/staging.h"

struct call {
    void (*release)(void *);
    void *pointer;
};

static struct {
    struct staging calls;
    size_t count;
    size_t volatile done;
} list;

void release_later(void (*release)(void *), void *pointer)
{
    struct call *call = staging_push(&list.calls, sizeof(*call));

    if (call) { /* else it leaks */
        *call = (struct call){ release, pointer };
        list.count++;
    }
}

static void make_calls(void *context)
{
    struct staging_position position = { 0 };
    const struct call *call;

    for (size_t i = 0; i < list.count && (call = staging_next(&list.calls, &position)); i++) {
        staging_advance(&position, sizeof(*call));
        if (i < list.done) {
            continue;
        }
        list.done = i + 1;
        call->release(call->pointer);
    }
}

size_t release_run(void)
{
    struct guard_result result;
    size_t lost = 0;

    list.done = 0;
    while (list.done < list.count && guard_run(make_calls, NULL, &result) != GUARD_RETURNED) {
        lost++;
        guard_limit(20);
    }
    release_deinit();
    return lost;
}

void release_deinit(void)
{
    staging_deinit(&list.calls);
    list.count = 0;
}
