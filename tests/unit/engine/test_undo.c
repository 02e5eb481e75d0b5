/* Writing to protected memory, and taking it back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "engine/update/undo.h"

static const char constant[64] = "as it was built";

__attribute__((noinline, aligned(16))) static int answer(void)
{
    __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
    return 1;
}

/* mov $2, %eax; ret */
static const uint8_t two[] = { 0xb8, 2, 0, 0, 0, 0xc3 };

static void write_both(struct undo_log *log)
{
    assert_int_equal(undo_reserve(log, 3, 64), 0);
    assert_int_equal(undo_write(log, UNDO_CODE, (uintptr_t)answer, two, sizeof(two)), 0);
    assert_int_equal(undo_write(log, UNDO_CONSTANT, (uintptr_t)constant, "changed", 8), 0);
    assert_int_equal(undo_write(log, UNDO_CONSTANT, (uintptr_t)constant, "again", 6), 0);
    undo_synchronise_code();
}

static void check_written_and_reverted(struct undo_log *log)
{
    int (*volatile call)(void) = answer;
    const char *volatile text = constant;

    assert_int_equal(call(), 2);
    assert_string_equal(text, "again");
    assert_int_equal(undo_revert(log), 0);
    undo_synchronise_code();
    assert_int_equal(call(), 1);
    assert_string_equal(text, "as it was built");
    assert_int_equal(log->used, 0);
}

static void test_through_the_kernel(void **state)
{
    struct undo_log log = { 0 };

    undo_begin();
    write_both(&log);
    check_written_and_reverted(&log);
    undo_end();
    undo_deinit(&log);
}

/* A program that has given up its rights cannot open /proc/self/mem. */
static void test_without_the_kernels_file(void **state)
{
    struct undo_log log = { 0 };

    write_both(&log);
    check_written_and_reverted(&log);
    undo_deinit(&log);
}

static void test_no_more_than_was_reserved(void **state)
{
    struct undo_log log = { 0 };

    assert_int_equal(undo_reserve(&log, 1, 4), 0);
    undo_begin();
    assert_true(undo_write(&log, UNDO_CONSTANT, (uintptr_t)constant, "0123456789", 10) < 0);
    assert_string_equal(constant, "as it was built");
    undo_end();
    undo_deinit(&log);
}

static void test_pages_that_are_read_only(void **state)
{
    struct undo_log log = { 0 };
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_int_equal(undo_reserve(&log, 2, 64), 0);
    undo_begin();
    assert_int_equal(undo_write(&log, UNDO_CONSTANT, (uintptr_t)page, "x", 1), 0);
    assert_int_equal(*(const char *)page, 'x');
    assert_int_equal(undo_revert(&log), 0);
    assert_int_equal(*(const char *)page, 0);
    undo_end();
    undo_deinit(&log);
    munmap(page, 4096);
}

/* Constants may lie beside variables, in a program without RELRO. */
static void test_pages_that_are_written_stay_so(void **state)
{
    struct undo_log log = { 0 };
    volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_int_equal(undo_reserve(&log, 2, 64), 0);
    assert_int_equal(undo_write(&log, UNDO_CONSTANT, (uintptr_t)page, "x", 1), 0);
    assert_int_equal(page[0], 'x');
    page[1] = 'y';
    assert_int_equal(undo_revert(&log), 0);
    page[2] = 'z';
    assert_int_equal(page[0], 0);
    undo_deinit(&log);
    munmap((void *)page, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_through_the_kernel),
        cmocka_unit_test(test_without_the_kernels_file),
        cmocka_unit_test(test_no_more_than_was_reserved),
        cmocka_unit_test(test_pages_that_are_read_only),
        cmocka_unit_test(test_pages_that_are_written_stay_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
