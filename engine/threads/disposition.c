/* rt_sigaction(2). The kernel has a handler return through a function of ours that calls rt_sigreturn. */
#include "engine/threads/disposition.h"

#include <sys/syscall.h>

#include "engine/threads/futex.h"

#define RESTORED 0x04000000 /* SA_RESTORER of the kernel's interface */

void molt_signal_return(void);
__asm__(".text\n"
        ".type molt_signal_return, @function\n"
        "molt_signal_return:\n"
        "    mov $15, %eax\n" /* rt_sigreturn */
        "    syscall\n"
        ".size molt_signal_return, . - molt_signal_return\n");

struct disposition disposition_of(void (*handler)(int, siginfo_t *, void *), unsigned long flags,
                                  uint64_t signals)
{
    return (struct disposition){ handler, flags | RESTORED, molt_signal_return, signals };
}

int disposition_set(int number, const struct disposition *disposition, struct disposition *ret)
{
    return (int)raw_syscall4(SYS_rt_sigaction, number, (long)disposition, (long)ret,
                             sizeof(disposition->mask));
}
