/*
 * Comparing two objects definition by definition. Code is equal if its bytes are, fields of relocations left
 * out, and if the relocations at the same places name the same things: the same definition and offset, or
 * without a name the same content (a string, a constant, a jump table that leads to the same places),
 * followed as deep as it goes. So a string that moved within its section is no change, and one that changed
 * is, in every function that uses it. An inlined callee that changed shows as the caller's own bytes.
 *
 * Pairs are made first, by key; then a function's comparison may ask whether two definitions are a pair
 * without caring about their contents, which makes recursion end.
 */
#include "patch/code/compare.h"

#include <stdlib.h>
#include <string.h>

#include "patch/code/line_noise.h"
#include "patch/code/object_scope.h"

#define DEPTH_MAX 16 /* of anonymous constants that refer to each other */

static bool same_range(const struct comparison *comparison, struct object_section *old_section,
                       uint64_t old_start, struct object_section *new_section, uint64_t new_start,
                       uint64_t size, unsigned depth);

static bool all_zero(const struct object_section *section, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to && section->bytes; i++) {
        if (section->bytes[i]) {
            return false;
        }
    }
    return object_relocation_at(section, from) == object_relocation_at(section, to);
}

static bool same_string(const struct object_section *old_section, uint64_t old_offset,
                        const struct object_section *new_section, uint64_t new_offset)
{
    uint64_t old_left = old_section->size - old_offset, new_left = new_section->size - new_offset;

    for (uint64_t i = 0; i < old_left && i < new_left; i++) {
        if (old_section->bytes[old_offset + i] != new_section->bytes[new_offset + i]) {
            return false;
        }
        if (!old_section->bytes[old_offset + i]) {
            return true;
        }
    }
    return false;
}

/* Contents known by no name: how long they are shows only by where the next one begins, and padding may
 * follow. */
static bool same_anonymous(const struct comparison *comparison, struct object_place old,
                           struct object_place new, unsigned depth)
{
    const uint64_t string = SHF_MERGE | SHF_STRINGS;

    if (old.offset < 0 || new.offset < 0 || (uint64_t)old.offset >= old.section->size ||
        (uint64_t) new.offset >= new.section->size) {
        return old.offset - (int64_t)old.section->size ==
               new.offset - (int64_t) new.section->size &&strcmp(old.section->name, new.section->name) == 0;
    }
    if ((old.section->flags & string) != (new.section->flags &string) || depth > DEPTH_MAX ||
        old.section->kind != new.section->kind) {
        return false;
    }
    if ((old.section->flags & string) == string && old.section->entry_size == 1) {
        return same_string(old.section, old.offset, new.section, new.offset);
    }
    uint64_t old_size = object_anonymous_extent(old.section, old.offset);
    uint64_t new_size = object_anonymous_extent(new.section, new.offset);
    uint64_t size = old_size < new_size ? old_size : new_size;
    return same_range(comparison, old.section, old.offset, new.section, new.offset, size, depth) &&
           all_zero(old.section, old.offset + size, old.offset + old_size) &&
           all_zero(new.section, new.offset + size, new.offset + new_size);
}

bool comparison_moves(const struct comparison *comparison, const struct object_symbol *symbol)
{
    const struct object_symbol *old = comparison->was_of[symbol->index];

    return old && !comparison->old_of[symbol->index] && symbol->section &&
           comparison->old->sections[old->section].kind == SECTION_DATA &&
           comparison->new->sections[symbol->section].kind == SECTION_DATA;
}

static bool same_place(const struct comparison *comparison, struct object_place old, struct object_place new,
                       unsigned depth)
{
    if (!old.symbol || !new.symbol) {
        return !old.symbol && !new.symbol &&same_anonymous(comparison, old, new, depth + 1);
    }
    if (old.offset != new.offset) {
        return false;
    }
    if (new.symbol->section && old.symbol->section) {
        return comparison->old_of[new.symbol->index] == old.symbol ||
               (strcmp(old.symbol->key, new.symbol->key) == 0 && comparison->old_of[new.symbol->index]);
    }
    return strcmp(old.symbol->name, new.symbol->name) == 0 && !new.symbol->section == !old.symbol->section;
}

/* Whether what fields of OLD_SECTION and its counterpart name is the same; for code a variable that moves
 * is. */
static bool same_target(const struct comparison *comparison, const struct object_section *old_section,
                        struct object_place old, struct object_place new, unsigned depth)
{
    bool moves =
        old_section->kind == SECTION_CODE && old.symbol && new.symbol &&old.offset == new.offset &&
        comparison->was_of[new.symbol->index] == old.symbol &&comparison_moves(comparison, new.symbol);

    return moves || same_place(comparison, old, new, depth);
}

/* The place that a field of a table of offsets names: such entries are relative to the table, not to
 * themselves. */
static struct object_place table_target(struct object *object, const struct object_section *section,
                                        const struct object_relocation *relocation, uint64_t start)
{
    if (section->kind == SECTION_CODE || !relocation_is_relative(relocation->type)) {
        return object_target(object, section, relocation);
    }
    struct object_relocation adjusted = *relocation;
    adjusted.addend -= relocation->offset - start;
    return object_target(object, section, &adjusted);
}

static bool same_relocations(const struct comparison *comparison, struct object_section *old_section,
                             uint64_t old_start, struct object_section *new_section, uint64_t new_start,
                             uint64_t size, unsigned depth)
{
    size_t i = object_relocation_at(old_section, old_start), k = object_relocation_at(new_section, new_start);

    for (;; i++, k++) {
        bool old_end =
            i >= old_section->relocation_count || old_section->relocations[i].offset >= old_start + size;
        bool new_end =
            k >= new_section->relocation_count || new_section->relocations[k].offset >= new_start + size;
        if (old_end || new_end) {
            return old_end && new_end;
        }
        const struct object_relocation *a = &old_section->relocations[i], *b = &new_section->relocations[k];
        if (a->offset - old_start != b->offset - new_start || a->type != b->type ||
            !same_target(comparison, old_section, table_target(comparison->old, old_section, a, old_start),
                         table_target(comparison->new, new_section, b, new_start), depth)) {
            return false;
        }
    }
}

/* Whether bytes [0, SIZE) from both starts are equal outside the fields of relocations. */
static bool same_bytes(const struct object_section *old_section, uint64_t old_start,
                       const struct object_section *new_section, uint64_t new_start, uint64_t size)
{
    uint64_t at = 0;

    for (size_t i = object_relocation_at(new_section, new_start); at < size; i++) {
        bool more =
            i < new_section->relocation_count && new_section->relocations[i].offset < new_start + size;
        uint64_t stop = more ? new_section->relocations[i].offset - new_start : size;
        if (stop > at &&
            memcmp(old_section->bytes + old_start + at, new_section->bytes + new_start + at, stop - at)) {
            return false;
        }
        at = more ? stop + relocation_width(new_section->relocations[i].type) : size;
    }
    return true;
}

static bool same_range(const struct comparison *comparison, struct object_section *old_section,
                       uint64_t old_start, struct object_section *new_section, uint64_t new_start,
                       uint64_t size, unsigned depth)
{
    if (old_start + size > old_section->size || new_start + size > new_section->size) {
        return false;
    }
    if (!old_section->bytes || !new_section->bytes) {
        return all_zero(old_section, old_start, old_start + size) &&
               all_zero(new_section, new_start, new_start + size);
    }
    return same_relocations(comparison, old_section, old_start, new_section, new_start, size, depth) &&
           same_bytes(old_section, old_start, new_section, new_start, size);
}

bool comparison_same_value(const struct comparison *comparison, struct object_section *old_section,
                           uint64_t old_start, struct object_section *new_section, uint64_t new_start,
                           uint64_t size)
{
    return same_range(comparison, old_section, old_start, new_section, new_start, size, 0);
}

/* Whether two functions are the same but for line numbers of lines that only moved. */
static bool same_but_lines(struct comparison *comparison, struct object_symbol *old,
                           struct object_symbol *new)
{
    struct object_section *old_section = &comparison->old->sections[old->section];
    struct object_section *new_section = &comparison->new->sections[new->section];

    return comparison->lines && old->size == new->size && old_section->bytes &&
           new_section->bytes &&same_relocations(comparison, old_section, old->value, new_section, new->value,
                                                 old->size, 0) &&
           line_noise_only(comparison->old, old, comparison->new, new, comparison->lines,
                           comparison->lines_context);
}

static bool same_definition(struct comparison *comparison, struct object_symbol *old,
                            struct object_symbol *new)
{
    struct object_section *old_section = &comparison->old->sections[old->section];
    struct object_section *new_section = &comparison->new->sections[new->section];

    if (old->size != new->size) {
        return false;
    }
    return same_range(comparison, old_section, old->value, new_section, new->value, new->size, 0) ||
           (symbol_is_function(comparison->new, new) && same_but_lines(comparison, old, new));
}

/* Whether NEW has to be at multiples of more than OLD, as far as the sections tell: each variable has one of
 * its own but those that the source puts into others. */
static bool is_stricter(const struct object_section *old, const struct object_section *new)
{
    return old->definition_count == 1 && new->definition_count == 1 && new->align > old->align;
}

/* Two definitions of one name are the same thing if one can stand in the other's place. */
static bool is_pair(const struct comparison *comparison, const struct object_symbol *old,
                    const struct object_symbol *new)
{
    const struct object_section *old_section = &comparison->old->sections[old->section];
    const struct object_section *new_section = &comparison->new->sections[new->section];
    enum section_kind before = old_section->kind, after = new_section->kind;

    if (before == SECTION_CODE || after == SECTION_CODE) {
        return before == after;
    }
    if ((before == SECTION_CONST && after == SECTION_DATA) || is_stricter(old_section, new_section)) {
        return false;
    }
    return old->size == new->size && (before == SECTION_TLS) == (after == SECTION_TLS);
}

static void make_pairs(struct comparison *comparison)
{
    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *new = &comparison->new->symbols[i];
        struct object_symbol *old = new->key ? object_find(comparison->old, new->key) : NULL;
        if (old) {
            comparison->was_of[new->index] = old;
            comparison->now_of[old->index] = new;
        }
        if (old && is_pair(comparison, old, new)) {
            comparison->old_of[new->index] = old;
            comparison->new_of[old->index] = new;
        }
    }
}

/* The function that a part belongs to. */
static struct object_symbol *whole_of(const struct object *object, const struct object_symbol *part)
{
    char *name = must_strdup(part->name);
    char *cold = strstr(name, ".cold");

    *cold = '\0';
    struct object_symbol *whole = object_find(object, name);
    free(name);
    return whole;
}

void comparison_mark(struct comparison *comparison, struct object_symbol *symbol, const char *reason)
{
    struct object_symbol *old = comparison->old_of[symbol->index];

    if (comparison->new_change[symbol->index] != CHANGE_NONE) {
        return;
    }
    comparison->different = true;
    comparison->new_change[symbol->index] = old ? CHANGE_CHANGED : CHANGE_NEW;
    comparison->reasons[symbol->index] = reason;
    if (old) {
        comparison->old_change[old->index] = CHANGE_CHANGED;
    }
}

/* The function whose inside the data DATA points into, as a table of labels does; NULL if there is none. */
static struct object_symbol *labelled_function(struct object *object, const struct object_symbol *data)
{
    const struct object_section *section = &object->sections[data->section];

    for (size_t i = object_relocation_at(section, data->value);
         i < section->relocation_count && section->relocations[i].offset < data->value + data->size; i++) {
        struct object_place place =
            table_target(object, section, &section->relocations[i], section->relocations[i].offset);
        if (place.symbol && place.section && place.section->kind == SECTION_CODE && place.offset != 0) {
            return place.symbol;
        }
    }
    return NULL;
}

/* Data that leads into the inside of a function belongs to that version of it: both are new together. */
static void spread_over_labels(struct comparison *comparison)
{
    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *data = &comparison->new->symbols[i];
        if (!data->key || symbol_is_function(comparison->new, data)) {
            continue;
        }
        struct object_symbol *function = labelled_function(comparison->new, data);
        struct object_symbol *old = comparison->old_of[i];
        if (!function || (comparison->new_change[i] == CHANGE_NONE &&
                          comparison->new_change[function->index] == CHANGE_NONE)) {
            continue;
        }
        comparison_mark(comparison, function, "changed");
        comparison->different = true;
        comparison->new_change[i] = CHANGE_NEW;
        comparison->old_of[i] = comparison->was_of[i] = NULL;
        if (old) {
            comparison->new_of[old->index] = comparison->now_of[old->index] = NULL;
            comparison->old_change[old->index] = CHANGE_NONE;
        }
    }
}

/* A function and its cold part change together: the one jumps into the middle of the other. */
static void spread_over_parts(struct comparison *comparison)
{
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 1; i < comparison->new->symbol_count; i++) {
            struct object_symbol *part = &comparison->new->symbols[i];
            struct object_symbol *whole =
                part->key && symbol_is_part(part) ? whole_of(comparison->new, part) : NULL;
            if (whole && comparison->new_change[part->index] != CHANGE_NONE) {
                comparison_mark(comparison, whole, "changed");
            }
            if (whole && comparison->new_change[whole->index] != CHANGE_NONE) {
                comparison_mark(comparison, part, "changed");
            }
        }
    }
    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        struct object_symbol *part = &comparison->old->symbols[i];
        struct object_symbol *whole =
            part->key && symbol_is_part(part) ? whole_of(comparison->old, part) : NULL;
        struct object_symbol *new = whole ? comparison->new_of[whole->index] : NULL;
        if (whole && comparison->old_change[part->index] == CHANGE_REMOVED && new) {
            comparison_mark(comparison, new, "changed");
        }
    }
}

void comparison_spread(struct comparison *comparison)
{
    spread_over_labels(comparison);
    spread_over_parts(comparison);
}

static void allocate(struct comparison *comparison)
{
    comparison->old_of = must_calloc(comparison->new->symbol_count, sizeof(void *));
    comparison->new_of = must_calloc(comparison->old->symbol_count, sizeof(void *));
    comparison->was_of = must_calloc(comparison->new->symbol_count, sizeof(void *));
    comparison->now_of = must_calloc(comparison->old->symbol_count, sizeof(void *));
    comparison->new_change = must_calloc(comparison->new->symbol_count, sizeof(enum change));
    comparison->old_change = must_calloc(comparison->old->symbol_count, sizeof(enum change));
    comparison->reasons = must_calloc(comparison->new->symbol_count, sizeof(char *));
}

void comparison_transfer(const struct comparison *from, struct object *new, struct comparison *ret)
{
    struct comparison comparison = { .old = from->old, .new = new, .different = from->different };

    allocate(&comparison);
    object_scope_align(from->new, new);
    memcpy(comparison.old_change, from->old_change, from->old->symbol_count * sizeof(enum change));
    for (size_t i = 1; i < new->symbol_count; i++) {
        struct object_symbol *symbol = &new->symbols[i];
        struct object_symbol *same = symbol->key ? object_find(from->new, symbol->key) : NULL;
        if (symbol->key && !same) {
            comparison.new_change[i] = CHANGE_NEW;
        } else if (same) {
            comparison.new_change[i] = from->new_change[same->index];
            comparison.reasons[i] = from->reasons[same->index];
            comparison.old_of[i] = from->old_of[same->index];
            comparison.was_of[i] = from->was_of[same->index];
        }
        if (comparison.was_of[i]) {
            comparison.now_of[comparison.was_of[i]->index] = symbol;
        }
        if (comparison.old_of[i]) {
            comparison.new_of[comparison.old_of[i]->index] = symbol;
        }
    }
    *ret = comparison;
}

void comparison_init(struct comparison *comparison, struct object *old, struct object *new, same_line *lines,
                     void *context)
{
    *comparison = (struct comparison){
        .old = old,
        .new = new,
        .lines = lines,
        .lines_context = context,
    };
    allocate(comparison);
    object_scope_align(old, new);
    make_pairs(comparison);
    for (size_t i = 1; i < new->symbol_count; i++) {
        struct object_symbol *symbol = &new->symbols[i];
        struct object_symbol *before = symbol->key ? comparison->old_of[i] : NULL;
        if (symbol->key && !before) {
            comparison_mark(comparison, symbol, comparison->was_of[i] ? "another size or alignment" : "new");
        } else if (before && !same_definition(comparison, before, symbol)) {
            comparison_mark(comparison, symbol, "changed");
        }
    }
    for (size_t i = 1; i < old->symbol_count; i++) {
        if (old->symbols[i].key && !comparison->new_of[i]) {
            comparison->old_change[i] = CHANGE_REMOVED;
            comparison->different = true;
        }
    }
    comparison_spread(comparison);
}

void comparison_deinit(struct comparison *comparison)
{
    free(comparison->old_of);
    free(comparison->new_of);
    free(comparison->was_of);
    free(comparison->now_of);
    free(comparison->new_change);
    free(comparison->old_change);
    free(comparison->reasons);
    *comparison = (struct comparison){ 0 };
}
