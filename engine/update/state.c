/*
 * Before and after: what a patch says about state is made ready while the program runs, and what an update
 * has changed is given its new meaning when it is committed.
 */
#include "engine/update/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/lookup.h"
#include "engine/code/registry.h"
#include "engine/code/tls.h"
#include "engine/parallel.h"
#include "engine/update/guard.h"
#include "engine/update/one_pass.h"
#include "engine/update/page_log.h"
#include "engine/update/quarantine.h"
#include "engine/update/release.h"
#include "engine/update/state_private.h"

#define FEW 1000       /* instances: memory for them need not be taken ahead */
#define ITEM_MARGIN 40 /* what a block can hold beyond its type's size, rounding included */
#define ALIGNMENT 16   /* of what is noted */
#define RELEASE_LIMIT_MS 500
#define REHEARSAL_MARGIN_MS 5000 /* beyond what policies and validations may take, each */

/* ---- plan ------------------------------------------------------------------------------------------ */

static bool changes_anything(const struct state *state)
{
    const struct patch_file *file = &state->patch->file;
    bool any = false;

    for (size_t i = 0; i < file->patch_migrations_count; i++) {
        any |= state->in_use[i];
    }
    for (size_t i = 0; i < file->patch_roots_count; i++) {
        any |= state->records[i].symbol || state->records[i].count != state->records[i].new_count;
    }
    return any;
}

bool state_changes(const struct state *state)
{
    return state && state->changes;
}

static uintptr_t place_of(const struct definition *definition)
{
    return definition->is_tls ? (uintptr_t)tls_thread_offset() + definition->address : definition->address;
}

/*
 * Where a variable that an earlier patch brought is; for a thread-local one its distance from the thread
 * pointer. On the way back the latest definition of its name may be this patch's own.
 */
static int find_earlier(struct state *state, const struct molt_patch_root *root, uintptr_t *ret)
{
    const struct patch_file *file = &state->patch->file;
    const char *name = patch_file_string(file, root->name), *unit = patch_file_string(file, root->unit);
    const struct definition *definition = registry_definition(unit, name);
    const struct loaded_symbol *own = root->symbol ? &state->patch->symbols[root->symbol] : NULL;

    if (state->rollback && definition && own &&
        place_of(definition) == (definition->is_tls ? (uintptr_t)own->tls_offset : own->address)) {
        definition = registry_definition_before(definition);
    }
    if (!definition || definition->is_tls != !!(root->flags & MOLT_ROOT_TLS)) {
        return load_refuse(
            state->patch,
            "%s (%s) comes from an earlier patch that is not in this program; apply that one first", name,
            unit);
    }
    *ret = place_of(definition);
    return 0;
}

static int check_roots(struct state *state)
{
    const struct patch_file *file = &state->patch->file;

    for (size_t i = 0; i < file->patch_roots_count; i++) {
        const struct molt_patch_root *root = &state->records[i];
        const struct module *module = &state->patch->modules[root->module].module;
        uint32_t size =
            root->kind == MOLT_FIELD_MEMBER ? state->layouts.items[root->layout].size : sizeof(void *);
        const char *name = patch_file_string(file, root->name);
        if (state->patch->modules[root->module].absent) {
            continue;
        }
        if (root->flags & MOLT_ROOT_EARLIER) {
            int status = find_earlier(state, root, &state->earlier[i]);
            if (status < 0) {
                return status;
            }
            continue;
        }
        if (root->count > 1 && root->kind == MOLT_FIELD_MEMBER && root->stride != size) {
            return load_refuse(state->patch, "malformed patch: the elements of %s", name);
        }
        const struct molt_patch_root *first = &file->patch_roots[i]; /* what is in the module, either way */
        if (first->flags & MOLT_ROOT_TLS
                ? !module->tls_id
                : first->address + (uint64_t)first->count * first->stride > module->end - module->bias) {
            return load_refuse(state->patch, "malformed patch: %s lies outside of %s", name, module->path);
        }
    }
    return 0;
}

static bool has_custom(const struct state *state)
{
    bool custom = false;

    for (size_t i = 0; i < state->conversion_count; i++) {
        custom |= state->conversions[i].custom || state->conversions[i].select;
    }
    return custom;
}

/* Whether blocks of changed types are moved by functions of the program. */
bool state_has_allocators(const struct state *state)
{
    for (size_t i = 0; i < state->sites.count; i++) {
        const struct site_entry *entry = &state->sites.entries[i];
        if (entry->allocator.allocate && state->layouts.items[entry->layout].changed) {
            return true;
        }
    }
    return false;
}

bool state_runs_functions(const struct state *state)
{
    if (!state_changes(state)) {
        return false;
    }
    bool any = state->custom || state->layouts.file->patch_invariants_count || state_has_allocators(state);
    for (size_t i = 0; i < state->conversion_count && !any; i++) {
        any = state->conversions[i].validate;
    }
    return any;
}

uint32_t state_rehearsal_limit(const struct state *state)
{
    uint32_t each = state_limit(state);

    return REHEARSAL_MARGIN_MS + (each < UINT32_MAX / 4 ? 2 * each : UINT32_MAX / 2);
}

/* A type that changes and whose instances are in the heap, or nobody knows where; 0: none. */
static uint32_t changed_in_heap(const struct state *state)
{
    for (size_t i = 0; i < state->sites.count; i++) {
        if (state->layouts.items[state->sites.entries[i].layout].changed) {
            return state->sites.entries[i].layout;
        }
    }
    for (uint32_t i = 1; i < state->layouts.count; i++) {
        const struct layout *layout = &state->layouts.items[i];
        if (layout->changed && layout->record->flags & MOLT_LAYOUT_BEHIND) {
            return i;
        }
    }
    return 0;
}

/* Whom the engine does not hear of. */
static int check_bypass(struct state *state)
{
    uint32_t layout = changed_in_heap(state);
    struct lookup_import import;

    return layout && heap_is_bypassed(&import)
               ? load_refuse(
                     state->patch,
                     "%s changes, and instances of it may come and go unnoticed: %s calls %s of %s, which "
                     "passes by the engine; let it call malloc, realloc and free, which that library "
                     "provides as well",
                     state->layouts.items[layout].name, import.module, import.name, heap_allocator())
               : 0;
}

/* A program whose allocator cannot be watched hides its instances. */
static int check_heap(struct state *state)
{
    for (size_t i = 0; i < state->sites.count && !heap_allocator(); i++) {
        const struct layout *layout = &state->layouts.items[state->sites.entries[i].layout];
        if (layout->changed) {
            return load_refuse(state->patch,
                               "%s changes, and its instances (%s:%u) cannot be found: the program has an "
                               "allocator of its own in its executable; put that into a shared library",
                               layout->name, state->sites.entries[i].file, state->sites.entries[i].line);
        }
    }
    return 0;
}

static void copy_roots(struct state *state)
{
    const struct patch_file *file = &state->patch->file;

    for (size_t i = 0; i < file->patch_roots_count; i++) {
        const struct molt_patch_root *root = &file->patch_roots[i];
        struct molt_patch_root *record = &state->records[i];
        *record = *root;
        if (state->rollback) {
            record->layout = root->new_layout;
            record->count = root->new_count;
            record->new_layout = root->layout;
            record->new_count = root->count;
            record->stride =
                root->kind == MOLT_FIELD_MEMBER ? file->patch_layouts[root->new_layout].size : root->stride;
        }
    }
}

/* Variables that are pointers lead, on the way back, to what the types that they promise became. */
static void turn_roots(struct state *state)
{
    for (size_t i = 0; i < state->patch->file.patch_roots_count; i++) {
        struct molt_patch_root *record = &state->records[i];
        if (record->kind == MOLT_FIELD_POINTER) {
            record->layout = state->layouts.items[record->layout].was;
        }
    }
}

/* Every migration of the update must have one that leads back, if there are instances. */
static int check_way_back(struct state *state)
{
    const struct patch_file *file = &state->patch->file;

    for (size_t i = 0; i < file->patch_migrations_count; i++) {
        const struct molt_patch_migration *there = &file->patch_migrations[i];
        bool found = there->flags & MOLT_MIGRATION_INVERSE ||
                     file->patch_layouts[there->old_layout].flags & MOLT_LAYOUT_CAST;
        for (size_t k = 0; k < file->patch_migrations_count && !found; k++) {
            const struct molt_patch_migration *back = &file->patch_migrations[k];
            found = back->flags & MOLT_MIGRATION_INVERSE && back->old_layout == there->new_layout &&
                    back->new_layout == there->old_layout;
        }
        if (!found) {
            return load_refuse(state->patch,
                               "%s cannot become again what it was: no policy says how; write one with "
                               "MOLT_INVERT, or make a "
                               "patch from the new version to the old one",
                               patch_file_string(file, file->patch_layouts[there->new_layout].name));
        }
    }
    return 0;
}

/* Which of the patch's migrations are for this program, and this way. */
static int choose_migrations(struct state *state)
{
    const struct patch_file *file = &state->patch->file;
    const struct molt_patch_migration *missing;
    int status = state->rollback ? check_way_back(state) : 0;

    if (status < 0) {
        return status;
    }
    conversions_choose(state->patch, state->rollback, state->in_use);
    if (!conversions_are_complete(state->patch, state->rollback, state->in_use, &missing)) {
        return load_refuse(state->patch,
                           "the patch has no code for this program that migrates %s; make it again, with "
                           "--binary and this program's file",
                           patch_file_string(file, file->patch_layouts[missing->old_layout].name));
    }
    state->migrates = changes_anything(state);
    state->changes = state->migrates || file->patch_initials_count;
    return 0;
}

/* Types, variables and sites as this process has them. */
static int bind_types(struct state *state)
{
    int status = layouts_init(&state->layouts, &state->patch->file, state->in_use, state->rollback);

    if (status == -EFBIG) {
        return load_refuse(state->patch, "malformed patch: its layouts");
    }
    if (status == 0 && state->rollback) {
        turn_roots(state);
    }
    status = status < 0 ? status
                        : conversions_bind(state->patch, &state->layouts, state->in_use, &state->conversions);
    status = status < 0 ? status : check_roots(state);
    status = status < 0 ? status : sites_init(&state->sites, state->patch, &state->layouts, state->rollback);
    if (status == 0) {
        carved_watch(state);
    }
    status = status < 0 ? status : check_heap(state);
    status = status < 0 ? status : check_bypass(state);
    for (size_t i = 0; i < state->patch->file.patch_migrations_count && status == 0; i++) {
        state->conversion_count += state->in_use[i];
    }
    return status;
}

/* What is filled in the stopped world. */
static int make_tables(struct state *state)
{
    const struct patch_file *file = &state->patch->file;

    state->roots.capacity = file->patch_roots_count + 64;
    state->roots.items = state_map(state->roots.capacity, sizeof(*state->roots.items));
    state->wanted = calloc(HEAP_SITE_MAX + 1, sizeof(*state->wanted));
    state->invariants = calloc(state->layouts.count + 1, sizeof(*state->invariants));
    state->checks = calloc(file->patch_invariants_count + 1, sizeof(*state->checks));
    state->strays = calloc(state->layouts.count + 1, sizeof(*state->strays));
    return state->roots.items && state->wanted && state->invariants && state->checks && state->strays
               ? forward_init(state)
               : -ENOMEM;
}

static int plan(struct state *state)
{
    const struct patch_file *file = &state->patch->file;

    state->in_use = calloc(file->patch_migrations_count + 1, sizeof(*state->in_use));
    state->earlier = calloc(file->patch_roots_count + 1, sizeof(*state->earlier));
    state->records = calloc(file->patch_roots_count + 1, sizeof(*state->records));
    if (!state->in_use || !state->earlier || !state->records) {
        return -ENOMEM;
    }
    copy_roots(state);
    int status = choose_migrations(state);
    status = status < 0 ? status : bind_types(state);
    status = status < 0 ? status : make_tables(state);
    if (status < 0) {
        return status;
    }
    state->custom = has_custom(state);
    one_pass_plan(state);
    page_log_init();
    return 0;
}

int state_plan(struct loaded_patch *patch, bool rollback, struct state **ret)
{
    *ret = NULL;
    if (!patch->file.patch_migrations_count && !patch->file.patch_roots_count &&
        !patch->file.patch_sites_count && !patch->file.patch_aliases_count) {
        return 0;
    }
    struct state *state = calloc(1, sizeof(*state));
    if (!state) {
        return -ENOMEM;
    }
    state->patch = patch;
    state->rollback = rollback;
    int status = plan(state);
    if (status < 0) {
        state_destroy(state);
        return status;
    }
    *ret = state;
    return 0;
}

void state_destroy(struct state *state)
{
    if (!state) {
        return;
    }
    for (size_t i = 0; i < state->conversion_count; i++) {
        staging_deinit(&state->conversions[i].items);
        ahead_release(&state->conversions[i].ahead);
    }
    new_places_deinit(&state->places);
    free(state->conversions);
    state_unmap(state->roots.items);
    state_unmap(state->guesses.items);
    references_deinit(&state->references);
    forward_destroy(state);
    staging_deinit(&state->aside);
    staging_deinit(&state->initials);
    page_log_deinit(&state->pages);
    sites_deinit(&state->sites);
    layouts_deinit(&state->layouts);
    free(state->wanted);
    free(state->strays);
    free(state->invariants);
    free(state->checks);
    free(state->in_use);
    free(state->earlier);
    free(state->records);
    free(state);
}

struct affected_range state_allocator(void)
{
    struct code_range code = heap_allocator_code();

    return (struct affected_range){ code.start, code.start + code.size, "malloc" };
}

/* What the program's allocator gives to a request for SIZE bytes, most of the time. */
static size_t room_for(size_t size)
{
    uint8_t *block = heap_allocate(size, HEAP_SITE_OTHERS);
    size_t usable = block ? heap_usable((uintptr_t)block) : size + ITEM_MARGIN;

    heap_release(block);
    return usable < size ? size : usable;
}

/* How many instances LAYOUT's sites have made, and how large they are in sum; state->wanted says which sites.
 */
static size_t count_instances(struct state *state, const struct layout *layout, size_t *ret_bytes)
{
    unsigned known = (unsigned)heap_site_count();

    memset(state->wanted, 0, (HEAP_SITE_MAX + 1) * sizeof(*state->wanted));
    for (unsigned id = 1; id <= known; id++) {
        const struct meaning *meaning = sites_meaning(&state->sites, id);
        state->wanted[id] = meaning->layout && &state->layouts.items[meaning->layout] == layout;
    }
    return heap_count(state->wanted, ret_bytes);
}

/* Whether instances of LAYOUT are sure to outgrow their blocks. */
static bool outgrow(const struct conversion *conversion, const struct layout *layout)
{
    return conversion->to->size > layout->size && conversion->to->size > room_for(layout->size);
}

/* Memory for what is noted of the instances of LAYOUT, if they are many: what they were, or where they are;
 * the words that lead to them, one for each. */
static int reserve_instances(struct state *state, const struct layout *layout)
{
    struct conversion *conversion = &state->conversions[layout->first_conversion];
    size_t bytes = 0, count = count_instances(state, layout, &bytes);

    state->live += count;
    if (count <= FEW) {
        return 0;
    }
    bool moves = outgrow(conversion, layout), saves = !moves && !one_pass_may_derive(conversion);
    size_t margin = conversion->to->size == layout->size ? ALIGNMENT : ITEM_MARGIN;
    size_t each = sizeof(struct item) + (moves ? sizeof(struct item_target) : saves ? margin : 0);
    int status = staging_reserve_parts(&conversion->items,
                                       (count + count / 16) * each + (saves ? bytes + bytes / 16 : 0));
    return status < 0 || !moves ? status : forward_reserve(state, count);
}

int state_reserve(struct state *state)
{
    int status = sites_reserve(&state->sites);

    if (!state->migrates) {
        return status;
    }
    quarantine_free_earlier();
    status = status < 0 ? status : quarantine_init();
    for (size_t i = 1; i < state->layouts.count && status == 0; i++) {
        status = state->layouts.items[i].changed ? reserve_instances(state, &state->layouts.items[i]) : 0;
    }
    return status;
}

void state_reserve_blocks(struct state *state)
{
    for (size_t i = 1; state->migrates && i < state->layouts.count; i++) {
        const struct layout *layout = &state->layouts.items[i];
        struct conversion *conversion =
            layout->changed ? &state->conversions[layout->first_conversion] : NULL;
        size_t bytes = 0;
        if (!conversion || !conversion->moves_in_passing || conversion->from != layout ||
            conversion->ahead.count) {
            continue;
        }
        size_t count = count_instances(state, layout, &bytes);
        if (count && outgrow(conversion, layout)) {
            ahead_reserve(&conversion->ahead, count, conversion->to->size);
            new_places_reserve(&state->places, state->wanted);
        }
    }
}

/* ---- commit ---------------------------------------------------------------------------------------- */

static unsigned types_of(const struct state *state)
{
    unsigned types = 0;

    for (size_t i = 0; i < state->layouts.count; i++) {
        types += state->layouts.items[i].changed;
    }
    return types;
}

static bool has_releases(const struct state *state)
{
    for (size_t i = 0; i < state->sites.count; i++) {
        if (state->sites.entries[i].allocator.release) {
            return true;
        }
    }
    return false;
}

/* Nobody knows the old blocks any more. Those of the PROGRAM's allocation functions, or those of malloc. */
static void give_up_old(struct state *state, bool program)
{
    for (size_t i = 0; i < state->conversion_count && state->moved; i++) {
        const struct conversion *conversion = &state->conversions[i];
        struct staging_position position = { 0 };
        const struct item *item;
        while ((item = item_next(conversion, &position))) {
            const struct allocator *allocator = &sites_meaning(&state->sites, item->site)->allocator;
            if (item->moved && item->kind != PLACE_ROOT && program == (allocator->release != NULL)) {
                quarantine_add(item->place, item->size, allocator->header, allocator->release);
            }
        }
    }
}

struct page_log *state_pages(struct state *state)
{
    return state && state->guarded ? &state->pages : NULL;
}

void state_commit(struct state *state, struct update_report *report)
{
    if (!state->migrates) {
        return;
    }
    report->types = types_of(state);
    quarantine_expire();
    if (has_releases(state)) {
        give_up_old(state, true);
    }
    guard_limit(RELEASE_LIMIT_MS);
    size_t lost = release_run();
    if (lost) {
        state_warn(
            state,
            "%zu functions that release memory did not come back: what they should have released is lost",
            lost);
    }
    guard_end();
    state->guarded = false;
}

size_t state_retire(struct state *state)
{
    size_t mark = state->changes ? state->sites_mark : site_memory_count();

    state_let_go(state);
    sites_remember(&state->sites);
    return mark;
}

void state_let_go(struct state *state)
{
    give_up_old(state, false);
    quarantine_free_much();
}

void state_forget(size_t mark)
{
    site_memory_keep(mark, 0, UINTPTR_MAX);
    site_memory_forget(mark);
}
