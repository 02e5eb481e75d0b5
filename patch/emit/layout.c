/*
 * Layouts. A type's parts come before it in the table, since the engine descends into members; what pointers
 * lead to is made afterwards. A type that did not change is there once, as the old one.
 *
 * The hash is of what the engine goes by, name and places, and of nothing that an update may change without
 * touching instances (names of members, enumerators, what pointers lead to): a site remembers it from one
 * update to the next.
 */
#include "patch/emit/state.h"

#include <stdlib.h>
#include <string.h>

#include "patch/types/private.h"

#define OVERLAPPING_MAX 4096 /* words of one member of a union that are looked at */
#define POINTERS_MAX 3       /* to pointers, of which tables are made */

enum side { SIDE_SAME, SIDE_OLD, SIDE_NEW };

/* A field, and what it leads to. */
struct draft {
    struct molt_patch_field field;
    const struct type *target;
};

typedef LIST(struct draft) drafts;

void state_emission_init(struct state_emission *state, struct emission *emission,
                         const struct type_changes *changes)
{
    *state = (struct state_emission){ .emission = emission, .changes = changes };
    if (!emission->layouts.count) {
        LIST_ADD(&emission->layouts,
                 (struct molt_patch_layout){ .size = 1, .alignment = 1, .flags = MOLT_LAYOUT_OPAQUE });
    }
}

void state_emission_deinit(struct state_emission *state)
{
    number_map_deinit(&state->by_type);
    number_map_deinit(&state->by_hash);
    LIST_FREE(&state->targets);
    table_deinit(&state->strings);
    *state = (struct state_emission){ 0 };
}

/* ---- what a type is to the engine ------------------------------------------------------------------ */

static uint64_t shape(const struct type *type);

/* A structure may be put around members, taken away, or get another name, and nothing is in another place:
 * its members count as those of the whole, in which it begins at bit START. */
static uint64_t hash_members(uint64_t hash, const struct type *type, uint64_t start)
{
    for (size_t i = 0; i < type->member_count; i++) {
        const struct type_member *member = &type->members[i];
        const struct type *inner = type_strip(member->type);
        if (inner->kind == TYPE_STRUCT) {
            hash = hash_members(hash, inner, start + member->bit_offset);
        } else {
            hash = hash_number(hash, start + member->bit_offset);
            hash = hash_number(hash, member->bit_size);
            hash = hash_number(hash, shape(member->type));
        }
    }
    return hash;
}

static uint64_t hash_shape(const struct type *type)
{
    uint64_t hash =
        hash_number(hash_number(HASH_START, type->kind == TYPE_ENUM ? TYPE_BASE : type->kind), type->size);

    if (type->kind == TYPE_BASE) {
        hash = hash_number(hash, type->encoding <= TYPE_UNSIGNED ? TYPE_SIGNED : type->encoding);
    } else if (type->kind == TYPE_ARRAY) {
        hash = hash_number(hash_number(hash, type->count), shape(type->inner));
    } else if (type_is_compound(type)) {
        hash = hash_word(hash, type->name ? type->name : type->alias);
        hash = hash_members(hash, type, 0);
        hash = hash_number(hash, type->alignment > MOLT_ALIGNMENT_ANYWHERE ? type->alignment : 0);
    }
    return hash;
}

static uint64_t shape(const struct type *type)
{
    uint64_t hash = hash_shape(type_strip(type));

    return hash ? hash : 1;
}

/* The type that stands for TYPE, and on which side of the update it is. */
static const struct type *representative(const struct state_emission *state, const struct type *type,
                                         enum side *ret_side)
{
    *ret_side = SIDE_SAME;
    if (!state->changes) {
        return type;
    }
    const struct type_change *gone = type_changes_of_old(state->changes, type);
    if (gone) {
        *ret_side = SIDE_OLD;
        return type;
    }
    if (type_changes_of_new(state->changes, type)) {
        *ret_side = SIDE_NEW;
        return type;
    }
    return type_changes_old_of(state->changes, type);
}

static bool is_function(const struct type *type)
{
    return type_strip(type)->kind == TYPE_FUNCTION;
}

/* Whether a pointer to TYPE says nothing about what is there. */
static bool is_vague(const struct type *type)
{
    type = type_strip(type);
    return type->kind == TYPE_VOID || type->kind == TYPE_OTHER || type->incomplete ||
           (type->kind == TYPE_BASE && type->size == 1) || type->size == 0;
}

/* ---- unions ---------------------------------------------------------------------------------------- */

/* An aligned word of an object: the type of the pointer in it, NULL for words without a type. */
struct word {
    uint64_t offset;
    const struct type *pointer;
};

typedef LIST(struct word) word_list;

static void collect_words(const struct type *type, uint64_t offset, word_list *ret)
{
    bool word = type_is_word(type);

    type = type_strip(type);
    if (word || type->kind == TYPE_POINTER) {
        LIST_ADD(ret, (struct word){ offset, word ? NULL : type });
    } else if (type->kind == TYPE_ARRAY && type_has_pointers(type)) {
        uint64_t size = type->inner->size ? type->inner->size : 1;
        for (uint64_t i = 0; i < type->count && ret->count < OVERLAPPING_MAX; i++) {
            collect_words(type->inner, offset + i * size, ret);
        }
    } else if (type_is_compound(type)) {
        for (size_t i = 0; i < type->member_count; i++) {
            collect_words(type->members[i].type, offset + type->members[i].bit_offset / 8, ret);
        }
    }
}

static const struct word *word_at(const word_list *words, uint64_t offset)
{
    for (size_t i = 0; i < words->count; i++) {
        if (words->items[i].offset == offset) {
            return &words->items[i];
        }
    }
    return NULL;
}

static int by_offset(const void *one, const void *other)
{
    const struct word *a = one, *b = other;

    return (a->offset > b->offset) - (a->offset < b->offset);
}

static enum molt_field_kind kind_of_pointer(const struct type *pointer)
{
    return is_function(pointer->inner) ? MOLT_FIELD_CODE : MOLT_FIELD_POINTER;
}

/* What the word at OFFSET of a union is: a pointer only if it is one in every member, whichever is in use. */
static struct molt_patch_field union_word(const word_list *members, size_t count, uint64_t offset)
{
    struct molt_patch_field field = { .offset = offset, .kind = MOLT_FIELD_WORD, .count = 1, .stride = 8 };
    enum molt_field_kind kind = MOLT_FIELD_WORD;

    for (size_t i = 0; i < count; i++) {
        const struct word *word = word_at(&members[i], offset);
        enum molt_field_kind own = word && word->pointer ? kind_of_pointer(word->pointer) : MOLT_FIELD_WORD;
        if (own == MOLT_FIELD_WORD || (i > 0 && own != kind)) {
            return field;
        }
        kind = own;
    }
    field.kind = kind;
    return field;
}

/* Fields of a union at OFFSET of what the list is of. */
static void add_union(const struct type *type, uint64_t offset, drafts *ret)
{
    word_list *members = must_calloc(type->member_count, sizeof(*members)), all = { 0 };

    for (size_t i = 0; i < type->member_count; i++) {
        collect_words(type->members[i].type, 0, &members[i]);
        for (size_t k = 0; k < members[i].count; k++) {
            if (!word_at(&all, members[i].items[k].offset)) {
                LIST_ADD(&all, members[i].items[k]);
            }
        }
    }
    if (all.count) {
        qsort(all.items, all.count, sizeof(*all.items), by_offset);
    }
    for (size_t i = 0; i < all.count; i++) {
        struct molt_patch_field field = union_word(members, type->member_count, all.items[i].offset);
        field.offset += offset;
        if (all.items[i].offset + sizeof(void *) <= type->size) {
            LIST_ADD(ret, (struct draft){ field, NULL });
        }
    }
    for (size_t i = 0; i < type->member_count; i++) {
        LIST_FREE(&members[i]);
    }
    LIST_FREE(&all);
    free(members);
}

/* ---- fields ---------------------------------------------------------------------------------------- */

static uint32_t make_layout(struct state_emission *state, const struct type *type);

static bool is_unnamed(const struct type *type)
{
    return !type->name && !type->alias;
}

/* Whether members of TYPE, COUNT of them, are told one by one as members of what holds them. */
static bool is_dissolved(const struct type *type, uint64_t count)
{
    return type_is_compound(type) && is_unnamed(type) && count == 1;
}

static uint32_t string_of(struct state_emission *state, const char *string)
{
    uintptr_t known = string && *string ? (uintptr_t)table_get(&state->strings, string) : 0;

    if (!known && string && *string) {
        known = emission_string(state->emission, string);
        table_put(&state->strings, string, (void *)known);
    }
    return known;
}

static void add_fields(struct state_emission *state, const struct type *type, uint64_t offset, drafts *ret);

static void add_field(struct state_emission *state, const struct type_member *member, uint64_t offset,
                      drafts *ret)
{
    uint64_t count;
    const struct type *named = type_named_element(member->type, &count), *type = type_strip(named);
    struct draft draft = { .field = { .offset = offset,
                                      .kind = MOLT_FIELD_WORD,
                                      .count = count,
                                      .stride = type->size,
                                      .name = string_of(state, member->name) } };

    if (member->bit_size || !count || !type->size) {
        return;
    }
    if (is_dissolved(type, count)) {
        add_fields(state, type, offset, ret);
        return;
    }
    if (type_is_compound(type)) {
        draft.field.kind = MOLT_FIELD_MEMBER;
        draft.field.layout = make_layout(state, type);
    } else if (type->kind == TYPE_POINTER) {
        draft.field.kind = kind_of_pointer(type);
        draft.target = draft.field.kind == MOLT_FIELD_POINTER && !is_vague(type->inner) ? type->inner : NULL;
    } else if (!type_is_word(named)) {
        return;
    }
    LIST_ADD(ret, draft);
}

static void add_fields(struct state_emission *state, const struct type *type, uint64_t offset, drafts *ret)
{
    if (type->kind == TYPE_UNION) {
        add_union(type, offset, ret);
    }
    for (size_t i = 0; type->kind == TYPE_STRUCT && i < type->member_count; i++) {
        add_field(state, &type->members[i], offset + type->members[i].bit_offset / 8, ret);
    }
    if (type->kind == TYPE_POINTER || type->kind == TYPE_TYPEDEF) {
        struct type_member alone = { .type = type };
        add_field(state, &alone, offset, ret);
    }
}

/* ---- layouts --------------------------------------------------------------------------------------- */

/* The last member if it has no size of its own; *RET_OFFSET is where it begins. */
static const struct type *tail_of(const struct type *type, uint64_t *ret_offset)
{
    *ret_offset = 0;
    while (type->kind == TYPE_STRUCT && type->flexible) {
        const struct type_member *last = &type->members[type->member_count - 1];
        *ret_offset += last->bit_offset / 8;
        type = type_strip(last->type);
    }
    return type->kind == TYPE_ARRAY && type->flexible ? type->inner : NULL;
}

/* TAIL, the element of the flexible array of TYPE, or the type that stands for it if its numbers become
 * others. */
static const struct type *converted_tail(const struct state_emission *state, const struct type *type,
                                         const struct type *tail, enum side side)
{
    const struct type_change *change = side == SIDE_OLD   ? type_changes_of_old(state->changes, type)
                                       : side == SIDE_NEW ? type_changes_of_new(state->changes, type)
                                                          : NULL;

    for (size_t i = 0; change && i < change->pair_count; i++) {
        const struct type_pair *pair = &change->pairs[i];
        if (pair->conversion != TYPE_CONVERT_ARRAY || !type_strip(pair->old_member->type)->flexible) {
            continue;
        }
        const struct type *old = type_strip(pair->old_member->type)->inner;
        const struct type *new = type_strip(pair->new_member->type)->inner;
        enum type_conversion each = types_conversion(state->changes, old, new);
        if ((side == SIDE_OLD ? old : new) == tail &&
            (each == TYPE_CONVERT_NUMBER || each == TYPE_CONVERT_ENUM)) {
            const struct type_change *value = type_changes_of_value(state->changes, old, new);
            return side == SIDE_OLD ? value->old : value->new;
        }
    }
    return tail;
}

static char *layout_name(const struct type *type)
{
    struct text text = { 0 };

    if (type_is_compound(type) || type->kind == TYPE_ENUM) {
        return type_key(type);
    }
    type_describe(type, &text);
    if (type->kind == TYPE_BASE && type->alias) {
        text_printf(&text, " (%s)", type->alias);
    }
    return must_have(text_steal(&text));
}

static int by_place(const void *one, const void *other)
{
    const struct draft *a = one, *b = other;

    return (a->field.offset > b->field.offset) - (a->field.offset < b->field.offset);
}

/* Appends fields and record of TYPE; what lies in it is there by then. */
static uint32_t append(struct state_emission *state, const struct type *type, uint64_t hash, char *name,
                       enum side side)
{
    struct emission *emission = state->emission;
    struct molt_patch_layout layout = {
        .hash = hash,
        .name = emission_string(emission, name),
        .size = type->size,
        .alignment = type->alignment ? type->alignment : 1,
        .flags = (side == SIDE_OLD ? MOLT_LAYOUT_CHANGED : 0) |
                 (type->kind == TYPE_OTHER ? MOLT_LAYOUT_OPAQUE : 0) |
                 (type_is_compound(type) || type->kind == TYPE_OTHER ? 0 : MOLT_LAYOUT_SCALAR)
    };
    const struct type *tail;
    uint64_t tail_offset;
    drafts fields = { 0 };

    tail = type_is_compound(type) ? tail_of(type, &tail_offset) : NULL;
    tail = tail ? converted_tail(state, type, tail, side) : NULL;
    if (tail && type_element(tail, NULL)->size) {
        layout.tail = make_layout(state, tail);
        layout.tail_offset = tail_offset;
        layout.tail_stride = layout.tail ? tail->size : 0;
    }
    add_fields(state, type, 0, &fields);
    if (fields.count) {
        qsort(fields.items, fields.count, sizeof(*fields.items), by_place);
    }
    layout.unit = type->ambiguous ? string_of(state, type->unit) : 0;
    layout.field = emission->fields.count;
    layout.field_count = fields.count;
    for (size_t i = 0; i < fields.count; i++) {
        if (fields.items[i].target) {
            LIST_ADD(&state->targets,
                     (struct layout_target){ emission->fields.count, fields.items[i].target });
        }
        LIST_ADD(&emission->fields, fields.items[i].field);
    }
    LIST_FREE(&fields);
    LIST_ADD(&emission->layouts, layout);
    return emission->layouts.count - 1;
}

static bool has_layout(const struct type *type)
{
    return type->size && !type->incomplete && type->kind != TYPE_VOID && type->kind != TYPE_FUNCTION;
}

/* A structure with nothing but a flexible array has no size, but elements. */
static uint32_t make_layout(struct state_emission *state, const struct type *type)
{
    enum side side;
    uint64_t count;
    const struct type *named = type_named_element(type, &count);

    type = type_is_word(named) ? named : type_strip(named);
    if (!has_layout(type)) {
        return 0;
    }
    type = representative(state, type, &side);
    uintptr_t known = (uintptr_t)number_map_get(&state->by_type, (uintptr_t)type);
    if (known) {
        return known - 1;
    }
    if (side == SIDE_NEW) { /* whoever looks for a hash finds the one before the update first */
        const struct type_change *change = type_changes_of_new(state->changes, type);
        (void)(change->old ? make_layout(state, change->old) : 0);
    }
    char *name = layout_name(type);
    uint64_t hash = hash_word(shape(type), name);
    uint64_t key = hash_number(type->ambiguous ? hash_word(hash, type->unit) : hash, side);
    known = (uintptr_t)number_map_get(&state->by_hash, key);
    if (!known) {
        known = 1 + append(state, type, hash, name, side);
    }
    *number_map_at(&state->by_hash, key) = (void *)known;
    *number_map_at(&state->by_type, (uintptr_t)type) = (void *)known;
    free(name);
    return known - 1;
}

uint32_t emit_layout(struct state_emission *state, const struct type *type)
{
    uint32_t index = make_layout(state, type);

    while (state->targets.count) {
        struct layout_target target = state->targets.items[--state->targets.count];
        uint32_t layout = make_layout(state, target.type);
        state->emission->fields.items[target.field].layout = layout;
    }
    return index;
}

/* ---- aliases --------------------------------------------------------------------------------------- */

static void add_alias(struct state_emission *state, const struct type *old, const struct type *new)
{
    char *before = layout_name(old), *after = layout_name(new);
    struct molt_patch_alias alias = { .before = hash_word(shape(old), before),
                                      .after = hash_word(shape(new), after),
                                      .name = emission_string(state->emission, after),
                                      .unit = new->ambiguous ? string_of(state, new->unit) : 0 };

    if (alias.before != alias.after) {
        LIST_ADD(&state->emission->aliases, alias);
    }
    free(before);
    free(after);
}

/* Tables of pointers are called by what the pointers lead to. */
static void add_pointer_aliases(struct state_emission *state, const struct type *old, const struct type *new)
{
    struct type from[POINTERS_MAX] = { 0 }, to[POINTERS_MAX] = { 0 };

    for (unsigned i = 0; i < POINTERS_MAX; i++) {
        from[i] = to[i] =
            (struct type){ .kind = TYPE_POINTER, .size = sizeof(void *), .alignment = sizeof(void *) };
        from[i].inner = i ? &from[i - 1] : old;
        to[i].inner = i ? &to[i - 1] : new;
        add_alias(state, &from[i], &to[i]);
    }
}

void emit_aliases(struct state_emission *state)
{
    const struct type_changes *changes = state->changes;

    for (size_t i = 0; i < type_changes_alike_count(changes); i++) {
        const struct type_change *change = type_changes_alike_at(changes, i);
        add_alias(state, change->old, change->new);
        add_pointer_aliases(state, change->old, change->new);
    }
    for (size_t i = 0; i < type_changes_count(changes); i++) {
        const struct type_change *change = type_changes_at(changes, i);
        if (change->old && change->new && (type_is_compound(change->old) || change->old->kind == TYPE_ENUM)) {
            add_pointer_aliases(state, change->old, change->new);
        }
    }
}

static bool emit_namesake(void *context, const struct type *type)
{
    (void)emit_layout(context, type);
    return true;
}

void emit_namesakes(struct state_emission *state, struct type_model *old)
{
    for (size_t i = 0; i < type_changes_count(state->changes); i++) {
        const struct type *type = type_changes_at(state->changes, i)->old;
        if (type && type->ambiguous) {
            type_model_walk_namesakes(old, type, emit_namesake, state);
        }
    }
}

bool emit_kind(struct state_emission *state, const struct type *type, uint32_t *ret_kind,
               uint32_t *ret_layout)
{
    uint64_t count;
    const struct type *named = type_named_element(type, &count), *element = type_strip(named);

    *ret_layout = 0;
    if (type_is_word(named)) {
        *ret_kind = MOLT_FIELD_WORD;
    } else if (element->kind == TYPE_POINTER) {
        *ret_kind = kind_of_pointer(element);
        *ret_layout = *ret_kind == MOLT_FIELD_POINTER && !is_vague(element->inner)
                          ? emit_layout(state, element->inner)
                          : 0;
    } else if (type_is_compound(element) && has_layout(element)) {
        *ret_kind = MOLT_FIELD_MEMBER;
        *ret_layout = emit_layout(state, element);
    } else {
        return false;
    }
    return true;
}
