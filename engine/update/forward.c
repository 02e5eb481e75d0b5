/*
 * Forwarding: whatever leads to an instance that has moved, or to a part of one that lies elsewhere in it now, is led to where that is.
 *
 * Words that have a type are judged by it: a pointer follows what it points to, a word that may be an address (uintptr_t) only if it is
 * the address of a moved instance, and everything else is left alone. Words without a type follow if they lie inside a moved instance.
 *
 * Most words are rejected by a comparison with the lowest and the highest address that could matter, most of the others as starts of
 * blocks that are where they were; what is left is looked up. Every rewritten word is noted, so that it can be put back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/update/item_index.h"
#include "engine/update/kernel_words.h"
#include "engine/update/state_private.h"

#define WORDS_EACH 2 /* that lead to an instance, as a guess: memory for noting them is taken ahead */

struct change {
    uintptr_t *at;
    uintptr_t before;
};

struct forwarding {
    uintptr_t low, high;     /* what is outside of [low, high] stays as it is */
    struct item_index index; /* of the items in the heap whose places do not tell what became of them */
    struct staging changes;
    struct kernel_words kernel;
    const struct region *opened; /* a read-only mapping that is writable for now */
    uint64_t typed, untyped, lost;
    bool heap; /* something in the heap has moved or shifted */
};

/* ---- what has moved ------------------------------------------------------------------------------------------------------ */

static void widen(struct forwarding *forwarding, uintptr_t low, uintptr_t high)
{
    forwarding->low = low < forwarding->low ? low : forwarding->low;
    forwarding->high = high > forwarding->high ? high : forwarding->high;
}

/* The bounds of all that has moved or shifted. */
static void find_bounds(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    for (size_t i = 0; i < state->conversion_count; i++) {
        const struct conversion *conversion = &state->conversions[i];
        if (conversion->high) {
            widen(forwarding, conversion->low, conversion->high);
            forwarding->heap = true;
        }
    }
    for (size_t i = 0; i < state->roots.count; i++) { /* of unchanged types, but elsewhere */
        const struct root *root = &state->roots.items[i];
        if (root->target != root->place) {
            widen(forwarding, root->place, root->place + root_size(state, root));
        }
    }
}

static bool is_special(const struct conversion *conversion, const struct item *item)
{
    return item->kind != PLACE_ROOT &&
           (item->moved || item->retagged || conversion->from->conversion_count > 1);
}

static int index_items(struct state *state, const struct conversion *conversion)
{
    struct staging_position position = { 0 };
    const struct item *item;
    int status = 0;

    while (status == 0 && (item = item_next(conversion, &position))) {
        if (is_special(conversion, item)) {
            uint32_t header = sites_meaning(&state->sites, item->site)->allocator.header;
            status = item_index_add(&state->forwarding->index,
                                    (struct indexed_item){ item->place - header, conversion, item });
        }
    }
    return status;
}

static int make_index(struct state *state)
{
    struct item_index *index = &state->forwarding->index;
    size_t special = 0;
    int status = 0;

    for (size_t i = 0; i < state->conversion_count; i++) {
        special += state->conversions[i].special;
    }
    if (special) {
        status = item_index_make_room(index, special);
    }
    for (size_t i = 0; i < state->conversion_count && status == 0; i++) {
        status = state->conversions[i].special ? index_items(state, &state->conversions[i]) : 0;
    }
    item_index_lay_out(index);
    return status;
}

/* ---- where VALUE leads now ------------------------------------------------------------------------------------------------ */

enum answer { SAME, ELSEWHERE, GONE };

struct where {
    const struct conversion *conversion; /* NULL: the same type, elsewhere */
    enum place_kind kind;
    uintptr_t place, target; /* of the old and the new object */
    size_t size;             /* of the old one */
    bool moved;
};

static bool find_in_roots(const struct state *state, uintptr_t value, uint32_t wanted, struct where *ret)
{
    const struct root *root = roots_find(state, value);

    /* what begins where a variable ends is another one: only a pointer to such elements can mean the end */
    if (!root && wanted && (root = roots_find(state, value - 1)) &&
        (root->place + root_size(state, root) != value ||
         (root->record->layout != wanted && root->record->new_layout != wanted))) {
        root = NULL;
    }
    if (!root) {
        return false;
    }
    if (!root->item && root->target == root->place) {
        return false;
    }
    *ret = (struct where){ .kind = PLACE_ROOT, .place = root->place, .target = root->target };
    ret->conversion = root->conversion;
    ret->size = root->item ? root->item->size : root_size(state, root);
    ret->moved = root->target != root->place;
    return true;
}

/* In an item of the index. Where one ends another block may begin. */
static bool find_in_index(const struct state *state, uintptr_t value, struct where *ret)
{
    const struct indexed_item *found = item_index_find(&state->forwarding->index, value);
    const struct item *item = found ? found->item : NULL;

    if (!item || value < item->place || value > item->place + item->size ||
        (value == item->place + item->size && heap_site_at(value))) {
        return false;
    }
    *ret = (struct where){ found->conversion,         item->kind, item->place,
                           (uintptr_t)item_new(item), item->size, item->moved };
    return true;
}

static bool find_in_heap(struct state *state, uintptr_t value, struct where *ret)
{
    struct heap_block block;
    struct place place;

    if (find_in_index(state, value, ret)) {
        return true;
    }
    if (!heap_find(value, &block) && !(heap_find(value - 1, &block) && block.start + block.usable == value)) {
        return false;
    }
    if (item_index_has(&state->forwarding->index, block.start) || !state_place(state, &block, &place) ||
        !state->layouts.items[place.layout].changed) {
        return false;
    }
    const struct conversion *conversion =
        &state->conversions[state->layouts.items[place.layout].first_conversion];
    *ret = (struct where){ conversion,
                           place.kind,
                           place.start,
                           place.start,
                           conversion_size_before(conversion, place.kind, place.size),
                           false };
    return true;
}

/* Quickly: whether VALUE is the start of a block that has not moved, and means the object in it. */
static inline bool is_start_in_place(struct state *state, uintptr_t value, uint32_t wanted)
{
    const struct meaning *meaning = sites_meaning(&state->sites, heap_site_at(value));
    bool same = meaning->layout && (!wanted || wanted == meaning->layout ||
                                    wanted == state->layouts.items[meaning->layout].becomes);

    return same && !meaning->allocator.header && !item_index_has(&state->forwarding->index, value);
}

/* WANTED: what the pointer promises, 0 for nothing. */
static enum answer look_up(struct state *state, uintptr_t value, uint32_t wanted, uintptr_t *ret,
                           struct where *where)
{
    uint64_t offset;

    if ((!state->forwarding->heap || !find_in_heap(state, value, where)) &&
        !find_in_roots(state, value, wanted, where)) {
        return SAME;
    }
    if (value < where->place || value > where->place + where->size) {
        return SAME; /* the part of the block that nobody asked for, or what an allocation function keeps in front */
    }
    offset = value - where->place;
    if (where->conversion &&
        !conversion_offset(where->conversion, where->kind, where->size, offset, wanted, &offset)) {
        return GONE;
    }
    *ret = where->target + offset;
    return *ret == value ? SAME : ELSEWHERE;
}

/* ---- rewriting -------------------------------------------------------------------------------------------------------------- */

/* Tables of constants and the linker's tables are read-only; they are opened as they are met. (What could not even be read when the map
 * was made is an allocator's by now, who has seen to it.) */
static void open_region(struct state *state, const uintptr_t *at)
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

static void close_region(struct state *state)
{
    const struct region *region = state->forwarding->opened;

    if (region) {
        mprotect((void *)region->start, region->end - region->start, PROT_READ);
        state->forwarding->opened = NULL;
    }
}

static void rewrite(struct state *state, uintptr_t *at, uintptr_t value)
{
    struct change *change = staging_push(&state->forwarding->changes, sizeof(*change));

    if (!change) {
        state_refuse(state, "not enough memory to note the addresses that change");
        state->status = -ENOMEM;
        return;
    }
    *change = (struct change){ at, *at };
    if (state->references.constants) {
        open_region(state, at);
    }
    *at = value;
}

/*
 * Whether VALUE is the start of an object with bits of its own in the lowest places, or else an address within its first member,
 * and it makes a difference which: ANSWER and AFTER are what it is if it leads into the member.
 */
static bool may_be_tagged(const struct where *where, uintptr_t value, enum answer answer, uintptr_t after)
{
    const struct conversion *conversion = where->conversion;
    uintptr_t bits = value & 7, offset = value - bits - where->place;
    uint64_t start;

    if (!bits || !conversion || value - bits < where->place ||
        (where->kind == PLACE_OBJECT ? offset : offset % conversion->from->size) != 0 ||
        !conversion_offset(conversion, where->kind, where->size, offset, 0, &start)) {
        return false;
    }
    return where->target + start + bits != (answer == GONE ? value : after);
}

static void refuse_tag(struct state *state, uintptr_t at, const struct layout_word *word, const char *type,
                       uintptr_t value)
{
    const struct patch_file *file = state->layouts.file;

    state->status = state_refuse(
        state,
        "the pointer to %s at 0x%lx%s%s has the value 0x%lx, which is no address of one but has bits of its "
        "own (a tagged pointer): it cannot be led to "
        "where the instance is now; keep the type within its size, or write a policy that does",
        type, (unsigned long)at, word->field != UINT32_MAX ? ", member " : "",
        word->field != UINT32_MAX ? patch_file_string(file, file->patch_fields[word->field].name) : "",
        (unsigned long)value);
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

/* The address in WORD at AT, PROMISED to be of that layout if it is not 0, may lead elsewhere now. */
static __attribute__((noinline)) void follow(struct state *state, uintptr_t at,
                                             const struct layout_word *word, uint32_t promised)
{
    struct forwarding *forwarding = state->forwarding;
    const struct layout *wanted = &state->layouts.items[promised];
    uintptr_t value = *(uintptr_t *)at, after = 0;
    struct where where;
    enum answer answer = look_up(state, value, promised, &after, &where);

    if (answer == SAME) {
        return;
    }
    if (promised && value & ((wanted->record->alignment < 8 ? wanted->record->alignment : 8) - 1)) {
        refuse_tag(state, at, word, wanted->name, value);
    } else if (!promised && may_be_tagged(&where, value, answer, after)) {
        refuse_tag(state, at, word, where.conversion->from->name, value);
    } else if (answer == GONE) {
        forwarding->lost++;
        note_lost(state, at, word, value - where.place, &where);
    } else {
        rewrite(state, (uintptr_t *)at, after);
        forwarding->typed++;
    }
}

static inline void visit_typed_word(void *context, uintptr_t at, const struct layout_word *word)
{
    struct state *state = context;
    const struct forwarding *forwarding = state->forwarding;
    uint32_t promised = word->kind == MOLT_FIELD_POINTER ? word->layout : 0;
    uintptr_t value = *(uintptr_t *)at;

    if (value - forwarding->low <= forwarding->high - forwarding->low && state->status == 0 &&
        !is_start_in_place(state, value, promised)) {
        follow(state, at, word, promised);
    }
}

static void visit_untyped_words(void *context, uintptr_t *start, size_t count)
{
    struct state *state = context;
    struct forwarding *forwarding = state->forwarding;
    uintptr_t low = forwarding->low, range = forwarding->high - low, after;
    struct where where;

    for (uintptr_t *at = start, *end = start + count; at < end; at++) {
        if (*at - low <= range && !is_start_in_place(state, *at, 0) &&
            look_up(state, *at, 0, &after, &where) == ELSEWHERE) {
            rewrite(state, at, after);
            forwarding->untyped++;
        }
    }
}

/* ---- where to look ------------------------------------------------------------------------------------------------------------ */

/* Quickly, whatever they mean: whether any of the words from START to END holds an address that matters. */
static bool holds_any(const struct forwarding *forwarding, uintptr_t start, uintptr_t end)
{
    uintptr_t low = forwarding->low, range = forwarding->high - low;
    bool any = false;

    for (const uintptr_t *at = (const uintptr_t *)start; at < (const uintptr_t *)(end & ~7ul); at++) {
        any |= *at - low <= range;
    }
    return any;
}

/* The heap's blocks as they are now. */
static bool visit_block(void *context, const struct heap_block *block)
{
    struct state *state = context;
    struct place place;

    if (item_index_has(&state->forwarding->index, block->start) &&
        item_index_find(&state->forwarding->index, block->start)->item->moved) {
        return true; /* the old block: nobody looks at it any more */
    }
    if (!state_place(state, block, &place)) {
        references_range(&state->references, block->start, block->start + block->size, visit_untyped_words,
                         state);
        return state->status == 0;
    }
    uint32_t layout = state->layouts.items[place.layout].becomes;
    const struct layout *type = &state->layouts.items[layout];
    if (type->aligned && place.start % sizeof(uintptr_t) == 0 &&
        !holds_any(state->forwarding, place.start, place.start + place.size)) {
        return true;
    }
    place_walk(&state->layouts, layout, place.kind, place.start, place.size, visit_typed_word, state);
    if (place.kind == PLACE_OBJECT && !type->record->tail_stride && place.size > type->size) {
        references_range(&state->references, place.start + type->size, place.start + place.size,
                         visit_untyped_words, state);
    }
    return state->status == 0;
}

static bool holds_addresses(const struct state *state, const struct meaning *meaning)
{
    const struct layout *layout = &state->layouts.items[meaning->layout];
    bool same = !state->custom &&
                !state->moved; /* what has been traced holds what it held, and that is where it was */

    if (meaning->layout && same && !state->strays[meaning->layout]) {
        return false;
    }
    if (!meaning->layout || layout->words) {
        return true;
    }
    for (uint32_t i = 0; i < layout->conversion_count; i++) {
        if (state->conversions[layout->first_conversion + i].to->words) {
            return true;
        }
    }
    return meaning->kind == MOLT_SITE_OBJECT &&
           !layout->record->tail_stride; /* bytes may follow the object */
}

/* Variables with types are visited by them, and by nobody else. */
static int leave_roots(struct state *state)
{
    int status = 0;

    for (size_t i = 0; i < state->roots.count && status == 0; i++) {
        const struct root *root = &state->roots.items[i];
        const struct molt_patch_root *record = root->record;
        size_t each = record->kind == MOLT_FIELD_MEMBER ? state->layouts.items[record->new_layout].size
                                                        : sizeof(void *);
        status = references_leave(&state->references, root->place, root->place + root_size(state, root));
        if (status == 0 && root->target != root->place) {
            status =
                references_leave(&state->references, root->target, root->target + each * record->new_count);
        }
    }
    return status;
}

/* What the patch writes itself stays as it was until it does, else the way back would bring addresses that had been led on already. */
static int leave_constants(struct state *state)
{
    const struct patch_file *file = &state->patch->file;
    int status = 0;

    for (size_t i = 0; i < file->patch_data_count && status == 0; i++) {
        const struct molt_patch_data *data = &file->patch_data[i];
        uintptr_t place =
            state->patch->modules[data->module].absent ? 0 : load_data_place(state->patch, data);
        status = place ? references_leave(&state->references, place, place + data->size) : 0;
    }
    return status;
}

/* What the kernel keeps is the address of an object, in whose low bits, which are zero in addresses, programs keep flags. */
static bool kernel_word_moved(void *context, uint64_t data, uint64_t *ret)
{
    struct state *state = context;
    const struct forwarding *forwarding = state->forwarding;
    struct where where;
    uintptr_t after;

    if (data - forwarding->low > forwarding->high - forwarding->low ||
        look_up(state, data, 0, &after, &where) == SAME) {
        return false;
    }
    uint32_t alignment = where.conversion ? where.conversion->from->record->alignment : 1;
    uint64_t flags = data & ((alignment < 8 ? alignment : 8) - 1);
    bool moved = look_up(state, data - flags, 0, &after, &where) == ELSEWHERE;
    *ret = after + flags;
    return moved;
}

static void visit_kernel(struct state *state)
{
    int descriptor = -1;

    if (state->notes) {
        return; /* a rehearsal: the copy's epoll sets are the program's */
    }
    state->status = kernel_words_lead(&state->forwarding->kernel, kernel_word_moved, state, &descriptor);
    if (state->status < 0) {
        state_refuse(
            state,
            "an epoll set holds the address of an instance that moves, with descriptor %d, and it cannot be "
            "changed there now (%s); try again",
            descriptor, state->status == -ENOMEM ? "no memory" : "the descriptor is disarmed or closed");
    }
}

static void visit_all(struct state *state)
{
    for (size_t i = 0; i < state->roots.count && state->status == 0; i++) {
        root_walk(state, &state->roots.items[i], state->roots.items[i].target, true, visit_typed_word, state);
    }
    if (state->status == 0) {
        state_want(state, holds_addresses);
        heap_walk(state->wanted, visit_block, state);
    }
    if (state->status == 0) {
        references_walk(&state->references, state->world, visit_untyped_words, state);
    }
    if (state->status == 0) {
        references_mapped(&state->references, state->world, visit_untyped_words, state);
    }
    if (state->status == 0) {
        visit_kernel(state);
    }
}

int forward(struct state *state)
{
    struct forwarding *forwarding = state->forwarding;

    *forwarding = (struct forwarding){
        .low = UINTPTR_MAX, .changes = forwarding->changes, .index = forwarding->index /* what was reserved */
    };
    state->lost = (struct lost_pointer){ 0 };
    find_bounds(state);
    if (forwarding->low == UINTPTR_MAX) {
        return 0;
    }
    state->references.constants = state->roots_moved;
    state->status = 0;
    int status = make_index(state);
    status = status < 0 ? status : leave_roots(state);
    status = status < 0 ? status : leave_constants(state);
    if (status < 0) {
        return status;
    }
    references_sort(&state->references);
    visit_all(state);
    close_region(state);
    if (forwarding->lost) {
        state_warn(state, "%lu pointers lead to members that are gone: they stay as they are",
                   (unsigned long)forwarding->lost);
    }
    state->report->rewritten_typed = forwarding->typed;
    state->report->rewritten_untyped = forwarding->untyped;
    return state->status;
}

void forward_undo(struct state *state)
{
    struct staging_position position = { 0 };
    const struct change *change;

    while ((change = staging_next(&state->forwarding->changes, &position))) {
        staging_advance(&position, sizeof(*change));
        if (state->references.constants) {
            open_region(state, change->at);
        }
        *change->at = change->before;
    }
    close_region(state);
    kernel_words_undo(&state->forwarding->kernel);
    forward_deinit(state);
}

void forward_deinit(struct state *state)
{
    staging_deinit(&state->forwarding->changes);
    item_index_deinit(&state->forwarding->index);
    kernel_words_deinit(&state->forwarding->kernel);
    *state->forwarding = (struct forwarding){ 0 };
}

int forward_reserve(struct state *state, size_t count)
{
    size_t some_more = count + count / 16;
    int status = staging_reserve(&state->forwarding->changes, some_more * WORDS_EACH * sizeof(struct change));

    return status < 0 ? status : item_index_reserve(&state->forwarding->index, some_more);
}

int forward_init(struct state *state)
{
    state->forwarding = state_map(1, sizeof(*state->forwarding));
    return state->forwarding ? 0 : -ENOMEM;
}

void forward_destroy(struct state *state)
{
    if (state->forwarding) {
        forward_deinit(state);
        state_unmap(state->forwarding);
    }
}
