/*
 * What became of each type. Two types are compared at most once; the comparison of a structure asks for those
 * of the types in it, which ends, since nothing contains itself. Types of equal hash are equal, so that of
 * the thousands that a program's headers declare only those that differ are looked at.
 */
#include "patch/types/compare.h"

#include <stdlib.h>
#include <string.h>

#include "patch/types/compare_private.h"
#include "patch/types/hints.h"
#include "patch/types/private.h"

char *types_keep(struct type_changes *changes, char *string)
{
    LIST_ADD(&changes->owned, string);
    return string;
}

static bool is_named(const struct type *type)
{
    return type->name || type->alias;
}

/* "struct conn" for NAME. Owned by the caller. */
static char *written(const struct type *type, const char *name)
{
    return must_printf("%s%s",
                       !type->name                ? ""
                       : type->kind == TYPE_UNION ? "union "
                       : type->kind == TYPE_ENUM  ? "enum "
                                                  : "struct ",
                       name);
}

/* FOUND without typedefs if it is a definition of TYPE's kind; else NULL. */
static const struct type *of_kind(const struct type *found, const struct type *type)
{
    found = found ? type_strip(found) : NULL;
    return found && found->kind == type->kind && !found->incomplete ? found : NULL;
}

static const char *name_of(const struct type *type)
{
    return type->name ? type->name : type->alias;
}

/* What NEW was called, by the recorder; NULL if it says nothing. */
static const char *former_name(const struct type_changes *changes, const struct type *new)
{
    return hint_renamed(changes->hints, new->name ? "type" : "typedef", NULL, name_of(new)).old_name;
}

/* A name may mean something else in each unit, so it is asked of the units that both models have. Where a
 * unit has not known the name before, its type may come from another one: from a header that it includes now,
 * or because it has moved. It has not if that other type goes on as it was, or as something else; nor if the
 * units that define it are not in the new model, which leaves them as they are.
 */
static const struct type *brought_from(struct type_changes *changes, const struct type *new, const char *key)
{
    const struct type *equal = of_kind(type_model_find_equal(changes->old, key, new->hash), new);
    const struct type *old = equal ? equal : of_kind(type_model_find(changes->old, key, NULL, NULL), new);
    bool compiled;

    if (!old || equal) {
        return old;
    }
    char *own = written(new, name_of(new));
    const struct type *now = type_model_counterpart(changes->new, own, changes->old, old, &compiled);
    free(own);
    return (now ? type_strip(now) == new : compiled) ? old : NULL;
}

/* The type of the old model that NEW, with a name, was if that was called NAME; NULL: none. */
static const struct type *predecessor_called(struct type_changes *changes, const struct type *new,
                                             const char *name)
{
    char *key = written(new, name);
    bool known;
    const struct type *old =
        of_kind(type_model_counterpart(changes->old, key, changes->new, new, &known), new);

    old = old ? old : brought_from(changes, new, key);
    free(key);
    return old;
}

/* The type of the old model that NEW, with a name, was; NULL if it is new. */
static const struct type *predecessor(struct type_changes *changes, const struct type *new)
{
    const char *former = former_name(changes, new);
    const struct type *old = former ? predecessor_called(changes, new, former) : NULL;

    return old ? old : predecessor_called(changes, new, name_of(new));
}

/* The type of the new model that has OLD's name and is what OLD was; NULL: none. */
static const struct type *namesake(struct type_changes *changes, const struct type *old)
{
    char *key = written(old, name_of(old));
    bool compiled;
    const struct type *new = type_model_counterpart(changes->new, key, changes->old, old, &compiled);

    if (!new) { /* the units that define it do not any more, or are not there */
        new = type_model_find(changes->new, key, NULL, NULL);
        new = of_kind(new, old);
        new = new &&predecessor_called(changes, new, name_of(new)) == old ? new : NULL;
    }
    free(key);
    return of_kind(new, old);
}

struct search {
    struct type_changes *changes;
    const struct type *old, *found;
};

static bool is_renamed_from(void *context, const struct type *new)
{
    struct search *search = context;
    const char *former = former_name(search->changes, new);

    if (former && new->kind == search->old->kind && strcmp(former, name_of(search->old)) == 0) {
        search->found = new;
    }
    return !search->found;
}

/* What OLD, with a name, is in the new model; NULL if that does not speak of it. */
static const struct type *successor(struct type_changes *changes, const struct type *old)
{
    const struct type *same = namesake(changes, old);
    struct search search = { changes, old, NULL };

    if (same && !former_name(changes, same)) {
        return same;
    }
    if (!hints_are_empty(changes->hints)) {
        type_model_walk(changes->new, is_renamed_from, &search);
    }
    return search.found;
}

const struct type *type_changes_new_of(const struct type_changes *changes, const struct type *old)
{
    struct type_changes *own = (struct type_changes *)changes;

    old = type_strip(old);
    if ((!type_is_compound(old) && old->kind != TYPE_ENUM) || !is_named(old) || old->incomplete) {
        return old;
    }
    void *known = number_map_get(&own->successors, (uintptr_t)old);
    if (!known) {
        known = (void *)successor(own, old);
        known = known ? known : (void *)old;
        *number_map_at(&own->successors, (uintptr_t)old) = known;
    }
    bool gone = known == old && hint_removed(own->hints, old->name ? "type" : "typedef", name_of(old));
    return gone ? NULL : known;
}

bool types_correspond(struct type_changes *changes, const struct type *old, const struct type *new)
{
    if (old->kind != new->kind || !is_named(old) || !is_named(new)) {
        return false;
    }
    return old->hash == new->hash || type_changes_new_of(changes, old) == new ||
           predecessor(changes, new) == old;
}

/* ---- values ---------------------------------------------------------------------------------------- */

static bool is_number(const struct type *type)
{
    return type->kind == TYPE_BASE || type->kind == TYPE_ENUM;
}

/* Integers of both signs hold the same bits; a _Bool holds two values only. */
static bool same_number(const struct type *old, const struct type *new)
{
    bool old_integer = old->encoding <= TYPE_UNSIGNED, new_integer = new->encoding <= TYPE_UNSIGNED;

    return old->size == new->size && (old->encoding == new->encoding || (old_integer && new_integer));
}

static enum type_conversion convert_number(const struct type_changes *changes, const struct type *old,
                                           const struct type *new)
{
    if (old->kind == TYPE_ENUM && new->kind == TYPE_ENUM && !types_same_enumerators(changes, old, new)) {
        return TYPE_CONVERT_ENUM;
    }
    return same_number(old, new) ? TYPE_CONVERT_COPY : TYPE_CONVERT_NUMBER;
}

/* Whether a pointer's target says nothing about what is there. */
static bool is_vague(const struct type *target)
{
    return target->kind == TYPE_VOID || (target->kind == TYPE_BASE && target->size == 1);
}

/* Whether pointers to OLD are pointers to NEW. Units that only declare a type do not know more than its
 * name. */
static bool same_target(struct type_changes *changes, const struct type *old, const struct type *new)
{
    if (!is_named(old) || !is_named(new) || types_correspond(changes, old, new)) {
        return true;
    }
    const char *former = former_name(changes, new);
    return (old->incomplete || new->incomplete) &&
           old->kind == new->kind &&strcmp(name_of(old), former ? former : name_of(new)) == 0;
}

/* A pointer keeps its value as long as what it leads to is what the new type says. */
static enum type_conversion convert_pointer(struct type_changes *changes, const struct type *old,
                                            const struct type *new)
{
    const struct type *from = type_strip(old->inner), *to = type_strip(new->inner);
    bool same = from->kind == to->kind || (is_number(from) && is_number(to));

    if (is_vague(from) || is_vague(to)) {
        same = true;
    } else if (type_is_compound(from) && type_is_compound(to)) {
        same = same_target(changes, from, to);
    } else if (same && is_number(from)) {
        same = from->size == to->size;
    }
    return same ? TYPE_CONVERT_COPY : TYPE_CONVERT_NONE;
}

static enum type_conversion convert_array(const struct type_changes *changes, const struct type *old,
                                          const struct type *new)
{
    enum type_conversion each = types_conversion(changes, old->inner, new->inner);

    if (each == TYPE_CONVERT_NONE || old->flexible != new->flexible) {
        return TYPE_CONVERT_NONE;
    }
    return each == TYPE_CONVERT_COPY && old->count == new->count ? TYPE_CONVERT_COPY : TYPE_CONVERT_ARRAY;
}

static enum type_conversion convert_compound(struct type_changes *changes, const struct type *old,
                                             const struct type *new)
{
    bool unnamed = !is_named(old) && !is_named(new);

    if (!unnamed && !types_correspond(changes, old, new)) {
        return TYPE_CONVERT_NONE;
    }
    return types_compared(changes, old, new)->kinds ? TYPE_CONVERT_MIGRATE : TYPE_CONVERT_COPY;
}

enum type_conversion types_conversion(const struct type_changes *changes, const struct type *old,
                                      const struct type *new)
{
    struct type_changes *own = (struct type_changes *)changes;
    bool words = type_is_word(old) || type_is_word(new);

    old = type_strip(old);
    new = type_strip(new);
    if (old->hash == new->hash && old->kind == new->kind) {
        return TYPE_CONVERT_COPY;
    }
    if (is_number(old) && is_number(new)) {
        return convert_number(changes, old, new);
    }
    if (old->kind != new->kind) {
        bool address =
            words && old->size == new->size && (old->kind == TYPE_POINTER || new->kind == TYPE_POINTER);
        return address ? TYPE_CONVERT_COPY : TYPE_CONVERT_NONE;
    }
    switch (old->kind) {
    case TYPE_POINTER:
        return convert_pointer(own, old, new);
    case TYPE_ARRAY:
        return convert_array(changes, old, new);
    case TYPE_STRUCT:
    case TYPE_UNION:
        return convert_compound(own, old, new);
    default:
        return old->size == new->size ? TYPE_CONVERT_COPY : TYPE_CONVERT_NONE;
    }
}

/* ---- comparisons ----------------------------------------------------------------------------------- */

/* Numbers in a flexible array have a conversion of their own, since there may be any number of them. */
static void note_tail(struct type_changes *changes, const struct type_change *change)
{
    for (size_t i = 0; i < change->pair_count; i++) {
        const struct type_pair *pair = &change->pairs[i];
        if (pair->conversion != TYPE_CONVERT_ARRAY) {
            continue;
        }
        const struct type *old = type_strip(pair->old_member->type),
                          *new = type_strip(pair->new_member->type);
        enum type_conversion each = types_conversion(changes, old->inner, new->inner);
        if (old->flexible && (each == TYPE_CONVERT_NUMBER || each == TYPE_CONVERT_ENUM)) {
            (void)type_changes_of_value(changes, old->inner, new->inner);
        }
    }
}

const struct type_change *types_compared(struct type_changes *changes, const struct type *old,
                                         const struct type *new)
{
    uint64_t key = hash_number(hash_number(HASH_START, (uintptr_t)old), (uintptr_t) new);
    struct type_change *change = number_map_get(&changes->pairs, key);

    if (change) {
        return change;
    }
    change = must_calloc(1, sizeof(*change));
    LIST_ADD(&changes->owned, change);
    *change = (struct type_change){ .old = old, .new = new };
    *number_map_at(&changes->pairs, key) = change; /* malformed types might contain themselves */
    if (old->hash == new->hash) {
        return change;
    }
    if (type_is_compound(old)) {
        change->pair_count = types_pair(changes, old, new, &change->pairs);
        types_keep(changes, (char *)change->pairs);
    }
    types_explain(changes, change);
    note_tail(changes, change);
    if (change->kinds) {
        LIST_ADD(&changes->list, change);
        *number_map_at(&changes->of_old, (uintptr_t)old) = change;
        *number_map_at(&changes->of_new, (uintptr_t) new) = change;
    }
    return change;
}

static void add_one_sided(struct type_changes *changes, const struct type *old, const struct type *new)
{
    struct type_change *change = must_calloc(1, sizeof(*change));

    LIST_ADD(&changes->owned, change);
    *change = (struct type_change){ .old = old, .new = new };
    LIST_ADD(&changes->list, change);
    *number_map_at(old ? &changes->of_old : &changes->of_new, (uintptr_t)(old ? old : new)) = change;
}

static bool compare_new(void *context, const struct type *new)
{
    struct type_changes *changes = context;
    const struct type *old = predecessor(changes, new);

    if (!old) {
        add_one_sided(changes, NULL, new);
    } else if (old->hash != new->hash) {
        const struct type_change *change = types_compared(changes, old, new);
        if (!change->kinds) {
            LIST_ADD(&changes->alike, change);
        }
    }
    return true;
}

/* Adds the types called NAME, which the recorder says were removed. */
static void add_gone(void *context, const char *name)
{
    static const char *const words[] = { "struct ", "union ", "enum ", "" };
    struct type_changes *changes = context;

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        char *key = must_printf("%s%s", words[i], name);
        const struct type *old = type_model_find(changes->old, key, NULL, NULL);
        old = old ? type_strip(old) : NULL;
        if (old && !old->incomplete && !type_changes_new_of(changes, old) &&
            !number_map_get(&changes->of_old, (uintptr_t)old)) {
            add_one_sided(changes, old, NULL);
        }
        free(key);
    }
}

struct type_changes *type_changes_create(struct type_model *old, struct type_model *new, const json_t *hints)
{
    return type_changes_create_for(old, new, hints, NULL, 0);
}

struct type_changes *type_changes_create_for(struct type_model *old, struct type_model *new,
                                             const json_t *hints, const char *const *spoken_of, size_t count)
{
    struct type_changes *changes = must_calloc(1, sizeof(*changes));

    *changes = (struct type_changes){
        .old = old, .new = new, .hints = hints_create(hints), .spoken_of = spoken_of, .spoken_of_count = count
    };
    type_model_walk(new, compare_new, changes);
    hints_walk_removed(changes->hints, add_gone, changes);
    return changes;
}

void type_changes_destroy(struct type_changes *changes)
{
    if (!changes) {
        return;
    }
    for (size_t i = 0; i < changes->owned.count; i++) {
        free(changes->owned.items[i]);
    }
    LIST_FREE(&changes->owned);
    LIST_FREE(&changes->list);
    LIST_FREE(&changes->alike);
    number_map_deinit(&changes->pairs);
    number_map_deinit(&changes->of_old);
    number_map_deinit(&changes->of_new);
    number_map_deinit(&changes->successors);
    hints_destroy(changes->hints);
    free(changes);
}

const struct hints *type_changes_hints(const struct type_changes *changes)
{
    return changes->hints;
}

size_t type_changes_count(const struct type_changes *changes)
{
    return changes->list.count;
}

const struct type_change *type_changes_at(const struct type_changes *changes, size_t index)
{
    return changes->list.items[index];
}

size_t type_changes_alike_count(const struct type_changes *changes)
{
    return changes->alike.count;
}

const struct type_change *type_changes_alike_at(const struct type_changes *changes, size_t index)
{
    return changes->alike.items[index];
}

bool type_changes_any(const struct type_changes *changes)
{
    for (size_t i = 0; i < type_changes_count(changes); i++) {
        const struct type_change *change = type_changes_at(changes, i);
        if (change->old && change->new) {
            return true;
        }
    }
    return false;
}

const struct type_change *type_changes_of_old(const struct type_changes *changes, const struct type *old)
{
    old = type_strip(old);
    const struct type *new = type_changes_new_of(changes, old);
    if (new &&new != old) {
        const struct type_change *change = types_compared((struct type_changes *)changes, old, new);
        return change->kinds ? change : NULL;
    }
    return number_map_get(&changes->of_old, (uintptr_t)old);
}

const struct type_change *type_changes_of_new(const struct type_changes *changes, const struct type *new)
{
    return number_map_get(&changes->of_new, (uintptr_t)type_strip(new));
}

const struct type *type_changes_old_of(const struct type_changes *changes, const struct type *new)
{
    struct type_changes *own = (struct type_changes *)changes;
    const struct type *stripped = type_strip(new);

    if ((!type_is_compound(stripped) && stripped->kind != TYPE_ENUM) || !is_named(stripped) ||
        stripped->incomplete) {
        return new;
    }
    const struct type *old = predecessor(own, stripped);
    return old && !types_compared(own, old, stripped)->kinds ? old : new;
}

/* A copy of TYPE that is told from it by what becomes of it. */
static struct type *value_type(struct type_changes *changes, const struct type *type, const char *word,
                               const struct type *other)
{
    struct type *copy = must_calloc(1, sizeof(*copy));
    struct text text = { 0 };

    LIST_ADD(&changes->owned, copy);
    *copy = *type;
    text_printf(&text, "%s ", word);
    type_describe(other, &text);
    copy->alias = types_keep(changes, must_have(text_steal(&text)));
    return copy;
}

const struct type_change *type_changes_of_value(const struct type_changes *changes, const struct type *old,
                                                const struct type *new)
{
    struct type_changes *own = (struct type_changes *)changes;

    old = type_strip(old);
    new = type_strip(new);
    if (old->kind == TYPE_ENUM && types_correspond(own, old, new)) {
        return types_compared(own, old, new);
    }
    uint64_t key = hash_number(hash_number(HASH_START + 1, old->hash), new->hash);
    struct type_change *change = number_map_get(&own->pairs, key);
    if (change) {
        return change;
    }
    change = must_calloc(1, sizeof(*change));
    LIST_ADD(&own->owned, change);
    *change = (struct type_change){ .old = value_type(own, old, "to", new),
                                    .new = value_type(own, new, "from", old),
                                    .kinds = TYPE_CHANGE_RETYPED,
                                    .reason = "another kind of number",
                                    .file = new->file };
    *number_map_at(&own->pairs, key) = change;
    *number_map_at(&own->of_old, (uintptr_t)change->old) = change;
    *number_map_at(&own->of_new, (uintptr_t)change->new) = change;
    LIST_ADD(&own->list, change);
    return change;
}

bool type_is_changed(const struct type_changes *changes, const struct type *old)
{
    return type_changes_of_old(changes, type_element(old, NULL)) != NULL;
}

size_t types_pair_members(const struct type_changes *changes, const struct type *old, const struct type *new,
                          struct type_pair **ret)
{
    return types_pair((struct type_changes *)changes, type_strip(old), type_strip(new), ret);
}
