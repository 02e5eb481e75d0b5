/* Functions of libraries that allocate, known by their names. */
#ifndef MOLT_PATCH_ALLOCATORS_H
#define MOLT_PATCH_ALLOCATORS_H

#include <stdbool.h>

/* Arguments are counted from 1; 0: there is none. */
struct allocator {
    const char *name;
    unsigned char size;    /* bytes (of one element, if there is a count) */
    unsigned char count;   /* elements */
    unsigned char pointer; /* a block to be resized */
    unsigned char out;     /* where the block's address goes, if it is not returned */
    bool text;             /* what it makes is always text or other plain bytes */
};

/* The allocator with NAME, or NULL. */
const struct allocator *allocator_find(const char *name);

/* The usual name of the function that releases what the function NAME allocates: "xfree" for "xmalloc",
 * "conn_free" for "conn_alloc". Writes it to RET (of SIZE bytes); false if the name says nothing. ATTEMPT:
 * 0, 1, ... until false. */
bool allocator_release_name(const char *name, unsigned attempt, char *ret, unsigned size);

#endif
