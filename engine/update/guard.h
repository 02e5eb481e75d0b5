/*
 * Running functions that a patch brought, which may crash, never end, or say that they cannot go on: on the
 * engine's thread, in the stopped world. Whatever they do ends in an answer.
 */
#ifndef MOLT_ENGINE_UPDATE_GUARD_H
#define MOLT_ENGINE_UPDATE_GUARD_H

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum guard_end {
    GUARD_RETURNED,
    GUARD_FAILED,  /* molt_fail: message */
    GUARD_CRASHED, /* signal, address */
    GUARD_OVERRAN, /* it took longer than it may */
};

struct guard_result {
    enum guard_end end;
    int signal;
    uintptr_t address; /* that the signal is about */
    char message[512]; /* a sentence for people, whatever the end */
};

/* A write to protected memory: returns whether it may be tried again. */
typedef bool guard_write_handler(uintptr_t address);

/* Takes the signals of crashes, and makes a timer, which is not set. WRITES may be NULL. 0 or negative errno.
 * Stopped world. */
int guard_begin(guard_write_handler *writes);

/* Gives the signals back as they were. */
void guard_end(void);

/* What is run from here on may take LIMIT_MS in all; 0: as long as it likes. */
void guard_limit(uint32_t limit_ms);

/* Calls FUNCTION. Between guard_begin and guard_end. */
enum guard_end guard_run(void (*function)(void *context), void *context, struct guard_result *ret);

/* What molt_fail does. Does not return if guarded code calls it; returns otherwise. */
void guard_fail(const char *format, va_list arguments);

/* What those functions do first that end the process: if guarded code calls them (WHAT: "exit"), it has
 * failed, and this does not return. */
void guard_left(const char *what);

#endif
