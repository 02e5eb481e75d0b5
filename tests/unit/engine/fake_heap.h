/* A heap of which a test says what lies in it. */
#ifndef MOLT_TESTS_FAKE_HEAP_H
#define MOLT_TESTS_FAKE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Forgets all blocks and sites. */
void fake_heap_reset(void);

/* A new site with the return addresses CALLERS, innermost first, 0 at the end. */
unsigned fake_heap_site(const uintptr_t *callers);

/* A block of SIZE bytes that can hold USABLE, of SITE. */
void *fake_heap_block(size_t size, size_t usable, unsigned site);

/* How many more bytes the program's malloc has; then it returns NULL. */
void fake_heap_limit(size_t bytes);

size_t fake_heap_size(void *block);
unsigned fake_heap_site_of(void *block);
size_t fake_heap_count(void);

/* A number that stands for all bytes of all blocks, and all there is between them, but for hidden ones and
 * what is behind the last one that is in use. */
uint64_t fake_heap_hash(void);

/* The same of the first SIZE bytes of the heap; how many there are. New blocks come behind the others. */
uint64_t fake_heap_hash_of(size_t size);
size_t fake_heap_used(void);

/* How many blocks were hidden and neither shown nor given back. */
size_t fake_heap_hidden(void);

#endif
