/*
 * What policies and validations call of the engine: <molt/policy.h>. These are the only names, malloc's and
 * exit's families apart, that libmolt.so shows to the program.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "engine/update/guard.h"
#include "engine/update/release.h"

__attribute__((noreturn, cold, format(printf, 1, 2), visibility("default"))) void
molt_fail(const char *format, ...);
__attribute__((visibility("default"))) void molt_release(void (*release)(void *), void *pointer);

void molt_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    guard_fail(format, arguments);
    va_end(arguments);
    abort(); /* called by the program itself: nobody is there to take the answer */
}

void molt_release(void (*release)(void *), void *pointer)
{
    if (pointer) {
        release_later(release, pointer);
    }
}
