/* What code that may write anywhere leaves behind when it is undone: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/update/guard.h"
#include "engine/update/page_log.h"

#define PAGE 4096
#define PAGES 4

struct memory {
    uint8_t *written;  /* that was there before */
    uint8_t *reserved; /* whose first page becomes accessible, as in an allocator's arena that grows */
    uint8_t *fresh;    /* that is mapped meanwhile */
};

static uint8_t *map(int protection)
{
    uint8_t *memory = mmap(NULL, PAGES * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    return memory;
}

static void write_everywhere(void *context)
{
    struct memory *memory = context;

    memset(memory->written, 2, PAGES * PAGE);
    mprotect(memory->reserved, PAGE, PROT_READ | PROT_WRITE);
    memset(memory->reserved, 2, PAGE);
    memory->fresh = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory->fresh, 2, PAGES * PAGE);
}

static bool holds(const uint8_t *bytes, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

static void all_is_as_before(void **state)
{
    struct memory memory = { .written = map(PROT_READ | PROT_WRITE), .reserved = map(PROT_NONE) };
    struct page_log log = { 0 };
    struct guard_result result;
    const struct world world = { 0 };

    memset(memory.written, 1, PAGES * PAGE);
    page_log_init();
    assert_int_equal(guard_begin(page_log_write), 0);
    int begun = page_log_begin(&log, &world);
    enum guard_end end = guard_run(write_everywhere, &memory, &result);
    page_log_pause(&log);
    bool was_written = memory.written[0] == 2 && memory.reserved[0] == 2 && memory.fresh[0] == 2;
    page_log_undo_all(&log);
    guard_end();
    assert_int_equal(begun, 0);
    assert_int_equal(end, GUARD_RETURNED);
    assert_true(was_written);
    assert_true(holds(memory.written, PAGES * PAGE, 1));
    assert_true(holds(memory.reserved, PAGE, 0)); /* the allocator does not know that it had it */
    assert_true(holds(memory.fresh, PAGES * PAGE, 0));
    page_log_deinit(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_is_as_before) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
