/* Functions that hand on memory, in a file of their own; and the C library's fortified ones, whose bodies stand in the headers. */
#define _GNU_SOURCE
#define _FORTIFY_SOURCE 2
#include "a.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile last;

void keep(void *pointer)
{
    last = pointer;
}

void keep_conn(struct conn *conn)
{
    keep(conn);
}

void *xmalloc(size_t size)
{
    void *memory = malloc(size ? size : 1); /*= wrapper */
    if (!memory) {
        abort();
    }
    return memory;
}

void *xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count, size); /*= wrapper */
    if (!memory) {
        abort();
    }
    return memory;
}

void *xzalloc(size_t size)
{
    return memset(xmalloc(size), 0, size); /*= wrapper */
}

void *xtail(size_t size)
{
    return malloc(size); /*= wrapper ? */
}

void *xdebug(size_t size, const char *file, int line)
{
    void *memory = malloc(size); /*= wrapper */
    if (!memory) {
        keep((void *)file);
        exit(line);
    }
    return memory;
}

int xfill(void **ret, size_t size)
{
    void *memory = malloc(size); /*= wrapper */
    if (!memory) {
        return -1;
    }
    *ret = memory;
    return 0;
}

void *xrealloc(void *pointer, size_t size)
{
    void *memory = realloc(pointer, size); /*= wrapper */
    if (!memory) {
        abort();
    }
    return memory;
}

char *old_alloc(unsigned size)
{
    char *memory = malloc(size); /*= wrapper */
    if (!memory) {
        abort();
    }
    return memory;
}

void *behind_header(size_t size)
{
    size_t *memory = malloc(size + sizeof(size_t)); /*= wrapper */
    *memory = size;
    return memory + 1;
}

char *text_of(int number)
{
    char *text;

    return asprintf(&text, "%d", number) < 0 ? NULL : text; /*= bytes ? */
}

void xfree(void *pointer)
{
    free(pointer);
}

/* As allocation functions are called, but what it takes is no size. */
void *slot_alloc(int slot)
{
    void *memory = malloc(slot * 64); /*= wrapper */
    if (!memory) {
        abort();
    }
    return memory;
}

void slot_free(void *pointer)
{
    *(volatile char *)pointer = 1; /* or compilers find that it is another of its kind */
    free(pointer);
}

void *bytes_alloc(int size)
{
    void *memory = malloc(size); /*= wrapper */
    if (!memory) {
        abort();
    }
    return memory;
}

void bytes_free(void *pointer)
{
    *(volatile char *)pointer = 2;
    free(pointer);
}

/* Blocks that were given back, or new ones. */
static void *spare;

void *pool_get(size_t size)
{
    void *block = spare;
    if (block && size <= 64) {
        spare = *(void **)block;
        return block;
    }
    return malloc(size < 64 ? 64 : size); /*= wrapper ? */
}

void pool_put(void *pointer)
{
    *(void **)pointer = spare;
    spare = pointer;
}

/* Pieces of large blocks. */
static char *here;
static size_t left;

void *piece_get(size_t size)
{
    if (size > left) {
        left = 4096;
        here = malloc(left); /*= bytes */
    }
    char *piece = here;
    here += size;
    left -= size;
    return piece;
}
