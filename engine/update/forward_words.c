/*
 * Words that hold addresses: what each leads to now, and its way back.
 *
 * A word whose value is the start of what the one pass has moved is told by the new places alone. Most others
 * are rejected by the shadow as starts of blocks that are where they were; what is left is looked up
 * (forward_find.c). Of objects that are alike, several at a time have the same word looked at: first
 * which hold an address in question at all, then those.
 */
#include <errno.h>
#include <sys/mman.h>

#include "engine/update/forward_private.h"
#include "engine/watched.h"

/* ---- rewriting ------------------------------------------------------------------------------------- */

/* Tables of constants and the linker's tables are read-only; they are opened as they are met. (What could not
 * even be read when the map was made is an allocator's by now, who has seen to it.) */
void forward_open(struct state *state, const uintptr_t *at)
{
    struct forwarding *forwarding = state->forwarding;
    const struct region *region = memory_map_find(&state->references.map, (uintptr_t)at);

    if (!region || !region->readable || region->writable || region == forwarding->opened) {
        return;
    }
    if (forwarding->opened) {
        mprotect((void *)forwarding->opened->start, forwarding->opened->end - forwarding->opened->start,
                 PROT_READ);
    }
    mprotect((void *)region->start, region->end - region->start, PROT_READ | PROT_WRITE);
    forwarding->opened = region;
}

void forward_close(struct state *state)
{
    const struct region *region = state->forwarding->opened;

    if (region) {
        mprotect((void *)region->start, region->end - region->start, PROT_READ);
        state->forwarding->opened = NULL;
    }
}

static void rewrite(struct forwarder *forwarder, uintptr_t *at, uintptr_t value)
{
    struct state *state = forwarder->state;
    struct change *change = staging_push(&forwarder->changes, sizeof(*change));

    if (!change) {
        state_refuse(state, "not enough memory to note the addresses that change");
        state->status = -ENOMEM;
        return;
    }
    *change = (struct change){ at, *at };
    if (state->references.constants) {
        forward_open(state, at);
    }
    *at = value;
}

/* In place, the member's memory still is the instance's: a warning is enough. */
static void note_lost(struct state *state, uintptr_t at, const struct layout_word *word, uint64_t offset,
                      const struct where *where)
{
    if (where->moved && !state->lost.at && word->kind == MOLT_FIELD_POINTER) {
        offset = where->kind != PLACE_OBJECT && where->conversion->from->size
                     ? offset % where->conversion->from->size
                     : offset;
        state->lost = (struct lost_pointer){ at, word->field, where->conversion, offset };
    }
}

/* One at a time writes to the report. False: the update is over, and there is nothing to write. */
static bool begin_telling(struct state *state)
{
    while (atomic_flag_test_and_set_explicit(&state->forwarding->telling, memory_order_acquire)) {
        if (state->status < 0 || atomic_load(&parallel_broken)) {
            return false;
        }
    }
    return true;
}

static void end_telling(struct state *state)
{
    atomic_flag_clear_explicit(&state->forwarding->telling, memory_order_release);
}

static void tell_lost(struct state *state, uintptr_t at, const struct layout_word *word,
                      const struct where *where)
{
    if (begin_telling(state)) {
        state->forwarding->lost++;
        note_lost(state, at, word, *(uintptr_t *)at - where->place, where);
        end_telling(state);
    }
}

/* WORD, which says of no type what it leads to, may be the address of a TYPE with bits of its own. */
static void refuse_tag(struct state *state, uintptr_t at, const struct layout_word *word, const char *type)
{
    const struct patch_file *file = state->layouts.file;

    if (begin_telling(state)) {
        state->status = state_refuse(
            state,
            "the word at 0x%lx%s%s has the value 0x%lx: the address of a %s with bits of its own (a tagged "
            "pointer), or one within its first member, and it makes a difference which; declare it as a "
            "pointer to %s, whose lowest bits are known to be free, or keep the first member first",
            (unsigned long)at, word->field != UINT32_MAX ? ", member " : "",
            word->field != UINT32_MAX ? patch_file_string(file, file->patch_fields[word->field].name) : "",
            *(unsigned long *)at, type, type);
        end_telling(state);
    }
}

/* The lowest bits of VALUE, a pointer to something PROMISED, which are zero in every address of one: programs
 * keep flags there. */
static uintptr_t flags_of(const struct state *state, uintptr_t value, uint32_t promised)
{
    uint32_t alignment = promised ? state->layouts.items[promised].record->alignment : 1;

    return value & ((alignment < 8 ? alignment : 8) - 1);
}

/* The address in WORD at AT, PROMISED to be of that layout if it is not 0, may lead elsewhere now. */
static __attribute__((noinline)) void follow(struct forwarder *forwarder, uintptr_t at,
                                             const struct layout_word *word, uint32_t promised)
{
    struct state *state = forwarder->state;
    uintptr_t value = *(uintptr_t *)at, flags = flags_of(state, value, promised), after = 0;
    struct where where;
    enum answer answer = forward_look_up(state, value - flags, promised, &after, &where);

    if (answer == SAME) {
        return;
    }
    if (!promised && forward_may_be_tagged(&where, value, answer, after)) {
        refuse_tag(state, at, word, where.conversion->from->name);
    } else if (answer == GONE) {
        tell_lost(state, at, word, &where);
    } else {
        rewrite(forwarder, (uintptr_t *)at, after + flags);
        forwarder->typed++;
    }
}

/* Whether a pointer that PROMISES that layout, the old one or the new one, or 0 for any, means the object
 * that has moved as PLACE says. */
static inline bool means(const struct state *state, uint64_t place, uint32_t promised)
{
    const struct conversion *conversion = &state->conversions[new_place_conversion(place)];
    const struct layout *wanted = &state->layouts.items[promised];

    return !promised || wanted == conversion->from || wanted == conversion->to;
}

/* What can be told at once of VALUE, which leads to the layout PROMISED, or 0 for any. */
enum glance {
    STAYS,   /* the start of a block that has not moved, and means the object in it */
    MOVED,   /* the start of one that has, and means the object in it, which is at *ret now */
    UNCLEAR, /* everything else */
};

static inline enum glance glance_at(struct state *state, uintptr_t value, uint32_t promised, uintptr_t *ret)
{
    uint64_t place = new_places_from(&state->places, value);

    if (place) {
        *ret = new_place_target(place);
        return means(state, place, promised) ? MOVED : UNCLEAR;
    }
    const struct meaning *meaning = sites_meaning(&state->sites, heap_site_at(value));
    const struct layout *layouts = state->layouts.items;
    bool same = !promised || promised == meaning->layout || promised == layouts[meaning->layout].becomes;
    bool stays = meaning->layout && !meaning->allocator.header && same &&
                 !item_index_has(&state->forwarding->index, value);
    return stays ? STAYS : UNCLEAR;
}

READS_PROGRAM void forward_word(void *context, uintptr_t at, const struct layout_word *word)
{
    struct forwarder *forwarder = context;
    struct state *state = forwarder->state;
    uint32_t promised = forward_promised(word);
    uintptr_t value = *(uintptr_t *)at, after;

    if (!forward_may_lead(state, value) || state->status < 0) {
        return;
    }
    enum glance glance = glance_at(state, value, promised, &after);
    if (glance == MOVED) {
        rewrite(forwarder, (uintptr_t *)at, after);
        forwarder->typed++;
    } else if (glance == UNCLEAR) {
        follow(forwarder, at, word, promised);
    }
}

READS_PROGRAM void forward_untyped(void *context, uintptr_t *start, size_t count)
{
    struct forwarder *forwarder = context;
    struct state *state = forwarder->state;
    uintptr_t after;
    struct where where;

    for (uintptr_t *at = start, *end = start + count; at < end; at++) {
        if (!forward_may_lead(state, *at)) {
            continue;
        }
        enum glance glance = glance_at(state, *at, 0, &after);
        if (glance == MOVED ||
            (glance == UNCLEAR && forward_look_up(state, *at, 0, &after, &where) == ELSEWHERE)) {
            rewrite(forwarder, at, after);
            forwarder->untyped++;
        }
    }
}

/* ---- of many objects ------------------------------------------------------------------------------- */

/* Of the words OFFSET bytes behind each of COUNT OBJECTS those that may lead elsewhere: how many, and where
 * they stand in RET. */
READS_PROGRAM static inline size_t find_leading(const struct forwarding *forwarding, uint32_t offset,
                                                const uintptr_t *objects, size_t count, uintptr_t *ret)
{
    uintptr_t low = forwarding->low, range = forwarding->high - low;
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        uintptr_t at = objects[i] + offset;
        ret[found] = at;
        found += *(const uintptr_t *)at - low <= range;
    }
    return found;
}

READS_PROGRAM void forward_objects(struct forwarder *forwarder, const struct forward_shape *shape,
                                   const uintptr_t *objects, size_t count, bool noted)
{
    struct state *state = forwarder->state;
    uintptr_t places[HEAP_VISITED_MAX];

    for (const struct forward_word *word = shape->words; word < shape->words + shape->count; word++) {
        size_t found = find_leading(state->forwarding, word->offset, objects, count, places);
        uint32_t promised = forward_promised(word->word);
        for (size_t i = 0; i < found; i++) {
            uintptr_t *at = (uintptr_t *)places[i];
            uint64_t place = noted ? 0 : new_places_from(&state->places, *at);
            if (place && means(state, place, promised)) {
                *at = new_place_target(place);
                forwarder->typed++;
            } else {
                forward_word(forwarder, places[i], word->word);
            }
        }
    }
}
