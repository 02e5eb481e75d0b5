/*
 * Enumerations whose enumerators have other numbers. Stored numbers keep their names: a function with a case
 * for each does that. A number that never had a name stays, unless it would get one. Where all enumerators
 * are single bits, numbers are taken for sets of them.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/write_value.h"
#include "patch/types/hints.h"

const char *policy_remap_name(struct policy_writer *writer, const struct type *old, const struct type *new)
{
    for (size_t i = 0; i < writer->remaps.count; i++) {
        const struct policy_remap *remap = &writer->remaps.items[i];
        if (remap->old == old && remap->new == new && remap->back == writer->back) {
            return remap->name;
        }
    }
    const char *verb = writer->back ? "restore" : "remap";
    const char *word = new->name ? new->name : new->alias ? new->alias : "unnamed";
    char *name = must_printf("molt_%s_%s", verb, word);
    for (unsigned i = 2; table_get(&writer->remap_names, name); i++) {
        free(name);
        name = must_printf("molt_%s_%s_%u", verb, word, i);
    }
    table_put(&writer->remap_names, name, name);
    LIST_ADD(&writer->remaps, (struct policy_remap){ old, new, writer->back, name });
    return name;
}

/* One map being written: numbers of `from` become those of `to`. */
struct mapping {
    const struct policy_plans *plans;
    const struct policy_remap *remap;
    const struct type *from, *to;
    const char *key; /* "enum color", for messages */
};

static const struct type_enumerator *enumerator_called(const struct type *type, const char *name)
{
    for (size_t i = 0; i < type->enumerator_count; i++) {
        if (strcmp(type->enumerators[i].name, name) == 0) {
            return &type->enumerators[i];
        }
    }
    return NULL;
}

/* The first with the number. */
static const struct type_enumerator *enumerator_of(const struct type *type, int64_t value)
{
    for (size_t i = 0; i < type->enumerator_count; i++) {
        if (type->enumerators[i].value == value) {
            return &type->enumerators[i];
        }
    }
    return NULL;
}

/* What NAME of the old enumeration is called in the new one: as a policy says, as it always was, or as the
 * recorder saw it being renamed. */
static const char *new_name_of(const struct mapping *mapping, const char *name)
{
    const struct type *new = mapping->remap->new;
    const char *owner = new->name ? new->name : new->alias ? new->alias : "";

    for (size_t i = 0; i < mapping->plans->uses.count; i++) {
        const struct policy_use *use = &mapping->plans->uses.items[i];
        if (use->statement->kind == POLICY_ENUMERATOR && use->old == mapping->remap->old &&
            strcmp(use->statement->from, name) == 0) {
            return use->statement->to;
        }
    }
    for (size_t i = 0; !enumerator_called(new, name) && i < new->enumerator_count; i++) {
        const char *candidate = new->enumerators[i].name;
        struct rename_hint hint =
            hint_renamed(type_changes_hints(mapping->plans->changes), "enumerator", owner, candidate);
        if (hint.old_name && strcmp(hint.old_name, name) == 0) {
            return candidate;
        }
    }
    return name;
}

/* What `from`'s enumerator NAME is in `to`, or NULL. */
static const struct type_enumerator *successor_of(const struct mapping *mapping, const char *name)
{
    if (!mapping->remap->back) {
        return enumerator_called(mapping->to, new_name_of(mapping, name));
    }
    for (size_t i = 0; i < mapping->to->enumerator_count; i++) {
        if (strcmp(new_name_of(mapping, mapping->to->enumerators[i].name), name) == 0) {
            return &mapping->to->enumerators[i];
        }
    }
    return NULL;
}

/* Whether the enumerators stand for bits that may be set together. */
static bool are_bits(const struct type *type)
{
    bool larger = false;

    for (size_t i = 0; i < type->enumerator_count; i++) {
        int64_t value = type->enumerators[i].value;
        if (value < 0 || (value & (value - 1))) {
            return false;
        }
        larger = larger || value > 2;
    }
    return larger;
}

/* The case of the number of ENUMERATOR, which may have several names. */
static void write_case(const struct mapping *mapping, const struct type_enumerator *enumerator,
                       struct text *ret)
{
    const struct type_enumerator *target = NULL;
    bool clear = true;
    long long value = enumerator->value;

    for (size_t i = 0; i < mapping->from->enumerator_count; i++) {
        if (mapping->from->enumerators[i].value == enumerator->value) {
            const struct type_enumerator *one = successor_of(mapping, mapping->from->enumerators[i].name);
            clear = clear && !(one && target && one->value != target->value);
            target = one ? one : target;
        }
    }
    text_printf(ret, "    case %lld: /* %s */\n", value, enumerator->name);
    if (!target) {
        text_printf(ret,
                    "        molt_fail(\"%s: %s (%lld) is no longer there: MOLT_ENUMERATOR says what it "
                    "becomes\");\n",
                    mapping->key, enumerator->name, value);
    } else if (!clear) {
        text_printf(ret,
                    "        molt_fail(\"%s: %lld had several names, which no longer mean the same\");\n",
                    mapping->key, value);
    } else if (strcmp(target->name, enumerator->name) != 0) {
        text_printf(ret, "        return %lld; /* %s */\n", (long long)target->value, target->name);
    } else {
        text_printf(ret, "        return %lld;\n", (long long)target->value);
    }
}

static void write_mapping(const struct mapping *mapping, struct text *ret)
{
    const struct type *from = mapping->from, *to = mapping->to;
    const char *name = mapping->remap->name;

    text_printf(ret, "/* The numbers of %s%s, by the enumerators' names. */\nstatic long %s(long value)\n{\n",
                mapping->key, mapping->remap->back ? ", back" : "", name);
    if (are_bits(from) && are_bits(to)) {
        text_printf(ret,
                    "    if (value > 0 && (value & (value - 1))) { /* several bits */\n"
                    "        long lowest = value & -value;\n"
                    "        return %s(lowest) | %s(value - lowest);\n"
                    "    }\n",
                    name, name);
    }
    text_puts(ret, "    switch (value) {\n");
    for (size_t i = 0; i < from->enumerator_count; i++) {
        if (enumerator_of(from, from->enumerators[i].value) == &from->enumerators[i]) {
            write_case(mapping, &from->enumerators[i], ret);
        }
    }
    for (size_t i = 0; i < to->enumerator_count; i++) {
        long long value = to->enumerators[i].value;
        if (!enumerator_of(from, value) && enumerator_of(to, value) == &to->enumerators[i]) {
            text_printf(ret,
                        "    case %lld:\n        molt_fail(\"%s: %lld had no name and would become %s\");\n",
                        value, mapping->key, value, to->enumerators[i].name);
        }
    }
    text_puts(ret, "    default: /* never had a name */\n        return value;\n    }\n}\n\n");
}

void policy_write_remaps(struct policy_writer *writer, struct text *ret)
{
    for (size_t i = 0; i < writer->remaps.count; i++) {
        const struct policy_remap *remap = &writer->remaps.items[i];
        char *key = type_key(remap->old);
        struct mapping mapping = { writer->plans, remap, remap->back ? remap->new : remap->old,
                                   remap->back ? remap->old : remap->new, key };
        write_mapping(&mapping, ret);
        free(key);
    }
}
