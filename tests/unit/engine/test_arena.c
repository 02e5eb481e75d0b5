/* Memory near a module. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/code/arena.h"

static struct arena *own_arena(void)
{
    static struct module module;
    struct arena *arena;

    module.start = (uintptr_t)own_arena & ~4095ul;
    module.end = module.start + 65536;
    assert_int_equal(arena_of(&module, false, &arena), 0);
    return arena;
}

static void test_code_is_near_and_reused(void **state)
{
    struct arena *arena = own_arena();
    void *first, *second, *third;

    assert_int_equal(arena_code_allocate(arena, 5000, &first), 0);
    assert_int_equal(arena_code_allocate(arena, 1, &second), 0);
    assert_true(llabs((long long)((intptr_t)first - (intptr_t)own_arena)) < 0x7fffffffll);
    assert_true((uint8_t *)second >= (uint8_t *)first + 8192);
    arena_code_free(arena, first, 5000);
    assert_int_equal(arena_code_allocate(arena, 8192, &third), 0);
    assert_ptr_equal(third, first);
    assert_int_equal(((uint8_t *)third)[100], 0);
    arena_code_free(arena, second, 1);
    arena_code_free(arena, third, 8192);
}

static void test_the_heap_can_still_grow(void **state)
{
    own_arena();
    void *before = sbrk(0);
    assert_ptr_not_equal(sbrk(64 << 20), (void *)-1);
    assert_int_equal(brk(before), 0);
}

static void test_equal_constants_are_one(void **state)
{
    struct arena *arena = own_arena();
    struct arena_mark mark = arena_mark(arena);

    assert_int_equal(arena_pools_open(arena), 0);
    char *hello = arena_intern(arena, "hello", 6, 1);
    assert_string_equal(hello, "hello");
    assert_ptr_equal(arena_intern(arena, "hello", 6, 1), hello);
    assert_ptr_not_equal(arena_intern(arena, "hellO", 6, 1), hello);
    for (int i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof(text), "constant %d", i);
        assert_string_equal(arena_intern(arena, text, strlen(text) + 1, 8), text);
    }
    arena_reset(arena, mark);
    char *again = arena_intern(arena, "other", 6, 1);
    assert_ptr_equal(again, hello); /* its place was given back */
    arena_pools_close(arena);
    assert_ptr_equal(arena_intern(arena, "other", 6, 1), again);
    assert_null(arena_intern(arena, "more", 5, 1)); /* it could not be written */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_is_near_and_reused),
        cmocka_unit_test(test_the_heap_can_still_grow),
        cmocka_unit_test(test_equal_constants_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
