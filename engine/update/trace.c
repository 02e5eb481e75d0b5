/*
 * Types for blocks whose sites say nothing, and a look at every typed pointer to what changes: does it lead
 * where instances are known to be?
 *
 * A pointer to a changed type that leads into memory of which only the program knows what it is (its own pool
 * within a buffer, memory it mapped, the stack) means that there are instances which would be left behind:
 * the update is refused, and the pointer named. A block of unknown type takes the type that a pointer
 * promises; pointers that promise different things refuse the update, since one of them is wrong. Blocks that
 * nothing points to stay unknown, and are reported.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/sort.h"
#include "engine/update/one_pass.h"
#include "engine/update/state_private.h"

#define NAMED_SITES 6 /* in warnings */

/* Whose pointers are being looked at. */
struct source {
    struct state *state;
    uint32_t layout;         /* that the words belong to */
    const struct root *root; /* NULL: a block */
    const struct meaning *meaning;
};

static const struct layout *layout_of(const struct state *state, uint32_t index)
{
    return &state->layouts.items[index];
}

/* "struct list.head", "table in main.c" */
static void describe_source(const struct source *source, const struct layout_word *word, char *text,
                            size_t size)
{
    const struct patch_file *file = source->state->layouts.file;
    const char *unit = source->root ? patch_file_string(file, source->root->record->unit) : "";
    int length = 0;

    if (source->root) {
        length = snprintf(text, size, "the variable %s%s%s",
                          patch_file_string(file, source->root->record->name), *unit ? " of " : "", unit);
    } else {
        length = snprintf(text, size, "a %s", layout_of(source->state, source->layout)->name);
    }
    if (word->field != UINT32_MAX && length > 0 && (size_t)length < size) {
        snprintf(text + length, size - (size_t)length, " (member %s)",
                 patch_file_string(file, file->patch_fields[word->field].name));
    }
}

/* ---- refusing -------------------------------------------------------------------------------------- */

static void refuse_block(const struct source *source, const struct layout_word *word,
                         const struct heap_block *block, const char *what)
{
    struct state *state = source->state;
    char owner[256], where[256];

    describe_source(source, word, owner, sizeof(owner));
    sites_describe(sites_meaning(&state->sites, block->site), where, sizeof(where));
    state->status = state_refuse(
        state,
        "a pointer to %s in %s leads into %zu bytes that were allocated at %s %s: instances there "
        "would be left as they are; give that allocation its type in molt.toml, or the pointer its own",
        layout_of(state, word->layout)->name, owner, block->size, where, what);
}

static void refuse_memory(const struct source *source, const struct layout_word *word, uintptr_t value,
                          const char *what)
{
    struct state *state = source->state;
    char owner[256];

    describe_source(source, word, owner, sizeof(owner));
    state->status = state_refuse(
        state, "a pointer to %s in %s leads to 0x%lx, %s: instances there cannot be told from other things",
        layout_of(state, word->layout)->name, owner, (unsigned long)value, what);
}

/* Memory that was never written holds what was there before, such as the C library's links between free
 * blocks, which lead to the last word before the next block, or to its own tables. */
static bool is_leftover(const struct heap_block *block, uint64_t offset)
{
    return offset >= block->size || offset + sizeof(void *) >= block->usable;
}

/* ---- guesses --------------------------------------------------------------------------------------- */

static int push_guess(struct guesses *guesses, const struct heap_block *block)
{
    if (guesses->count == guesses->capacity) {
        size_t capacity = guesses->capacity ? guesses->capacity * 2 : 4096;
        struct guess *grown = state_map(capacity, sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        if (guesses->count) {
            memcpy(grown, guesses->items, guesses->count * sizeof(*grown));
        }
        state_unmap(guesses->items);
        guesses->items = grown;
        guesses->capacity = capacity;
    }
    guesses->items[guesses->count++] =
        (struct guess){ .start = block->start, .size = block->size, .site = block->site };
    return 0;
}

static bool is_unknown(const struct state *state, const struct meaning *meaning)
{
    return meaning->kind == MOLT_SITE_UNKNOWN;
}

static size_t smallest(const struct state *state)
{
    size_t size = SIZE_MAX;

    for (size_t i = 1; i < state->layouts.count; i++) {
        const struct layout *layout = &state->layouts.items[i];
        if ((layout->changed || layout->leads) && layout->size && layout->size < size) {
            size = layout->size;
        }
    }
    return size;
}

static bool visit_unknown(void *context, const struct heap_block *block)
{
    struct state *state = context;

    if (block->size >= state->smallest) {
        state->status = push_guess(&state->guesses, block);
    }
    return state->status == 0;
}

static void take(struct state *state, struct guess *guess, uint32_t layout)
{
    const struct layout *type = layout_of(state, layout);
    bool many = type->changed && !type->record->tail_stride && guess->size > type->size &&
                guess->size % type->size == 0 && carved_may_be_array(state, guess->site, layout);

    guess->layout = layout;
    guess->kind = many ? MOLT_SITE_ARRAY : MOLT_SITE_OBJECT;
    guess->queued = true;
    state->queued++;
}

/* Whether an object of layout WANTED begins OFFSET bytes into SIZE bytes of KIND of LAYOUT, or the last one
 * ends there. */
static bool is_at(const struct state *state, uint32_t layout, enum place_kind kind, size_t size,
                  uint64_t offset, uint32_t wanted)
{
    const struct layout *type = layout_of(state, layout);

    if (offset == size || !type->size) {
        return offset == size;
    }
    if (kind != PLACE_OBJECT) {
        return layouts_contain(&state->layouts, layout, offset % type->size, wanted);
    }
    if (type->record->tail_stride && offset >= type->record->tail_offset) {
        return layouts_contain(&state->layouts, type->tail,
                               (offset - type->record->tail_offset) % type->record->tail_stride, wanted);
    }
    return offset == type->size || layouts_contain(&state->layouts, layout, offset, wanted);
}

static void check_guess(const struct source *source, const struct layout_word *word,
                        const struct heap_block *block, uint64_t offset)
{
    struct state *state = source->state;
    struct guess *guess = guess_find(&state->guesses, block->start);
    bool changed = layout_of(state, word->layout)->changed;

    if (!guess || guess->size < layout_of(state, word->layout)->size) {
        if (changed) {
            refuse_block(source, word, block, "and are too few for one");
        }
    } else if (!guess->layout && offset == 0) {
        take(state, guess, word->layout);
    } else if (!guess->layout) {
        if (changed) {
            refuse_block(source, word, block, "for something of which nothing is known");
        }
    } else if (!is_at(state, guess->layout, guess->kind == MOLT_SITE_ARRAY ? PLACE_ARRAY : PLACE_OBJECT,
                      guess->size, offset, word->layout)) {
        if (offset == 0 && layouts_contain(&state->layouts, word->layout, 0, guess->layout)) {
            take(state, guess, word->layout); /* the pointer before was to its first member */
        } else if (changed || layout_of(state, guess->layout)->changed) {
            char what[160];
            snprintf(what, sizeof(what), "and that another pointer takes for a %.100s",
                     layout_of(state, guess->layout)->name);
            refuse_block(source, word, block, what);
        }
    }
}

/* ---- pointers -------------------------------------------------------------------------------------- */

/* A pointer to a changed type that leads into no block of the heap. */
static void check_outside(const struct source *source, const struct layout_word *word, uintptr_t value)
{
    struct state *state = source->state;
    const struct root *root = roots_find(state, value);
    const struct region *region = memory_map_find(&state->references.map, value);

    if (root && root->record->kind == MOLT_FIELD_MEMBER &&
        is_at(state, root->record->layout, PLACE_ROOT, root_size(state, root), value - root->place,
              word->layout)) {
        return;
    }
    if (root && root->place + root_size(state, root) - value < layout_of(state, word->layout)->size) {
        return; /* no instance has room there: a mark, such as the end of a list that is the list's own
                   address */
    }
    if (root) {
        refuse_memory(source, word, value, "a variable of another type");
        return;
    }
    root = roots_find(state, value - 1); /* just past the end? */
    if (root && root->place + root_size(state, root) == value) {
        return;
    }
    if (!region || !region->readable || region->kind == REGION_ALLOCATOR || heap_touched(value)) {
        state->dangling++; /* to memory that was freed, or is none: nobody can use it */
    } else if (region->kind == REGION_MODULE || region->kind == REGION_PATCHES) {
        refuse_memory(source, word, value, "which is in no variable of a type that is known");
    } else if (references_on_stack(&state->references, value)) {
        refuse_memory(source, word, value, "which is on a thread's stack");
    } else {
        refuse_memory(source, word, value, "which is memory that the program has mapped itself");
    }
}

/* VALUE, which WORD holds, is not the start of a block of just the type that it promises. */
static __attribute__((noinline)) void check_address(const struct source *source,
                                                    const struct layout_word *word, uintptr_t value)
{
    struct state *state = source->state;
    const struct layout *wanted = layout_of(state, word->layout);
    struct heap_block block;
    struct place place;

    if (!heap_find(value, &block)) {
        if (wanted->changed && !(heap_find(value - 1, &block) && block.start + block.size == value)) {
            check_outside(source, word, value);
        }
        return;
    }
    const struct meaning *meaning = sites_meaning(&state->sites, block.site);
    /* An allocator of the program's own, a free list, say, keeps something else where the pointer stood. */
    bool leftover =
        is_leftover(&block, value - block.start) || block.start + block.size - value < wanted->size;
    if (leftover && meaning->kind != MOLT_SITE_OBJECT && meaning->kind != MOLT_SITE_ARRAY) {
        state->dangling += wanted->changed;
    } else if (meaning->kind == MOLT_SITE_UNKNOWN) {
        check_guess(source, word, &block, value - block.start);
    } else if (wanted->changed && meaning->kind == MOLT_SITE_BYTES) {
        refuse_block(source, word, &block, "as a buffer");
    } else if (wanted->changed && state_place(state, &block, &place) &&
               !is_at(state, place.layout, place.kind, place.size, value - place.start, word->layout)) {
        if (leftover) {
            state->dangling++;
            return;
        }
        char what[160];
        snprintf(what, sizeof(what), "as %.100s", layout_of(state, place.layout)->name);
        refuse_block(source, word, &block, what);
    }
}

static inline void check_pointer(void *context, uintptr_t at, const struct layout_word *word)
{
    const struct source *source = context;
    struct state *state = source->state;
    const struct layout *wanted = layout_of(state, word->layout);
    uintptr_t value = *(const uintptr_t *)at;

    if (!value || state->status < 0) {
        return;
    }
    if (state_leads_to_start(state, value, word)) {
        return;
    }
    state->strays[source->layout] = true;
    value &= ~((uintptr_t)(wanted->record->alignment < 8 ? wanted->record->alignment : 8) -
               1); /* a tag is no address */
    if (word->kind == MOLT_FIELD_POINTER && (wanted->changed || wanted->leads) && value) {
        check_address(source, word, value);
    }
}

bool trace_place(struct state *state, const struct place *place)
{
    struct source source = { .state = state, .layout = place->layout, .meaning = place->meaning };

    place_walk(&state->layouts, place->layout, place->kind, place->start, place->size, check_pointer,
               &source);
    state->strays[place->layout] |=
        place->kind == PLACE_OBJECT && place->size > layout_of(state, place->layout)->size;
    return state->status == 0;
}

static bool visit_typed(void *context, const struct heap_block *block)
{
    struct state *state = context;
    struct place place;

    return state_place(state, block, &place) ? trace_place(state, &place) : state->status == 0;
}

static bool leads(const struct state *state, const struct meaning *meaning)
{
    return meaning->layout && state->layouts.items[meaning->layout].leads;
}

static void trace_roots(struct state *state)
{
    for (size_t i = 0; i < state->roots.count && state->status == 0; i++) {
        const struct root *root = &state->roots.items[i];
        struct source source = { .state = state, .layout = root->record->layout, .root = root };
        root_walk(state, root, root->place, false, check_pointer, &source);
    }
}

/* Blocks that have got a type have pointers, too. */
static void trace_guesses(struct state *state)
{
    while (state->queued && state->status == 0) {
        for (size_t i = 0; i < state->guesses.count && state->status == 0; i++) {
            struct guess *guess = &state->guesses.items[i];
            if (!guess->queued) {
                continue;
            }
            struct source source = { .state = state, .layout = guess->layout };
            guess->queued = false;
            state->queued--;
            place_walk(&state->layouts, guess->layout,
                       guess->kind == MOLT_SITE_ARRAY ? PLACE_ARRAY : PLACE_OBJECT, guess->start, guess->size,
                       check_pointer, &source);
        }
    }
}

/* ---- what stays unknown ---------------------------------------------------------------------------- */

static bool has_changed(const struct state *state, size_t size)
{
    for (size_t i = 1; i < state->layouts.count; i++) {
        if (state->layouts.items[i].changed && state->layouts.items[i].size <= size) {
            return true;
        }
    }
    return false;
}

static void report_unknown(struct state *state)
{
    struct {
        unsigned site;
        size_t count;
    } named[NAMED_SITES] = { 0 };
    size_t others = 0;

    for (size_t i = 0; i < state->guesses.count; i++) {
        const struct guess *guess = &state->guesses.items[i];
        size_t k = 0;
        if (guess->layout || !has_changed(state, guess->size) ||
            !sites_meaning(&state->sites, guess->site)->entry ||
            *sites_meaning(&state->sites, guess->site)->carver) {
            continue; /* of those that were judged, none can be it; what libraries without debug information
                         hold is theirs */
        }
        while (k < NAMED_SITES && named[k].count &&
               !sites_same_line(&state->sites, named[k].site, guess->site)) {
            k++;
        }
        if (k < NAMED_SITES) {
            named[k].site = guess->site;
            named[k].count++;
        } else {
            others++;
        }
    }
    for (size_t k = 0; k < NAMED_SITES && named[k].count; k++) {
        char where[256];
        sites_describe(sites_meaning(&state->sites, named[k].site), where, sizeof(where));
        state_warn(
            state,
            named[k].count == 1
                ? "%zu block allocated at %s is of unknown type, and nothing leads to it: it stays as "
                  "it is"
                : "%zu blocks allocated at %s are of unknown type, and nothing leads to them: they stay "
                  "as they are",
            named[k].count, where);
    }
    if (others) {
        state_warn(state,
                   others == 1
                       ? "%zu block allocated elsewhere is of unknown type, and nothing leads to it"
                       : "%zu blocks allocated elsewhere are of unknown type, and nothing leads to them",
                   others);
    }
    if (state->dangling) {
        state_warn(state, "%zu pointers to changed types lead to memory that was freed", state->dangling);
    }
}

/* Blocks that stay unknown are nobody's business from here on. */
static void drop_unknown(struct state *state)
{
    size_t kept = 0;

    for (size_t i = 0; i < state->guesses.count; i++) {
        if (state->guesses.items[i].layout) {
            state->guesses.items[kept++] = state->guesses.items[i];
        }
    }
    state->guesses.count = kept;
}

int trace(struct state *state)
{
    for (uint32_t i = 0; i < state->layouts.count; i++) {
        state->strays[i] = !layout_of(state, i)->leads; /* those are not looked at */
    }
    state->status = 0;
    state->guesses.count = 0;
    state->dangling = state->queued = 0;
    state->smallest = smallest(state);
    if (state->smallest == SIZE_MAX || refuse_doubtful(state) < 0) {
        return state->status;
    }
    state_want(state, is_unknown);
    heap_walk(state->wanted, visit_unknown, state);
    if (state->status == 0) {
        trace_roots(state);
    }
    if (state->status == 0 && state->in_passing) {
        one_pass(state);
    } else if (state->status == 0) {
        state_want(state, leads);
        heap_walk(state->wanted, visit_typed, state);
    }
    trace_guesses(state);
    for (size_t i = 0; i < state->conversion_count; i++) { /* blocks whose site will say that they are new */
        const struct conversion *conversion = &state->conversions[i];
        state->strays[conversion->record->new_layout] |= state->strays[conversion->record->old_layout];
    }
    if (state->status == 0) {
        state->status = refuse_carved(state);
    }
    if (state->status == 0) {
        state->status = refuse_missed(state);
    }
    if (state->status == 0) {
        report_unknown(state);
        drop_unknown(state);
    }
    return state->status;
}
