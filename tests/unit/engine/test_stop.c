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
#include <sys/select.h>
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

static atomic_int awake;

static void *sleep_for_a_while(void *kind)
{
    long microseconds = 60000;
    struct timespec sleep = { .tv_nsec = microseconds * 1000 }, began, ended;
    int queue = epoll_create1(0);
    struct epoll_event event;

    clock_gettime(CLOCK_MONOTONIC, &began);
    sem_post(&started);
    switch ((int)(intptr_t)kind) {
    case 0:
        nanosleep(&sleep, NULL);
        break;
    case 1:
        poll(NULL, 0, (int)(microseconds / 1000));
        break;
    case 2:
        epoll_wait(queue, &event, 1, (int)(microseconds / 1000));
        break;
    default:
        select(0, NULL, NULL, NULL, &(struct timeval){ .tv_usec = microseconds });
        break;
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    long slept = (ended.tv_sec - began.tv_sec) * 1000000 + (ended.tv_nsec - began.tv_nsec) / 1000;
    assert_true(slept >= microseconds - 2000); /* whole milliseconds are all that poll knows */
    close(queue);
    atomic_fetch_add(&awake, 1);
    return kind;
}

/* Stopped more often than it sleeps long, a thread must wake all the same. */
static void test_sleeps_end_while_threads_are_stopped_again_and_again(void **state)
{
    enum { KINDS = 4, ROUNDS_MAX = 20000 };
    pthread_t threads[KINDS];
    int rounds = 0;

    sem_init(&started, 0, 0);
    for (intptr_t i = 0; i < KINDS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_for_a_while, (void *)i), 0);
    }
    for (int i = 0; i < KINDS; i++) {
        sem_wait(&started);
    }
    while (atomic_load(&awake) < KINDS && rounds++ < ROUNDS_MAX) {
        struct world world;
        pid_t stuck;
        assert_int_equal(stop_world(20000, &world, &stuck), 0);
        resume_world();
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL); /* far less than they sleep */
    }
    assert_true(rounds < ROUNDS_MAX);
    for (int i = 0; i < KINDS; i++) {
        pthread_join(threads[i], NULL);
    }
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
        cmocka_unit_test(test_sleeps_end_while_threads_are_stopped_again_and_again),
        cmocka_unit_test(test_leaves_the_signal_as_it_was),
    };
    stop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
