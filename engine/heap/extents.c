/* The memory map as a list of extents, read again at each stop. */
#include "engine/heap/extents.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/search.h"
#include "engine/heap/heap.h"
#include "engine/mapping.h"
#include "engine/proc.h"

struct extents extents;

static bool grow(void)
{
    size_t capacity = extents.capacity ? 2 * extents.capacity : 4096;
    struct extent *grown =
        mapping_create(NULL, capacity * sizeof(*grown), PROT_READ | PROT_WRITE, 0, "memory map");

    if (!grown) {
        return false;
    }
    if (extents.count) {
        memcpy(grown, extents.items, extents.count * sizeof(*grown));
    }
    mapping_destroy(extents.items);
    extents.items = grown;
    extents.capacity = capacity;
    return true;
}

static bool add_extent(uintptr_t start, uintptr_t end)
{
    if (extents.count && extents.items[extents.count - 1].end == start) {
        extents.items[extents.count - 1].end = end;
        return true;
    }
    if (extents.count == extents.capacity && !grow()) {
        return false;
    }
    extents.items[extents.count++] = (struct extent){ start, end };
    return true;
}

static int take_mapping(void *context, const struct proc_mapping *mapping)
{
    (void)context;
    return !mapping->readable || !mapping->writable || add_extent(mapping->start, mapping->end) ? 0 : -ENOMEM;
}

int heap_refresh(void)
{
    extents.count = extents.recent = 0;
    int status = proc_mappings(take_mapping, NULL);
    if (status < 0) {
        extents.count = 0;
    }
    return status;
}

size_t extents_from(uintptr_t address)
{
    return COUNT_BEFORE(i, extents.count, extents.items[i].end <= address);
}

const struct extent *extents_find(uintptr_t address)
{
    size_t recent = extents.recent; /* others may be asking, too */
    if (recent < extents.count && extent_holds(&extents.items[recent], address, address + 1)) {
        return &extents.items[recent];
    }
    size_t low = extents_from(address);
    if (low == extents.count || extents.items[low].start > address) {
        return NULL;
    }
    extents.recent = low;
    return &extents.items[low];
}
