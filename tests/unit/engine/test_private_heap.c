/* The private heap: many sizes, random orders, several threads, and everything goes back to the system. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/private_heap.h"

#define BLOCKS 400

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static size_t random_size(uint32_t *state)
{
    static const size_t bounds[] = { 17, 129, 2000, 17000, 300000 };

    return next_random(state) % bounds[next_random(state) % 5];
}

struct item {
    uint8_t *bytes;
    size_t size;
    uint8_t mark;
};

static void check_item(const struct item *item, size_t size)
{
    size_t good = 0;

    while (good < size && item->bytes[good] == item->mark) {
        good++;
    }
    assert_int_equal(good, size);
}

static void change(struct item *item, uint32_t *state)
{
    size_t size = random_size(state);

    check_item(item, item->size);
    if (item->bytes && next_random(state) % 3) {
        private_heap_free(item->bytes);
        *item = (struct item){ 0 };
        return;
    }
    item->bytes = private_heap_resize(item->bytes, size);
    assert_non_null(item->bytes);
    assert_int_equal((uintptr_t)item->bytes % 16, 0);
    assert_true(private_heap_usable(item->bytes) >= size);
    check_item(item, size < item->size ? size : item->size);
    item->size = size;
    item->mark = (uint8_t)next_random(state);
    memset(item->bytes, item->mark, size);
}

static void exercise(uint32_t seed)
{
    struct item items[BLOCKS] = { 0 };

    for (int i = 0; i < 4000; i++) {
        change(&items[next_random(&seed) % BLOCKS], &seed);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        check_item(&items[i], items[i].size);
        private_heap_free(items[i].bytes);
    }
}

static void test_random_use(void **state)
{
    for (uint32_t seed = 1; seed <= 5; seed++) {
        print_message("seed %u\n", seed);
        exercise(seed);
    }
    assert_true(private_heap_mapped() <= (size_t)36 * 65536);
}

static void *exercise_thread(void *argument)
{
    exercise((uint32_t)(uintptr_t)argument);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];

    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, exercise_thread, (void *)(100 + i)), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(private_heap_mapped() <= (size_t)36 * 65536);
}

/* Every size from 0 up to beyond the largest class: blocks do not overlap and hold what was asked for. */
static void test_every_size(void **state)
{
    uint8_t *before = NULL;
    size_t before_size = 0;

    for (size_t size = 0; size < 20000; size++) {
        uint8_t *bytes = private_heap_allocate(size);

        assert_non_null(bytes);
        assert_true(private_heap_usable(bytes) >= size);
        assert_true(size < 32 || private_heap_usable(bytes) <= size + size / 4 + 4096);
        memset(bytes, 0xa5, size);
        assert_true(bytes + size <= before || before + before_size <= bytes);
        private_heap_free(before);
        before = bytes;
        before_size = size;
    }
    private_heap_free(before);
}

static void test_large_blocks_go_back(void **state)
{
    size_t before = private_heap_mapped();
    uint8_t *bytes = private_heap_allocate((size_t)64 << 20);

    assert_non_null(bytes);
    bytes[0] = bytes[((size_t)64 << 20) - 1] = 1;
    assert_true(private_heap_mapped() >= before + ((size_t)64 << 20));
    private_heap_free(bytes);
    assert_int_equal(private_heap_mapped(), before);
}

static void test_too_much(void **state)
{
    volatile size_t huge = SIZE_MAX;
    uint8_t *bytes = private_heap_allocate(100);

    assert_null(private_heap_allocate(huge));
    assert_null(private_heap_allocate(huge / 2));
    assert_null(private_heap_resize(bytes, huge));
    memset(bytes, 1, 100); /* still ours */
    private_heap_free(bytes);
    private_heap_free(NULL);
}

static void *hammer(void *stop)
{
    while (!*(volatile bool *)stop) {
        private_heap_free(private_heap_allocate(100));
    }
    return NULL;
}

/* A child forked while another thread allocates can allocate. */
static void test_fork(void **state)
{
    pthread_t thread;
    bool stop = false;

    assert_int_equal(pthread_create(&thread, NULL, hammer, &stop), 0);
    for (int i = 0; i < 50; i++) {
        private_heap_fork_prepare();
        pid_t child = fork();
        if (!child) {
            private_heap_fork_child();
            alarm(10);
            _exit(private_heap_allocate(100) ? 0 : 1);
        }
        private_heap_fork_parent();
        int status = -1;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
    stop = true;
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_use), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_every_size), cmocka_unit_test(test_large_blocks_go_back),
        cmocka_unit_test(test_too_much),   cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
