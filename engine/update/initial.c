/*
 * Initial values that changed: the three-way rule. The patch says what a variable began with and what it
 * begins with now. What still is as it began has not been touched by the program and becomes what the new
 * version would have; what the program has set is kept, and the report names it. Going back is the same with
 * old and new exchanged.
 *
 * What the new version has made a constant of, in its code, must be as it began: otherwise the update is
 * refused.
 *
 * It is decided while everything is old, since pointers are compared, and done when everything else is new.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/update/state_private.h"

/* About one part of a variable, in one thread if it is thread-local; followed by the bytes that were at its
 * new place. */
struct decision {
    const struct molt_patch_initial *initial;
    struct molt_patch_part part; /* for a rollback with old and new exchanged */
    const struct root *root;
    bool takes, done;
};

static size_t room_of(const struct decision *decision)
{
    return sizeof(*decision) + decision->part.new_size;
}

static uint8_t *saved(struct decision *decision)
{
    return (uint8_t *)(decision + 1);
}

static uint8_t *new_place(const struct decision *decision)
{
    return (uint8_t *)decision->root->target + decision->part.new_offset;
}

static struct decision *next(const struct state *state, struct staging_position *position)
{
    struct decision *decision = staging_next(&state->initials, position);

    if (decision) {
        staging_advance(position, room_of(decision));
    }
    return decision;
}

/* What the variable of INITIAL began with, or begins with AFTER the update. */
static const uint8_t *value_of(const struct state *state, const struct molt_patch_initial *initial,
                               bool after)
{
    uint32_t symbol = after == state->rollback ? initial->old_value : initial->new_value;

    return (const uint8_t *)state->patch->symbols[symbol].address;
}

/* ---- bits ------------------------------------------------------------------------------------------ */

static bool bit_at(const uint8_t *bytes, uint32_t bit)
{
    return bytes[bit / 8] >> bit % 8 & 1;
}

static bool same_bits(const uint8_t *one, const uint8_t *other, uint32_t from, uint32_t count)
{
    uint32_t i = from;

    while (i < from + count && bit_at(one, i) == bit_at(other, i)) {
        i++;
    }
    return i == from + count;
}

static void set_bits(uint8_t *to, const uint8_t *from, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        to[i / 8] = (uint8_t)((to[i / 8] & ~(1u << i % 8)) | (unsigned)bit_at(from, i) << i % 8);
    }
}

/* ---- deciding -------------------------------------------------------------------------------------- */

/* Whether RUNNING leads to the same SIZE bytes as BEGUN, in memory that nobody writes to. */
static bool same_text(const struct state *state, uintptr_t running, uintptr_t begun, size_t size)
{
    const struct region *region = memory_map_find(&state->references.map, running);

    return region && region->readable && (!region->writable || region->kind == REGION_PATCHES) &&
           size <= region->end - running && memcmp((const void *)running, (const void *)begun, size) == 0;
}

/* Whether the part is what it began with. */
static bool is_untouched(const struct state *state, const struct decision *decision)
{
    const struct molt_patch_part *part = &decision->part;
    const uint8_t *running = (const uint8_t *)decision->root->place + part->old_offset;
    const uint8_t *begun = value_of(state, decision->initial, false) + part->old_offset;
    uintptr_t pointer, began;

    if (part->bits) {
        return same_bits(running, begun, part->old_bit, part->bits);
    }
    if (memcmp(running, begun, part->old_size) == 0) {
        return true;
    }
    if (!part->old_text) {
        return false;
    }
    memcpy(&pointer, running, sizeof(pointer));
    memcpy(&began, begun, sizeof(began));
    return same_text(state, pointer, began, part->old_text) &&
           memcmp(running + sizeof(pointer), begun + sizeof(began), part->old_size - sizeof(pointer)) == 0;
}

static struct molt_patch_part this_way(const struct state *state, const struct molt_patch_part *part)
{
    struct molt_patch_part result = *part;

    if (state->rollback) {
        result.old_offset = part->new_offset;
        result.new_offset = part->old_offset;
        result.old_size = part->new_size;
        result.new_size = part->old_size;
        result.old_bit = part->new_bit;
        result.new_bit = part->old_bit;
        result.old_text = part->new_text;
        result.new_text = part->old_text;
    }
    return result;
}

/* The new code has the first value of ROOT baked in. */
static int check_folded(struct state *state, const struct molt_patch_initial *initial,
                        const struct root *root)
{
    const struct patch_file *file = &state->patch->file;

    for (uint32_t i = 0; i < initial->part_count; i++) {
        struct decision decision = { .initial = initial,
                                     .root = root,
                                     .part = file->patch_parts[initial->part + i] };
        if (!is_untouched(state, &decision)) {
            return state_refuse(
                state,
                "the program has set %s (%s:%u), which nothing in the new version writes to any more, so "
                "that its "
                "compiler has put what it began with into the code: what it holds would be lost; declare it "
                "volatile in the new version",
                patch_file_string(file, initial->name), patch_file_string(file, root->record->unit),
                root->record->line);
        }
    }
    return 0;
}

static int decide_root(struct state *state, const struct molt_patch_initial *initial, const struct root *root)
{
    if (root->record->flags & MOLT_ROOT_FOLDED) {
        return state->rollback ? 0 : check_folded(state, initial, root);
    }
    for (uint32_t i = 0; i < initial->part_count; i++) {
        struct decision decision = { .initial = initial, .root = root };
        decision.part = this_way(state, &state->patch->file.patch_parts[initial->part + i]);
        struct decision *pushed =
            decision.part.new_size ? staging_push(&state->initials, room_of(&decision)) : NULL;
        if (!pushed && decision.part.new_size) {
            return -ENOMEM;
        }
        if (pushed) {
            decision.takes = !decision.part.old_size || is_untouched(state, &decision);
            *pushed = decision;
        }
    }
    return 0;
}

int initials_decide(struct state *state)
{
    const struct patch_file *file = &state->patch->file;
    int status = 0;

    for (size_t i = 0; i < file->patch_initials_count; i++) {
        const struct molt_patch_initial *initial = &file->patch_initials[i];
        for (size_t k = 0; k < state->roots.count && status == 0; k++) {
            const struct root *root = &state->roots.items[k];
            if (root->record == &state->records[initial->root]) {
                status = decide_root(state, initial, root);
            }
        }
    }
    return status;
}

/* ---- telling --------------------------------------------------------------------------------------- */

/* The parts of one variable that are kept, as text. */
struct kept {
    const struct molt_patch_initial *initial;
    char parts[600];
    size_t length;
    uint32_t last; /* threads have the same parts */
    bool whole;
};

static void tell(struct state *state, const struct kept *kept)
{
    const struct patch_file *file = &state->patch->file;
    const struct molt_patch_root *root = kept->initial ? &file->patch_roots[kept->initial->root] : NULL;

    if (kept->whole || kept->length) {
        state_warn(state,
                   "%s (%s:%u) begins with another value now, but the program has set %s: kept as it is",
                   patch_file_string(file, kept->initial->name), patch_file_string(file, root->unit),
                   root->line, kept->whole ? "it" : kept->parts);
    }
}

static void note(const struct state *state, struct kept *kept, const struct decision *decision)
{
    uint32_t name = decision->part.name;

    if (!name) {
        kept->whole = true;
    } else if (name > kept->last && kept->length < sizeof(kept->parts)) {
        kept->length +=
            (size_t)snprintf(kept->parts + kept->length, sizeof(kept->parts) - kept->length, "%s%s",
                             kept->length ? ", " : "", patch_file_string(&state->patch->file, name));
        kept->last = name;
    }
}

static void tell_all(struct state *state)
{
    struct staging_position position = { 0 };
    const struct decision *decision;
    struct kept kept = { 0 };

    while ((decision = next(state, &position))) {
        if (decision->initial != kept.initial) {
            tell(state, &kept);
            kept = (struct kept){ .initial = decision->initial };
        }
        if (!decision->takes) {
            note(state, &kept, decision);
        }
    }
    tell(state, &kept);
}

/* ---- doing ----------------------------------------------------------------------------------------- */

/* Bit-fields share bytes: all are saved before any is written. A new member that a policy has seen to is left
 * to it. */
static void save(struct decision *decision)
{
    const struct molt_patch_part *part = &decision->part;
    const uint8_t *place = new_place(decision);
    bool blank = true;

    for (uint32_t i = 0; i < part->new_size && !part->old_size; i++) {
        blank = blank && !place[i];
    }
    decision->done = decision->takes && blank;
    memcpy(saved(decision), place, part->new_size);
}

static void take(const struct state *state, const struct decision *decision)
{
    const struct molt_patch_part *part = &decision->part;
    const uint8_t *value = value_of(state, decision->initial, true) + part->new_offset;

    if (part->bits) {
        set_bits(new_place(decision), value, part->new_bit, part->bits);
    } else {
        memcpy(new_place(decision), value, part->new_size);
    }
}

void initials_take(struct state *state)
{
    struct staging_position first = { 0 }, second = { 0 };
    struct decision *decision;

    while ((decision = next(state, &first))) {
        save(decision);
    }
    while ((decision = next(state, &second))) {
        if (decision->done) {
            take(state, decision);
        }
    }
    tell_all(state);
}

void initials_undo(struct state *state)
{
    struct staging_position position = { 0 };
    struct decision *decision;

    while ((decision = next(state, &position))) {
        if (decision->done) {
            memcpy(new_place(decision), saved(decision), decision->part.new_size);
        }
    }
    staging_deinit(&state->initials);
}
