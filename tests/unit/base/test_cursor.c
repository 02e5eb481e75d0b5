/* Bounds-checked reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cursor.h"

static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 'a', 'b', 0, 'c' };

static void test_reads_in_order(void **state)
{
    struct cursor cursor = cursor_of(bytes, sizeof(bytes));

    assert_int_equal(cursor_u8(&cursor), 1);
    assert_int_equal(cursor_u16(&cursor), 0x0302);
    assert_int_equal(cursor_u32(&cursor), 0x07060504);
    assert_int_equal(cursor_left(&cursor), 5);
    assert_false(cursor_failed(&cursor));
}

static void test_a_read_past_the_end_fails_for_good(void **state)
{
    struct cursor cursor = cursor_of(bytes, 3);

    assert_int_equal(cursor_u32(&cursor), 0);
    assert_true(cursor_failed(&cursor));
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_int_equal(cursor_left(&cursor), 0);
    assert_null(cursor_take(&cursor, 0));
}

static void test_ranges_and_strings(void **state)
{
    struct cursor whole = cursor_of(bytes, sizeof(bytes));
    struct cursor range = cursor_range(&whole, 8, 4);

    assert_string_equal(cursor_string_at(&range, 0), "ab");
    assert_null(cursor_string_at(&range, 3));
    assert_null(cursor_string_at(&range, 4));
    assert_true(cursor_failed(&(struct cursor[]){ cursor_range(&whole, 8, 5) }[0]));
    assert_true(cursor_failed(&(struct cursor[]){ cursor_range(&whole, UINT64_MAX, 2) }[0]));
    cursor_seek(&whole, 13);
    assert_true(cursor_failed(&whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_in_order),
        cmocka_unit_test(test_a_read_past_the_end_fails_for_good),
        cmocka_unit_test(test_ranges_and_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
