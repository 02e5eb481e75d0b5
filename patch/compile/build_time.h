/* The time at which sources say they were compiled: __DATE__, __TIME__ and __TIMESTAMP__. */
#ifndef MOLT_PATCH_BUILD_TIME_H
#define MOLT_PATCH_BUILD_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the three macros are, as a compiler writes them; empty strings: whatever the compiler's clock says. */
struct build_time {
    char date[12];      /* "Nov 21 2026" */
    char clock[9];      /* "21:09:33" */
    char timestamp[25]; /* "Sat Nov 21 21:09:33 2026" */
};

/* The time that all objects in CACHE are said to be compiled at: kept in a file there, at first when
 * DATABASE, the compile database, was written. Left to the compiler where neither can be read or written. */
void build_time_load(const char *cache, const char *database, struct build_time *ret);

/* Whether SIZE bytes at LINKED, of a binary, are those at BYTES, of an object compiled at TIME, except that
 * they may tell of another time. */
bool build_time_same(const struct build_time *time, const void *bytes, const void *linked, size_t size);

#endif
