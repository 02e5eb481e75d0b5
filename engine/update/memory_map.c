/* Which kind of memory each mapping is tells its path, or what lies in front of it; the engine's own are cut
 * out. */
#include "engine/update/memory_map.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/search.h"
#include "engine/code/arena.h"
#include "engine/heap/heap.h"
#include "engine/mapping.h"
#include "engine/proc.h"
#include "engine/sort.h"
#include "engine/update/state_private.h"
#include "engine/watched.h"

#define OWN_MAX 4096

struct own {
    uintptr_t start, end;
    enum region_kind kind; /* SHADOW and PATCHES are not left out */
};

static struct own own[OWN_MAX]; /* the engine's memory, ascending */
static size_t own_count;

#if WATCHED_BY_ADDRESS_SANITIZER
/* What the sanitizer notes of each byte, in a build of the engine that it watches: 8 bytes are one there. */
static void list_notes(void)
{
    size_t scale, offset;

    __asan_get_shadow_mapping(&scale, &offset);
    own[own_count++] = (struct own){ offset, offset + ((uintptr_t)1 << (47 - scale)), REGION_KERNEL };
}
#else
static void list_notes(void)
{
}
#endif

static void list_own(void)
{
    struct mapping mapping;
    struct dl_find_object library;

    own_count = 0;
    heap_list_mappings();
    for (size_t i = 0; own_count < OWN_MAX - 2 && mapping_get(i, &mapping); i++) {
        own[own_count++] = (struct own){ mapping.start, mapping.start + mapping.size,
                                         strcmp(mapping.what, HEAP_SHADOW_NAME) == 0 ? REGION_SHADOW
                                         : strcmp(mapping.what, ARENA_NAME) == 0     ? REGION_PATCHES
                                                                                     : REGION_KERNEL };
    }
    if (_dl_find_object((void *)list_own, &library) == 0) {
        own[own_count++] = (struct own){ (uintptr_t)library.dlfo_map_start,
                                         ((uintptr_t)library.dlfo_map_end + 4095) & ~4095ul, REGION_KERNEL };
    }
    list_notes();
    SORT_BY(own, own_count, struct own, start);
}

/* -EAGAIN: the map had to grow, so that there is more memory of the engine's than has been listed. */
static int add(struct memory_map *map, struct region region)
{
    if (region.start >= region.end) {
        return 0;
    }
    if (map->count == map->capacity) {
        size_t capacity = map->capacity ? map->capacity * 2 : 1024;
        struct region *grown = state_map(capacity, sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        if (map->count) {
            memcpy(grown, map->items, map->count * sizeof(*grown));
        }
        state_unmap(map->items);
        map->items = grown;
        map->capacity = capacity;
        return -EAGAIN;
    }
    map->items[map->count++] = region;
    return 0;
}

/* Adds what of REGION is not the engine's. */
static int add_without_own(struct memory_map *map, struct region region)
{
    struct region part = region;
    int status = 0;

    for (size_t i = 0; i < own_count && status == 0; i++) {
        if (own[i].end <= part.start || own[i].start >= region.end) {
            continue;
        }
        part.end = own[i].start > part.start ? own[i].start : part.start;
        status = add(map, part);
        if (status == 0 && own[i].kind != REGION_KERNEL) {
            struct region known = region;
            known.start = own[i].start > region.start ? own[i].start : region.start;
            known.end = own[i].end < region.end ? own[i].end : region.end;
            known.kind = own[i].kind;
            status = add(map, known);
        }
        part.start = own[i].end;
        part.end = region.end;
    }
    return status < 0 ? status : add(map, part);
}

/* The allocator's own tables hold addresses inside of blocks that mean something else. */
static bool has_allocator(const char *path)
{
    const char *name = strrchr(path, '/'), *allocator = heap_allocator();

    name = name ? name + 1 : path;
    return strncmp(name, "libc.so", 7) == 0 || strncmp(name, "libc-", 5) == 0 ||
           strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld-2", 4) == 0 ||
           (allocator && strcmp(name, allocator) == 0);
}

static bool is_module(const char *path)
{
    const char *name = strrchr(path, '/');

    return path[0] == '/' && name && strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/memfd:", 7) != 0;
}

static enum region_kind kind_of(const struct memory_map *map, const struct region *region, const char *path)
{
    const struct region *before = map->count ? &map->items[map->count - 1] : NULL;

    if (strncmp(path, "[heap]", 6) == 0) {
        return REGION_HEAP;
    }
    if (strncmp(path, "[stack", 6) == 0) {
        return REGION_STACK;
    }
    if (path[0] == '[' && strncmp(path, "[anon:", 6) != 0) {
        return REGION_KERNEL;
    }
    if (path[0] == '/') {
        return has_allocator(path)                  ? REGION_ALLOCATOR
               : is_module(path) && !region->shared ? REGION_MODULE
                                                    : REGION_FILE;
    }
    bool follows = before && before->end == region->start && region->writable && before->readable &&
                   (before->kind == REGION_MODULE || before->kind == REGION_ALLOCATOR);
    return follows ? before->kind : REGION_ANONYMOUS;
}

static int take_mapping(void *context, const struct proc_mapping *mapping)
{
    struct memory_map *map = context;
    struct region region = { .start = mapping->start,
                             .end = mapping->end,
                             .readable = mapping->readable,
                             .writable = mapping->writable,
                             .executable = mapping->executable,
                             .shared = mapping->shared };

    region.kind = kind_of(map, &region, mapping->path);
    return add_without_own(map, region);
}

int memory_map_read(struct memory_map *map)
{
    int status;

    do {
        map->count = 0;
        list_own();
        status = proc_mappings(take_mapping, map);
    } while (status == -EAGAIN);
    return status;
}

void memory_map_deinit(struct memory_map *map)
{
    state_unmap(map->items);
    *map = (struct memory_map){ 0 };
}

const struct region *memory_map_find(const struct memory_map *map, uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, map->count, map->items[i].end <= address);

    return index < map->count && map->items[index].start <= address ? &map->items[index] : NULL;
}
