/*
 * From a block's site, a chain of return addresses, to what the block is. The patch says what each allocation
 * call makes; the innermost call of a chain that is not in a mere wrapper decides.
 *
 * A patch knows the calls of the modules and of its own code. Blocks that the code of earlier patches
 * allocated, or whose type an earlier update changed, are known from what the engine remembers: return
 * address (or synthetic site) and the identity of the layout that such a block has by now. What is remembered
 * last counts, and counts more than the patch.
 *
 * A patch names the layouts that it has to do with. One that is remembered and not named is none of them, and
 * its blocks are bytes to this update, unless a changed type has its name: then the builder's idea of it and
 * the program's blocks do not agree, and where there are such blocks the update is refused (missed.c).
 */
#include "engine/update/sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "engine/sort.h"

/* ---- identities ------------------------------------------------------------------------------------ */

/* 0 for "". */
static uint64_t number_of(const char *word)
{
    uint64_t number = *word ? 14695981039346656037u : 0;

    for (; *word; word++) {
        number = (number ^ (unsigned char)*word) * 1099511628211u;
    }
    return number;
}

static struct identity identity_of(const struct layouts *layouts, uint32_t index)
{
    const struct molt_patch_layout *record = layouts->items[index].record;

    return (struct identity){ .hash = record->hash,
                              .name = number_of(patch_file_string(layouts->file, record->name)),
                              .unit = number_of(patch_file_string(layouts->file, record->unit)) };
}

/* Of two names of units: whether they may mean one. */
static bool may_be_one(uint64_t unit, uint64_t other)
{
    return !unit || !other || unit == other;
}

/* IS under the names that the update of SITES brings; or, BACK, as it was called before. */
static struct identity renamed(const struct sites *sites, struct identity is, bool back)
{
    const struct patch_file *file = sites->layouts->file;

    for (size_t i = 0; is.hash && i < file->patch_aliases_count; i++) {
        const struct molt_patch_alias *alias = &file->patch_aliases[i];
        if (is.hash == (back ? alias->after : alias->before) &&
            may_be_one(is.unit, number_of(patch_file_string(file, alias->unit)))) {
            is.hash = back ? alias->before : alias->after;
            is.name = back ? 0 : number_of(patch_file_string(file, alias->name));
            return is;
        }
    }
    return is;
}

enum likeness { UNLIKE, RESULT, LIKELY, SURE };

/* How sure it is that layout INDEX of the patch is what IS means. */
static enum likeness likeness_of(const struct sites *sites, uint32_t index, struct identity is)
{
    const struct layout *layout = &sites->layouts->items[index];
    struct identity other = sites->identities[index];

    if (other.hash != is.hash || !may_be_one(other.unit, is.unit)) {
        return UNLIKE;
    }
    return layout->was != index && !layout->changed ? RESULT : other.unit == is.unit ? SURE : LIKELY;
}

/* The layout of the patch that IS means; of two the one that changes (their places are the same, not their
 * numbers). 0: none; then *RET_DOUBT is a changed one that it may be, or 0. */
static uint32_t find_layout(const struct sites *sites, struct identity is, uint32_t *ret_doubt)
{
    const struct layouts *layouts = sites->layouts;
    enum likeness best = UNLIKE;
    uint32_t found = 0, doubt = 0;
    bool several = false;

    is = sites->rollback ? renamed(sites, is, true) : is;
    for (uint32_t i = 1; is.hash && i < layouts->count; i++) {
        struct identity other = sites->identities[i];
        enum likeness likeness = likeness_of(sites, i, is);
        bool changed = layouts->items[i].changed;
        bool alike = other.hash == is.hash || (other.name == is.name && may_be_one(other.unit, is.unit));
        if (likeness > best) {
            several = false;
            best = likeness;
            found = i;
        } else if (likeness != UNLIKE && likeness == best) {
            several = several || other.unit != sites->identities[found].unit;
            found = changed ? i : found;
        } else if (changed && alike && likeness == UNLIKE) {
            doubt = i;
        }
    }
    if (several && layouts->items[found].changed) { /* which of the two is not known */
        doubt = found;
        found = 0;
    }
    *ret_doubt = found ? 0 : doubt;
    return found;
}

/* ---- for one update -------------------------------------------------------------------------------- */

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
                                 .carver = site_memory_intern(patch_file_string(&patch->file, site->carver)),
                                 .pieces = site->flags & MOLT_SITE_PIECES,
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

/* A layout that this patch does not name has nothing to do with what it changes; of its words nothing is
 * known. */
static void take_remembered(const struct sites *sites, struct site_entry *entry,
                            const struct remembered *known)
{
    entry->layout = find_layout(sites, known->is, &entry->doubt);
    entry->kind = known->is.hash && !entry->layout ? MOLT_SITE_BYTES : known->kind;
    entry->allocator = known->allocator;
    entry->carver = known->carver;
    entry->pieces = known->pieces;
}

/* What stands in this patch's own code is nobody's memory. */
static int add_remembered(struct sites *sites)
{
    size_t of_patch = sites->count, count;
    struct latest_memory *list = site_memory_latest(&count);

    for (size_t i = 0; list && i < count; i++) {
        const struct remembered *known = site_memory_at(list[i].index);
        struct site_entry *entry = find_entry(sites, of_patch, known->address);
        if (!entry) {
            entry = &sites->entries[sites->count++];
            *entry = (struct site_entry){ .address = known->address, .line = known->line, .carver = "" };
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

int sites_init(struct sites *sites, const struct loaded_patch *patch, const struct layouts *layouts,
               bool rollback)
{
    *sites = (struct sites){ .layouts = layouts, .rollback = rollback };
    sites->entries = calloc(patch->file.patch_sites_count + site_memory_count() + 1, sizeof(*sites->entries));
    sites->meanings = calloc(HEAP_SITE_MAX + 1, sizeof(*sites->meanings));
    sites->identities = calloc(layouts->count + 1, sizeof(*sites->identities));
    if (!sites->entries || !sites->meanings || !sites->identities) {
        sites_deinit(sites);
        return -ENOMEM;
    }
    for (uint32_t i = 1; i < layouts->count; i++) {
        sites->identities[i] = identity_of(layouts, i);
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
    free(sites->identities);
    *sites = (struct sites){ 0 };
}

/* MEANING as it is said of its first object; with a carver, blocks may be something else by now. */
static struct meaning with_carver(struct meaning meaning, const char *carver)
{
    meaning.carver = carver;
    if (*carver && meaning.kind != MOLT_SITE_BYTES) {
        meaning.may_be = meaning.layout;
        meaning.layout = 0;
        meaning.kind = MOLT_SITE_UNKNOWN;
    }
    return meaning;
}

static struct meaning resolve_by_id(const struct sites *sites, unsigned id)
{
    struct meaning meaning = { .resolved = true, .kind = MOLT_SITE_UNKNOWN, .carver = "" };

    size_t last = site_memory_of_id(id);
    if (last) {
        const struct remembered *known = site_memory_at(last - 1);
        meaning.kind = (uint8_t)known->kind;
        meaning.layout = find_layout(sites, known->is, &meaning.doubt);
        meaning.kind = meaning.layout ? meaning.kind : MOLT_SITE_BYTES;
        meaning.allocator = known->allocator;
        meaning = with_carver(meaning, known->carver);
    }
    return meaning;
}

static struct meaning resolve(const struct sites *sites, unsigned id)
{
    const struct heap_site *site = id ? heap_site(id) : NULL;
    struct meaning meaning = { .resolved = true, .kind = MOLT_SITE_UNKNOWN, .carver = "" };

    if (site && (!site->depth || site_memory_of_id(id))) {
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
        meaning.entry = entry; /* of a chain that is not known to its end, as far as it is */
        if (entry->kind != MOLT_SITE_WRAPPER) {
            meaning.kind = (uint8_t)entry->kind;
            meaning.layout =
                entry->kind == MOLT_SITE_OBJECT || entry->kind == MOLT_SITE_ARRAY ? entry->layout : 0;
            meaning.doubt = entry->doubt;
            meaning.allocator = entry->allocator;
            break;
        }
    }
    /* of layout 0 nothing is known, whatever the kind */
    if (!meaning.layout && meaning.kind != MOLT_SITE_BYTES) {
        meaning.kind = MOLT_SITE_UNKNOWN;
    }
    return meaning.entry ? with_carver(meaning, meaning.entry->carver) : meaning;
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

bool sites_same_line(struct sites *sites, unsigned one, unsigned other)
{
    const struct site_entry *a = sites_meaning(sites, one)->entry, *b = sites_meaning(sites, other)->entry;

    return one == other || (a->line == b->line && strcmp(a->file, b->file) == 0);
}

/* ---- across updates -------------------------------------------------------------------------------- */

int sites_reserve(const struct sites *sites)
{
    size_t synthetic = sites->layouts->count * 4;

    size_t ids = sites->layouts->file->patch_aliases_count ? site_memory_count() : 0;

    return site_memory_reserve(sites->count + synthetic + ids + 1);
}

/* The layout that a block of ENTRY has after the update. In code of the patch it is that already. */
static uint32_t layout_after(const struct sites *sites, const struct site_entry *entry)
{
    return entry->of_patch ? entry->layout : sites->layouts->items[entry->layout].becomes;
}

static bool is_of_patch(const struct site_entry *entry)
{
    return entry->of_patch || (entry->memory && site_memory_at(entry->memory - 1)->of_patch);
}

/* What a block of ENTRY is after the update, by the names before it. */
static struct identity identity_after(const struct sites *sites, const struct site_entry *entry)
{
    uint32_t layout = layout_after(sites, entry);

    if (layout || !entry->memory || entry->of_patch) {
        return layout ? sites->identities[layout] : (struct identity){ 0 };
    }
    return site_memory_at(entry->memory - 1)->is;
}

static void remember_entry(const struct sites *sites, const struct site_entry *entry)
{
    const struct remembered *known = entry->memory ? site_memory_at(entry->memory - 1) : NULL;
    struct identity was = identity_after(sites, entry), is = renamed(sites, was, false);

    if (known && !entry->of_patch && same_identity(known->is, is)) {
        return;
    }
    site_memory_add(
        (struct remembered){ .address = entry->address,
                             .of_patch = is_of_patch(entry),
                             .kind = known && !entry->layout && !entry->of_patch ? known->kind : entry->kind,
                             .line = entry->line,
                             .is = is,
                             .was = was,
                             .allocator = entry->allocator,
                             .file = strdup(entry->file),
                             .carver = entry->carver,
                             .pieces = entry->pieces });
}

/* Site IDs whose blocks have a type that is called something else now. */
static void rename_ids(const struct sites *sites)
{
    for (unsigned id = 1; id <= HEAP_SITE_MAX && !site_memory_is_full(); id++) {
        size_t last = site_memory_of_id(id);
        const struct remembered *known = last ? site_memory_at(last - 1) : NULL;
        struct identity is = known ? renamed(sites, known->is, false) : (struct identity){ 0 };
        if (known && !same_identity(is, known->is)) {
            struct remembered next = *known;
            next.was = known->is;
            next.is = is;
            next.before = last;
            site_memory_add(next);
        }
    }
}

void sites_remember(const struct sites *sites)
{
    for (size_t i = 0; i < sites->count && !site_memory_is_full(); i++) {
        remember_entry(sites, &sites->entries[i]);
    }
    if (sites->layouts->file->patch_aliases_count) {
        rename_ids(sites);
    }
}

/* Something else may use blocks of site ID later, if there is a carver; while the update lasts that has made
 * them they are just LAYOUT. Unless it has blocks that are still to be migrated, of a type that is told from
 * the new one by its numbers alone. */
static unsigned settled(struct sites *sites, unsigned id, uint32_t layout)
{
    const struct remembered *known = site_memory_at(site_memory_of_id(id) - 1);
    uint32_t doubt, found = find_layout(sites, known->is, &doubt);

    if (*known->carver && found && !sites->layouts->items[found].changed) {
        sites->meanings[id] = (struct meaning){ .resolved = true,
                                                .kind = known->kind,
                                                .layout = layout,
                                                .carver = known->carver,
                                                .allocator = known->allocator };
    }
    return id;
}

unsigned sites_synthetic(struct sites *sites, uint32_t kind, uint32_t layout, const struct meaning *meaning)
{
    const struct allocator *allocator = &meaning->allocator;
    struct identity is = sites->identities[layout];

    for (size_t i = 0; i < site_memory_count(); i++) {
        const struct remembered *known = site_memory_at(i);
        if (!known->address && site_memory_of_id(known->id) == i + 1 && known->kind == kind &&
            same_identity(known->is, is) && known->allocator.allocate == allocator->allocate &&
            known->carver == meaning->carver) {
            return settled(sites, known->id, layout);
        }
    }
    unsigned id = site_memory_is_full() ? 0 : heap_site_synthetic();
    if (id) {
        site_memory_add((struct remembered){ .id = id,
                                             .kind = kind,
                                             .is = is,
                                             .was = is,
                                             .allocator = *allocator,
                                             .carver = meaning->carver });
        sites->meanings[id] = (struct meaning){ 0 };
    }
    return id ? settled(sites, id, layout) : 0;
}
