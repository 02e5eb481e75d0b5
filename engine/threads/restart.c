/*
 * Restarting interrupted system calls.
 *
 * A thread that slept in a call would see EINTR. It does not: if the handler finds the thread just behind a
 * `syscall` instruction with -EINTR in rax, it puts the call's number back into rax and steps back two bytes,
 * so that the call starts again. The number is gone by then: so the call's number, program counter and stack
 * pointer are read from /proc before the signal is sent. A thread that entered the call after that is known
 * by the instruction that loads the number, in libc's wrappers the one before.
 *
 * A call with a relative timeout must not start again with all of it: a program that sleeps 150 ms would
 * never wake while a safe point is looked for every 50 ms. So the timeout is replaced, in the registers, by
 * one of our own that shrinks by the time that has passed since the call was last restarted. Which of the two
 * a thread waits with is told by the address of the timespec; where the timeout is a number of milliseconds,
 * by its value, which is one less than the program's. Calls that note the time left themselves (select,
 * ppoll) and those with absolute times need nothing.
 */
#include "engine/threads/restart.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

struct shortened {
    uint64_t since_us;    /* when the call was last restarted */
    struct timespec left; /* what the restarted call points to */
    int left_ms;          /* what it was given, -1 for none */
};

static __thread __attribute__((tls_model("initial-exec"))) struct shortened own = { .left_ms = -1 };

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void shorten_timespec(greg_t *pointer)
{
    if (!*pointer) {
        return;
    }
    if (*pointer != (greg_t)&own.left) {
        own.left = *(const struct timespec *)*pointer;
        *pointer = (greg_t)&own.left;
        return;
    }
    int64_t left =
        own.left.tv_sec * 1000000000ll + own.left.tv_nsec - (int64_t)(now_us() - own.since_us) * 1000;
    left = left > 0 ? left : 0;
    own.left = (struct timespec){ left / 1000000000, left % 1000000000 };
}

static void shorten_milliseconds(greg_t *timeout)
{
    int left = (int)*timeout;

    if (left <= 0) { /* for ever, or not at all */
        return;
    }
    left -= left == own.left_ms ? (int)((now_us() - own.since_us) / 1000) : 1;
    own.left_ms = left > 0 ? left : 0;
    *timeout = own.left_ms;
}

static void shorten_timeout(long number, greg_t *registers)
{
    switch (number) {
    case SYS_poll:
        shorten_milliseconds(&registers[REG_RDX]);
        break;
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
        shorten_milliseconds(&registers[REG_R10]);
        break;
    case SYS_nanosleep:
        shorten_timespec(&registers[REG_RDI]);
        break;
    case SYS_clock_nanosleep:
        if (!(registers[REG_RSI] & TIMER_ABSTIME)) {
            shorten_timespec(&registers[REG_RDX]);
        }
        break;
    case SYS_futex:
        if ((registers[REG_RSI] & FUTEX_CMD_MASK) == FUTEX_WAIT) {
            shorten_timespec(&registers[REG_R10]);
        }
        break;
    case SYS_rt_sigtimedwait:
        shorten_timespec(&registers[REG_RDX]);
        break;
    default:
        break;
    }
}

/* The number of the call that ended just before PC: as libc's wrappers load it, `mov $number, %eax; syscall`.
 * -1: loaded otherwise. */
static long decode_number(uintptr_t pc)
{
    const uint8_t *code = (const uint8_t *)pc;
    uint32_t number;

    if (code[-7] != 0xb8) {
        return -1;
    }
    memcpy(&number, code - 6, sizeof(number));
    return number;
}

int restart_interrupted_call(const struct blocked_call *blocked, ucontext_t *context)
{
    greg_t *registers = context->uc_mcontext.gregs;
    uintptr_t pc = (uintptr_t)registers[REG_RIP];

    if (registers[REG_RAX] != -EINTR || memcmp((const void *)(pc - 2), "\x0f\x05", 2) != 0) {
        return 0;
    }
    long number =
        blocked && blocked->number >= 0 && pc == blocked->pc && (uintptr_t)registers[REG_RSP] == blocked->sp
            ? blocked->number
            : decode_number(pc);
    if (number < 0) {
        return 0;
    }
    shorten_timeout(number, registers);
    registers[REG_RAX] = number;
    registers[REG_RIP] -= 2;
    return 1;
}

void restart_begins(void)
{
    own.since_us = now_us();
}
