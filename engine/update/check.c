/*
 * System validation of what policies have made: do the pointers of new instances lead where they should?
 * Generated policies copy pointers, and forwarding looks at each of them; so the instances of custom policies
 * are looked at, and what forwarding could not lead anywhere.
 *
 * C promises little, so only what is certainly wrong counts: memory that is not mapped, a block that was
 * freed or is too small, a block or variable in which there is nothing of the type that the pointer has,
 * where one of the two types changes. Memory of which nothing is known may be anything. A value that the old
 * instance held, too, is the program's own affair, and so are small numbers in place of addresses.
 */
#include <stdio.h>
#include <string.h>

#include "engine/threads/readable.h"
#include "engine/update/guard.h"
#include "engine/update/state_private.h"

#define LOWEST 0x10000ul  /* numbers below mean something else */
#define HIGHEST (-4096ul) /* and so do negative ones: errors, (void *)-1 */
#define ADDRESS_LIMIT (1ul << 47)

/* What is being looked at: the new instances of an item. */
struct checked {
    struct state *state;
    const struct conversion *conversion;
    const struct item *item;
};

/* A pointer, and what is to be said of it. */
struct suspect {
    const struct layout_word *word;
    uintptr_t at, value;
    bool mistyped;  /* there is something, but of another type */
    char what[256]; /* "which is ..." */
};

static const struct layout *layout_of(const struct state *state, uint32_t index)
{
    return &state->layouts.items[index];
}

/* ---- what is right --------------------------------------------------------------------------------- */

/* Whether the old instance holds VALUE in any word. */
static bool was_held(const struct checked *checked, uintptr_t value)
{
    const uint8_t *old = item_old(checked->item);
    uintptr_t word;

    for (size_t at = 0; at + sizeof(word) <= checked->item->size; at += sizeof(word)) {
        memcpy(&word, old + at, sizeof(word));
        if (word == value) {
            return true;
        }
    }
    return false;
}

struct sought {
    const struct layouts *layouts;
    uintptr_t value;
    uint32_t wanted;
    bool found;
};

static void seek(void *context, uintptr_t at, const struct layout_word *word)
{
    struct sought *sought = context;
    bool same =
        word->kind == MOLT_FIELD_WORD || sought->layouts->items[word->layout].becomes == sought->wanted;

    sought->found |= *(const uintptr_t *)at == sought->value && same;
}

/* Whether it holds VALUE as a pointer to the same type, WANTED, or in a word that may be any. */
static bool was_there(const struct checked *checked, uintptr_t value, uint32_t wanted)
{
    const struct layouts *layouts = &checked->state->layouts;
    struct sought sought = { layouts, value, wanted, false };

    place_walk(layouts, checked->conversion->record->old_layout, checked->item->kind,
               (uintptr_t)item_old(checked->item), checked->item->size, seek, &sought);
    return sought.found;
}

static bool is_result(const struct state *state, uint32_t layout)
{
    for (size_t i = 0; i < state->conversion_count; i++) {
        if (state->conversions[i].record->new_layout == layout) {
            return true;
        }
    }
    return false;
}

/* Whether there may be a WANTED at OFFSET of SIZE bytes of KIND of LAYOUT: a part of it, the end, or, at the
 * start, something that begins with it. */
static bool may_be_at(const struct state *state, uint32_t layout, enum place_kind kind, size_t size,
                      uint64_t offset, uint32_t wanted)
{
    const struct layouts *layouts = &state->layouts;
    const struct molt_patch_layout *record = layout_of(state, layout)->record;

    if (offset >= size || !record->size || layout_of(state, layout)->opaque) {
        return true;
    }
    if (offset == 0 && size >= layout_of(state, wanted)->size &&
        layouts_contain(layouts, wanted, 0, layout)) {
        return true;
    }
    if (kind != PLACE_OBJECT) {
        return layouts_contain(layouts, layout, offset % record->size, wanted);
    }
    if (record->tail_stride && offset >= record->tail_offset) {
        return layouts_contain(layouts, record->tail, (offset - record->tail_offset) % record->tail_stride,
                               wanted);
    }
    return offset >= record->size || layouts_contain(layouts, layout, offset, wanted);
}

/* How many bytes of a layout must be there: of one with a flexible array, those before it. */
static size_t least_of(const struct layout *layout)
{
    const struct molt_patch_layout *record = layout->record;

    return record->tail_stride && record->tail_offset < record->size ? record->tail_offset : record->size;
}

/* WANTED, as it will be; 0: nothing is said about what the pointer leads to. */
static bool is_right_block(struct state *state, const struct heap_block *block, uint32_t wanted,
                           struct suspect *suspect)
{
    uint64_t offset = suspect->value - block->start;
    const struct meaning *meaning = sites_meaning(&state->sites, block->site);
    const struct layout *type = layout_of(state, wanted);
    struct place place;

    if (!wanted || type->opaque || type->record->flags & MOLT_LAYOUT_SCALAR || offset >= block->size) {
        return true;
    }
    if (state_place(state, block, &place)) {
        uint32_t layout = layout_of(state, place.layout)->becomes;
        if (suspect->value < place.start || (!is_result(state, wanted) && !is_result(state, layout)) ||
            may_be_at(state, layout, place.kind, place.size, suspect->value - place.start, wanted)) {
            return true;
        }
        suspect->mistyped = true;
        snprintf(suspect->what, sizeof(suspect->what), "where there is no %s but a %.100s", type->name,
                 layout_of(state, layout)->name);
        return false;
    }
    if (meaning->kind == MOLT_SITE_UNKNOWN && block->size - offset < least_of(type)) {
        suspect->mistyped = true;
        snprintf(suspect->what, sizeof(suspect->what),
                 "where a block has %zu bytes left, and a %.100s needs %zu", block->size - (size_t)offset,
                 type->name, least_of(type));
        return false;
    }
    return true;
}

static bool is_right_variable(const struct state *state, const struct root *root, uint32_t wanted,
                              struct suspect *suspect)
{
    const struct molt_patch_root *record = root->record;
    const struct layout *type = layout_of(state, wanted);

    if (root->target != root->place) {
        snprintf(suspect->what, sizeof(suspect->what), "where the variable %.100s was before the update",
                 patch_file_string(state->layouts.file, record->name));
        return false;
    }
    if (!wanted || type->opaque || type->record->flags & MOLT_LAYOUT_SCALAR ||
        record->kind != MOLT_FIELD_MEMBER ||
        (!is_result(state, wanted) && !is_result(state, record->new_layout)) ||
        may_be_at(state, record->new_layout, PLACE_ROOT, root_size(state, root), suspect->value - root->place,
                  wanted)) {
        return true;
    }
    suspect->mistyped = true;
    snprintf(suspect->what, sizeof(suspect->what), "where there is no %.100s but the variable %.100s",
             type->name, patch_file_string(state->layouts.file, record->name));
    return false;
}

/* False with suspect->what if the pointer is certainly wrong. */
static bool is_right(struct state *state, struct suspect *suspect)
{
    uint32_t wanted = layout_of(state, suspect->word->layout)->becomes;
    uintptr_t value = suspect->value;
    const char *allocator = heap_allocator();
    struct heap_block block;

    if (value >= ADDRESS_LIMIT) {
        snprintf(suspect->what, sizeof(suspect->what), "which is no address");
        return false;
    }
    if (heap_find(value, &block)) {
        return is_right_block(state, &block, wanted, suspect);
    }
    if (heap_find(value - 1, &block)) {
        return true; /* just past its end */
    }
    const struct root *root = roots_find(state, value);
    if (root) {
        return is_right_variable(state, root, wanted, suspect);
    }
    /* other allocators have blocks that nobody has told the engine of */
    if (heap_touched(value) && allocator && strncmp(allocator, "libc", 4) == 0) {
        snprintf(suspect->what, sizeof(suspect->what), "where no block is: it was freed, or never was there");
        return false;
    }
    if (!is_readable(value)) {
        snprintf(suspect->what, sizeof(suspect->what), "where there is no memory");
        return false;
    }
    return true;
}

/* ---- instances ------------------------------------------------------------------------------------- */

static void tell_on(const struct checked *checked, const struct suspect *suspect)
{
    struct state *state = checked->state;
    const struct patch_file *file = state->layouts.file;
    const struct layout *to = checked->conversion->to;
    uintptr_t start = (uintptr_t)item_new(checked->item);
    bool named = suspect->word->field != UINT32_MAX;

    state->current = checked->conversion;
    state->current_item = checked->item;
    state->current_old = item_old(checked->item);
    state->current_new = item_new(checked->item);
    state->current_index =
        checked->item->kind != PLACE_OBJECT && to->size ? (suspect->at - start) / to->size : 0;
    state->current_function = STATE_SYSTEM;
    const char *member =
        named ? patch_file_string(file, file->patch_fields[suspect->word->field].name) : "a pointer";
    const char *type = suspect->word->layout ? layout_of(state, suspect->word->layout)->name : "anything";
    state->status = state_fail(
        state, "the policy sets %s%s, which leads to %s, to 0x%lx, %s; let it set another address, or NULL",
        named ? "member " : "", member, type, (unsigned long)suspect->value, suspect->what);
}

static void check_word(void *context, uintptr_t at, const struct layout_word *word)
{
    const struct checked *checked = context;
    struct state *state = checked->state;
    uintptr_t value = *(const uintptr_t *)at;

    if (word->kind != MOLT_FIELD_POINTER || value < LOWEST || value >= HIGHEST || state->status < 0) {
        return;
    }
    const struct meaning *quick = sites_meaning(&state->sites, heap_site_at(value));
    if (quick->layout && !quick->allocator.header &&
        layout_of(state, quick->layout)->becomes == layout_of(state, word->layout)->becomes) {
        return; /* the start of a block of just this type */
    }
    uint32_t alignment = layout_of(state, word->layout)->record->alignment;
    struct suspect suspect = { .word = word, .at = at, .value = value };
    suspect.value &= ~((uintptr_t)(alignment && alignment < 8 ? alignment
                                   : alignment                ? 8
                                                              : 1) -
                       1); /* tags */
    if (is_right(state, &suspect)) {
        return;
    }
    if (suspect.mistyped ? !was_there(checked, value, layout_of(state, word->layout)->becomes)
                         : !was_held(checked, value)) {
        tell_on(checked, &suspect);
    }
}

static void check_items(struct state *state, const struct conversion *conversion)
{
    struct staging_position position = { 0 };
    struct checked checked = { .state = state, .conversion = conversion };

    while (state->status == 0 && (checked.item = item_next(conversion, &position))) {
        size_t size = conversion_size(conversion, checked.item->kind, checked.item->size);
        place_walk(&state->layouts, conversion->record->new_layout, checked.item->kind,
                   (uintptr_t)item_new(checked.item), size, check_word, &checked);
    }
}

/* ---- what forwarding has left ---------------------------------------------------------------------- */

void state_describe_owner(struct state *state, uintptr_t address, char *text, size_t size)
{
    struct heap_block block;
    struct place place;
    char where[256];

    if (heap_find(address, &block)) {
        if (state_place(state, &block, &place)) {
            snprintf(text, size, "a %.100s", layout_of(state, layout_of(state, place.layout)->becomes)->name);
        } else {
            sites_describe(sites_meaning(&state->sites, block.site), where, sizeof(where));
            snprintf(text, size, "byte %zu of %zu from %s", (size_t)(address - block.start), block.size,
                     where);
        }
        return;
    }
    for (size_t i = 0; i < state->roots.count; i++) {
        const struct root *root = &state->roots.items[i];
        if (address - root->target < root_size(state, root)) {
            snprintf(text, size, "the variable %.100s",
                     patch_file_string(state->layouts.file, root->record->name));
            return;
        }
    }
    snprintf(text, size, "the program's memory");
}

static void tell_on_lost(struct state *state)
{
    const struct lost_pointer *lost = &state->lost;
    const struct patch_file *file = state->layouts.file;
    char owner[160];

    state_describe_owner(state, lost->at, owner, sizeof(owner));
    state->current = NULL;
    state->current_function = STATE_SYSTEM;
    const char *member = layouts_member(&state->layouts, lost->conversion->record->old_layout, lost->offset);
    state->status = state_fail(
        state,
        "a pointer in %s at 0x%lx%s%s leads to %s%sbyte %lu of a %s that has moved, which is gone: it would "
        "lead to memory that is given back; let a policy set it, or keep what it leads to",
        owner, (unsigned long)lost->at, lost->field != UINT32_MAX ? ", member " : "",
        lost->field != UINT32_MAX ? patch_file_string(file, file->patch_fields[lost->field].name) : "",
        *member ? member : "", *member ? ", " : "", (unsigned long)lost->offset,
        lost->conversion->from->name);
}

static void check(void *context)
{
    struct state *state = context;

    if (state->lost.at) {
        tell_on_lost(state);
    }
    for (size_t i = 0; i < state->conversion_count; i++) {
        if (state->conversions[i].custom) {
            check_items(state, &state->conversions[i]);
        }
    }
}

int check_pointers(struct state *state)
{
    struct guard_result result;

    state->current = NULL;
    state->current_item = NULL;
    state->current_function = STATE_SYSTEM;
    state->status = 0;
    guard_limit(0);
    if (guard_run(check, state, &result) != GUARD_RETURNED) {
        return state_fail(state, "%s", result.message);
    }
    return state->status;
}
