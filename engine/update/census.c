/*
 * Counting. The world is stopped at a safe point of the allocator, types are given to blocks as a migration
 * does it (instances.c, trace.c), and every block and variable is counted where it lies. What lies in others
 * is counted from the types afterwards, with the world running.
 *
 * Types that are asked for count as changed, so that tracing looks after them; what would make it refuse an
 * update is no failure here, but told. When all types are asked for none of them does: then blocks only take
 * the types that pointers promise.
 */
#include "engine/update/census_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/update/plan.h"
#include "engine/update/quarantine.h"
#include "engine/update/stage.h"

/* ---- counting -------------------------------------------------------------------------------------- */

/* The tally for blocks of SITE that are of LAYOUT. */
static struct census_tally *tally_of(struct census *census, uint32_t site, uint32_t layout)
{
    uint64_t key = ((uint64_t)site << 32 | layout) * 0x9e3779b97f4a7c15;
    size_t slot = key >> (64 - 14);

    for (size_t i = 0; i < CENSUS_TALLIES; i++, slot = (slot + 1) % CENSUS_TALLIES) {
        struct census_tally *tally = &census->tallies[slot];
        if (!tally->used) {
            tally->used = true;
            tally->site = site;
            tally->layout = layout;
            return tally;
        }
        if (tally->site == site && tally->layout == layout) {
            return tally;
        }
    }
    return &census->tallies[slot]; /* so many cannot be told apart */
}

static size_t tail_count(const struct layout *layout, size_t size)
{
    const struct molt_patch_layout *record = layout->record;

    return record->tail_stride && size > record->tail_offset
               ? (size - record->tail_offset) / record->tail_stride
               : 0;
}

static void count_typed(struct census *census, struct census_tally *tally, const struct heap_block *block,
                        const struct place *place)
{
    const struct layout *layout = &census->state->layouts.items[place->layout];
    bool array = place->kind == PLACE_ARRAY;
    size_t count = array && layout->size ? place->size / layout->size : 1;

    tally->kind = array ? MOLT_SITE_ARRAY : MOLT_SITE_OBJECT;
    tally->guessed = place->meaning->kind == MOLT_SITE_UNKNOWN;
    size_t tails = array ? 0 : tail_count(layout, place->size);

    tally->elements += count;
    tally->tails += tails;
    if (layout->changed && census_has_room(census)) {
        struct census_instance where = { .site = block->site };
        census_copy(census, &where, place->layout, place->start, count, array);
        if (tails && census->state->layouts.items[layout->tail].changed) {
            census_copy(census, &where, layout->tail, place->start + layout->record->tail_offset, tails,
                        true);
        }
    }
}

static bool visit_block(void *context, const struct heap_block *block)
{
    struct census *census = context;
    struct state *state = census->state;
    struct place place;
    bool typed = state_place(state, block, &place);
    struct census_tally *tally = tally_of(census, block->site, typed ? place.layout : 0);

    tally->blocks++;
    tally->bytes += block->size;
    tally->largest = block->size > tally->largest ? block->size : tally->largest;
    if (typed) {
        count_typed(census, tally, block, &place);
    } else {
        tally->kind = sites_meaning(&state->sites, block->site)->kind;
    }
    return true;
}

static void count_variables(struct census *census)
{
    const struct state *state = census->state;

    for (size_t i = 0; i < state->roots.count; i++) {
        const struct root *root = &state->roots.items[i];
        const struct molt_patch_root *record = root->record;
        if (record->kind != MOLT_FIELD_MEMBER) {
            continue;
        }
        census->own[record->layout] += record->count;
        if (state->layouts.items[record->layout].changed && census_has_room(census)) {
            struct census_instance where = { .variable = patch_file_string(state->layouts.file, record->name),
                                             .unit = patch_file_string(state->layouts.file, record->unit),
                                             .thread_local = record->flags & MOLT_ROOT_TLS };
            census_copy(census, &where, record->layout, root->place, record->count, record->count != 1);
        }
    }
}

/* In the stopped world. */
static int look(struct census *census, const struct world *world, struct update_report *report)
{
    struct state *state = census->state;

    state->world = world;
    state->report = report;
    int status = heap_refresh();
    status = status < 0 ? status : references_init(&state->references);
    status = status < 0 ? status : references_threads(&state->references, world);
    status = status < 0 ? status : roots_collect(state);
    status = status < 0 || !census->traces ? status : trace(state);
    if (status == -EINVAL && report->outcome == UPDATE_REFUSED) {
        memcpy(census->obstacle, report->reason, sizeof(census->obstacle));
        *report->reason = '\0';
        status = 0;
    }
    if (status == 0) {
        heap_walk(NULL, visit_block, census);
        count_variables(census);
    }
    return status;
}

/* ---- what lies in others --------------------------------------------------------------------------- */

/* Types contain only such as stand before them. */
static void count_members(struct census *census)
{
    const struct layouts *layouts = &census->state->layouts;

    for (size_t i = 0; i < CENSUS_TALLIES; i++) {
        const struct census_tally *tally = &census->tallies[i];
        census->own[tally->layout] += tally->layout ? tally->elements : 0;
        if (tally->tails) {
            census->own[layouts->items[tally->layout].tail] += tally->tails;
        }
    }
    memcpy(census->total, census->own, layouts->count * sizeof(*census->total));
    for (size_t i = layouts->count; i-- > 1;) {
        const struct molt_patch_layout *record = layouts->items[i].record;
        for (uint32_t k = record->field; k < record->field + record->field_count; k++) {
            const struct molt_patch_field *field = &layouts->file->patch_fields[k];
            if (field->kind == MOLT_FIELD_MEMBER && field->layout < i) {
                census->total[field->layout] += census->total[i] * field->count;
            }
        }
    }
}

/* Whether blocks of ONE and OTHER are told together: calls that are reached in several ways have a site for
 * each. */
static bool is_same_call(struct census *census, const struct census_tally *one,
                         const struct census_tally *other)
{
    struct sites *sites = &census->state->sites;
    const struct site_entry *entry = sites_meaning(sites, one->site)->entry;

    return entry && one->layout == other->layout && sites_meaning(sites, other->site)->entry == entry;
}

static void join(struct census_tally *into, const struct census_tally *tally)
{
    into->blocks += tally->blocks;
    into->bytes += tally->bytes;
    into->elements += tally->elements;
    into->tails += tally->tails;
    into->largest = tally->largest > into->largest ? tally->largest : into->largest;
}

/* One tally for each call, without gaps. */
static void join_tallies(struct census *census)
{
    size_t count = 0;

    for (size_t i = 0; i < CENSUS_TALLIES; i++) {
        size_t k = 0;
        if (!census->tallies[i].used) {
            continue;
        }
        while (k < count && !is_same_call(census, &census->tallies[k], &census->tallies[i])) {
            k++;
        }
        if (k < count) {
            join(&census->tallies[k], &census->tallies[i]);
        } else {
            census->tallies[count++] = census->tallies[i];
        }
    }
    census->result.tally_count = count;
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static int refuse(struct update_report *report, const char *reason)
{
    return fail(report, UPDATE_REFUSED, -EINVAL, reason);
}

static int check(const struct update *query, const struct census_request *request,
                 struct update_report *report)
{
    const struct patch_file *file = &query->patch.file;

    if (file->patch_functions_count || file->patch_sections_count || file->patch_migrations_count ||
        file->patch_initials_count) {
        return refuse(report, "this patch changes the program: no query");
    }
    if (!query->state || query->planned_at != changes_made) {
        return refuse(report, query->state ? "the program was updated since; ask again"
                                           : "the query says nothing about the program's memory");
    }
    for (size_t i = 0; i < request->layout_count; i++) {
        if (!request->layouts[i] || request->layouts[i] >= query->state->layouts.count) {
            return refuse(report, "the query has no such layout");
        }
    }
    return 0;
}

/* Memory for everything: none is taken from a heap in the stopped world. */
static int reserve(struct census *census)
{
    size_t layouts = census->state->layouts.count + 1, limit = census->request->limit;

    census->tallies = state_map(CENSUS_TALLIES, sizeof(*census->tallies));
    census->own = calloc(layouts, sizeof(*census->own));
    census->total = calloc(layouts, sizeof(*census->total));
    census->asked = calloc(layouts, sizeof(*census->asked));
    bool copies = limit && census->request->layout_count;
    if (copies) {
        census->instances = state_map(limit, sizeof(*census->instances));
        census->pointers = state_map(CENSUS_POINTERS, sizeof(*census->pointers));
        census->pool = state_map(CENSUS_POOL, 1);
    }
    return census->tallies && census->own && census->total && census->asked &&
                   (!copies || (census->instances && census->pointers && census->pool))
               ? 0
               : -ENOMEM;
}

static bool is_unknown(const struct state *state, const struct meaning *meaning)
{
    return meaning->kind == MOLT_SITE_UNKNOWN && meaning->entry;
}

/* Following all pointers of the program takes most of the time. If all types are asked for it only pays where
 * the program itself has blocks of unknown type; what code without debug information holds is a library's
 * own. */
static bool is_worth_tracing(struct census *census)
{
    size_t bytes;

    if (census->request->layout_count) {
        return true;
    }
    state_want(census->state, is_unknown);
    return heap_count(census->state->wanted, &bytes) > 0;
}

static void single_out(struct census *census)
{
    const struct census_request *request = census->request;

    for (size_t i = 0; i < request->layout_count; i++) {
        census->asked[request->layouts[i]] = true;
    }
    layouts_single_out(&census->state->layouts, request->layout_count ? census->asked : NULL);
    carved_watch(census->state);
}

static int take(struct census *census, const struct watcher *watcher, struct update_report *report)
{
    const struct transfers none = { .after_ms = UINT32_MAX };
    struct affected_range allocator = state_allocator();
    struct safe_point point;
    struct world world;
    int status = reserve(census);

    if (status < 0) {
        return fail(report, UPDATE_FAILED, status, NULL);
    }
    single_out(census);
    census->traces = is_worth_tracing(census);
    quarantine_free_earlier();
    status =
        reach_safe_point(&allocator, 1, &none, census->request->timeout_ms, watcher, &point, &world, report);
    if (status < 0) {
        return status;
    }
    status = look(census, &world, report);
    resume(&world, report);
    leave_critical();
    return status < 0 && !*report->reason ? fail(report, UPDATE_FAILED, status, NULL) : status;
}

int update_census(struct update *query, const struct census_request *request, update_progress *progress,
                  void *context, struct census **ret, struct update_report *report)
{
    const struct watcher watcher = { progress, context };
    struct census *census = calloc(1, sizeof(*census));
    uint64_t start = monotonic_us();

    *report = (struct update_report){ 0 };
    if (!census) {
        update_discard(query);
        return fail(report, UPDATE_FAILED, -ENOMEM, NULL);
    }
    *census = (struct census){ .query = query, .state = query->state, .request = request };
    int status = check(query, request, report);
    status = status < 0 ? status : take(census, &watcher, report);
    if (status < 0) {
        census_destroy(census);
        return status;
    }
    count_members(census);
    join_tallies(census);
    census->result.state = census->state;
    census->result.tallies = census->tallies;
    census->result.own = census->own;
    census->result.total = census->total;
    census->result.asked = census->asked;
    census->result.instances = census->instances;
    census->result.pointers = census->pointers;
    census->result.obstacle = census->obstacle;
    census->result.tracked = heap_allocator() != NULL;
    census->request = NULL;
    report->outcome = UPDATE_PREPARED;
    report->total_us = monotonic_us() - start;
    *ret = census;
    return 0;
}

const struct census_result *census_result(const struct census *census)
{
    return &census->result;
}

void census_destroy(struct census *census)
{
    state_unmap(census->tallies);
    state_unmap(census->instances);
    state_unmap(census->pointers);
    state_unmap(census->pool);
    free(census->own);
    free(census->total);
    free(census->asked);
    update_discard(census->query);
    free(census);
}
