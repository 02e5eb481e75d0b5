/* The map of numbers: linear probing from a mixed key, at most half full. */
#include "patch/number_map.h"

#include <stdlib.h>

#include "patch/memory.h"

static struct number_slot *find(const struct number_map *map, uint64_t key)
{
    size_t at = (key * 0x9e3779b97f4a7c15u) >> 32 & (map->capacity - 1);

    while (map->slots[at].key && map->slots[at].key != key) {
        at = (at + 1) & (map->capacity - 1);
    }
    return &map->slots[at];
}

void *number_map_get(const struct number_map *map, uint64_t key)
{
    return map->capacity ? find(map, key)->value : NULL;
}

static void grow(struct number_map *map)
{
    struct number_map larger = { .capacity = map->capacity ? map->capacity * 2 : 64, .count = map->count };

    larger.slots = must_calloc(larger.capacity, sizeof(*larger.slots));
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].key) {
            *find(&larger, map->slots[i].key) = map->slots[i];
        }
    }
    free(map->slots);
    *map = larger;
}

void **number_map_at(struct number_map *map, uint64_t key)
{
    if (map->count * 2 >= map->capacity) {
        grow(map);
    }
    struct number_slot *slot = find(map, key);
    map->count += slot->key == 0;
    slot->key = key;
    return &slot->value;
}

void number_map_deinit(struct number_map *map)
{
    free(map->slots);
    *map = (struct number_map){ 0 };
}
