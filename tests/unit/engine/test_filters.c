/* What system call filters allow: asked of programs as compilers of filters write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/audit.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/threads/filters.h"
#include "engine/threads/stop.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NUMBER offsetof(struct seccomp_data, nr)
#define SECOND offsetof(struct seccomp_data, args[1])

/* Of a few calls, as sandboxes list them: ALLOWED ones, then KILL. */
#define ALLOW(number)                                                                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static uint32_t ask(struct sock_filter *code, size_t count, int number, uint64_t second)
{
    const struct sock_fprog program = { (unsigned short)count, code };
    const struct seccomp_data call = { .nr = number, .arch = AUDIT_ARCH_X86_64, .args = { [1] = second } };

    return filter_run(&program, &call);
}

static void a_list_allows_what_it_names(void **state)
{
    struct sock_filter code[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER), ALLOW(SYS_read),
                                  ALLOW(SYS_exit_group), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL) };

    (void)state;
    assert_int_equal(ask(code, COUNT(code), SYS_read, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(code, COUNT(code), SYS_exit_group, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(ask(code, COUNT(code), SYS_unlink, 0), SECCOMP_RET_KILL);
}

/* Memory, the index register, sums, masks and shifts, a jump over a jump, an answer in the accumulator. */
static void all_of_the_machine_is_there(void **state)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 5),
        BPF_STMT(BPF_STX, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SECOND),
        BPF_STMT(BPF_LDX | BPF_W | BPF_MEM, 3),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
        BPF_STMT(BPF_JMP | BPF_JA, 1),
        BPF_STMT(BPF_RET | BPF_K, 1),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x80, 0, 1),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_MISC | BPF_TXA, 0),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };

    (void)state;
    assert_int_equal(ask(code, COUNT(code), 0, 0x13), 0x80);  /* (0x13 + 5) << 4, the lower byte */
    assert_int_equal(ask(code, COUNT(code), 0, 0x10), 0x150); /* (0x10 + 5) << 4 */
}

static void what_the_kernel_would_not_take_kills(void **state)
{
    struct sock_filter endless[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER) };
    struct sock_filter outside[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sizeof(struct seccomp_data)),
                                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_filter far[] = { BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };

    (void)state;
    assert_int_equal(ask(endless, COUNT(endless), 0, 0), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(ask(outside, COUNT(outside), 0, 0), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(ask(far, COUNT(far), 0, 0), SECCOMP_RET_KILL_PROCESS);
}

/* What is known of a process adds up, so each is one of its own. */
static int known_after(const struct sock_fprog *const *programs, size_t count)
{
    int status;
    pid_t child = fork();

    if (!child) {
        for (size_t i = 0; i < count; i++) {
            filters_add(programs[i]);
        }
        _exit(filters_any() + 2 * filters_forbid_stops() + 4 * filters_forbid_unlink());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void what_the_engine_needs_is_asked_of_each(void **state)
{
    struct sock_filter lists[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER), ALLOW(SYS_futex),
                                   ALLOW(SYS_rt_sigreturn), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL) };
    struct sock_filter forbids[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
                                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
                                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1) };
    const struct sock_fprog list = { COUNT(lists), lists }, forbid = { COUNT(forbids), forbids };

    (void)state;
    assert_int_equal(known_after(NULL, 0), 0);
    assert_int_equal(known_after((const struct sock_fprog *const[]){ &list }, 1), 1 + 4);
    assert_int_equal(known_after((const struct sock_fprog *const[]){ &forbid }, 1), 1 + 2);
    assert_int_equal(known_after((const struct sock_fprog *const[]){ &forbid, &list }, 2), 1 + 2 + 4);
    assert_int_equal(known_after((const struct sock_fprog *const[]){ NULL }, 1), 1 + 2 + 4);
}

/* It would be killed on its way out of the handler. */
static void a_thread_that_would_be_killed_is_not_stopped(void **state)
{
    struct world world;
    pid_t stuck;
    int status, child = fork();

    (void)state;
    if (!child) {
        stop_init();
        filters_add(NULL);
        _exit(stop_world(1000, &world, &stuck) == -EPERM ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_allows_what_it_names),
        cmocka_unit_test(all_of_the_machine_is_there),
        cmocka_unit_test(what_the_kernel_would_not_take_kills),
        cmocka_unit_test(what_the_engine_needs_is_asked_of_each),
        cmocka_unit_test(a_thread_that_would_be_killed_is_not_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
