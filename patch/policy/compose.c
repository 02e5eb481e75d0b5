/*
 * Which types several stages change, and what their links make together. A type is followed by name and
 * version: what one stage leads to is what the next one that changes it starts from.
 */
#include "patch/policy/compose.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (64 << 10) /* for what lies between, on the stack of the engine's thread */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* The entry of STAGE for the type NAME of the version HASH, or NULL. */
static const json_t *find_link(const json_t *stage, const char *name, const char *hash)
{
    size_t index;
    json_t *type;

    json_array_foreach(json_object_get(stage, "types"), index, type)
    {
        if (strcmp(text_of(type, "name"), name) == 0 && strcmp(text_of(type, "from"), hash) == 0) {
            return type;
        }
    }
    return NULL;
}

static void hash_text(const struct type *type, char text[17])
{
    snprintf(text, 17, "%016" PRIx64, type->hash);
}

/* Follows the type through all stages. Returns whether that leads to its new version. */
static bool follow(const struct policy_plans *plans, struct policy_composition *composition)
{
    char *first = type_key(composition->old), *last = type_key(composition->new);
    char from[17], to[17];
    const char *name = first, *hash = from;
    size_t index;
    json_t *stage;

    hash_text(composition->old, from);
    hash_text(composition->new, to);
    json_array_foreach(plans->stages, index, stage)
    {
        const json_t *type = find_link(stage, name, hash);
        if (type) {
            LIST_ADD(&composition->links, (struct policy_link){ index + 1, type });
            name = text_of(type, "new_name");
            hash = text_of(type, "to");
        }
    }
    bool arrived = strcmp(name, last) == 0 && strcmp(hash, to) == 0;
    free(first);
    free(last);
    return arrived;
}

/* Why the links cannot follow each other in one update, or NULL. */
static const char *obstacle(const struct policy_composition *composition)
{
    json_int_t between = 0;

    for (size_t i = 0; i < composition->links.count; i++) {
        const json_t *type = composition->links.items[i].type;
        if (json_is_true(json_object_get(type, "split"))) {
            return "its instances become different types on the way";
        }
        if (json_is_true(json_object_get(type, "flexible")) &&
            !json_is_true(json_object_get(type, "generated"))) {
            return "it ends in an array without a length, and a policy may look at that";
        }
        between += json_integer_value(json_object_get(type, "size"));
    }
    return between > ROOM ? "it is too large" : NULL;
}

static struct molt_error *add(struct policy_plans *plans, const struct type_change *change)
{
    struct policy_composition *composition = must_calloc(1, sizeof(*composition));

    *composition = (struct policy_composition){ .old = change->old, .new = change->new };
    bool arrived = follow(plans, composition);
    if (composition->links.count < 2) { /* what the one stage does is what is done now */
        LIST_FREE(&composition->links);
        free(composition);
        return NULL;
    }
    LIST_ADD(&plans->compositions, composition);
    const char *why = arrived ? obstacle(composition) : "its versions in between do not lead to the last one";
    if (!why) {
        return NULL;
    }
    char *key = type_key(change->old);
    struct molt_error *error = molt_error_at(
        MOLT_ERROR_REFUSED, change->new->file, change->new->line,
        "the steps that change %s cannot become one: %s. Make a patch for each step, with --after, "
        "and apply them one after the other",
        key, why);
    free(key);
    return error;
}

/* Whether FUNCTION is one that a stage after number STAGE changes. */
static bool changes_later(const json_t *stages, size_t stage, const char *function)
{
    size_t index;
    json_t *changed;

    for (size_t later = stage + 1; later < json_array_size(stages); later++) {
        json_array_foreach(json_object_get(json_array_get(stages, later), "changed"), index, changed)
        {
            if (strcmp(json_string_value(changed), function) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* A policy finds the functions of the last version: one that a later step changes may know another layout. */
static struct molt_error *check_calls(const json_t *stages)
{
    size_t stage, index;
    json_t *entry, *call;

    json_array_foreach(stages, stage, entry)
    {
        json_array_foreach(json_object_get(entry, "calls"), index, call)
        {
            if (changes_later(stages, stage, json_string_value(call))) {
                return molt_error_new(
                    MOLT_ERROR_REFUSED,
                    "the steps cannot become one: the policies of step %zu use %s, which a later "
                    "step changes. Make a patch for each step, with --after, and apply them one "
                    "after the other",
                    stage + 1, json_string_value(call));
            }
        }
    }
    return NULL;
}

struct molt_error *compositions_find(struct policy_plans *plans)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; plans->stages && !error && i < type_changes_count(plans->changes); i++) {
        const struct type_change *change = type_changes_at(plans->changes, i);
        if (change->old && change->new &&type_is_compound(change->old) && type_is_compound(change->new)) {
            error = add(plans, change);
        }
    }
    return error || !plans->compositions.count ? error : check_calls(plans->stages);
}

void compositions_free(struct policy_plans *plans)
{
    for (size_t i = 0; i < plans->compositions.count; i++) {
        LIST_FREE(&plans->compositions.items[i]->links);
        free(plans->compositions.items[i]);
    }
    LIST_FREE(&plans->compositions);
}

const struct policy_composition *composition_of(const struct policy_plans *plans, const struct type *old)
{
    for (size_t i = 0; i < plans->compositions.count; i++) {
        if (plans->compositions.items[i]->old == old) {
            return plans->compositions.items[i];
        }
    }
    return NULL;
}

bool composition_is_generated(const struct policy_composition *composition, bool back)
{
    for (size_t i = 0; i < composition->links.count; i++) {
        const json_t *type = composition->links.items[i].type;
        if (!json_is_true(json_object_get(type, back ? "generated_back" : "generated"))) {
            return false;
        }
    }
    return true;
}

const char *composition_why_not_back(const struct policy_composition *composition)
{
    for (size_t i = 0; i < composition->links.count; i++) {
        const json_t *type = composition->links.items[i].type;
        if (!json_is_true(json_object_get(type, "invertible"))) {
            return text_of(type, "why_not");
        }
    }
    return NULL;
}

const char *composition_file(const struct policy_composition *composition, bool back, unsigned *ret_line)
{
    for (size_t i = 0; i < composition->links.count; i++) {
        const json_t *type = composition->links.items[i].type;
        const json_t *place = json_object_get(type, back ? "place_back" : "place");
        if (json_is_object(place)) {
            *ret_line = (unsigned)json_integer_value(json_object_get(place, "line"));
            return text_of(place, "file");
        }
    }
    *ret_line = 0;
    return NULL;
}

/* ---- segments -------------------------------------------------------------------------------------- */

static void add_segments(const json_t *type, policy_segments *list)
{
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(type, "segments"), index, entry)
    {
        LIST_ADD(list, (struct molt_patch_segment){
                           .old_offset = (uint32_t)json_integer_value(json_array_get(entry, 0)),
                           .size = (uint32_t)json_integer_value(json_array_get(entry, 1)),
                           .new_offset = (uint32_t)json_integer_value(json_array_get(entry, 2)),
                       });
    }
}

/* What of BEFORE, which leads into the version that AFTER starts from, both keep. */
static void join(const policy_segments *before, const policy_segments *after, policy_segments *ret)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct molt_patch_segment *one = &before->items[i];
        for (size_t k = 0; k < after->count; k++) {
            const struct molt_patch_segment *two = &after->items[k];
            uint32_t start = one->new_offset > two->old_offset ? one->new_offset : two->old_offset;
            uint32_t one_end = one->new_offset + one->size, two_end = two->old_offset + two->size;
            uint32_t end = one_end < two_end ? one_end : two_end;
            if (start < end) {
                LIST_ADD(ret, (struct molt_patch_segment){
                                  .old_offset = one->old_offset + (start - one->new_offset),
                                  .size = end - start,
                                  .new_offset = two->new_offset + (start - two->old_offset),
                              });
            }
        }
    }
}

void composition_segments(const struct policy_composition *composition, policy_segments *ret)
{
    add_segments(composition->links.items[0].type, ret);
    for (size_t i = 1; i < composition->links.count; i++) {
        policy_segments next = { 0 }, both = { 0 };
        add_segments(composition->links.items[i].type, &next);
        join(ret, &next, &both);
        LIST_FREE(&next);
        LIST_FREE(ret);
        ret->items = both.items;
        ret->count = both.count;
        ret->capacity = both.capacity;
    }
}

/* ---- for people ------------------------------------------------------------------------------------ */

json_t *composition_list(const struct policy_composition *composition, const char *key)
{
    json_t *result = json_array();

    for (size_t i = 0; i < composition->links.count; i++) {
        json_array_extend(result, json_object_get(composition->links.items[i].type, key));
    }
    return must_have(result);
}

json_t *composition_policy(const struct policy_composition *composition)
{
    for (size_t i = 0; i < composition->links.count; i++) {
        json_t *policy = json_object_get(composition->links.items[i].type, "policy");
        if (json_is_string(policy) && strcmp(json_string_value(policy), "generated") != 0) {
            return json_incref(policy);
        }
    }
    return must_have(json_string("generated"));
}

/* The entry of CHANGE for the member NAME, of the new version, or NULL. */
static const json_t *member_of(const json_t *change, const char *name)
{
    size_t index;
    json_t *member;

    json_array_foreach(change, index, member)
    {
        if (strcmp(text_of(member, "name"), name) == 0) {
            return member;
        }
    }
    return NULL;
}

/* MEMBER of a later step with where it comes from before BEFORE, the changes of the step in front of it. */
static json_t *lead_back(const json_t *member, const json_t *before)
{
    json_t *result = must_have(json_deep_copy(member));
    const json_t *earlier = *text_of(member, "from") ? member_of(before, text_of(member, "from")) : NULL;
    const char *how = text_of(member, "how");

    if (!earlier) {
        return result;
    }
    json_object_set(result, "from", json_object_get(earlier, "from"));
    json_object_set(result, "was", json_object_get(earlier, "was"));
    if (strcmp(how, "same") == 0) {
        json_object_set(result, "how", json_object_get(earlier, "how"));
        json_object_set(result, "policy", json_object_get(earlier, "policy"));
    } else if (strcmp(how, "gone") != 0 && strcmp(text_of(earlier, "how"), "same") != 0) {
        json_object_set_new(result, "how", json_string("custom"));
    }
    return result;
}

/* A member that came in one step and went in a later one is of no interest. */
static bool came_and_went(const json_t *member)
{
    return !*text_of(member, "name") && !*text_of(member, "from");
}

json_t *composition_change(const struct policy_composition *composition)
{
    json_t *result = json_incref(json_object_get(composition->links.items[0].type, "change"));

    for (size_t i = 1; i < composition->links.count; i++) {
        json_t *next = must_have(json_array()), *member;
        size_t index;
        json_array_foreach(json_object_get(composition->links.items[i].type, "change"), index, member)
        {
            json_t *led = lead_back(member, result);
            if (!came_and_went(led)) {
                json_array_append(next, led);
            }
            json_decref(led);
        }
        json_array_foreach(result, index, member)
        {
            if (!*text_of(member, "name")) {
                json_array_append(next, member);
            }
        }
        json_decref(result);
        result = next;
    }
    return result;
}
