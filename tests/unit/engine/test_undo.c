/* Writing to protected memory, and taking it back. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Writes that overlap, one of them long, go back and come again, as often as one likes. */
static void test_there_and_back(void **state)
{
    struct undo_log log = { 0 };
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char before[4096], long_text[1000], after[4096];

    for (size_t i = 0; i < sizeof(before); i++) {
        page[i] = (char)(i * 7);
    }
    memset(long_text, 'l', sizeof(long_text));
    memcpy(before, page, sizeof(before));
    mprotect(page, 4096, PROT_READ);
    assert_int_equal(undo_reserve(&log, 2, 1003), 0);
    undo_begin();
    assert_int_equal(undo_write(&log, UNDO_CONSTANT, (uintptr_t)page + 100, long_text, 1000), 0);
    assert_int_equal(undo_write(&log, UNDO_CONSTANT, (uintptr_t)page + 500, "abc", 3), 0);
    memcpy(after, page, sizeof(after));
    for (int round = 0; round < 3; round++) {
        assert_int_equal(undo_unwrite(&log), 0);
        assert_memory_equal(page, before, sizeof(before));
        assert_int_equal(undo_replay(&log), 0);
        assert_memory_equal(page, after, sizeof(after));
    }
    undo_end();
    undo_deinit(&log);
    munmap(page, 4096);
}

/* A write that cannot be taken back leaves all of them made. */
static void test_all_or_nothing(void **state)
{
    struct undo_log log = { 0 };
    char *pages = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open("/proc/self/exe", O_RDONLY);

    assert_int_equal(undo_reserve(&log, 2, 2), 0);
    undo_begin();
    assert_int_equal(undo_write(&log, UNDO_CONSTANT, (uintptr_t)pages + 4096, "x", 1), 0);
    assert_int_equal(undo_write(&log, UNDO_CONSTANT, (uintptr_t)pages, "y", 1), 0);
    assert_ptr_equal(mmap(pages + 4096, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0), pages + 4096);
    assert_true(undo_unwrite(&log) < 0);
    assert_int_equal(pages[0], 'y');
    undo_end();
    undo_deinit(&log);
    close(file);
    munmap(pages, 8192);
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
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_pages_that_are_written_stay_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
