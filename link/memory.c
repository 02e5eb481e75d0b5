/*
 * libwebsockets asks one function for all its memory. Each block gets a header that links it into a list,
 * since destroying a context in a forked child is no way to be rid of it: that would speak to the parent's
 * clients.
 */
#include "link/memory.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdlib.h>

struct block {
    struct block *next;
    struct block *previous;
};

_Static_assert(sizeof(struct block) % 16 == 0, "blocks keep malloc's alignment");

static struct block blocks = { &blocks, &blocks };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void link_in(struct block *block)
{
    block->next = &blocks;
    block->previous = blocks.previous;
    block->previous->next = block;
    block->next->previous = block;
}

static void link_out(struct block *block)
{
    block->previous->next = block->next;
    block->next->previous = block->previous;
}

static void *reallocate(void *pointer, size_t size, const char *reason)
{
    struct block *block = pointer ? (struct block *)pointer - 1 : NULL;
    struct block *result = NULL;

    pthread_mutex_lock(&mutex);
    if (block) {
        link_out(block);
    }
    if (size) {
        result = realloc(block, sizeof(*block) + size);
        if (result) {
            link_in(result);
        } else if (block) {
            link_in(block);
        }
    } else {
        free(block);
    }
    pthread_mutex_unlock(&mutex);
    return result ? result + 1 : NULL;
}

static void initialise(void)
{
    lws_set_log_level(0, NULL);
    lws_set_allocator(reallocate);
}

void link_memory_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, initialise);
}

void link_memory_drop(void)
{
    struct block *block = blocks.next;

    while (block != &blocks) {
        struct block *next = block->next;

        free(block);
        block = next;
    }
    blocks.next = blocks.previous = &blocks;
}

void link_memory_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void link_memory_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void link_memory_lock_reset(void)
{
    pthread_mutex_init(&mutex, NULL);
}
