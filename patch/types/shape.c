/* Shapes: a type's members, flattened until each is a value. */
#include "patch/types/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/memory.h"

enum { MEMBERS_MAX = 256, ENUMERATORS_MAX = 256 };

static void add_members(json_t *members, const struct type *type, const char *path, uint64_t bit);

static const char *kind_of(const struct type *type)
{
    static const char *const encodings[] = {
        [TYPE_SIGNED] = "int",  [TYPE_UNSIGNED] = "unsigned", [TYPE_BOOL] = "bool",
        [TYPE_FLOAT] = "float", [TYPE_COMPLEX] = "bytes",
    };

    switch (type->kind) {
    case TYPE_BASE:
        return encodings[type->encoding];
    case TYPE_ENUM:
        return "enum";
    case TYPE_POINTER:
        return "pointer";
    default:
        return "bytes";
    }
}

static json_t *names_of(const struct type *type)
{
    json_t *names = json_object();

    for (size_t i = 0; i < type->enumerator_count && i < ENUMERATORS_MAX; i++) {
        char number[24];
        snprintf(number, sizeof(number), "%" PRId64, type->enumerators[i].value);
        if (!json_object_get(names, number)) { /* the first of two names for a value */
            json_object_set_new(names, number, json_string(type->enumerators[i].name));
        }
    }
    return names;
}

/* One value, or an array of COUNT of them. ARRAY: it is one, even of no or one element. */
static void add_value(json_t *members, const struct type *type, const char *path, uint64_t bit, bool array,
                      uint64_t count, uint32_t bit_size)
{
    bool text = array && type->kind == TYPE_BASE && type->size == 1 && type->encoding != TYPE_BOOL &&
                type->name && strcmp(type->name, "char") == 0;
    json_t *member =
        json_pack("{s:s, s:I, s:I, s:s}", "path", path, "offset", (json_int_t)(bit / 8), "size",
                  (json_int_t)(text ? count : type->size), "kind", text ? "text" : kind_of(type));

    if (array && !text) {
        json_object_set_new(member, "count", json_integer((json_int_t)count));
    }
    if (bit_size) { /* in as many bytes as it touches */
        json_object_set_new(member, "bit", json_integer((json_int_t)(bit % 8)));
        json_object_set_new(member, "bits", json_integer(bit_size));
        json_object_set_new(member, "size", json_integer((json_int_t)((bit % 8 + bit_size + 7) / 8)));
    }
    if (type->kind == TYPE_ENUM) {
        json_object_set_new(member, "names", names_of(type));
    }
    json_array_append_new(members, member);
}

static void add_elements(json_t *members, const struct type *type, const char *path, uint64_t bit,
                         uint64_t count)
{
    for (uint64_t i = 0; i < count && json_array_size(members) < MEMBERS_MAX; i++) {
        char *element = must_printf("%s[%" PRIu64 "]", path, i);
        add_members(members, type, element, bit + i * type->size * 8);
        free(element);
    }
}

static void add_member(json_t *members, const struct type_member *member, const char *path, uint64_t bit)
{
    uint64_t count = 1;
    const struct type *type = type_strip(member->type), *element = type_element(type, &count);
    bool array = type->kind == TYPE_ARRAY;

    if (array && type->flexible) {
        return; /* it lies behind the instance */
    }
    if (type_is_compound(element) && array) {
        add_elements(members, element, path, bit, count);
    } else if (type_is_compound(element)) {
        add_members(members, element, path, bit);
    } else {
        add_value(members, element, path, bit, array, count, member->bit_size);
    }
}

/* The members of TYPE, which lies at BIT and is called PATH ("" for the whole). */
static void add_members(json_t *members, const struct type *type, const char *path, uint64_t bit)
{
    for (size_t i = 0; i < type->member_count && json_array_size(members) < MEMBERS_MAX; i++) {
        const struct type_member *member = &type->members[i];
        if (!member->name && type_is_compound(type_strip(member->type))) {
            add_members(members, type_strip(member->type), path, bit + member->bit_offset);
        } else if (member->name) {
            char *name = must_printf("%s%s%s", path, *path ? "." : "", member->name);
            add_member(members, member, name, bit + member->bit_offset);
            free(name);
        }
    }
}

json_t *type_shape(const struct type *type)
{
    json_t *members = json_array();

    add_members(members, type, "", 0);
    return json_pack("{s:I, s:o}", "size", (json_int_t)type->size, "members", members);
}
