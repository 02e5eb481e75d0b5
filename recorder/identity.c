/*
 * Matching. A declaration that vanished in a change of text (a candidate) and one that appeared (an arrival)
 * are the same if they have the same name and owner; candidates are those of the segments that were cut
 * again, and the ghosts: declarations of the baseline that vanished earlier, by which cut and paste and undo
 * are seen. What is left is matched by place: an arrival whose name stands where the candidate's stood, in
 * the remains of the candidate's declaration, is the candidate renamed. Owners are matched before what they
 * own.
 */
#include "recorder/identity.h"

#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "recorder/token.h"

enum { PAIRS_MAX = 1 << 22 };

struct candidate {
    const struct declaration *declaration;
    struct identity identity;
    uint64_t owner; /* id, 0 for none */
    uint64_t key;
    struct ghost place;
    bool ghost;
    bool taken;
};

struct arrival {
    struct segment *segment;
    uint32_t index;
    uint32_t level;
    bool done;
};

struct match {
    struct file *file;
    const struct hunks *hunks;
    enum evidence evidence;
    uint64_t *next_id;
    struct candidate *candidates; /* sorted by key, ghosts behind others */
    uint32_t candidate_count;
    struct arrival *arrivals;
    uint32_t arrival_count;
    uint32_t levels;
    bool namesakes; /* one of several of one name was matched */
};

uint64_t identity_key(const struct declarations *declarations, uint32_t index, uint64_t owner)
{
    const struct declaration *item = &declarations->items[index];
    const char *name = declaration_name(declarations, index);

    return hash_mix(hash_bytes((uint64_t)item->kind << 1 | item->prototype, name, strlen(name)), owner);
}

/* What the hunks leave of RANGE, in the new text. */
static struct range map_range(const struct hunks *hunks, struct range range)
{
    return (struct range){ hunks_map_start(hunks, range.start), hunks_map_end(hunks, range.end) };
}

/* Whether each hunk that touches the name stays inside of it. */
static bool only_name_touched(const struct hunks *hunks, struct range label)
{
    for (uint32_t i = hunks_find(hunks, label.start); i < hunks->count; i++) {
        const struct hunk *hunk = &hunks->items[i];
        if (hunk->old_start > label.end) {
            break;
        }
        if (hunk->old_start < label.start || hunk->old_end > label.end) {
            return false;
        }
    }
    return true;
}

/* Where the declaration ITEM of a segment that began at LEAD has gone. */
static struct ghost place_of(const struct hunks *hunks, const struct declaration *item, uint32_t lead,
                             int32_t base)
{
    struct range extent = { lead + item->extent.start, lead + item->extent.end };
    struct range label = { lead + item->label.start, lead + item->label.end };
    uint32_t lost = hunks_lost(hunks, extent.start, extent.end) - hunks_lost(hunks, label.start, label.end);
    uint32_t length = (extent.end - extent.start) - (label.end - label.start);

    return (struct ghost){
        .base = base,
        .extent = map_range(hunks, extent),
        .label = map_range(hunks, label),
        .length = length,
        .survived = length - lost,
        .in_place = only_name_touched(hunks, label),
    };
}

static struct ghost move_ghost(const struct hunks *hunks, struct ghost ghost)
{
    uint32_t lost = hunks_lost(hunks, ghost.extent.start, ghost.extent.end);

    ghost.survived -= lost < ghost.survived ? lost : ghost.survived;
    ghost.in_place = ghost.in_place && only_name_touched(hunks, ghost.label);
    ghost.extent = map_range(hunks, ghost.extent);
    ghost.label = map_range(hunks, ghost.label);
    return ghost;
}

static void add_removed(struct match *match, const struct segment *segment)
{
    const struct declarations *declarations = &segment->content->declarations;

    for (uint32_t i = 0; i < declarations->count; i++) {
        const struct declaration *item = &declarations->items[i];
        uint64_t owner = item->owner < 0 ? 0 : segment->identities[item->owner].id;
        match->candidates[match->candidate_count++] = (struct candidate){
            .declaration = item,
            .identity = segment->identities[i],
            .owner = owner,
            .key = identity_key(declarations, i, owner),
            .place = place_of(match->hunks, item, segment->span.lead, segment->identities[i].base),
        };
    }
}

static void add_ghost(struct match *match, const struct ghost *ghost)
{
    const struct base_item *base = &match->file->bases[ghost->base];
    const struct segment *segment = &match->file->baseline.items[base->segment];
    const struct declaration *item = &segment->content->declarations.items[base->index];
    uint64_t owner = item->owner < 0 ? 0 : segment->identities[item->owner].id;

    match->candidates[match->candidate_count++] = (struct candidate){
        .declaration = item,
        .identity = segment->identities[base->index],
        .owner = owner,
        .key = identity_key(&segment->content->declarations, base->index, owner),
        .place = move_ghost(match->hunks, *ghost),
        .ghost = true,
    };
}

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    if (a->ghost != b->ghost) {
        return a->ghost - b->ghost;
    }
    return (a->place.extent.start > b->place.extent.start) - (a->place.extent.start < b->place.extent.start);
}

static bool is_removed(const struct segment *segment)
{
    return segment->identities != NULL;
}

static bool is_new(const struct segment *segment)
{
    return !segment->identities && segment->content->declarations.count;
}

static bool collect_candidates(struct match *match, const struct outline *old)
{
    size_t count = match->file->ghosts.count;

    for (uint32_t i = 0; i < old->count; i++) {
        count += is_removed(&old->items[i]) ? old->items[i].content->declarations.count : 0;
    }
    match->candidates = malloc((count + 1) * sizeof(*match->candidates));
    if (!match->candidates) {
        return false;
    }
    for (uint32_t i = 0; i < old->count; i++) {
        if (is_removed(&old->items[i])) {
            add_removed(match, &old->items[i]);
        }
    }
    for (uint32_t i = 0; i < match->file->ghosts.count; i++) {
        add_ghost(match, &match->file->ghosts.items[i]);
    }
    qsort(match->candidates, match->candidate_count, sizeof(*match->candidates), compare_candidates);
    return true;
}

/* Makes room for the identities of all new segments and lists their declarations. */
static bool collect_arrivals(struct match *match, struct outline *made)
{
    size_t count = 0;

    for (uint32_t i = 0; i < made->count; i++) {
        count += is_new(&made->items[i]) ? made->items[i].content->declarations.count : 0;
    }
    match->arrivals = malloc((count + 1) * sizeof(*match->arrivals));
    if (!match->arrivals) {
        return false;
    }
    for (uint32_t i = 0; i < made->count; i++) {
        struct segment *segment = &made->items[i];
        if (!is_new(segment)) {
            continue;
        }
        const struct declarations *declarations = &segment->content->declarations;
        segment->identities = calloc(declarations->count, sizeof(*segment->identities));
        if (!segment->identities) {
            return false;
        }
        for (uint32_t k = 0; k < declarations->count; k++) {
            int32_t owner = declarations->items[k].owner;
            uint32_t level =
                owner < 0 ? 0 : match->arrivals[match->arrival_count - (k - (uint32_t)owner)].level + 1;
            match->arrivals[match->arrival_count++] =
                (struct arrival){ .segment = segment, .index = k, .level = level };
            match->levels = level + 1 > match->levels ? level + 1 : match->levels;
        }
    }
    return true;
}

static const struct declaration *arrival_declaration(const struct arrival *arrival)
{
    return &arrival->segment->content->declarations.items[arrival->index];
}

static uint64_t arrival_owner(const struct arrival *arrival)
{
    int32_t owner = arrival_declaration(arrival)->owner;

    return owner < 0 ? 0 : arrival->segment->identities[owner].id;
}

static void take(struct arrival *arrival, struct candidate *candidate, uint8_t evidence)
{
    struct identity *identity = &arrival->segment->identities[arrival->index];

    *identity = candidate->identity;
    if (evidence > identity->evidence) {
        identity->evidence = evidence;
    }
    candidate->taken = arrival->done = true;
}

/* The first candidate with KEY, or the end. */
static uint32_t find_key(const struct match *match, uint64_t key)
{
    return COUNT_BEFORE(i, match->candidate_count, match->candidates[i].key < key);
}

static bool same_content(const struct declaration *a, const struct declaration *b)
{
    return a->type_hash == b->type_hash && a->value_hash == b->value_hash && a->names_hash == b->names_hash;
}

/* SAME: of several of one name (branches of an #if), take one that is otherwise equal too. */
static void match_by_name(struct match *match, uint32_t level, bool same)
{
    for (uint32_t i = 0; i < match->arrival_count; i++) {
        struct arrival *arrival = &match->arrivals[i];
        if (arrival->done || arrival->level != level) {
            continue;
        }
        const struct declaration *item = arrival_declaration(arrival);
        uint64_t key =
            identity_key(&arrival->segment->content->declarations, arrival->index, arrival_owner(arrival));
        for (uint32_t k = find_key(match, key); k < match->candidate_count; k++) {
            struct candidate *candidate = &match->candidates[k];
            if (candidate->key != key) {
                break;
            }
            if (!candidate->taken && (!same || same_content(candidate->declaration, item))) {
                take(arrival, candidate, EVIDENCE_NAME);
                match->namesakes |=
                    candidate->identity.base >= 0 && match->file->bases[candidate->identity.base].namesake;
                break;
            }
        }
    }
}

/* How well ARRIVAL stands in the place of CANDIDATE: 0 not at all. */
static uint32_t fit(const struct arrival *arrival, const struct candidate *candidate)
{
    const struct declaration *item = arrival_declaration(arrival);
    const struct ghost *place = &candidate->place;
    uint32_t lead = arrival->segment->span.lead;
    uint32_t start = lead + item->label.start, end = lead + item->label.end;

    if (candidate->declaration->kind != item->kind || candidate->owner != arrival_owner(arrival) ||
        start > place->label.end || end < place->label.start ||
        candidate->declaration->label.start == candidate->declaration->label.end) {
        return 0;
    }
    if (!place->in_place && (!place->survived || place->survived * 2 < place->length)) {
        return 0;
    }
    return 1 + place->survived + (start == place->label.start) + (end == place->label.end) + place->in_place;
}

static void match_by_place(struct match *match, uint32_t level)
{
    uint64_t pairs = 0;

    for (uint32_t i = 0; i < match->arrival_count && pairs < PAIRS_MAX; i++) {
        struct arrival *arrival = &match->arrivals[i];
        if (arrival->done || arrival->level != level) {
            continue;
        }
        struct candidate *best = NULL;
        uint32_t best_fit = 0;
        pairs += match->candidate_count;
        for (uint32_t k = 0; k < match->candidate_count; k++) {
            struct candidate *candidate = &match->candidates[k];
            uint32_t how = candidate->taken ? 0 : fit(arrival, candidate);
            if (how > best_fit) {
                best_fit = how;
                best = candidate;
            }
        }
        if (best) {
            take(arrival, best, (uint8_t)match->evidence);
        }
    }
}

static void give_new_ids(struct match *match, uint32_t level)
{
    for (uint32_t i = 0; i < match->arrival_count; i++) {
        struct arrival *arrival = &match->arrivals[i];
        if (!arrival->done && arrival->level == level) {
            arrival->segment->identities[arrival->index] =
                (struct identity){ .id = (*match->next_id)++, .base = -1 };
            arrival->done = true;
        }
    }
}

/* Candidates of the baseline that nothing took are the ghosts from now on. */
static bool keep_ghosts(struct match *match)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < match->candidate_count; i++) {
        count += !match->candidates[i].taken && match->candidates[i].identity.base >= 0;
    }
    struct ghost *ghosts = malloc((count + 1) * sizeof(*ghosts));
    if (!ghosts) {
        return false;
    }
    count = 0;
    for (uint32_t i = 0; i < match->candidate_count; i++) {
        if (!match->candidates[i].taken && match->candidates[i].identity.base >= 0) {
            ghosts[count++] = match->candidates[i].place;
        }
    }
    free(match->file->ghosts.items);
    match->file->ghosts = (struct ghosts){ ghosts, count };
    return true;
}

struct molt_error *identity_match(struct file *file, const struct outline *old, struct outline *made,
                                  const struct hunks *hunks, enum evidence evidence, uint64_t *next_id)
{
    struct match match = { .file = file, .hunks = hunks, .evidence = evidence, .next_id = next_id };
    bool done = collect_candidates(&match, old) && collect_arrivals(&match, made);

    for (uint32_t level = 0; done && level < match.levels; level++) {
        match_by_name(&match, level, true);
        match_by_name(&match, level, false);
        match_by_place(&match, level);
        give_new_ids(&match, level);
    }
    done = done && keep_ghosts(&match);
    done = done && identity_reconcile(file, made, match.namesakes, next_id);
    free(match.candidates);
    free(match.arrivals);
    return done ? NULL : molt_error_nomem();
}
