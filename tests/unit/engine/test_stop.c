/* Stopping threads: all are held, and none notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/threads/stop.h"

static atomic_bool finish;
static atomic_long interruptions, progress;
static sem_t started;

static void *spin(void *argument)
{
    sem_post(&started);
    while (!finish) {
        atomic_fetch_add(&progress, 1);
    }
    return argument;
}

static void note(long result)
{
    if (result < 0 && errno == EINTR) {
        atomic_fetch_add(&interruptions, 1);
    }
}

static void *sleep_in_poll(void *argument)
{
    sem_post(&started);
    while (!finish) {
        note(poll(NULL, 0, 10));
    }
    return argument;
}

static void *sleep_in_epoll(void *argument)
{
    int queue = epoll_create1(0);
    struct epoll_event event;

    sem_post(&started);
    while (!finish) {
        note(epoll_wait(queue, &event, 1, 10));
    }
    close(queue);
    return argument;
}

static void *sleep_with_all_signals_blocked(void *argument)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sem_post(&started);
    while (!finish) {
        note(nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL));
    }
    return argument;
}

static void *do_nothing(void *argument)
{
    return argument;
}

static void *make_threads(void *argument)
{
    sem_post(&started);
    while (!finish) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, do_nothing, NULL) == 0) {
            pthread_join(thread, NULL);
        }
    }
    return argument;
}

static void test_stops_everything_unnoticed(void **state)
{
    static void *(*const kinds[])(void *) = { spin, sleep_in_poll, sleep_in_epoll,
                                              sleep_with_all_signals_blocked, make_threads };
    enum { EACH = 4, KINDS = sizeof(kinds) / sizeof(kinds[0]) };
    pthread_t threads[KINDS * EACH];

    finish = false;
    sem_init(&started, 0, 0);
    for (size_t i = 0; i < KINDS * EACH; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, kinds[i / EACH], NULL), 0);
    }
    for (size_t i = 0; i < KINDS * EACH; i++) {
        sem_wait(&started);
    }
    for (int round = 0; round < 300; round++) {
        struct world world;
        pid_t stuck;
        assert_int_equal(stop_world(20000, &world, &stuck), 0);
        assert_true(world.count >= KINDS * EACH);
        long before = atomic_load(&progress);
        for (size_t i = 0; i < world.count; i++) {
            assert_non_null(world.threads[i].context);
        }
        assert_int_equal(atomic_load(&progress), before);
        resume_world();
    }
    finish = true;
    for (size_t i = 0; i < KINDS * EACH; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(interruptions, 0);
}

static void test_leaves_the_signal_as_it_was(void **state)
{
    struct world world;
    pid_t stuck;
    char before[4096], after[4096];
    FILE *file = fopen("/proc/self/status", "r");
    size_t size = fread(before, 1, sizeof(before) - 1, file);
    before[size] = '\0';
    fclose(file);
    assert_int_equal(stop_world(20000, &world, &stuck), 0);
    resume_world();
    file = fopen("/proc/self/status", "r");
    size = fread(after, 1, sizeof(after) - 1, file);
    after[size] = '\0';
    fclose(file);
    const char *caught_before = strstr(before, "SigCgt:"), *caught_after = strstr(after, "SigCgt:");
    assert_non_null(caught_before);
    assert_non_null(caught_after);
    assert_memory_equal(caught_before, caught_after, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops_everything_unnoticed),
        cmocka_unit_test(test_leaves_the_signal_as_it_was),
    };
    stop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
