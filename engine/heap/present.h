/* Which pages of a mapping are there: an arena of gigabytes costs what is used of it. In the stopped world.
 */
#ifndef MOLT_ENGINE_HEAP_PRESENT_H
#define MOLT_ENGINE_HEAP_PRESENT_H

#include <stdint.h>

typedef void present_visitor(void *context, uintptr_t start, uintptr_t end);

/* A descriptor for the calls below, to be closed in the same stopped world, or -1: then all pages count. */
int present_open(void);

/* Visits the pages of [start, end), or the parts of them that lie in it, that are in memory or swapped out.
 */
void present_visit(int pagemap, uintptr_t start, uintptr_t end, present_visitor *visit, void *context);

#endif
