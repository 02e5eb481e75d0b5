/* Addresses in epoll sets: replaced, put back, or not touched. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/update/kernel_words.h"

#define MANY 100 /* more lines than are read at once */

static bool moves(void *context, uint64_t data, uint64_t *ret)
{
    *ret = data + 0x1000;
    return data >= 0x100000;
}

/* A pipe that can be read from now on, in SET. Returns the end that is in it. */
static int add(int set, uint32_t events, uint64_t data)
{
    struct epoll_event event = { events, { .u64 = data } };
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
    return ends[0];
}

/* The data of all that is ready, summed up. */
static uint64_t ready(int set)
{
    struct epoll_event events[MANY];
    uint64_t sum = 0;
    int count = epoll_wait(set, events, MANY, 0);

    for (int i = 0; i < count; i++) {
        sum += events[i].data.u64;
    }
    return sum;
}

static void there_and_back(void **state)
{
    struct kernel_words words = { 0 };
    int set = epoll_create1(EPOLL_CLOEXEC), descriptor = -1;
    uint64_t before = 0;

    for (uint64_t i = 0; i < MANY - 1; i++) {
        add(set, EPOLLIN | (i % 2 ? EPOLLEXCLUSIVE : 0), 0x100000 + i);
        before += 0x100000 + i;
    }
    add(set, EPOLLIN, 7);
    before += 7;
    assert_int_equal(kernel_words_lead(&words, moves, NULL, &descriptor), 0);
    assert_int_equal(ready(set), before + (MANY - 1) * 0x1000);
    kernel_words_undo(&words);
    assert_int_equal(ready(set), before);
    kernel_words_deinit(&words);
    close(set);
}

static void disarmed(void **state)
{
    struct kernel_words words = { 0 };
    int set = epoll_create1(EPOLL_CLOEXEC), descriptor = -1;
    int end = add(set, EPOLLIN | EPOLLONESHOT, 0x100000);

    assert_int_equal(ready(set), 0x100000);
    assert_int_equal(kernel_words_lead(&words, moves, NULL, &descriptor), -EBUSY);
    assert_int_equal(descriptor, end);
    kernel_words_undo(&words);
    assert_int_equal(ready(set), 0);
    kernel_words_deinit(&words);
    close(set);
}

static void closed(void **state)
{
    struct kernel_words words = { 0 };
    int set = epoll_create1(EPOLL_CLOEXEC), descriptor = -1;
    int end = add(set, EPOLLIN, 0x100000), copy = dup(end);

    assert_true(copy >= 0);
    close(end);
    assert_int_equal(kernel_words_lead(&words, moves, NULL, &descriptor), -EBUSY);
    assert_int_equal(descriptor, end);
    assert_int_equal(ready(set), 0x100000);
    kernel_words_deinit(&words);
    close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(disarmed),
        cmocka_unit_test(closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
