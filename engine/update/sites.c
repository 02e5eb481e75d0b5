/*
 * From a block's site, a chain of return addresses, to what the block is. The patch says what each allocation call makes; the innermost
 * call of a chain that is not in a mere wrapper decides.
 *
 * A patch knows the calls of the modules and of its own code. Blocks that the code of earlier patches allocated, or whose type an earlier
 * update changed, are known from what the engine remembers: return address (or synthetic site) and the hash of the layout that such a
 * block has by now. What is remembered last counts, and counts more than the patch.
 *
 * Code of a patch goes away when it is rolled back or superseded, while blocks that it has asked for live on: their sites are remembered by their numbers then.
 */
#include "engine/update/sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "engine/sort.h"

struct remembered {
    uintptr_t address; /* 0: the site ID, synthetic or of code that has gone */
    unsigned id;
    bool of_patch; /* in code that a patch brought */
    uint32_t kind, line;
    uint64_t hash; /* 0: the layout does not matter */
    struct allocator allocator;
    char *file;
};

static struct {
    struct remembered *items;
    size_t count, capacity;
} memory;

static uint32_t known_by_id[HEAP_SITE_MAX + 1]; /* 1 + index of the memory; 0: none */

/* ---- for one update ------------------------------------------------------------------------------------------- */

static struct allocator bind_allocator(const struct loaded_patch *patch, const struct molt_patch_site *site)
{
    if (!site->allocator) {
        return (struct allocator){ 0 };
    }
    const struct molt_patch_allocator *record = &patch->file.patch_allocators[site->allocator - 1];
    uintptr_t bias = patch->modules[record->module].module.bias;
    return (struct allocator){ .allocate = (void *(*)(size_t))(bias + record->allocate),
                               .release = record->release ? (void (*)(void *))(bias + record->release) : NULL,
                               .header = record->header };
}

static bool is_absent(const struct loaded_patch *patch, const struct molt_patch_site *site)
{
    return (!site->symbol && patch->modules[site->module].absent) ||
           (site->symbol && !patch->symbols[site->symbol].address) ||
           (site->allocator &&
            patch->modules[patch->file.patch_allocators[site->allocator - 1].module].absent);
}

static void add_of_patch(struct sites *sites, const struct loaded_patch *patch)
{
    for (size_t i = 0; i < patch->file.patch_sites_count; i++) {
        const struct molt_patch_site *site = &patch->file.patch_sites[i];
        if (is_absent(patch, site)) {
            continue;
        }
        uintptr_t base =
            site->symbol ? patch->symbols[site->symbol].address : patch->modules[site->module].module.bias;
        sites->entries[sites->count++] =
            (struct site_entry){ .address = base + site->address,
                                 .kind = site->kind,
                                 .layout = site->layout,
                                 .line = site->line,
                                 .file = patch_file_string(&patch->file, site->file),
                                 .allocator = bind_allocator(patch, site),
                                 .of_patch = site->symbol != 0 };
    }
}

/* The entry for ADDRESS among the first COUNT, which are sorted. */
static struct site_entry *find_entry(const struct sites *sites, size_t count, uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, count, sites->entries[i].address < address);

    return index < count && sites->entries[index].address == address ? &sites->entries[index] : NULL;
}

/* A layout that this patch does not name has nothing to do with what it changes; of its words nothing is known. */
static void take_remembered(const struct sites *sites, struct site_entry *entry,
                            const struct remembered *known)
{
    entry->kind = known->kind;
    entry->layout = known->hash ? layouts_find(sites->layouts, known->hash) : 0;
    if (known->hash && !entry->layout) {
        entry->kind = MOLT_SITE_BYTES;
    }
    entry->allocator = known->allocator;
}

struct latest {
    uintptr_t address;
    size_t index; /* of the memory */
};

static const struct latest *find_latest(const struct latest *list, size_t count, uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, count, list[i].address < address);

    return index < count && list[index].address == address ? &list[index] : NULL;
}

/* What is remembered of each address, later memories instead of earlier ones, ascending; from malloc. */
static struct latest *latest_memories(size_t *ret_count)
{
    struct latest *list = calloc(memory.count + 1, sizeof(*list));
    size_t count = 0, kept = 0;

    for (size_t i = 0; list && i < memory.count; i++) {
        if (memory.items[i].address) {
            list[count++] = (struct latest){ memory.items[i].address, i };
        }
    }
    SORT_BY(list, count, struct latest, address);
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

/* What stands in this patch's own code is nobody's memory. */
static int add_remembered(struct sites *sites)
{
    size_t of_patch = sites->count, count;
    struct latest *list = latest_memories(&count);

    for (size_t i = 0; list && i < count; i++) {
        const struct remembered *known = &memory.items[list[i].index];
        struct site_entry *entry = find_entry(sites, of_patch, known->address);
        if (!entry) {
            entry = &sites->entries[sites->count++];
            *entry = (struct site_entry){ .address = known->address, .line = known->line };
            entry->file = known->file ? known->file : "";
        }
        if (!entry->of_patch) {
            take_remembered(sites, entry, known);
            entry->memory = list[i].index + 1;
        }
    }
    free(list);
    SORT_BY(sites->entries, sites->count, struct site_entry, address);
    return list ? 0 : -ENOMEM;
}

int sites_init(struct sites *sites, const struct loaded_patch *patch, const struct layouts *layouts)
{
    *sites = (struct sites){ .layouts = layouts };
    sites->entries = calloc(patch->file.patch_sites_count + memory.count + 1, sizeof(*sites->entries));
    sites->meanings = calloc(HEAP_SITE_MAX + 1, sizeof(*sites->meanings));
    if (!sites->entries || !sites->meanings) {
        sites_deinit(sites);
        return -ENOMEM;
    }
    add_of_patch(sites, patch);
    SORT_BY(sites->entries, sites->count, struct site_entry, address);
    int status = add_remembered(sites);
    if (status < 0) {
        sites_deinit(sites);
    }
    return status;
}

void sites_deinit(struct sites *sites)
{
    free(sites->entries);
    free(sites->meanings);
    *sites = (struct sites){ 0 };
}

static struct meaning resolve_by_id(const struct sites *sites, unsigned id)
{
    struct meaning meaning = { .resolved = true, .kind = MOLT_SITE_UNKNOWN };

    if (known_by_id[id]) {
        const struct remembered *known = &memory.items[known_by_id[id] - 1];
        meaning.kind = (uint8_t)known->kind;
        meaning.layout = layouts_find(sites->layouts, known->hash);
        meaning.kind = meaning.layout ? meaning.kind : MOLT_SITE_BYTES;
        meaning.allocator = known->allocator;
    }
    return meaning;
}

static struct meaning resolve(const struct sites *sites, unsigned id)
{
    const struct heap_site *site = id ? heap_site(id) : NULL;
    struct meaning meaning = { .resolved = true, .kind = MOLT_SITE_UNKNOWN };

    if (site && (!site->depth || known_by_id[id])) {
        return resolve_by_id(sites, id);
    }
    if (!site || site->unloaded) {
        return meaning;
    }
    for (unsigned i = 0; i < site->depth; i++) {
        const struct site_entry *entry = find_entry(sites, sites->count, site->callers[i]);
        if (!entry) {
            break;
        }
        if (entry->kind != MOLT_SITE_WRAPPER) {
            meaning.kind = (uint8_t)entry->kind;
            meaning.layout =
                entry->kind == MOLT_SITE_OBJECT || entry->kind == MOLT_SITE_ARRAY ? entry->layout : 0;
            meaning.entry = entry;
            meaning.allocator = entry->allocator;
            break;
        }
    }
    /* of layout 0 nothing is known, whatever the kind */
    if (!meaning.layout && meaning.kind != MOLT_SITE_BYTES) {
        meaning.kind = MOLT_SITE_UNKNOWN;
    }
    return meaning;
}

const struct meaning *sites_resolve(struct sites *sites, unsigned id)
{
    struct meaning *meaning = &sites->meanings[id <= HEAP_SITE_MAX ? id : 0];

    *meaning = resolve(sites, id);
    return meaning;
}

void sites_describe(const struct meaning *meaning, char *text, size_t size)
{
    if (meaning && meaning->entry && *meaning->entry->file) {
        snprintf(text, size, "%s:%u", meaning->entry->file, (unsigned)meaning->entry->line);
    } else {
        snprintf(text, size, "a place without debug information");
    }
}

/* ---- across updates -------------------------------------------------------------------------------------------- */

/* There is room for it. */
static void remember_by_id(struct remembered what)
{
    memory.items[memory.count++] = what;
    known_by_id[what.id] = (uint32_t)memory.count;
}

static int make_room(size_t count)
{
    size_t wanted = memory.count + count;

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

int sites_reserve(const struct sites *sites)
{
    size_t synthetic = sites->layouts->count * 4;

    return make_room(sites->count + synthetic + 1);
}

/* The layout that a block of ENTRY has after the update. In code of the patch it is that already. */
static uint32_t layout_after(const struct sites *sites, const struct site_entry *entry)
{
    return entry->of_patch ? entry->layout : sites->layouts->items[entry->layout].becomes;
}

/* Whether what is remembered already says that the blocks of ENTRY have a layout with HASH. */
static bool is_known(const struct site_entry *entry, uint64_t hash)
{
    const struct remembered *known = entry->memory ? &memory.items[entry->memory - 1] : NULL;

    return known && (known->hash == hash || !entry->layout) && known->address == entry->address;
}

static bool is_of_patch(const struct site_entry *entry)
{
    return entry->of_patch || (entry->memory && memory.items[entry->memory - 1].of_patch);
}

void sites_remember(const struct sites *sites)
{
    for (size_t i = 0; i < sites->count && memory.count < memory.capacity; i++) {
        const struct site_entry *entry = &sites->entries[i];
        uint32_t layout = layout_after(sites, entry);
        uint64_t hash = layout ? sites->layouts->items[layout].record->hash : 0;
        if (is_known(entry, hash)) {
            continue;
        }
        memory.items[memory.count++] = (struct remembered){ .address = entry->address,
                                                            .of_patch = is_of_patch(entry),
                                                            .kind = entry->kind,
                                                            .line = entry->line,
                                                            .hash = hash,
                                                            .allocator = entry->allocator,
                                                            .file = strdup(entry->file) };
    }
}

unsigned sites_synthetic(struct sites *sites, uint32_t kind, uint32_t layout,
                         const struct allocator *allocator)
{
    uint64_t hash = sites->layouts->items[layout].record->hash;

    for (size_t i = 0; i < memory.count; i++) {
        const struct remembered *known = &memory.items[i];
        if (!known->address && known->kind == kind && known->hash == hash &&
            known->allocator.allocate == allocator->allocate) {
            return known->id;
        }
    }
    unsigned id = memory.count < memory.capacity ? heap_site_synthetic() : 0;
    if (id) {
        remember_by_id((struct remembered){ .id = id, .kind = kind, .hash = hash, .allocator = *allocator });
        sites->meanings[id] = (struct meaning){ 0 };
    }
    return id;
}

size_t sites_mark(void)
{
    return memory.count;
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

void sites_keep(size_t mark, uintptr_t start, uintptr_t end)
{
    size_t ids = heap_site_count(), count;
    struct latest *list = latest_memories(&count);

    for (unsigned id = 1; list && id <= ids; id++) {
        const struct heap_site *site = heap_site(id);
        const struct remembered *known = NULL;
        for (unsigned i = 0; i < site->depth; i++) {
            const struct latest *found = find_latest(list, count, site->callers[i]);
            known = found ? &memory.items[found->index] : NULL;
            if (known && known->kind != MOLT_SITE_WRAPPER) {
                break; /* of those before it the heap knew that they only hand memory on */
            }
        }
        bool tells = known && known->of_patch && (known->hash || known->kind == MOLT_SITE_BYTES);
        if (tells && (size_t)(known - memory.items) >= mark && known->address >= start &&
            known->address < end && !known_by_id[id] && !is_older(known->address, mark)) {
            struct remembered kept = *known;
            kept.address = 0;
            kept.id = id;
            kept.file = NULL;
            if (make_room(1) == 0) {
                remember_by_id(kept);
            }
        }
    }
    free(list);
}

/* What sites are by their numbers never changes. */
void sites_forget(size_t mark)
{
    size_t kept = mark;

    for (size_t i = mark; i < memory.count; i++) {
        if (memory.items[i].address) {
            free(memory.items[i].file);
        } else {
            known_by_id[memory.items[i].id] = (uint32_t)kept + 1;
            memory.items[kept++] = memory.items[i];
        }
    }
    memory.count = kept < memory.count ? kept : memory.count;
}
