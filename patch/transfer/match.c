/*
 * Aligning two versions of a function's machine code: a longest common subsequence of instructions (Myers, An
 * O(ND) Difference Algorithm), which registers and places in the frame they use left out, since those change
 * when a line is added. Instructions that come from lines with another text are not the same.
 */
#include "patch/transfer/match.h"

#include <stdlib.h>
#include <string.h>

#define DISTANCE_MAX 2000

const char *code_callee(const struct code *code, uint32_t index)
{
    const struct code_instruction *instruction = &code->instructions.items[index];
    const struct code_operand *operand = &code->operands.items[instruction->operand];
    struct object_place place;

    if (!code_named(code, operand, &place)) {
        return operand->kind == OPERAND_NUMBER ? code->symbol->name : "";
    }
    return place.symbol ? place.symbol->name : "";
}

static bool same_text(const struct match *match, const struct code_instruction *old,
                      const struct code_instruction *new)
{
    if (!old->line || !new->line || !old->file || !new->file) {
        return old->line == new->line;
    }
    if (strcmp(old->file, new->file) != 0) {
        return false;
    }
    return match->lines ? match->lines(match->lines_context, new->file, old->line, new->line)
                        : old->line == new->line;
}

/* The named target, where it has one: offsets may differ, as when a member has moved. */
static bool same_target(const struct match *match, const struct code_operand *old,
                        const struct code_operand *new)
{
    struct object_place a, b;
    bool old_named = code_named(match->old, old, &a), new_named = code_named(match->new, new, &b);

    if (!old_named || !new_named || !a.symbol || !b.symbol) {
        return old_named == new_named && (!old_named || !a.symbol == !b.symbol);
    }
    return strcmp(a.symbol->name, b.symbol->name) == 0;
}

static bool same_shape(const struct match *match, uint32_t old_index, uint32_t new_index, bool lines)
{
    const struct code_instruction *old = &match->old->instructions.items[old_index];
    const struct code_instruction *new = &match->new->instructions.items[new_index];

    if (old->mnemonic != new->mnemonic || old->visible_count != new->visible_count ||
        old->operand_count != new->operand_count) {
        return false;
    }
    for (unsigned i = 0; i < old->visible_count; i++) {
        const struct code_operand *a = &match->old->operands.items[old->operand + i];
        const struct code_operand *b = &match->new->operands.items[new->operand + i];
        bool memory = a->kind == OPERAND_MEMORY;
        if (a->kind != b->kind || a->size != b->size || a->read != b->read || a->written != b->written ||
            a->relative != b->relative || a->segment != b->segment ||
            (memory && (((a->base < REGISTERS) != (b->base < REGISTERS)) ||
                        ((a->index < REGISTERS) != (b->index < REGISTERS)) || a->scale != b->scale ||
                        ((a->frame == NO_OFFSET) != (b->frame == NO_OFFSET)))) ||
            !same_target(match, a, b)) {
            return false;
        }
    }
    return !lines || same_text(match, old, new);
}

/* The text of an anonymous constant, or NULL if it is no string. */
static const char *string_at(struct object_place place)
{
    const struct object_section *section = place.section;

    return section && (section->flags & SHF_STRINGS) && section->entry_size == 1 && section->bytes &&
                   place.offset >= 0 && (uint64_t)place.offset < section->size
               ? (const char *)section->bytes + place.offset
               : NULL;
}

/*
 * Whether ONE and OTHER, constants of one name in the two versions, stand in two places, as tables of labels
 * do when the function changes that they lead into. An address of, or in, the one is wrong for the other's
 * code.
 */
static bool is_placed_anew(const struct match *match, const struct object_symbol *one,
                           const struct object_symbol *other)
{
    const struct comparison *comparison = match->comparison;

    if (!comparison || match->old->object == match->new->object) {
        return false;
    }
    const struct object_symbol *new = comparison->new == match->new->object ? other : one;
    return symbol_is_constant(comparison->new, new) && comparison->new_change[new->index] == CHANGE_NEW;
}

/* The relocations of the SIZE bytes of a constant at PLACE: from the first on, and how many. */
static const struct object_relocation *relocations_of(struct object_place place, uint64_t size,
                                                      size_t *ret_count)
{
    const struct object_section *section = place.section;
    size_t first = object_relocation_at(section, (uint64_t)place.offset);

    for (*ret_count = 0; first + *ret_count < section->relocation_count; ++*ret_count) {
        if (section->relocations[first + *ret_count].offset >= (uint64_t)place.offset + size) {
            break;
        }
    }
    return &section->relocations[first];
}

/* Whether two fields of constants lead to one thing: to equal texts, or to what has one name. Tables of
 * labels do not. */
static bool same_field(const struct match *match, struct object_place old, struct object_place new)
{
    const char *a = string_at(old), *b = string_at(new);

    if (a && b) {
        return strcmp(a, b) == 0;
    }
    return old.symbol && new.symbol &&old.offset == new.offset &&
           !old.offset &&strcmp(old.symbol->name, new.symbol->name) == 0 &&
           !is_placed_anew(match, old.symbol, new.symbol);
}

static bool same_fields(const struct match *match, struct object_place old, struct object_place new,
                        uint64_t size)
{
    size_t old_count, new_count;
    const struct object_relocation *a = relocations_of(old, size, &old_count);
    const struct object_relocation *b = relocations_of(new, size, &new_count);
    bool same = old_count == new_count;

    for (size_t i = 0; i < old_count && same; i++) {
        same = (int64_t)a[i].offset - old.offset == (int64_t)b[i].offset - new.offset &&a[i].type ==
               b[i].type &&same_field(match, object_target(match->old->object, old.section, &a[i]),
                                      object_target(match->new->object, new.section, &b[i]));
    }
    return same;
}

static bool same_constant(const struct match *match, struct object_place old, struct object_place new)
{
    const char *a = string_at(old), *b = string_at(new);

    if (a && b) {
        return strcmp(a, b) == 0;
    }
    if (a || b || !old.section || !new.section || old.section->kind != SECTION_CONST || !old.section->bytes ||
        new.section->kind != SECTION_CONST || !new.section->bytes || old.offset < 0 || new.offset < 0) {
        return false;
    }
    uint64_t size = object_anonymous_extent(old.section, old.offset);
    return size && size == object_anonymous_extent(new.section, new.offset) &&
           memcmp(old.section->bytes + old.offset, new.section->bytes + new.offset, size) == 0 &&
           same_fields(match, old, new, size);
}

bool match_same_name(const struct match *match, const struct code_operand *old,
                     const struct code_operand *new)
{
    struct object_place a, b;
    bool old_named = code_named(match->old, old, &a), new_named = code_named(match->new, new, &b);

    if (!old_named || !new_named) {
        return old_named == new_named;
    }
    if (!a.symbol || !b.symbol) {
        return !a.symbol && !b.symbol &&
               (same_constant(match, a, b) ||
                (match->old->object == match->new->object &&a.section == b.section &&a.offset == b.offset));
    }
    return a.offset == b.offset && strcmp(a.symbol->name, b.symbol->name) == 0 &&
           !is_placed_anew(match, a.symbol, b.symbol);
}

bool match_same_member(const struct match *match, const struct code_operand *old,
                       const struct code_operand *new)
{
    struct object_place a, b;
    bool old_named = code_named(match->old, old, &a), new_named = code_named(match->new, new, &b);

    if (!match->members || old_named != new_named) {
        return false;
    }
    if (!old_named) {
        return moved_members_have(match->members, old->value, new->value);
    }
    return a.symbol && b.symbol && strcmp(a.symbol->name, b.symbol->name) == 0 &&
           moved_members_have(match->members, a.offset, b.offset);
}

/* One search for the shortest way: reached[distance][diagonal] is how far into the old code. */
struct search {
    uint32_t old_first, old_count, new_first, new_count;
    bool lines; /* their texts count */
    LIST(int32_t *) rows;
};

static int32_t best_start(const int32_t *row, int32_t distance, int32_t diagonal)
{
    bool down = diagonal == -distance || (diagonal != distance && row[diagonal - 1] < row[diagonal + 1]);

    return down ? row[diagonal + 1] : row[diagonal - 1] + 1;
}

/* Goes back along the rows and notes the pairs. */
static void trace(struct match *match, const struct search *search, int32_t distance)
{
    int32_t x = search->old_count, y = search->new_count;

    for (; distance >= 0; distance--) {
        int32_t diagonal = x - y, start_x = 0, start_y = 0;
        if (distance > 0) {
            const int32_t *row = search->rows.items[distance - 1] + distance;
            bool down =
                diagonal == -distance || (diagonal != distance && row[diagonal - 1] < row[diagonal + 1]);
            start_x = down ? row[diagonal + 1] : row[diagonal - 1];
            start_y = start_x - (down ? diagonal + 1 : diagonal - 1);
        }
        while (x > start_x && y > start_y) {
            x--;
            y--;
            match->old_of[search->new_first + y] = search->old_first + x;
            match->unsure[search->new_first + y] = !search->lines;
        }
        x = start_x;
        y = start_y;
    }
}

static void align_between(struct match *match, struct search *search)
{
    int32_t old_count = search->old_count, new_count = search->new_count, most = old_count + new_count;
    int32_t end = old_count - new_count;

    for (int32_t distance = 0; distance <= most && distance <= DISTANCE_MAX; distance++) {
        int32_t *row = (int32_t *)must_calloc(2 * distance + 3, sizeof(int32_t)) + distance + 1;
        const int32_t *before = distance ? search->rows.items[distance - 1] + distance : NULL;
        LIST_ADD(&search->rows, row - distance - 1);
        for (int32_t diagonal = -distance; diagonal <= distance; diagonal += 2) {
            int32_t x = distance ? best_start(before, distance, diagonal) : 0;
            int32_t y = x - diagonal;
            while (x >= 0 && y >= 0 && x < old_count && y < new_count &&
                   same_shape(match, search->old_first + x, search->new_first + y, search->lines)) {
                x++;
                y++;
            }
            row[diagonal] = x;
            if (diagonal == end && x >= old_count && y >= new_count) {
                trace(match, search, distance);
                return;
            }
        }
    }
}

static void search_deinit(struct search *search)
{
    for (size_t i = 0; i < search->rows.count; i++) {
        free(search->rows.items[i]);
    }
    LIST_FREE(&search->rows);
}

static void align(struct match *match)
{
    uint32_t old_count = match->old->instructions.count, new_count = match->new->instructions.count;
    struct search search = { .lines = true };

    while (search.old_first < old_count && search.new_first < new_count &&
           same_shape(match, search.old_first, search.new_first, true)) {
        match->old_of[search.new_first++] = search.old_first++;
    }
    while (old_count > search.old_first && new_count > search.new_first &&
           same_shape(match, old_count - 1, new_count - 1, true)) {
        match->old_of[--new_count] = --old_count;
    }
    search.old_count = old_count - search.old_first;
    search.new_count = new_count - search.new_first;
    align_between(match, &search);
    search_deinit(&search);
}

/* Between two pairs, what is of the same shape is paired whatever its line: compilers give the lines of what
 * they have moved as they like. */
static void fill_gaps(struct match *match)
{
    uint32_t new_count = match->new->instructions.count, old_next = 0;

    for (uint32_t i = 0; i < new_count;) {
        if (match->old_of[i] != NO_INSTRUCTION) {
            old_next = match->old_of[i++] + 1;
            continue;
        }
        uint32_t end = i;
        while (end < new_count && match->old_of[end] == NO_INSTRUCTION) {
            end++;
        }
        uint32_t old_end = end < new_count ? match->old_of[end] : (uint32_t)match->old->instructions.count;
        struct search search = {
            .old_first = old_next, .old_count = old_end - old_next, .new_first = i, .new_count = end - i
        };
        if (old_end > old_next) {
            align_between(match, &search);
            search_deinit(&search);
        }
        i = end;
    }
}

void match_init(struct match *match, const struct code *old, const struct code *new, same_line *lines,
                void *lines_context)
{
    *match = (struct match){ .old = old, .new = new, .lines = lines, .lines_context = lines_context };
    match->old_of = must_calloc(new->instructions.count + 1, sizeof(*match->old_of));
    for (size_t i = 0; i < new->instructions.count; i++) {
        match->old_of[i] = NO_INSTRUCTION;
    }
    match->unsure = must_calloc(new->instructions.count + 1, sizeof(*match->unsure));
    align(match);
    fill_gaps(match);
    match->new_of = must_calloc(old->instructions.count + 1, sizeof(*match->new_of));
    for (size_t i = 0; i < old->instructions.count; i++) {
        match->new_of[i] = NO_INSTRUCTION;
    }
    for (size_t i = 0; i < new->instructions.count; i++) {
        if (match->old_of[i] != NO_INSTRUCTION) {
            match->new_of[match->old_of[i]] = i;
        }
    }
}

void match_deinit(struct match *match)
{
    proofs_destroy(match->proofs);
    free(match->old_of);
    free(match->new_of);
    free(match->unsure);
    *match = (struct match){ 0 };
}
