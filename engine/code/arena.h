/*
 * Memory for patches, within reach (2 GB) of the module they belong to. One arena per module, reserved once
 * and never returned, with three zones: code, which is allocated and freed by pages; read-only data and
 * writable data, which only grow.
 */
#ifndef MOLT_ENGINE_CODE_ARENA_H
#define MOLT_ENGINE_CODE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "engine/code/modules.h"

struct arena;

#define ARENA_NAME "code and data of patches" /* of its mappings */

/* The arena for MODULE (made on first use); FIXED: all its memory lies below 2 GB. 0, -ENOMEM if nothing is
 * free nearby. */
int arena_of(const struct module *module, bool fixed, struct arena **ret);

/* Allocates SIZE bytes (rounded up to pages) of the code zone, readable and writable for now. */
int arena_code_allocate(struct arena *arena, size_t size, void **ret);
int arena_code_seal(void *code, size_t size); /* readable and executable from here on */
void arena_code_free(struct arena *arena, void *code, size_t size);

/* The pools. Between open and close the read-only pool can be written (by the engine's thread; readers are
 * not disturbed). */
int arena_pools_open(struct arena *arena);
void arena_pools_close(struct arena *arena);
enum arena_pool { ARENA_READ_ONLY, ARENA_WRITABLE, ARENA_POOLS };
void *arena_pool_allocate(struct arena *arena, enum arena_pool pool, size_t size, size_t alignment);

/* Copies SIZE bytes into the read-only pool, or finds the copy that is there already. NULL if the pool is
 * full, or not open. */
void *arena_intern(struct arena *arena, const void *bytes, size_t size, size_t alignment);

/* The pools' fill, and back to it: what a discarded update has taken is given back. */
struct arena_mark {
    size_t used[ARENA_POOLS];
};
struct arena_mark arena_mark(const struct arena *arena);
void arena_reset(struct arena *arena, struct arena_mark mark);

#endif
