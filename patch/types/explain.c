/*
 * What changed, in a word for programs and in a clause for people. Nothing changed if old bits are right as
 * they are: every member of either has its partner in the same place and takes over its bits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/patch_file.h"
#include "patch/types/compare_private.h"

#define CERTAIN 0.9 /* what another name in the same place must be for the bits to be right as they are */

static const char *last_of(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot ? dot + 1 : path;
}

/* Whether there is a policy about OLD. */
static bool is_spoken_of(const struct type_changes *changes, const struct type *old)
{
    for (size_t i = 0; i < changes->spoken_of_count; i++) {
        const struct type *type = type_model_find(changes->old, changes->spoken_of[i], NULL, NULL);
        if (type && type_strip(type) == old) {
            return true;
        }
    }
    return false;
}

static unsigned kinds_of_pair(const struct type_pair *pair, bool spoken_of)
{
    unsigned kinds = 0;

    if (!pair->old_path || !pair->new_path) {
        return pair->old_path ? TYPE_CHANGE_REMOVED : TYPE_CHANGE_ADDED;
    }
    kinds |= pair->old_bit != pair->new_bit ? TYPE_CHANGE_MOVED : 0;
    kinds |= pair->old_member->bit_size != pair->new_member->bit_size ? TYPE_CHANGE_RETYPED : 0;
    switch (pair->conversion) {
    case TYPE_CONVERT_COPY:
        break;
    case TYPE_CONVERT_ENUM:
        kinds |= TYPE_CHANGE_ENUMERATORS;
        break;
    case TYPE_CONVERT_MIGRATE:
        kinds |= TYPE_CHANGE_INNER;
        break;
    default:
        kinds |= TYPE_CHANGE_RETYPED;
    }
    bool renamed = strcmp(last_of(pair->old_path), last_of(pair->new_path)) != 0;
    if (renamed && (kinds || spoken_of || pair->confidence < CERTAIN)) {
        kinds |= TYPE_CHANGE_RENAMED;
    }
    return kinds;
}

static void add_type(struct text *text, const struct type_member *member)
{
    type_describe(member->type, text);
    if (member->bit_size) {
        text_printf(text, " : %u", member->bit_size);
    }
}

/* What is said of PAIR if its KIND is the most telling change of the whole. */
static void explain_pair(const struct type_pair *pair, unsigned kind, struct text *text)
{
    switch (kind) {
    case TYPE_CHANGE_ADDED:
        text_printf(text, "member '%s' (", pair->new_path);
        add_type(text, pair->new_member);
        text_printf(text, ") added at offset %lu", (unsigned long)pair->new_bit / 8);
        break;
    case TYPE_CHANGE_REMOVED:
        text_printf(text, "member '%s' (offset %lu) removed", pair->old_path,
                    (unsigned long)pair->old_bit / 8);
        break;
    case TYPE_CHANGE_MOVED:
        text_printf(text, "member '%s' moved from offset %lu to %lu", pair->new_path,
                    (unsigned long)pair->old_bit / 8, (unsigned long)pair->new_bit / 8);
        break;
    case TYPE_CHANGE_ENUMERATORS:
        text_printf(text, "member '%s' has an enumeration with other numbers", pair->new_path);
        break;
    case TYPE_CHANGE_INNER:
        text_printf(text, "member '%s' contains a changed type", pair->new_path);
        break;
    case TYPE_CHANGE_RENAMED:
        text_printf(text, "member '%s' may be what '%s' was", pair->new_path, pair->old_path);
        break;
    default:
        text_printf(text, "member '%s' was ", pair->new_path);
        add_type(text, pair->old_member);
        text_puts(text, ", is ");
        add_type(text, pair->new_member);
    }
}

/* The first pair that changed in the most telling way. */
static void explain_compound(struct type_changes *changes, struct type_change *change)
{
    static const unsigned telling[] = { TYPE_CHANGE_ADDED,       TYPE_CHANGE_RETYPED, TYPE_CHANGE_REMOVED,
                                        TYPE_CHANGE_ENUMERATORS, TYPE_CHANGE_INNER,   TYPE_CHANGE_MOVED,
                                        TYPE_CHANGE_RENAMED };
    bool spoken_of = is_spoken_of(changes, change->old);
    struct text text = { 0 };

    change->line = change->new->line;
    for (size_t kind = 0; kind < sizeof(telling) / sizeof(*telling) && !text.length; kind++) {
        for (size_t i = 0; i < change->pair_count && !text.length; i++) {
            const struct type_pair *pair = &change->pairs[i];
            if (kinds_of_pair(pair, spoken_of) & telling[kind]) {
                explain_pair(pair, telling[kind], &text);
                change->line =
                    pair->new_member && pair->new_member->line ? pair->new_member->line : change->line;
            }
        }
    }
    if (!text.length && change->old->size == change->new->size) {
        text_printf(&text, "it is aligned to %u bytes, was to %u", change->new->alignment,
                    change->old->alignment);
    }
    if (!text.length) {
        text_printf(&text, "it has %lu bytes, had %lu", (unsigned long)change->new->size,
                    (unsigned long)change->old->size);
    }
    change->reason = types_keep(changes, must_have(text_steal(&text)));
}

/* The first enumerator with another number. */
static void explain_enumeration(struct type_changes *changes, struct type_change *change)
{
    const struct type *old = change->old, *new = change->new;
    char *reason = NULL;

    for (size_t i = 0; !reason && i < new->enumerator_count; i++) {
        for (size_t k = 0; !reason && k < old->enumerator_count; k++) {
            if (strcmp(old->enumerators[k].name, new->enumerators[i].name) == 0 &&
                old->enumerators[k].value != new->enumerators[i].value) {
                reason = must_printf("%s was %ld, is %ld", new->enumerators[i].name,
                                     (long)old->enumerators[k].value, (long)new->enumerators[i].value);
            }
        }
    }
    reason = reason ? reason : must_strdup("a number means something else");
    change->reason = types_keep(changes, reason);
    change->line = new->line;
}

void types_explain(struct type_changes *changes, struct type_change *change)
{
    const struct type *old = change->old, *new = change->new;
    bool spoken_of = is_spoken_of(changes, old);

    for (size_t i = 0; i < change->pair_count; i++) {
        change->kinds |= kinds_of_pair(&change->pairs[i], spoken_of);
    }
    if (old->kind == TYPE_ENUM && !types_same_enumerators(changes, old, new)) {
        change->kinds |= TYPE_CHANGE_ENUMERATORS;
    }
    change->kinds |= old->size != new->size ? TYPE_CHANGE_SIZE : 0;
    bool strict = old->alignment > MOLT_ALIGNMENT_ANYWHERE || new->alignment > MOLT_ALIGNMENT_ANYWHERE;
    if (old->alignment != new->alignment && (change->kinds || strict)) {
        change->kinds |= TYPE_CHANGE_ALIGNMENT;
    }
    if (!change->kinds) {
        return;
    }
    change->file = new->file;
    if (type_is_compound(old)) {
        explain_compound(changes, change);
    } else {
        explain_enumeration(changes, change);
    }
}
