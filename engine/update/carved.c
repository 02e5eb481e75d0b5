/*
 * What comes from functions that sometimes carve (patch/sites/carving.c). Such a function hands out blocks of
 * an allocator, and other memory.
 *
 * Blocks that were used before and given back: the heap knows them by the call that asked for them first, so
 * that a block may be anything by now that is made by way of the same function, or free. Its type is
 * therefore what typed pointers say that lead to it from elsewhere, as with blocks of unknown type; pointers
 * to all that is made by way of it are looked at for that. If none leads to a block that is large enough for
 * a type that changes, nobody knows what it is, and the update is refused.
 *
 * Pieces of larger blocks: where they are nobody knows but the function, so no type of which there may be
 * some can change.
 */
#include <stdio.h>
#include <string.h>

#include "engine/update/state_private.h"

static bool same_carver(const struct meaning *meaning, const struct site_entry *entry)
{
    return *meaning->carver && strcmp(meaning->carver, entry->carver) == 0;
}

/* What ENTRY makes if it gets blocks of its own; 0 if that is known to be nothing that has a layout. */
static uint32_t layout_of(const struct site_entry *entry)
{
    return entry->kind == MOLT_SITE_OBJECT || entry->kind == MOLT_SITE_ARRAY ? entry->layout : 0;
}

static bool makes_changed(const struct state *state, const struct site_entry *entry)
{
    return *entry->carver && state->layouts.items[layout_of(entry)].changed;
}

bool carved_may_be_array(struct state *state, unsigned site, uint32_t layout)
{
    const struct meaning *meaning = sites_meaning(&state->sites, site);
    bool array = !*meaning->carver;

    for (size_t i = 0; !array && i < state->sites.count; i++) {
        const struct site_entry *entry = &state->sites.entries[i];
        array = same_carver(meaning, entry) && entry->kind == MOLT_SITE_ARRAY && entry->layout == layout;
    }
    return array;
}

void carved_watch(struct state *state)
{
    const struct sites *sites = &state->sites;

    for (size_t i = 0; i < sites->count; i++) {
        for (size_t k = 0; makes_changed(state, &sites->entries[i]) && k < sites->count; k++) {
            if (strcmp(sites->entries[k].carver, sites->entries[i].carver) == 0 &&
                layout_of(&sites->entries[k])) {
                layouts_watch(&state->layouts, layout_of(&sites->entries[k]));
            }
        }
    }
}

/* Blocks of unknown use that ENTRY may have made. */
struct doubts {
    struct state *state;
    const struct site_entry *entry;
    size_t count, size; /* of the first one */
    const struct meaning *first;
};

static void look_at(struct doubts *doubts, unsigned site, size_t size)
{
    const struct meaning *meaning = sites_meaning(&doubts->state->sites, site);
    const struct layout *layout = &doubts->state->layouts.items[doubts->entry->layout];

    if (same_carver(meaning, doubts->entry) && size >= layout->size) {
        doubts->first = doubts->first ? doubts->first : meaning;
        doubts->size = doubts->count++ ? doubts->size : size;
    }
}

static bool is_buffer(const struct state *state, const struct meaning *meaning)
{
    (void)state;
    return *meaning->carver && meaning->kind == MOLT_SITE_BYTES;
}

static bool visit_buffer(void *context, const struct heap_block *block)
{
    look_at(context, block->site, block->size);
    return true;
}

/* "pool_get" of "pool_get (pool.c:30)" */
static int name_length(const struct site_entry *entry)
{
    return (int)strcspn(entry->carver, " ");
}

static int refuse_pieces(struct state *state, const struct site_entry *entry)
{
    return state_refuse(
        state,
        "%s changes, and not all of its instances can be found: it is made at %s:%u by way of %s, which also "
        "hands out pieces of larger blocks. If it does not do that in this program, say so in molt.toml, "
        "under "
        "[heap]: plain = [\"%.*s\"]; else allocate the type in another way, or restart the program",
        state->layouts.items[entry->layout].name, entry->file, entry->line, entry->carver, name_length(entry),
        entry->carver);
}

static int refuse_used(const struct doubts *doubts)
{
    const struct site_entry *entry = doubts->entry;
    char where[256];

    sites_describe(doubts->first, where, sizeof(where));
    return state_refuse(
        doubts->state,
        "%s changes, which is made at %s:%u by way of %s. That also hands out what was used before, and of "
        "%zu blocks (the first one has %zu bytes and was allocated at %s) nothing tells what they are by "
        "now: "
        "no pointer of a type that is made there leads to them. They may be free, or be this type: give the "
        "pointers to them their type; if each call makes a block of its own, say so in molt.toml, under "
        "[heap]: "
        "plain = [\"%.*s\"]",
        doubts->state->layouts.items[entry->layout].name, entry->file, entry->line, entry->carver,
        doubts->count, doubts->size, where, name_length(entry), entry->carver);
}

static int judge(struct state *state, const struct site_entry *entry)
{
    struct doubts doubts = { .state = state, .entry = entry };

    if (entry->pieces) {
        return refuse_pieces(state, entry);
    }
    for (size_t i = 0; i < state->guesses.count; i++) {
        const struct guess *guess = &state->guesses.items[i];
        if (!guess->layout) {
            look_at(&doubts, guess->site, guess->size);
        }
    }
    state_want(state, is_buffer);
    heap_walk(state->wanted, visit_buffer, &doubts);
    return doubts.count ? refuse_used(&doubts) : 0;
}

int refuse_carved(struct state *state)
{
    int status = 0;

    for (size_t i = 0; status == 0 && i < state->sites.count; i++) {
        if (makes_changed(state, &state->sites.entries[i])) {
            status = judge(state, &state->sites.entries[i]);
        }
    }
    return status;
}
