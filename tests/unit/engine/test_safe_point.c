/* Safe points: affected frames are waited for by return barriers, and threads are told on when they do not
 * leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/threads/barrier.h"
#include "engine/threads/safe_point.h"
#include "engine/threads/unwind.h"

static atomic_bool finish;
static atomic_int entered, results_wrong;
static sem_t started;

/* The affected code of these tests: it lies in a section of its own, whose bounds the linker gives. */
#define AFFECTED __attribute__((noinline, section("affected_code")))
extern const char __start_affected_code[], __stop_affected_code[];

static AFFECTED double half(double value, int microseconds)
{
    atomic_fetch_add(&entered, 1);
    if (microseconds) {
        usleep((useconds_t)microseconds);
    }
    return value / 2;
}

static AFFECTED int deep(int depth)
{
    return depth ? deep(depth - 1) + 1 : (int)half(0, 500);
}

static AFFECTED void leave_by_longjmp(jmp_buf *target)
{
    usleep(300);
    longjmp(*target, 1);
}

static void *compute(void *argument)
{
    sem_post(&started);
    for (double value = 1; !finish; value++) {
        if (half(value, 0) != value / 2) { /* the result travels in xmm0 through the barrier */
            atomic_fetch_add(&results_wrong, 1);
        }
    }
    return argument;
}

static void *recurse(void *argument)
{
    sem_post(&started);
    while (!finish) {
        if (deep(200) != 200) {
            atomic_fetch_add(&results_wrong, 1);
        }
    }
    return argument;
}

static void *jump(void *argument)
{
    sem_post(&started);
    while (!finish) {
        jmp_buf target;
        if (setjmp(target) == 0) {
            leave_by_longjmp(&target);
        }
        usleep(300);
    }
    return argument;
}

static AFFECTED void wait_for_finish(void)
{
    sem_post(&started);
    while (!finish) {
        usleep(1000);
    }
}

static void *stay(void *argument)
{
    wait_for_finish();
    return argument;
}

static void no_critical_section(void)
{
}

static struct affected_range affected;

static struct safe_point wanted_within(uint32_t timeout_ms)
{
    affected = (struct affected_range){ (uintptr_t)__start_affected_code, (uintptr_t)__stop_affected_code,
                                        "affected" };
    return (struct safe_point){
        .ranges = &affected,
        .count = 1,
        .timeout_ms = timeout_ms,
        .enter_critical = no_critical_section,
        .leave_critical = no_critical_section,
    };
}

static void start(pthread_t *threads, void *(*const kinds[])(void *), size_t count)
{
    finish = false;
    sem_init(&started, 0, 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, kinds[i], NULL), 0);
    }
    for (size_t i = 0; i < count; i++) {
        sem_wait(&started);
    }
}

static void join(pthread_t *threads, size_t count)
{
    finish = true;
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void test_busy_threads_are_caught_outside(void **state)
{
    static void *(*const kinds[])(void *) = { compute, compute, recurse, jump };
    pthread_t threads[4];

    start(threads, kinds, 4);
    for (int round = 0; round < 50; round++) {
        struct safe_point point = wanted_within(20000);
        struct world world;
        assert_int_equal(safe_point_reach(&point, &world), 0);
        int before = atomic_load(&entered);
        for (size_t i = 0; i < world.count; i++) {
            uintptr_t pc = (uintptr_t)world.threads[i].context->uc_mcontext.gregs[REG_RIP];
            assert_false(pc >= affected.start && pc < affected.end);
        }
        assert_int_equal(atomic_load(&entered), before);
        resume_world();
    }
    join(threads, 4);
    assert_int_equal(results_wrong, 0);
    assert_true(entered > 0);
}

static void test_a_thread_that_stays_is_named(void **state)
{
    static void *(*const kinds[])(void *) = { stay };
    pthread_t thread;
    struct safe_point point = wanted_within(60);
    struct world world;

    start(&thread, kinds, 1);
    assert_int_equal(safe_point_reach(&point, &world), -EBUSY);
    assert_non_null(strstr(point.blocked_by, "in affected"));
    join(&thread, 1); /* and it returns through no barrier */
}

static void stop(struct world *world)
{
    pid_t stuck;

    assert_int_equal(stop_world(20000, world, &stuck), 0);
}

static void test_a_barrier_on_a_stack_that_is_gone(void **state)
{
    uintptr_t *stack = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct world world;

    assert_true(stack != MAP_FAILED);
    stack[0] = 1234;
    stop(&world);
    assert_true(barrier_set((uintptr_t)&stack[0]));
    resume_world();
    assert_int_not_equal(stack[0], 1234);
    stop(&world);
    barrier_remove_all(&world);
    resume_world();
    assert_int_equal(stack[0], 1234);
    stop(&world);
    assert_true(barrier_set((uintptr_t)&stack[0]));
    resume_world();
    munmap(stack, 4096); /* its thread left by longjmp and ended */
    stop(&world);
    barrier_remove_all(&world);
    resume_world();
    assert_true(barrier_await(0)); /* nothing is waited for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_threads_are_caught_outside),
        cmocka_unit_test(test_a_thread_that_stays_is_named),
        cmocka_unit_test(test_a_barrier_on_a_stack_that_is_gone),
    };
    stop_init();
    if (unwind_init() < 0 || barrier_init() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
