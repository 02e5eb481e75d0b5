/*
 * In front of the functions by which a program puts system call filters on itself, so that the engine knows
 * of them (threads/filters.h): prctl, and syscall, of which libseccomp makes use. A program that enters the
 * kernel by instructions of its own is not seen.
 *
 * A process whose threads may not be stopped under a filter can never be updated again: it takes its socket
 * away while it may, so that nobody looks for it there.
 */
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "engine/code/lookup.h"
#include "engine/control.h"
#include "engine/threads/filters.h"

typedef long syscall_function(long number, ...);
typedef int prctl_function(int option, ...);

/* Known to sandbox_entry.S, too. Both are looked up by whoever comes first: the constructor, or that of
 * another library. */
static long first_syscall(long number, ...);
__attribute__((visibility("hidden"))) syscall_function *molt_next_syscall = first_syscall;
static prctl_function *next_prctl;

static __attribute__((constructor)) void find_next(void)
{
    next_prctl = (prctl_function *)lookup_definition("prctl", LOOKUP_UNDERNEATH);
    molt_next_syscall = (syscall_function *)lookup_definition("syscall", LOOKUP_UNDERNEATH);
}

static long first_syscall(long number, ...)
{
    va_list arguments;
    long values[6];

    va_start(arguments, number);
    for (int i = 0; i < 6; i++) {
        values[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    find_next();
    return molt_next_syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

/* Before the filter PROGRAM is put into force. Whether the kernel knows filters is asked with NULL. */
static void prepare(const struct sock_fprog *program)
{
    if (program && !filter_allows_stops(program)) {
        control_unlink();
    }
}

/* Where sandbox_entry.S leads calls of syscall that are this one. */
long molt_sandbox_seccomp(long number, long operation, long flags, const struct sock_fprog *program);
long molt_sandbox_seccomp(long number, long operation, long flags, const struct sock_fprog *program)
{
    bool sets = operation == SECCOMP_SET_MODE_FILTER;

    prepare(sets ? program : NULL);
    long result = molt_next_syscall(number, operation, flags, program);
    /* more than 0: the number of a thread that would not follow, or a descriptor to listen on */
    bool done = result == 0 || (result > 0 && flags & SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (done && (sets || operation == SECCOMP_SET_MODE_STRICT)) {
        filters_add(sets ? program : NULL);
    }
    return result;
}

__attribute__((visibility("default"))) int prctl(int option, ...)
{
    va_list arguments;
    long values[4];

    va_start(arguments, option);
    for (int i = 0; i < 4; i++) {
        values[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    bool sets = option == PR_SET_SECCOMP && values[0] == SECCOMP_MODE_FILTER;
    const struct sock_fprog *program = sets ? (const struct sock_fprog *)values[1] : NULL;
    if (!next_prctl) {
        find_next();
    }
    prepare(program);
    int result = next_prctl(option, values[0], values[1], values[2], values[3]);
    if (result == 0 && option == PR_SET_SECCOMP) {
        filters_add(program);
    }
    return result;
}
