/*
 * Instances that were probably missed. The builder flags changed types of which nothing tells where their
 * instances are: no allocation call, no variable (patch/build_behind.c). If no pointer has led to one either,
 * while the heap has memory in which they may be, the update would leave them as they are, and the program
 * would die of it later: it is refused.
 *
 * They may be in blocks of unknown type, and behind the objects of blocks that are larger than what is known
 * of them (pools). Blocks that code without debug information asked for count if they have about the size of
 * one: most are libraries' own.
 *
 * Likewise blocks of which the engine remembers a type with the name of one that changes, but not the one
 * that this patch means.
 */
#include <stdio.h>
#include <string.h>

#include "engine/update/state_private.h"

#define NAMED 3       /* places */
#define HEADER_MAX 64 /* bytes that a library may keep in front of what it hands on */

/* Where instances of LAYOUT may be. */
struct hiding {
    struct state *state;
    const struct layout *layout;
    size_t blocks, count;
    unsigned sites[NAMED]; /* of the program's own code, at different places */
    bool larger;           /* some are objects of another type with something behind them */
    bool elsewhere;        /* some were asked for by code without debug information */
};

/* Whether an object of layout OUTER is or holds one of layout INNER. */
static bool holds(const struct layouts *layouts, uint32_t outer, uint32_t inner)
{
    const struct molt_patch_layout *record = layouts->items[outer].record;

    if (outer == inner ||
        (record->tail_stride && record->tail != outer && holds(layouts, record->tail, inner))) {
        return true;
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct molt_patch_field *field = &layouts->file->patch_fields[record->field + i];
        if (field->kind == MOLT_FIELD_MEMBER && holds(layouts, field->layout, inner)) {
            return true;
        }
    }
    return false;
}

/* Whether something tells where instances of INDEX are: what earlier patches brought counts, too. */
static bool is_found(const struct state *state, uint32_t index)
{
    const struct layouts *layouts = &state->layouts;

    for (size_t i = 0; i < state->sites.count; i++) {
        uint32_t layout = state->sites.entries[i].layout;
        if (layout && layouts->items[layout].changed && holds(layouts, layout, index)) {
            return true;
        }
    }
    for (size_t i = 0; i < state->roots.count; i++) {
        const struct molt_patch_root *root = state->roots.items[i].record;
        if (root->kind == MOLT_FIELD_MEMBER && holds(layouts, root->layout, index)) {
            return true;
        }
    }
    for (size_t i = 0; i < state->guesses.count; i++) {
        uint32_t layout = state->guesses.items[i].layout;
        if (layout && holds(layouts, layout, index)) {
            return true;
        }
    }
    return false;
}

static void note(struct hiding *hiding, unsigned site)
{
    size_t i = 0;

    hiding->blocks++;
    if (!sites_meaning(&hiding->state->sites, site)->entry) {
        hiding->elsewhere = true;
        return;
    }
    while (i < hiding->count && !sites_same_line(&hiding->state->sites, hiding->sites[i], site)) {
        i++;
    }
    if (i == hiding->count && i < NAMED) {
        hiding->sites[hiding->count++] = site;
    }
}

static void look_at_unknown(struct hiding *hiding)
{
    struct state *state = hiding->state;

    for (size_t i = 0; i < state->guesses.count; i++) {
        const struct guess *guess = &state->guesses.items[i];
        bool known = sites_meaning(&state->sites, guess->site)->entry != NULL;
        if (!guess->layout && guess->size >= hiding->layout->size &&
            (known || guess->size - hiding->layout->size <= HEADER_MAX)) {
            note(hiding, guess->site);
        }
    }
}

static bool is_object(const struct state *state, const struct meaning *meaning)
{
    return meaning->kind == MOLT_SITE_OBJECT && meaning->layout &&
           !state->layouts.items[meaning->layout].record->tail_stride;
}

static bool visit_object(void *context, const struct heap_block *block)
{
    struct hiding *hiding = context;
    struct place place;

    if (state_place(hiding->state, block, &place) &&
        place.size >= hiding->state->layouts.items[place.layout].size + hiding->layout->size) {
        note(hiding, block->site);
        hiding->larger = true;
    }
    return true;
}

/* " at list.c:12, pool.c:80, and by code without debug information", and the first of these places. */
static void describe(const struct hiding *hiding, char *places, size_t size, char *first, size_t first_size)
{
    for (size_t i = 0; i < hiding->count; i++) {
        char where[256];
        size_t length = strlen(places);
        sites_describe(sites_meaning(&hiding->state->sites, hiding->sites[i]), where, sizeof(where));
        snprintf(places + length, size - length, "%s%s", i ? ", " : " at ", where);
        if (!i) {
            snprintf(first, first_size, "%s", where);
        }
    }
    if (hiding->elsewhere) {
        size_t length = strlen(places);
        snprintf(places + length, size - length, "%sby code without debug information",
                 hiding->count ? " and " : " ");
    }
}

static int refuse(const struct hiding *hiding)
{
    const char *name = hiding->layout->name;
    char places[900] = "", first[256] = "", types[600] = "";

    describe(hiding, places, sizeof(places), first, sizeof(first));
    if (hiding->count && !hiding->larger) {
        snprintf(types, sizeof(types), "what is allocated there (types = { \"%s\" = \"%s\" }) or ", first,
                 name);
    }
    return state_refuse(
        hiding->state,
        "%s changes, but nothing tells where its instances are: no allocation call, no "
        "variable, no pointer that leads to one. They may lie in "
        "%zu blocks that were allocated%s, and would be left as they were. In molt.toml, "
        "under [heap], say %sby way of which function it is allocated (wrappers = "
        "[\"...\"]); if the type has no instances but is only cast to: views = [\"%s\"]. What the program "
        "carves out of larger blocks itself, and elements of a container that is told their size when it is "
        "made, cannot "
        "be migrated: restart the program",
        name, hiding->blocks, places, types, name);
}

static bool is_doubtful(const struct state *state, const struct meaning *meaning)
{
    (void)state;
    return meaning->doubt;
}

static bool visit_doubtful(void *context, const struct heap_block *block)
{
    struct state *state = context;
    const struct meaning *meaning = sites_meaning(&state->sites, block->site);
    char where[256];

    sites_describe(meaning, where, sizeof(where));
    state->status = state_refuse(
        state,
        "%s changes, and %zu bytes allocated at %s are of a type of that name, which an earlier update left "
        "as "
        "another one than this patch takes it for: make the patch again from the sources that run and all "
        "patches before it (--after); if two types have that name, give one of them another",
        state->layouts.items[meaning->doubt].name, block->size, where);
    return false;
}

int refuse_doubtful(struct state *state)
{
    state_want(state, is_doubtful);
    if (memchr(state->wanted, true, (HEAP_SITE_MAX + 1) * sizeof(*state->wanted))) {
        heap_walk(state->wanted, visit_doubtful, state);
    }
    return state->status;
}

/* Where no block is known, a structure that is no variable may be in any. */
static int refuse_untracked(struct state *state)
{
    for (uint32_t i = 1; i < state->layouts.count; i++) {
        const struct layout *layout = &state->layouts.items[i];
        if (layout->changed && layout->record->field_count && !is_found(state, i)) {
            return state_refuse(
                state,
                "%s changes, and its instances cannot be found: the program has an allocator of its own "
                "in its executable. Build it with the C library's, or put its own into a shared library",
                layout->name);
        }
    }
    return 0;
}

int refuse_missed(struct state *state)
{
    if (!heap_allocator()) {
        return refuse_untracked(state);
    }
    for (uint32_t i = 1; i < state->layouts.count; i++) {
        const struct layout *layout = &state->layouts.items[i];
        struct hiding hiding = { .state = state, .layout = layout };
        if (!layout->changed || !(layout->record->flags & MOLT_LAYOUT_BEHIND) || is_found(state, i)) {
            continue;
        }
        look_at_unknown(&hiding);
        state_want(state, is_object);
        heap_walk(state->wanted, visit_object, &hiding);
        if (hiding.blocks) {
            return refuse(&hiding);
        }
    }
    return 0;
}
