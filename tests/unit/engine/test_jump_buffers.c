/* What setjmp saves is found in memory, and read (engine/threads/jump_buffers.c). */
#include "engine/threads/jump_buffers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/threads/coroutines.h"

#define PAGE 4096
#define PAGES 3

struct seen {
    size_t count;
    struct jump_buffer last;
};

static void note(void *context, const struct jump_buffer *found)
{
    struct seen *seen = context;

    seen->count++;
    seen->last = *found;
}

static struct seen find_in(char *pages)
{
    struct seen seen = { 0 };

    for (size_t i = 0; i < PAGES; i++) {
        jump_buffers_find((uintptr_t)pages + i * PAGE, (uintptr_t)pages + (i + 1) * PAGE, note, &seen);
    }
    return seen;
}

static void is_found_wherever_it_lies(void **state)
{
    char *pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    jmp_buf saved;

    assert_int_equal(find_in(pages).count, 0);
    assert_int_equal(_setjmp(saved), 0);
    /* at the start, then with each of its words as the first of a page */
    for (size_t words = 0; words <= 8; words++) {
        char *at = pages + (words ? PAGE - words * 8 : 0);
        greg_t registers[NGREG] = { 0 };
        memset(pages, 0x5a, PAGES * PAGE);
        memcpy(at, saved, sizeof(saved));
        struct seen seen = find_in(pages);
        assert_int_equal(seen.count, 1);
        assert_ptr_equal((void *)seen.last.at, at);
        assert_true(coroutines_is_return_address(seen.last.pc));
        jump_buffers_registers(seen.last.at, registers);
        assert_true((uintptr_t)registers[REG_RIP] == seen.last.pc);
        assert_true((uintptr_t)registers[REG_RSP] == seen.last.sp);
        assert_true(seen.last.sp <= (uintptr_t)saved && (uintptr_t)saved - seen.last.sp < PAGE);
    }
    munmap(pages, PAGES * PAGE);
}

static void one_in_the_first_words_of_memory_is_none(void **state)
{
    char *pages = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    jmp_buf saved;

    munmap(pages, PAGE);
    pages += PAGE;
    assert_int_equal(_setjmp(saved), 0);
    memcpy(pages, (char *)saved + 16, 48);
    assert_int_equal(find_in(pages).count, 0);
    munmap(pages, PAGES * PAGE);
}

/* cmocka does nothing else. */
static void who_reports_errors_leaves_no_stacks(void **state)
{
    jump_buffers_look();
    assert_false(jump_buffers_possible());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_found_wherever_it_lies),
        cmocka_unit_test(one_in_the_first_words_of_memory_is_none),
        cmocka_unit_test(who_reports_errors_leaves_no_stacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
