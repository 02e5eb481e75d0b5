/*
 * The engine's own heap, so that nothing of the engine's lies in the program's. Everything linked into
 * libmolt.so, libraries included, gets it: the linker's --wrap leads its calls of malloc and the like to
 * __wrap_malloc and so on, which are here.
 */
#ifndef MOLT_ENGINE_PRIVATE_HEAP_H
#define MOLT_ENGINE_PRIVATE_HEAP_H

#include <stddef.h>

/* As malloc, free and realloc; 16-byte aligned. A block of zero bytes is a block. */
void *private_heap_allocate(size_t size);
void private_heap_free(void *pointer);
void *private_heap_resize(void *pointer, size_t size);

/* How many bytes the block can hold. */
size_t private_heap_usable(const void *pointer);

/* Bytes that the heap has from the system now. */
size_t private_heap_mapped(void);

/* Around fork: the child's heap must not be caught in the middle of an allocation. */
void private_heap_fork_prepare(void);
void private_heap_fork_parent(void);
void private_heap_fork_child(void);

#endif
