/*
 * System call filters (seccomp) that the program puts on itself: what they would do to the engine. A thread
 * that is stopped leaves the handler by rt_sigreturn and waits in it by futex; at its end a process removes
 * its socket. Filters that forbid one of these kill the thread, or the process, for it.
 */
#ifndef MOLT_ENGINE_THREADS_FILTERS_H
#define MOLT_ENGINE_THREADS_FILTERS_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

/* What PROGRAM, as the kernel would run it, answers to CALL: one of SECCOMP_RET_*. A program that the kernel
 * would not take answers SECCOMP_RET_KILL_PROCESS. */
uint32_t filter_run(const struct sock_fprog *program, const struct seccomp_data *call);

/* Whether threads under PROGRAM may be stopped. */
bool filter_allows_stops(const struct sock_fprog *program);

/* A thread of this process has put itself under PROGRAM; NULL: under the strict filter, that of
 * SECCOMP_MODE_STRICT. Calls nothing but memory. Any thread. */
void filters_add(const struct sock_fprog *program);

/* Whether the program, or the one that it was forked from, has a filter of its own. */
bool filters_any(void);

/* Whether a thread may not be stopped, and whether one may not end the process by removing a file, for all
 * filters so far. */
bool filters_forbid_stops(void);
bool filters_forbid_unlink(void);

#endif
