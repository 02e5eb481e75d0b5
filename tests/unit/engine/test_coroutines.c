/* Coroutines that wait inside of affected code are found, named, and waited for; those that ended or were
 * given back are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "engine/threads/barrier.h"
#include "engine/threads/contexts.h"
#include "engine/threads/coroutines.h"
#include "engine/threads/safe_point.h"
#include "engine/threads/unwind.h"

#define AFFECTED __attribute__((noinline, section("affected_code")))
#define PAGE 4096
#define STACK (64 << 10)
extern const char __start_affected_code[], __stop_affected_code[];

static ucontext_t here, caller;
static volatile int passed;
static bool known_only; /* registered stacks are looked at alone */

static AFFECTED void wait_inside(void)
{
    swapcontext(&here, &caller);
    passed++;
}

static void body(void)
{
    wait_inside();
    swapcontext(&here, &caller);
    wait_inside();
}

static void no_critical_section(void)
{
}

/* On a thread that is not stopped, as the engine's. */
static void *reach(void *ret)
{
    struct affected_range affected = { (uintptr_t)__start_affected_code, (uintptr_t)__stop_affected_code,
                                       "affected" };
    struct safe_point wanted = { .ranges = &affected,
                                 .count = 1,
                                 .timeout_ms = 20,
                                 .transfers.after_ms = UINT32_MAX,
                                 .transfers.known_only = known_only,
                                 .enter_critical = no_critical_section,
                                 .leave_critical = no_critical_section };
    struct world world;

    stop_init();
    if (safe_point_reach(&wanted, &world) == 0) {
        resume_world();
    }
    strcpy(ret, wanted.blocked_by);
    return NULL;
}

/* What a safe point would wait for: "" if for nothing. */
static const char *blocked_by(void)
{
    static char text[1024];
    pthread_t engine;

    pthread_create(&engine, NULL, reach, text);
    pthread_join(engine, NULL);
    return text;
}

static void start_on(void *stack)
{
    getcontext(&here);
    here.uc_stack.ss_sp = stack;
    here.uc_stack.ss_size = STACK;
    here.uc_link = &caller;
    makecontext(&here, body, 0);
    assert_string_equal(blocked_by(), "");
    swapcontext(&caller, &here);
}

static void *start(void)
{
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    start_on(stack);
    return stack;
}

static void finish(void)
{
    for (int i = 0; i < 3; i++) {
        swapcontext(&caller, &here);
    }
}

static void is_found_while_it_waits_inside(void **state)
{
    void *stack = start();

    assert_non_null(strstr(blocked_by(), "suspended coroutine (stack at 0x"));
    assert_non_null(strstr(blocked_by(), "in affected"));
    swapcontext(&caller, &here); /* out of it */
    assert_string_equal(blocked_by(), "");
    swapcontext(&caller, &here); /* in again */
    assert_string_not_equal(blocked_by(), "");
    swapcontext(&caller, &here); /* to its end */
    assert_string_equal(blocked_by(), "");
    assert_int_equal(passed, 2);
    munmap(stack, STACK);
}

static void is_forgotten_with_its_stack(void **state)
{
    void *stack = start();

    assert_string_not_equal(blocked_by(), "");
    munmap(stack, STACK);
    assert_string_equal(blocked_by(), "");
}

/* A stack of which the lowest page is its guard, and which holds a return address into affected code. */
static char *make_guarded(void)
{
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *own = start();

    memcpy(stack + STACK / 2, &here.uc_mcontext.gregs[REG_RIP], sizeof(uintptr_t));
    mprotect(stack, PAGE, PROT_NONE);
    finish();
    munmap(own, STACK);
    return stack;
}

static void a_guard_hides_nothing_above(void **state)
{
    char *stack = make_guarded();

    known_only = true;
    molt_context_stack_added(stack, STACK, NULL);
    assert_non_null(strstr(blocked_by(), "in affected"));
    molt_context_stack_removed(stack);
    assert_string_equal(blocked_by(), "");
    known_only = false;
    munmap(stack, STACK);
}

static void a_block_with_a_guard_is_alive(void **state)
{
    char *stack = aligned_alloc(PAGE, STACK);

    mprotect(stack, PAGE, PROT_NONE);
    start_on(stack);
    assert_non_null(strstr(blocked_by(), "in affected"));
    finish();
    assert_string_equal(blocked_by(), "");
    mprotect(stack, PAGE, PROT_READ | PROT_WRITE);
    free(stack);
}

static void a_guard_is_not_read(void **state)
{
    char *stack = make_guarded();
    void *pointer = stack + PAGE;

    molt_context_stack_added(stack, STACK, &pointer);
    blocked_by();
    molt_context_stack_removed(stack);
    munmap(stack, STACK);
}

static jmp_buf out, in;

static void nothing(void)
{
}

/* Waits for another one, which ends, and is then left by longjmp. */
static void go_on_by_link(void)
{
    static ucontext_t other, waiting;
    static char stack[STACK];

    getcontext(&other);
    other.uc_stack.ss_sp = stack;
    other.uc_stack.ss_size = sizeof(stack);
    other.uc_link = &waiting;
    makecontext(&other, nothing, 0);
    swapcontext(&waiting, &other);
    if (!_setjmp(in)) {
        _longjmp(out, 1);
    }
}

static void a_link_does_not_tell(void **state)
{
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    getcontext(&here);
    here.uc_stack.ss_sp = stack;
    here.uc_stack.ss_size = STACK;
    makecontext(&here, go_on_by_link, 0);
    if (!_setjmp(out)) {
        swapcontext(&caller, &here);
    }
    assert_string_equal(blocked_by(), "");
    assert_false(coroutines_tell((uintptr_t)stack + STACK - 64));
    munmap(stack, STACK);
}

static void return_addresses_are_told(void **state)
{
    assert_true(coroutines_is_return_address((uintptr_t)__builtin_return_address(0)));
    assert_false(coroutines_is_return_address((uintptr_t)return_addresses_are_told));
    assert_false(coroutines_is_return_address(4096));
}

/* Modules have pages that nobody can read. */
static void what_cannot_be_read_is_no_return_address(void **state)
{
    static _Alignas(PAGE) char pages[3 * PAGE] = { 1 };

    mprotect(pages + PAGE, PAGE, PROT_NONE);
    for (size_t at = PAGE; at < 2 * PAGE + 8; at++) {
        assert_false(coroutines_is_return_address((uintptr_t)pages + at));
    }
    mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_found_while_it_waits_inside),
        cmocka_unit_test(a_guard_hides_nothing_above),
        cmocka_unit_test(a_guard_is_not_read),
        cmocka_unit_test(a_block_with_a_guard_is_alive),
        cmocka_unit_test(is_forgotten_with_its_stack),
        cmocka_unit_test(a_link_does_not_tell),
        cmocka_unit_test(return_addresses_are_told),
        cmocka_unit_test(what_cannot_be_read_is_no_return_address),
    };
    if (unwind_init() < 0 || barrier_init() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
