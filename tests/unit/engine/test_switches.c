/* Which code of a program counts as switching stacks (engine/threads/switches.c): this one's. */
#include "engine/threads/switches.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "engine/threads/unwind.h"

/* Each ends where the next begins; they are looked at and never called. */
#define FUNCTIONS(X)                                                                                         \
    X(by_memory, "mov %rsp, (%rdi)\n mov (%rsi), %rsp\n ret", true)                                          \
    X(by_extended_register, "mov %rsp, (%r8)\n mov 8(%r9), %rsp\n ret", true)                                \
    X(by_register, "mov %rsp, %rax\n mov %rdi, %rsp\n jmp *%rsi", true)                                      \
    X(by_exchange, "xchg %rsp, (%rdi)\n ret", true)                                                          \
    X(by_short_exchange, "xchg %rax, %rsp\n ret", true)                                                      \
    X(by_variable, "mov switches_test_saved(%rip), %rsp\n ret", true)                                        \
    X(stores_only, "mov %rsp, (%rdi)\n mov %rsp, %rax\n ret", false)                                         \
    X(on_its_own_stack, "mov 8(%rsp), %rsp\n ret", false)                                                    \
    X(loads_another, "mov (%rsi), %r12\n mov %rdi, %rbp\n xchg %rsi, %rdi\n ret", false)

void *switches_test_saved;

#define DEFINE(name, code, expected)                                                                         \
    void name(void);                                                                                         \
    __asm__(".text\n.balign 16\n.globl " #name "\n" #name ":\n" code "\n");
FUNCTIONS(DEFINE)
#undef DEFINE
void the_end(void);
__asm__(".text\n.balign 16\n.globl the_end\nthe_end: ret\n");

static struct {
    const char *name;
    void (*function)(void);
    bool expected;
} functions[] = {
#define LIST(name, code, expected) { #name, name, expected },
    FUNCTIONS(LIST)
#undef LIST
        { "the_end", the_end, false },
};

static void loads_of_the_stack_pointer_are_found(void **state)
{
    switches_look();
    assert_true(switches_exist());
    for (size_t i = 0; i + 1 < sizeof(functions) / sizeof(*functions); i++) {
        uintptr_t start = (uintptr_t)functions[i].function, end = (uintptr_t)functions[i + 1].function;
        if (switches_within(start, end) != functions[i].expected) {
            fail_msg("%s", functions[i].name);
        }
    }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvla"
/* What compilers write for arrays of variable size, with and without optimisation. */
#define WITH_ARRAYS(name, ...)                                                                               \
    __VA_ARGS__ __attribute__((noinline)) static size_t name(size_t count)                                   \
    {                                                                                                        \
        size_t sum = 0;                                                                                      \
                                                                                                             \
        for (size_t i = 1; i < count; i++) {                                                                 \
            volatile char array[i];                                                                          \
            array[i - 1] = (char)i;                                                                          \
            sum += (size_t)array[i - 1];                                                                     \
        }                                                                                                    \
        return sum;                                                                                          \
    }
WITH_ARRAYS(with_arrays)
#ifdef __clang__
WITH_ARRAYS(with_arrays_plain, __attribute__((optnone)))
#else
WITH_ARRAYS(with_arrays_plain, __attribute__((optimize("O0"))))
#endif
#pragma GCC diagnostic pop

static void what_compilers_write_is_none(void **state)
{
    size_t (*const all[])(size_t) = { with_arrays, with_arrays_plain };

    switches_look();
    for (size_t i = 0; i < 2; i++) {
        uintptr_t start, end;
        assert_int_equal(all[i](5), 10);
        assert_true(unwind_function((uintptr_t)all[i], &start, &end));
        assert_false(switches_within(start, end));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_of_the_stack_pointer_are_found),
        cmocka_unit_test(what_compilers_write_is_none),
    };
    if (unwind_init() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
