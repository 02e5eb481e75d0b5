/*
 * The model as its users see it: made of units, asked by name or by entry of the debug information, and what
 * can be said of a type by itself. types/index.c finds what the units define, types/hash.c tells types apart,
 * types/build.c makes them.
 */
#include "patch/types/types.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/types/die_facts.h"
#include "patch/types/private.h"

#define CHUNK_SIZE (64 << 10)

void *types_own(struct type_model *model, size_t count, size_t size)
{
    size_t bytes = (count * size + 15) & ~(size_t)15;

    if (bytes > model->chunk_left) {
        model->chunk_left = bytes > CHUNK_SIZE ? bytes : CHUNK_SIZE;
        model->chunk = must_calloc(1, model->chunk_left);
        LIST_ADD(&model->owned, model->chunk);
    }
    void *result = model->chunk;
    model->chunk += bytes;
    model->chunk_left -= bytes;
    return result;
}

struct type_model *type_model_create(void)
{
    struct type_model *model = must_calloc(1, sizeof(*model));
    struct type *nothing = types_own(model, 1, sizeof(*nothing));

    *nothing = (struct type){ .kind = TYPE_VOID, .alignment = 1, .hash = 1, .name = "void" };
    model->nothing = nothing;
    return model;
}

void type_model_destroy(struct type_model *model)
{
    if (!model) {
        return;
    }
    for (size_t i = 0; i < model->units.count; i++) {
        free(model->units.items[i]->name);
        free(model->units.items[i]);
    }
    for (size_t i = 0; i < model->owned.count; i++) {
        free(model->owned.items[i]);
    }
    LIST_FREE(&model->units);
    LIST_FREE(&model->owned);
    LIST_FREE(&model->definitions);
    LIST_FREE(&model->pending);
    number_map_deinit(&model->unit_of);
    number_map_deinit(&model->in_unit);
    number_map_deinit(&model->by_name);
    number_map_deinit(&model->aliases);
    number_map_deinit(&model->hashes);
    number_map_deinit(&model->types);
    number_map_deinit(&model->exact);
    free(model);
}

void type_model_add(struct type_model *model, const Dwarf_Die *unit, const char *name)
{
    struct model_unit *added = must_calloc(1, sizeof(*added));

    *added = (struct model_unit){ .die = *unit, .name = must_strdup(name) };
    LIST_ADD(&model->units, added);
    *number_map_at(&model->unit_of, die_id(unit)) = added;
}

void type_model_add_all(struct type_model *model, Dwarf *dwarf, const char *name)
{
    Dwarf_CU *unit = NULL;
    Dwarf_Die top;
    uint8_t kind;

    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, &kind, &top, NULL) == 0) {
        if (kind == DW_UT_compile || kind == DW_UT_type) {
            type_model_add(model, &top, name);
        }
    }
}

static const struct model_unit *unit_named(const struct type_model *model, const char *name, size_t *from)
{
    for (; *from < model->units.count; (*from)++) {
        if (strcmp(model->units.items[*from]->name, name) == 0) {
            return model->units.items[(*from)++];
        }
    }
    return NULL;
}

/* The tag of NAME's kind; *RET_NAME is what follows the word. */
static int tag_of_name(const char *name, const char **ret_name)
{
    static const struct {
        const char *word;
        int tag;
    } kinds[] = { { "struct ", DW_TAG_structure_type },
                  { "union ", DW_TAG_union_type },
                  { "enum ", DW_TAG_enumeration_type } };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strncmp(name, kinds[i].word, strlen(kinds[i].word)) == 0) {
            *ret_name = name + strlen(kinds[i].word);
            return kinds[i].tag;
        }
    }
    *ret_name = name;
    return DW_TAG_typedef;
}

const struct type *type_model_find(struct type_model *model, const char *name, const char *unit,
                                   bool *ret_ambiguous)
{
    const struct definition *found = NULL;
    const struct model_unit *in;
    char buffer[64];
    const char *word;
    int tag = tag_of_name(name, &word);

    types_index(model);
    for (size_t from = 0; unit && !found && (in = unit_named(model, unit, &from));) {
        found = types_definition_in(model, tag, word, in);
    }
    bool own = found != NULL;
    found = found ? found : types_definitions(model, tag, word);
    if (!found && tag == DW_TAG_typedef) {
        found = types_definitions(model, DW_TAG_base_type, types_base_name(word, buffer, sizeof(buffer)));
    }
    if (ret_ambiguous) {
        *ret_ambiguous = found && !own && found->ambiguous;
    }
    return found ? types_build(model, found->unit, &found->die) : NULL;
}

/* The definition of TAG WORD in a unit of MODEL called NAME; *RET_KNOWN is set if there is such a unit. */
static const struct definition *definition_in(const struct type_model *model, int tag, const char *word,
                                              const char *name, bool *ret_known)
{
    const struct definition *found = NULL;
    const struct model_unit *in;

    for (size_t from = 0; !found && (in = unit_named(model, name, &from));) {
        *ret_known = true;
        found = types_definition_in(model, tag, word, in);
    }
    return found;
}

const struct type *type_model_counterpart(struct type_model *model, const char *name,
                                          struct type_model *other, const struct type *type, bool *ret_known)
{
    const struct definition *found = NULL;
    char *key = type_key(type);
    const char *word, *own_word;
    int tag = tag_of_name(name, &word), own_tag = tag_of_name(key, &own_word);

    types_index(model);
    types_index(other);
    *ret_known = false;
    const struct definition *own = types_definitions(other, own_tag, own_word);
    for (; own && !found; own = own->next) {
        if (own->unit && type_strip(types_build(other, own->unit, &own->die)) == type) {
            found = definition_in(model, tag, word, own->unit->name, ret_known);
        }
    }
    free(key);
    return found ? types_build(model, found->unit, &found->die) : NULL;
}

void type_model_walk_namesakes(struct type_model *model, const struct type *type,
                               bool (*visit)(void *context, const struct type *type), void *context)
{
    char *key = type_key(type);
    const char *word;
    int tag = tag_of_name(key, &word);
    const struct definition *one = types_definitions(model, tag, word);

    while (one && visit(context, type_strip(types_build(model, one->unit, &one->die)))) {
        one = one->next;
    }
    free(key);
}

const struct type *type_model_find_equal(struct type_model *model, const char *name, uint64_t hash)
{
    const char *word;
    int tag = tag_of_name(name, &word);
    const struct type *found = NULL;

    types_index(model);
    for (const struct definition *one = types_definitions(model, tag, word); one && !found; one = one->next) {
        const struct type *type = type_strip(types_build(model, one->unit, &one->die));
        found = type->hash == hash ? type : NULL;
    }
    return found;
}

const struct type *type_model_find_compound(struct type_model *model, const char *name)
{
    const char *word;
    int tag = tag_of_name(name, &word);
    const struct type *found = NULL;

    types_index(model);
    for (const struct definition *one = types_definitions(model, tag, word); one && !found; one = one->next) {
        const struct type *type = type_strip(types_build(model, one->unit, &one->die));
        found = type_is_compound(type) && !type->incomplete ? type : NULL;
    }
    return found;
}

const struct type *type_of_die(struct type_model *model, const Dwarf_Die *die)
{
    types_index(model);
    return types_build(model, types_unit_of(model, die), die);
}

const struct type *type_of_object(struct type_model *model, const Dwarf_Die *die)
{
    Dwarf_Die type;

    return die_type(die, &type) ? type_of_die(model, &type) : model->nothing;
}

const struct type *type_void(struct type_model *model)
{
    return model->nothing;
}

static bool is_called(const struct type *type, const char *name)
{
    return (type->name && strcmp(type->name, name) == 0) || (type->alias && strcmp(type->alias, name) == 0);
}

void type_model_walk(struct type_model *model, bool (*visit)(void *context, const struct type *type),
                     void *context)
{
    struct number_map seen = { 0 };
    bool more = true;

    types_index(model);
    for (size_t i = 0; more && i < model->definitions.count; i++) {
        const struct definition *definition = model->definitions.items[i];
        void **once = number_map_at(&seen, definition->hash.exact);
        if (*once) {
            continue;
        }
        *once = (void *)definition;
        const struct type *type = type_strip(types_build(model, definition->unit, &definition->die));
        bool named = type_is_compound(type) || type->kind == TYPE_ENUM;
        if (named && !type->incomplete && is_called(type, definition->name)) {
            more = visit(context, type);
        }
    }
    number_map_deinit(&seen);
}

const struct type *type_strip(const struct type *type)
{
    while (type->kind == TYPE_TYPEDEF) {
        type = type->inner;
    }
    return type;
}

const struct type *type_element(const struct type *type, uint64_t *ret_count)
{
    uint64_t count = 1;

    for (type = type_strip(type); type->kind == TYPE_ARRAY; type = type_strip(type->inner)) {
        count *= type->count;
    }
    if (ret_count) {
        *ret_count = count;
    }
    return type;
}

const struct type *type_part(const struct type *type, uint64_t offset, uint64_t size)
{
    if (!size || (offset == 0 && type->size == size && !type_is_compound(type_strip(type)))) {
        return type;
    }
    const struct type *stripped = type_strip(type);
    if (stripped->kind == TYPE_ARRAY && stripped->inner->size) {
        return type_part(stripped->inner, offset % stripped->inner->size, size);
    }
    for (size_t i = 0; stripped->kind == TYPE_STRUCT && i < stripped->member_count; i++) {
        const struct type_member *member = &stripped->members[i];
        uint64_t place = member->bit_offset / 8;
        if (!member->bit_size && offset >= place && offset + size <= place + member->type->size) {
            return type_part(member->type, offset - place, size);
        }
    }
    return offset == 0 && type->size == size ? type : NULL;
}

bool type_is_word(const struct type *type)
{
    static const char *const names[] = { "uintptr_t", "intptr_t", "__intptr_t", "__uintptr_t",
                                         "greg_t" /* a coroutine's registers */ };

    for (; type->kind == TYPE_TYPEDEF; type = type->inner) {
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
            if (strcmp(type->name, names[i]) == 0 && type->size == sizeof(void *)) {
                return true;
            }
        }
    }
    return false;
}

const struct type *type_named_element(const struct type *type, uint64_t *ret_count)
{
    uint64_t count = 1;

    while (!type_is_word(type) && type_strip(type)->kind == TYPE_ARRAY) {
        count *= type_strip(type)->count;
        type = type_strip(type)->inner;
    }
    *ret_count = count;
    return type;
}

bool type_has_pointers(const struct type *type)
{
    if (type_is_word(type)) {
        return true;
    }
    type = type_strip(type);
    if (type->kind == TYPE_POINTER) {
        return true;
    }
    if (type->kind == TYPE_ARRAY) {
        return type_has_pointers(type->inner);
    }
    for (size_t i = 0; type_is_compound(type) && i < type->member_count; i++) {
        if (type_has_pointers(type->members[i].type)) {
            return true;
        }
    }
    return false;
}
