/* A list that grows at its end and is cut there; which of it is the last one of a site is told by an array
 * for sites, and by sorting for addresses.
 *
 * Code of a patch goes away when it is rolled back or superseded, while blocks that it has asked for live on:
 * their sites are remembered by their numbers then. */
#include "engine/update/site_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/patch_file.h"
#include "base/search.h"
#include "engine/heap/heap.h"
#include "engine/sort.h"

static struct {
    struct remembered *items;
    size_t count, capacity;
} memory;

/* Names of carvers, which stay as long as the program runs: there are few. */
struct name {
    struct name *next;
    char text[];
};

static struct name *names;

static uint32_t known_by_id[HEAP_SITE_MAX + 1]; /* 1 + index of the memory; 0: none */

const char *site_memory_intern(const char *text)
{
    struct name *name = names;

    while (name && strcmp(name->text, text) != 0) {
        name = name->next;
    }
    if (!name && *text && (name = malloc(sizeof(*name) + strlen(text) + 1))) {
        strcpy(name->text, text);
        name->next = names;
        names = name;
    }
    return name ? name->text : "";
}

/* ---- all of it ------------------------------------------------------------------------------------- */

int site_memory_reserve(size_t more)
{
    size_t wanted = memory.count + more;

    if (wanted > memory.capacity) {
        struct remembered *grown = realloc(memory.items, wanted * sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        memory.items = grown;
        memory.capacity = wanted;
    }
    return 0;
}

bool site_memory_is_full(void)
{
    return memory.count == memory.capacity;
}

void site_memory_add(struct remembered what)
{
    memory.items[memory.count++] = what;
    if (!what.address) {
        known_by_id[what.id] = (uint32_t)memory.count;
    }
}

size_t site_memory_count(void)
{
    return memory.count;
}

const struct remembered *site_memory_at(size_t index)
{
    return &memory.items[index];
}

size_t site_memory_of_id(unsigned id)
{
    return known_by_id[id];
}

struct latest_memory *site_memory_latest(size_t *ret_count)
{
    struct latest_memory *list = calloc(memory.count + 1, sizeof(*list));
    size_t count = 0, kept = 0;

    for (size_t i = 0; list && i < memory.count; i++) {
        if (memory.items[i].address) {
            list[count++] = (struct latest_memory){ memory.items[i].address, i };
        }
    }
    SORT_BY(list, count, struct latest_memory, address);
    for (size_t i = 0; i < count; i++) {
        if (kept && list[kept - 1].address == list[i].address) {
            list[kept - 1].index =
                list[kept - 1].index > list[i].index ? list[kept - 1].index : list[i].index;
        } else {
            list[kept++] = list[i];
        }
    }
    *ret_count = kept;
    return list;
}

/* ---- what goes away -------------------------------------------------------------------------------- */

static const struct latest_memory *find_latest(const struct latest_memory *list, size_t count,
                                               uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, count, list[i].address < address);

    return index < count && list[index].address == address ? &list[index] : NULL;
}

/* Whether more was known of ADDRESS before MARK: it stands in code of an earlier patch, which stays. */
static bool is_older(uintptr_t address, size_t mark)
{
    for (size_t i = 0; i < mark && i < memory.count; i++) {
        if (memory.items[i].address == address) {
            return true;
        }
    }
    return false;
}

void site_memory_keep(size_t mark, uintptr_t start, uintptr_t end)
{
    size_t ids = heap_site_count(), count;
    struct latest_memory *list = site_memory_latest(&count);

    for (unsigned id = 1; list && id <= ids; id++) {
        const struct heap_site *site = heap_site(id);
        const struct remembered *known = NULL;
        for (unsigned i = 0; i < site->depth; i++) {
            const struct latest_memory *found = find_latest(list, count, site->callers[i]);
            known = found ? &memory.items[found->index] : NULL;
            if (known && known->kind != MOLT_SITE_WRAPPER) {
                break; /* of those before it the heap knew that they only hand memory on */
            }
        }
        bool tells = known && known->of_patch && (known->is.hash || known->kind == MOLT_SITE_BYTES);
        if (tells && (size_t)(known - memory.items) >= mark && known->address >= start &&
            known->address < end && !known_by_id[id] && !is_older(known->address, mark)) {
            struct remembered kept = *known;
            kept.address = 0;
            kept.id = id;
            kept.file = NULL;
            kept.is = mark ? known->was : known->is; /* a rollback takes the names back */
            if (site_memory_reserve(1) == 0) {
                site_memory_add(kept);
            }
        }
    }
    free(list);
}

/* What sites are by their numbers stays; under other names, perhaps. */
void site_memory_forget(size_t mark)
{
    size_t kept = mark;

    for (size_t i = memory.count; i > mark; i--) { /* names first, the last one first */
        const struct remembered *known = &memory.items[i - 1];
        if (known->before) {
            known_by_id[known->id] = (uint32_t)known->before;
        }
    }
    for (size_t i = mark; i < memory.count; i++) {
        const struct remembered *known = &memory.items[i];
        if (known->address) {
            free(known->file);
        } else if (!known->before) {
            known_by_id[known->id] = (uint32_t)kept + 1;
            memory.items[kept++] = *known;
        }
    }
    memory.count = kept < memory.count ? kept : memory.count;
}
