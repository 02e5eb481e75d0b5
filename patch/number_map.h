/* A map from 64-bit numbers other than 0 (hashes, addresses) to non-NULL pointers, open addressing. */
#ifndef MOLT_PATCH_NUMBER_MAP_H
#define MOLT_PATCH_NUMBER_MAP_H

#include <stddef.h>
#include <stdint.h>

struct number_map {
    struct number_slot {
        uint64_t key;
        void *value;
    } * slots;
    size_t count, capacity; /* capacity is 0 or a power of two */
};

/* The value of KEY, or NULL. */
void *number_map_get(const struct number_map *map, uint64_t key);

/* Where the value of KEY is kept, made (NULL) if need be; valid until the next call. */
void **number_map_at(struct number_map *map, uint64_t key);

/* Forgets everything; values are not touched. */
void number_map_deinit(struct number_map *map);

#endif
